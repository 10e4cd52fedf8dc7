"""`make bench`: measures everything, prints the tables, and writes them to bench/RESULTS.md.

`make bench-gate` only counts the instructions of the operations in LIMITS, and fails if one exceeds its limit.
`python -m bench growth` only measures the last table again.
"""

import io
import os
import platform
import random
import statistics
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from bench import contenders, engines, measure
from bench.contenders import COLUMNS, OURS, PEERS, WITH_BYTECODE, Contender
from bench.stub import stub

RESULTS = contenders.ROOT / "bench" / "RESULTS.md"
IMPORTS = contenders.ROOT / "bench" / "importtime.txt"
OPERATIONS = ("create_task", "get_task", "list_tasks", "update_task", "toggle_task")
OTHER_OPERATIONS = (
    *("replace_task", "delete_task", "restore_task", "move_task", "list_changes", f"list_changes{measure.EMPTY}"),
    *(f"{operation}{measure.WITH_KEY}" for operation in ("create_task", "toggle_task")),
)
COLD_ROUNDS, WARM_ROUNDS = 15, 7
WARM_UPS, CALLS = 20, 150
LOAD_WORKERS, LOAD_CALLS = 8, 300
# Operations that need a read first. A blind write would need only one request, but is not correct.
READ_FIRST = ("update_task", "toggle_task")
# Maximum ratio of our instructions to those of the bare peer with bytecode. Instructions hardly vary between runs.
LIMITS = {
    "cold start": 0.65,
    "warm create_task": 1.0,
    "warm get_task": 1.0,
    "warm update_task": 1.0,
    "warm toggle_task": 1.0,
    "warm list_tasks": 0.36,
}
BARE = PEERS["bare"][0]

GROWTH = "Growth: a page of 50, on DynamoDB Local"

type Samples = dict[Contender, list[measure.Cost]]


def main() -> None:
    """Run the gate or all benchmarks."""
    if sys.version_info[:2] != (3, 13) or sys.platform != "linux":
        sys.exit("The benchmarks need Python 3.13 on Linux, as Lambda has.")
    if sys.argv[1:] == ["growth"]:
        growth_again()
        return
    contenders.install()
    measure.write_events()
    if sys.argv[1:] == ["gate"]:
        gate()
    else:
        everything()


def gate() -> None:
    """Exit with 1 if the ratio of instructions to those of the bare peer exceeds a limit."""
    bare = contenders.peer("bare", WITH_BYTECODE)
    failed = False
    with stub(contenders.IDENTITY) as url, ThreadPoolExecutor(os.cpu_count()) as pool:
        ours = {operation: contenders.ours(operation) for operation in OPERATIONS}
        jobs: dict[str, list[Future[int] | Future[float]]] = {
            "cold start": [
                pool.submit(measure.instructions, one, "create_task", url) for one in (ours["create_task"], bare)
            ]
        }
        for operation, function in ours.items():
            jobs[f"warm {operation}"] = [
                pool.submit(measure.warm_instructions, one, operation, url) for one in (function, bare)
            ]
        for name, (mine, theirs) in jobs.items():
            ratio = mine.result() / theirs.result()
            failed |= ratio > LIMITS[name]
            verdict = "TOO MUCH" if ratio > LIMITS[name] else "ok"
            sys.stdout.write(
                f"{name}: {ratio:.3f} of the bare peer's instructions, at most {LIMITS[name]}: {verdict}\n"
            )
    sys.exit(failed)


def everything() -> None:
    """Print each table when it is ready, and write all of them at the end."""
    report = Report()
    report.say(
        "# Results\n\nWritten by `make bench`; [README.md](README.md) explains how each figure is measured.\n\n"
        f"{_conditions()}\n"
    )
    ours = {operation: contenders.ours(operation) for operation in OPERATIONS}
    peers = {(name, column): contenders.peer(name, column) for column in COLUMNS for name in PEERS}
    with stub(contenders.IDENTITY) as url:
        cold(report, url, ours["create_task"], peers)
        cold_by_operation(report, url, ours, peers["bare", WITH_BYTECODE])
        warm(report, url, ours, peers)
        other_operations(report, url)
        import_time(ours["create_task"], url)
    reconnecting(report, ours["get_task"], peers["bare", WITH_BYTECODE])
    sizes(report, ours["create_task"], peers)
    every = [ours["create_task"], *peers.values()]
    with engines.dynamodb_local({one.table for one in every}) as url:
        wall_times(report, url, ours, peers)
        load_test(report, url, ours)
        growth(report, url, every[0].table)
    RESULTS.write_text(report.text.getvalue())


def growth_again() -> None:
    """Replace the table of growth, which is the last one in the file."""
    report, conditions = Report(), _conditions()
    with engines.dynamodb_local({"growth"}) as url:
        growth(report, url, "growth")
    report.say(f"This table was measured on its own: {conditions}\n")
    before = RESULTS.read_text().partition(f"## {GROWTH}")[0]
    RESULTS.write_text(before + report.text.getvalue())


class Report:
    """Prints text, and collects it for the file."""

    def __init__(self) -> None:
        self.text = io.StringIO()

    def say(self, text: str) -> None:
        """Add a paragraph."""
        self.text.write(f"{text}\n")
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    def table(self, heading: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Add a table."""
        lines = [columns, ["---"] * len(columns), *rows]
        self.say(f"## {heading}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n")


def cold(report: Report, url: str, ours: Contender, peers: dict[tuple[str, str], Contender]) -> None:
    """Measure fresh processes until the end of their first response, to POST /tasks."""
    every = [ours, *peers.values()]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        counts = list(pool.map(partial(measure.instructions, operation="create_task", url=url), every))
    instructions = dict(zip(every, counts, strict=True))
    samples = _interleaved(every, COLD_ROUNDS, partial(measure.run, operation="create_task", url=url))
    report.table(
        "Cold start: ours relative to each peer",
        ["peer", "built", "instructions", "CPU", "wall", "peer's CPU, ms", "its first request's"],
        (
            [
                one.name,
                one.column,
                f"{instructions[ours] / instructions[one]:.2f}",
                _ratio(samples, ours, one, "cpu"),
                _ratio(samples, ours, one, "wall"),
                _milliseconds(samples[one], "cpu"),
                _milliseconds(samples[one], "first"),
            ]
            for one in peers.values()
        ),
    )
    report.say(
        f"Ours: {instructions[ours] / 1e6:,.0f} million instructions, {_milliseconds(samples[ours], 'cpu')} ms CPU, "
        f"{_milliseconds(samples[ours], 'wall')} ms wall. Its first request takes "
        f"{_milliseconds(samples[ours], 'first')} ms CPU: Lambda gives a whole processor for the start only.\n"
    )


def cold_by_operation(report: Report, url: str, ours: dict[str, Contender], bare: Contender) -> None:
    """Count the instructions of cold starts of all operations."""
    pairs = [(one, operation) for operation, function in ours.items() for one in (function, bare)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        counts = list(pool.map(lambda pair: measure.instructions(pair[0], pair[1], url), pairs))
    rows = zip(ours, counts[::2], counts[1::2], strict=True)
    report.table(
        "Cold start by operation, in instructions",
        ["operation", "ours, millions", f"ours / {BARE}"],
        [[operation, f"{mine / 1e6:,.0f}", f"{mine / theirs:.2f}"] for operation, mine, theirs in rows],
    )


def warm(report: Report, url: str, ours: dict[str, Contender], peers: dict[tuple[str, str], Contender]) -> None:
    """Measure calls of a warm process, with the DynamoDB stub."""
    bare, blind = peers["bare", WITH_BYTECODE], contenders.blind()
    rivals = [peers[name, WITH_BYTECODE] for name in PEERS]
    rows, costs = [], []
    for operation, function in ours.items():
        counted = [function, bare, *([blind] if operation in READ_FIRST else [])]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            counts = list(pool.map(partial(measure.warm_instructions, operation=operation, url=url), counted))
        mine, theirs = counts[:2]
        if operation in READ_FIRST:
            costs.append([operation, f"{mine / counts[2]:.2f}", f"{theirs / counts[2]:.2f}"])
        call = partial(measure.warm, operation=operation, url=url, warm_ups=WARM_UPS, calls=CALLS)
        samples = _interleaved([function, *rivals], WARM_ROUNDS, call)
        shares = [_ratio(samples, function, rival, "cpu") for rival in rivals]
        rows.append([operation, f"{mine / theirs:.2f}", *shares, _milliseconds(samples[function], "cpu")])
    names = [f"CPU / {rival.name}" for rival in rivals]
    report.table(
        "Warm call with the DynamoDB stub: ours relative to each peer",
        ["operation", f"instructions / {BARE}", *names, "ours, ms CPU"],
        rows,
    )
    report.table(
        "What correctness costs: instructions relative to the bare peer with blind writes",
        ["operation", OURS, BARE],
        costs,
    )


def reconnecting(report: Report, ours: Contender, bare: Contender) -> None:
    """Measure calls that find their connection closed, as after a long pause."""
    with stub(contenders.IDENTITY, closing=True) as url:
        mine, theirs = (measure.warm_instructions(one, "get_task", url) for one in (ours, bare))
        call = partial(measure.warm, operation="get_task", url=url, warm_ups=WARM_UPS, calls=CALLS)
        samples = _interleaved([ours, bare], WARM_ROUNDS, call)
    report.table(
        "Warm get_task that finds its connection closed",
        [f"instructions / {BARE}", f"CPU / {BARE}", "ours, ms CPU"],
        [[f"{mine / theirs:.2f}", _ratio(samples, ours, bare, "cpu"), _milliseconds(samples[ours], "cpu")]],
    )


def other_operations(report: Report, url: str) -> None:
    """Measure operations that no peer has, for docs/cost.md."""
    rows = []
    for operation in OTHER_OPERATIONS:
        function = contenders.ours(measure.function_of(operation))
        costs = [measure.warm(function, operation, url, WARM_UPS, CALLS) for _ in range(WARM_ROUNDS)]
        rows.append([operation, _milliseconds(costs, "cpu")])
    report.table("Warm call of other operations", ["operation", "ours, ms CPU"], rows)


def wall_times(report: Report, url: str, ours: dict[str, Contender], peers: dict[tuple[str, str], Contender]) -> None:
    """Measure the wall time of warm calls with DynamoDB Local."""
    rivals = [peers[name, WITH_BYTECODE] for name in PEERS]
    rows = []
    for operation, function in ours.items():
        call = partial(measure.warm, operation=operation, url=url, warm_ups=WARM_UPS, calls=CALLS)
        samples = _interleaved([function, *rivals], WARM_ROUNDS, call)
        shares = [_ratio(samples, function, rival, "wall") for rival in rivals]
        rows.append([operation, *shares, _milliseconds(samples[function], "wall")])
    report.table(
        "Warm call with DynamoDB Local, wall time: ours relative to each peer",
        ["operation", *(rival.name for rival in rivals), "ours, ms"],
        rows,
    )


def sizes(report: Report, ours: Contender, peers: dict[tuple[str, str], Contender]) -> None:
    """Report the sizes of the artifacts, zipped as by `sam deploy`."""
    report.table(
        "Artifact",
        ["", "built", "zip, MB", "unzipped, MB"],
        ([one.name, one.column, *_megabytes(one.folder)] for one in (ours, *peers.values())),
    )


def growth(report: Report, url: str, table: str) -> None:
    """Measure a page for users with few and with many tasks."""
    sizes = [(100, 0), (1_000, 0), (10_000, 0), (100_000, 0), (100, 10_000)]
    rows = ([name, f"{units:g}", f"{took:.1f}"] for name, units, _, took in engines.growth(url, table, sizes))
    report.table(GROWTH, ["user's tasks: page", "read units", "ms"], list(rows))


def load_test(report: Report, url: str, ours: dict[str, Contender]) -> None:
    """Call from parallel processes. DynamoDB Local limits the rate, so this is only a plausibility check."""
    rows = []
    for operation in ("create_task", "get_task"):
        start = time.perf_counter()
        with ThreadPoolExecutor(LOAD_WORKERS) as pool:
            one = ours[operation]
            jobs = [pool.submit(measure.warm, one, operation, url, 0, LOAD_CALLS) for _ in range(LOAD_WORKERS)]
        for job in jobs:
            job.result()
        rate = LOAD_WORKERS * LOAD_CALLS / (time.perf_counter() - start)
        rows.append([operation, str(LOAD_WORKERS), f"{rate:,.0f}"])
    report.table("Load on DynamoDB Local, cold starts included", ["operation", "workers", "requests per second"], rows)


def import_time(ours: Contender, url: str) -> None:
    """Write the twenty modules with the longest import time to a file."""
    python, *arguments = measure.command(ours, "create_task")
    done = subprocess.run(
        [python, "-X", "importtime", *arguments],
        env=measure.environment(ours, url), check=True, capture_output=True, text=True,
    )  # fmt: skip
    lines = [line.removeprefix("import time:") for line in done.stderr.splitlines() if line.startswith("import time:")]
    slowest = sorted(lines[1:], key=lambda line: -int(line.split("|")[0]))[:20]
    IMPORTS.write_text(
        "\n".join(
            ["The 20 modules with the longest import time, without the modules that they import.", lines[0], *slowest]
        )
        + "\n"
    )


def _interleaved(every: Sequence[Contender], rounds: int, take: Callable[[Contender], measure.Cost]) -> Samples:
    """Take samples in rounds, in random order: a temporary disturbance of the machine then affects all contenders."""
    samples: Samples = {one: [] for one in every}
    for _ in range(rounds):
        for one in random.sample(every, len(every)):
            samples[one].append(take(one))
    return samples


def _ratio(samples: Samples, ours: Contender, peer: Contender, what: str) -> str:
    """Return the median and quartiles of the ratios of samples from the same round."""
    pairs = zip(samples[ours], samples[peer], strict=True)
    ratios = [getattr(a, what) / getattr(b, what) for a, b in pairs]
    low, middle, high = statistics.quantiles(ratios, method="inclusive")
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def _milliseconds(costs: Sequence[measure.Cost], what: str) -> str:
    taken = statistics.quantiles((getattr(cost, what) * 1000 for cost in costs), method="inclusive")
    low, middle, high = (f"{time:,.0f}" if time >= 100 else f"{time:.3g}" for time in taken)  # noqa: PLR2004 - 3 digits
    return f"{middle} ({low} to {high})"


def _megabytes(folder: Path) -> list[str]:
    packed = io.BytesIO()
    whole = 0
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in folder.rglob("*"):
            if path.is_file():
                whole += path.stat().st_size
                archive.write(path, path.relative_to(folder))
    return [f"{len(packed.getvalue()) / 1e6:.1f}", f"{whole / 1e6:.1f}"]


def _conditions() -> str:
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {_processor()}, {os.cpu_count()} processors, "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}; "
        f"the load average was {os.getloadavg()[0]:.1f} at the start."
    )


def _processor() -> str:
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if "model name" in line
    ]
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    main()

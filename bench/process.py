"""What is measured: a process that has nothing but an artifact to import from, as a function on Lambda has.

    python -S -s -P -B process.py ARTIFACT MODULE EVENT STATUS [WARM-UPS CALLS]

It loads the handler, answers the event once, and then as many times more as it is told to, timing those.
"""

import os
import sys


class Context:
    """Lambda's context object."""

    function_name = "bench"
    function_version = "$LATEST"
    invoked_function_arn = "arn:aws:lambda:eu-central-1:000000000000:function:bench"
    memory_limit_in_mb = "512"
    aws_request_id = "bench"

    def get_remaining_time_in_millis(self) -> int:
        """How long the function may still run: each call has its whole time."""
        return 10_000


def main() -> None:
    """Load, answer, and answer again."""
    artifact, module, event_file, status, *counts = sys.argv[1:]
    sys.path.insert(0, artifact)
    import json  # noqa: PLC0415 - Lambda's own runtime imports these two as well, but not before this

    with open(event_file) as file:  # noqa: PTH123 - pathlib would be an import of ours, not of the function
        event = json.load(file)
    import importlib  # noqa: PLC0415

    handler = importlib.import_module(module).handler
    answer = handler(event, Context())
    if answer["statusCode"] != int(status):
        sys.exit(f"{module} answered {answer}")
    if not counts:
        os._exit(0)  # a function is frozen then; it never cleans up
    import time  # noqa: PLC0415

    warm_ups, calls = map(int, counts)
    for _ in range(warm_ups):
        handler(event, Context())
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(calls):
        handler(event, Context())
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    sys.stderr.write(json.dumps({"cpu": cpu / calls, "wall": wall / calls}))


if __name__ == "__main__":
    main()

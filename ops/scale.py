"""`python -m ops.scale`: computes the tables of docs/scale.md from the assumptions below."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ops.command import run

# How people use the API. Replace these assumptions with your own figures first.
DAILY = 0.3  # share of the monthly users that are active on a day
PEAK_HOUR = 0.12  # share of a day's requests in the busiest hour
PEAK_MINUTE = 1.5  # the busiest minute, relative to the mean of that hour
SIGN_INS = 3  # sign-ins and token refreshes per user and day
TASKS = 200  # per user
# Requests per user and day, and the read and write units of each request (docs/data-model.md).
USE = {
    "changes": (20, 1.0, 0.0),
    "list": (6, 10.0, 0.0),
    "get": (2, 1.0, 0.0),
    "create": (4, 0.0, 4.0),
    "toggle": (4, 0.0, 6.0),
    "update": (2, 0.0, 5.0),
    "move": (1, 3.0, 7.0),
    "delete": (1, 0.0, 6.0),
}
# The duration of a call in seconds.
SECONDS = 0.03
# Lambda allows ten requests per second for each concurrent execution of the quota, however short they are.
SECONDS_COUNTED = max(SECONDS, 0.1)
# The size of an item, in the table and its three indexes together.
KILOBYTES = 4.0

USERS = [10**power for power in range(3, 9)]


@dataclass(frozen=True)
class Load:
    """The load in the busiest minute, per second, for a number of monthly users."""

    users: int

    @property
    def requests(self) -> float:
        """Requests."""
        return self._at_peak(sum(count for count, _, _ in USE.values()))

    @property
    def busiest_route(self) -> float:
        """Requests to the busiest route."""
        return self._at_peak(max(count for count, _, _ in USE.values()))

    @property
    def executions(self) -> float:
        """Concurrent executions, as Lambda's quota counts them."""
        return self.requests * SECONDS_COUNTED

    @property
    def reads(self) -> float:
        """Read request units."""
        return self._at_peak(sum(count * units for count, units, _ in USE.values()))

    @property
    def writes(self) -> float:
        """Write request units."""
        return self._at_peak(sum(count * units for count, _, units in USE.values()))

    @property
    def sign_ins(self) -> float:
        """Sign-ins."""
        return self._at_peak(SIGN_INS)

    @property
    def gigabytes(self) -> float:
        """Storage, including the indexes."""
        return self.users * TASKS * KILOBYTES / 1e6

    def _at_peak(self, per_day: float) -> float:
        return self.users * DAILY * per_day * PEAK_HOUR * PEAK_MINUTE / 3600


# The limits: the default of AWS or of template.yaml, and the attribute of Load that reaches it.
LIMITS = {
    "Concurrent executions, new account": (10, "executions"),
    "ThrottleRate per route (template.yaml)": (200, "busiest_route"),
    "Cognito, sign-ins and refreshes per second": (120, "sign_ins"),
    "API Gateway, requests per second": (10_000, "requests"),
    "Concurrent executions, default quota": (1_000, "executions"),
    "Table, write units per second": (40_000, "writes"),
    "Table, read units per second": (40_000, "reads"),
    "Cognito, users per pool": (40_000_000, "users"),
}


def tables() -> Iterator[str]:
    """Yield the lines of the two tables."""
    names = ("users", "requests", "busiest_route", "executions", "reads", "writes", "sign_ins", "gigabytes")
    yield " ".join(f"{name.replace('_', ' '):>13}" for name in names)
    for users in USERS:
        yield " ".join(f"{_short(getattr(Load(users), name)):>13}" for name in names)
    yield ""
    yield f"{'limit':44} {'default':>10} {'reached at users':>18}"
    reached = {name: limit / getattr(Load(1), what) for name, (limit, what) in LIMITS.items()}
    for name in sorted(reached, key=lambda one: reached[one]):
        yield f"{name:44} {LIMITS[name][0]:>10,} {_short(reached[name]):>18}"
    yield ""
    collection = 10e6 / KILOBYTES
    yield f"One user: 10 GB hold {_short(collection)} tasks; 1,000 write units per second allow {1000 / 6:.0f} toggles."


def _short(number: float) -> str:
    """Round to two digits: the assumptions are not more exact."""
    if number < 1:
        return f"{number:.1g}"
    rounded = float(f"{number:.2g}")
    return f"{rounded:,.1f}" if rounded < 10 and rounded % 1 else f"{rounded:,.0f}"  # noqa: PLR2004


def main(arguments: Sequence[str]) -> int:
    """Print the tables, and return the exit code."""
    argparse.ArgumentParser(prog="python -m ops.scale", description=__doc__).parse_args(arguments)
    return run(lambda _: "\n".join(tables()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

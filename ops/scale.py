"""The arithmetic of docs/scale.md: `python -m ops.scale` prints its tables. Change an assumption, and look again."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass

# How people use it: what to replace first, by figures of your own.
DAILY = 0.3  # of a month's users are there on a day
PEAK_HOUR = 0.12  # of a day's requests come in its busiest hour
PEAK_MINUTE = 1.5  # times the hour's mean
SIGN_INS = 3  # sign-ins and refreshed tokens, a user and day
TASKS = 200  # a user
# Requests a user and day; with read and write request units of each, as docs/data-model.md has them.
USE = {
    "changes": (20, 1.0, 0.0),
    "list": (6, 10.0, 0.0),
    "get": (2, 1.0, 0.0),
    "create": (4, 0.0, 4.0),
    "toggle": (4, 0.0, 6.0),
    "update": (3, 0.0, 5.0),
    "delete": (1, 0.0, 6.0),
}
# How the system is: seconds a call takes, kilobytes an item takes in the table and its three indexes.
SECONDS = 0.03
# Lambda takes ten requests a second for each execution that a quota allows, however short they are.
SECONDS_COUNTED = max(SECONDS, 0.1)
KILOBYTES = 4.0

USERS = [10**power for power in range(3, 9)]


@dataclass(frozen=True)
class Load:
    """What so many users a month make of it in the busiest minute, each in its unit a second."""

    users: int

    @property
    def requests(self) -> float:
        """Requests."""
        return self._at_peak(sum(count for count, _, _ in USE.values()))

    @property
    def busiest_route(self) -> float:
        """Requests of the route that is used most."""
        return self._at_peak(max(count for count, _, _ in USE.values()))

    @property
    def executions(self) -> float:
        """Functions that run at once, as Lambda's quota counts them."""
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
        """What is stored, with its indexes."""
        return self.users * TASKS * KILOBYTES / 1e6

    def _at_peak(self, a_day: float) -> float:
        return self.users * DAILY * a_day * PEAK_HOUR * PEAK_MINUTE / 3600


# What is reached, AWS's default or ours, and what of a load reaches it.
LIMITS = {
    "Lambda executions at once, a new account": (10, "executions"),
    "ThrottleRate, of a route (template.yaml)": (200, "busiest_route"),
    "Cognito, sign-ins and refreshes a second": (120, "sign_ins"),
    "API Gateway, requests a second": (10_000, "requests"),
    "Lambda executions at once, by default": (1_000, "executions"),
    "Table, write units a second": (40_000, "writes"),
    "Table, read units a second": (40_000, "reads"),
    "Cognito, users of a pool": (40_000_000, "users"),
}


def tables() -> Iterator[str]:
    """The two tables, line by line."""
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
    yield f"One user: 10 GB are {_short(collection)} tasks; 1,000 write units a second are {1000 / 6:.0f} toggles."


def _short(number: float) -> str:
    """A number to two digits, which is more than is known."""
    if number < 1:
        return f"{number:.1g}"
    rounded = float(f"{number:.2g}")
    return f"{rounded:,.1f}" if rounded < 10 and rounded % 1 else f"{rounded:,.0f}"  # noqa: PLR2004


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in tables())

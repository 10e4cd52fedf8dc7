"""`make seed`: creates 200 varied tasks for a user of a running `make run`. `--help` shows the options."""

import argparse
import random
import shlex
import sys
import threading
import uuid
from collections.abc import Iterator
from datetime import date, timedelta
from functools import partial
from typing import Any

from local.tokens import user_token
from ops.api import UserApi
from ops.command import Interrupted, positive, run

TITLES = (
    "Buy milk",
    "Call Anna",
    "Write the report",
    "Water the plants",
    "Book a flight",
    "Pay the rent",
    "Fix the bike",
)
TAGS = ("home", "work", "shop", "phone", "caf\u00e9", "\N{BICYCLE}")
LISTS = (None, "home", "home", "work")
ZONES = ("Europe/Berlin", "America/Los_Angeles", "Pacific/Kiritimati")
BATCH = 25  # the maximum of a batch


def tasks(count: int, dice: random.Random, today: date) -> Iterator[dict[str, Any]]:
    """Yield new tasks: some without a due date, some overdue, some with a time, some completed, most in a list."""
    for number in range(1, count + 1):
        task: dict[str, Any] = {"title": f"{dice.choice(TITLES)} ({number})", "completed": dice.random() < 0.2}
        if dice.random() < 0.7:
            task["due"] = str(today + timedelta(dice.randrange(-14, 60)))
            if dice.random() < 0.4:
                task["due"] += f"T{dice.randrange(7, 22):02}:{dice.choice(('00', '15', '30'))}"
                task["time_zone"] = dice.choice((None, *ZONES))
        task["priority"] = dice.choice((0, 0, 0, 1, 5, 9))
        task["tags"] = dice.sample(TAGS, dice.randrange(4))
        if dice.random() < 0.3:
            task["description"] = "\n".join(dice.choices(TITLES, k=dice.randrange(1, 9)))
        if dice.random() < 0.2:
            task["metadata"] = {"source": dice.choice(("mail", "chat", "phone"))}
        task["list"] = dice.choice(LISTS)
        yield task


def main(arguments: list[str]) -> int:
    """Create the tasks, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m local.seed", description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="the address of the API (default: %(default)s)")
    parser.add_argument("--user", default="alice", help="the user who gets the tasks (default: %(default)s)")
    parser.add_argument("--count", type=positive, default=200, help="the number of tasks (default: %(default)s)")
    return run(partial(_seed, parser.parse_args(arguments)))


def _seed(chosen: argparse.Namespace, stop: threading.Event) -> str:
    """Send the tasks in batches."""
    new = list(tasks(chosen.count, random.Random(0), date.today()))  # noqa: S311 - no secret; the day of the reader
    api = UserApi(chosen.url, "me", user_token(chosen.user))
    for first in range(0, len(new), BATCH):
        operations = [{"op": "create", "task": task} for task in new[first : first + BATCH]]
        api.send("POST", "/tasks/batch", {"operations": operations}, headers={"Idempotency-Key": str(uuid.uuid4())})
        if stop.is_set():
            raise Interrupted
    token = f"$(make -s token USER={shlex.quote(chosen.user)})"
    return (
        f"Created {len(new)} tasks for {chosen.user}. List them:\n"
        f'curl -H "Authorization: Bearer {token}" {chosen.url}/v1/users/me/tasks'
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

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
from itertools import batched
from typing import Any

from local.tokens import user_token
from ops.api import UserApi, is_task
from ops.command import Interrupted, address, given, positive, run

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
    parser.add_argument(
        "--url", type=address, default="http://127.0.0.1:8000", help="the address of the API (default: %(default)s)"
    )
    parser.add_argument(
        "--user", type=given, default="alice", help="the user who gets the tasks (default: %(default)s)"
    )
    parser.add_argument("--count", type=positive, default=200, help="the number of tasks (default: %(default)s)")
    return run(partial(_seed, parser.parse_args(arguments)))


def _seed(chosen: argparse.Namespace, stop: threading.Event) -> str:
    """Send the tasks in batches."""
    new = tasks(chosen.count, random.Random(0), date.today())  # noqa: S311 - no secret; the day of the reader
    api = UserApi(chosen.url, "me", user_token(chosen.user))
    for batch in batched(new, BATCH, strict=False):
        body, key = {"operations": [{"op": "create", "task": task} for task in batch]}, str(uuid.uuid4())
        answer = api.send("POST", "/tasks/batch", body, headers={"Idempotency-Key": key})
        results = answer["results"] if isinstance(answer.get("results"), list) else []
        made = [one for one in results if isinstance(one, dict) and is_task(one.get("task"))]
        if len(made) != len(batch):
            raise api.unlike("/tasks/batch")
        if stop.is_set():
            raise Interrupted
    token = f"$(make -s token USER={shlex.quote(chosen.user)})"
    return (
        f"Created {chosen.count} tasks for {chosen.user}. List them:\n"
        f'curl -H "Authorization: Bearer {token}" {chosen.url}/v1/users/me/tasks'
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

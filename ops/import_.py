"""`python -m ops.import_`: brings the tasks of an export into a deployment, through the API, under their old ids.

It keeps ids, texts and all other fields that clients set, the order of creation, of lists, of completion and of
deletion, and the trash. It does not keep versions, and other times are those of the import. The command compares the
file with the tasks of the user, and does what is missing. So it can be stopped and repeated. A task whose content
differs from the file stays as it is.
"""

import argparse
import json
import sys
import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from rich.progress import Progress

from ops import api
from ops.api import WORKERS, ApiError, Task, UserApi
from ops.backfill import Interrupted, run

# Fields that the server sets, or that later steps set.
_NOT_CONTENT: Final = frozenset(
    {"id", "user_id", "completed", "completed_at", "created_at", "updated_at", "position", "version", "etag"}
    | {"deleted_at", "purge_at"}
)
# The task that a step needs was deleted or restored by somebody else, or is where the step wants to bring it.
_OVERTAKEN: Final = {"task-not-found", "anchor-not-in-list", "not-deleted"}
# Problems of one task: the others can still be imported.
_UNIMPORTABLE: Final = {"invalid-body", "unusable-id", "body-too-large"}
# How often tasks are completed or deleted again whose times are not in order, because the clocks of functions differ.
_ROUNDS: Final = 3


def main(arguments: Sequence[str]) -> int:
    """Import tasks. Return 0, or 1 if a task could not be imported, 2 after any other error, 130 if stopped."""
    parser = api.options("ops.import_", __doc__.partition("\n")[0], "a file that ops.export has written")
    options = parser.parse_args(arguments)
    return run(partial(_import, options))


def _import(options: argparse.Namespace, stop: threading.Event) -> Counter[str]:
    user, wanted = api.user_api(options), _read(Path(options.file))
    with api.progress() as progress:
        return Import(user, wanted, stop, progress).run()


def _read(path: Path) -> dict[str, Task]:
    """Return the tasks of a file by id. Of several lines of a task, the one with the highest version counts."""
    tasks: dict[str, Task] = {}
    with path.open("rb") as file:
        for task in map(json.loads, file):
            if task["version"] > tasks.get(task["id"], {"version": 0})["version"]:
                tasks[task["id"]] = task
    return tasks


class Import:
    """One import: `wanted` are the tasks of the file by id."""

    def __init__(self, user: UserApi, wanted: Mapping[str, Task], stop: threading.Event, progress: Progress) -> None:
        self._user = user
        self._wanted = wanted
        self._stop = stop
        self._progress = progress
        # The tasks that the user has, by id.
        self._found: dict[str, Task] = {}
        self._counts: Counter[str] = Counter()

    def run(self) -> Counter[str]:
        """Do what is missing, and return the number of tasks by outcome."""
        self._found = self._tasks()
        self._create()
        # Every task is moved while it is open and completed while it is not in the trash, so that it also returns to
        # its old place when it is opened or restored later.
        ours = [task for task in self._wanted.values() if self._is_same(task)]
        self._counts["different"] = len(self._wanted) - len(ours) - self._counts["failed"]
        self._move(ours)
        self._do_in_order(
            "complete", "completed_at", ours, self._completing(completed=True), self._completing(completed=False)
        )
        self._do_in_order(
            "delete",
            "deleted_at",
            ours,
            lambda task_id: self._send("DELETE", f"/tasks/{task_id}"),
            lambda task_id: self._send("POST", f"/tasks/{task_id}/restore"),
        )
        return self._counts

    def _tasks(self) -> dict[str, Task]:
        """Read all tasks of the user."""
        found = {}
        for status in ("all", "deleted"):
            for page, _ in self._user.pages(status):
                found.update({task["id"]: task for task in page})
                self._check_stop()
        return found

    def _create(self) -> None:
        missing = [task for task in self._wanted.values() if task["id"] not in self._found]
        self._counts["already there"] = len(self._wanted) - len(missing)

        def create(task: Task) -> str:
            path = f"/tasks/{task['id']}"
            try:
                created = self._user.send(
                    "PUT", path, {**task, "completed": False}, {"import": "true"}, {"If-None-Match": "*"}
                )
            except ApiError as error:
                if error.kind == "precondition-failed":  # another import has created it
                    if (found := self._send("GET", path)) is not None:
                        self._found[task["id"]] = found
                    return "already there"
                if error.kind not in _UNIMPORTABLE:
                    raise
                sys.stderr.write(f"{error}\n")
                return "failed"
            self._found[task["id"]] = created
            return "created"

        self._counts.update(self._each("create", create, missing))

    def _is_same(self, task: Task) -> bool:
        """Whether the user has this task with this content."""
        found = self._found.get(task["id"])
        return found is not None and all(found.get(name) == task[name] for name in task.keys() - _NOT_CONTENT)

    def _move(self, ours: Sequence[Task]) -> None:
        """Bring the tasks of each list into the order of the file."""
        live = [task for task in ours if task["list"] is not None and "deleted_at" not in self._found[task["id"]]]
        live.sort(key=lambda task: (task["list"], *_place(task)))
        lists = [(name, [task["id"] for task in tasks]) for name, tasks in groupby(live, key=lambda one: one["list"])]

        def move(one: tuple[str, list[str]]) -> None:
            name, ids = one
            stay = longest_ascending([_place(self._found[task_id]) for task_id in ids])
            anchor, run_of_ids = None, []
            for number, task_id in enumerate(ids):
                if number not in stay:
                    run_of_ids.append(task_id)
                    continue
                self._move_after(anchor, run_of_ids, name)
                anchor, run_of_ids = task_id, []
            self._move_after(anchor, run_of_ids, name)

        for _ in self._each("move", move, lists):
            pass

    def _move_after(self, anchor: str | None, ids: Sequence[str], name: str) -> None:
        """Put tasks in this order directly after another one, or at the beginning of the list."""
        if not ids:
            return
        # First the one in the middle: so the positions between the two neighbours stay short, however many tasks come.
        middle = len(ids) // 2
        self._send("POST", f"/tasks/{ids[middle]}/move", {"list": name, "after": anchor})
        self._move_after(anchor, ids[:middle], name)
        self._move_after(ids[middle], ids[middle + 1 :], name)

    def _completing(self, *, completed: bool) -> Callable[[str], Task | None]:
        return lambda task_id: self._send("PATCH", f"/tasks/{task_id}", {"completed": completed})

    def _do_in_order(
        self,
        purpose: str,
        time: str,
        ours: Sequence[Task],
        do: Callable[[str], object],
        undo: Callable[[str], object],
    ) -> None:
        """Call `do` for the tasks of the file that have this time, in its order, until their new times are in order."""
        stamped = sorted((task for task in ours if task.get(time)), key=lambda task: (task[time], task["id"]))
        ids = [task["id"] for task in stamped]
        for _ in range(_ROUNDS):
            rest = ids[self._in_order(ids, time) :]
            if not rest:
                return
            for task_id in self._progress.track(rest, description=purpose):
                self._check_stop()
                if self._found[task_id].get(time):
                    undo(task_id)
                do(task_id)
            self._found = self._tasks()
            # Somebody else has deleted or restored these.
            ids = [task_id for task_id in ids if self._found.get(task_id, {}).get(time)]
        if wrong := len(ids) - self._in_order(ids, time):
            sys.stderr.write(f"{purpose}: the times of {wrong} tasks are not in the order of the file\n")
            self._counts["failed"] += wrong

    def _in_order(self, ids: Sequence[str], time: str) -> int:
        """How many of the first tasks have this time, in ascending order."""
        last = ("", "")
        for number, task_id in enumerate(ids):
            stamp = self._found[task_id].get(time)
            if not stamp or (stamp, task_id) < last:
                return number
            last = stamp, task_id
        return len(ids)

    def _send(self, method: str, path: str, body: object = None) -> Any:
        """Send a request of a step. Return None if somebody else was faster."""
        self._check_stop()
        try:
            return self._user.send(method, path, body)
        except ApiError as error:
            if error.kind in _OVERTAKEN:
                return None
            raise

    def _each[One, Outcome](
        self, purpose: str, work: Callable[[One], Outcome], ones: Sequence[One]
    ) -> Iterator[Outcome]:
        """Call `work` for each, several at a time."""

        def checked(one: One) -> Outcome:
            self._check_stop()
            return work(one)

        with ThreadPoolExecutor(WORKERS) as pool:
            outcomes: Iterable[Outcome] = pool.map(checked, ones)
            yield from self._progress.track(outcomes, total=len(ones), description=purpose)

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise Interrupted


def longest_ascending(keys: Sequence[tuple[str, str]]) -> set[int]:
    """Return the places of a longest ascending subsequence: those of a list that need not be moved to sort it."""
    ends: list[int] = []  # of the subsequences of each length, the place of the lowest last key
    before: list[int | None] = []
    for place, key in enumerate(keys):
        length = bisect_left(ends, key, key=keys.__getitem__)
        before.append(ends[length - 1] if length else None)
        ends[length : length + 1] = [place]
    places, last = set(), ends[-1] if ends else None
    while last is not None:
        places.add(last)
        last = before[last]
    return places


def _place(task: Task) -> tuple[str, str]:
    """The place of a task in its list."""
    return task["position"], task["id"]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

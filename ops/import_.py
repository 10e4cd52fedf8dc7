"""`python -m ops.import_`: brings the tasks of an export into a deployment, through the API, under their old ids.

It sends one request for each task, and keeps everything but versions, ETags, and the times of the last change and of
the creation, which becomes the time in the id. It compares the file with the tasks of the user, and creates what is
missing. So it can be stopped and repeated. A task that differs from the file stays as it is, and is named.
"""

import argparse
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from rich.progress import Progress

from ops import api
from ops.api import WORKERS, ApiError, Task, UserApi, is_task
from ops.command import CommandError, Interrupted, progress, run
from shared.fields import milliseconds

# Fields that an import does not keep, and the one that a restore changes.
_NOT_COMPARED: Final = frozenset({"user_id", "version", "etag", "created_at", "updated_at", "updated_by", "purge_at"})
# Another task has the id of the line, or its task was restored or removed by somebody else.
_OVERTAKEN: Final = {"not-deleted", "precondition-failed", "task-not-found"}
# Problems of one task: the others can still be imported.
_UNIMPORTABLE: Final = {"invalid-body", "unusable-id", "body-too-large"}


class Line(NamedTuple):
    """A task of a file, and where it is."""

    place: str
    task: Task


def main(arguments: Sequence[str]) -> int:
    """Import tasks, and return the exit code."""
    parser = api.options("ops.import_", __doc__.partition("\n")[0], "a file that ops.export has written")
    parser.add_argument("--restore", action="store_true", help="restore tasks of the file that the user has deleted")
    options = parser.parse_args(arguments)
    return run(partial(_import, options), "Run the same command to continue.")


def _import(options: argparse.Namespace, stop: threading.Event) -> Counter[str]:
    user, wanted = api.user_api(options), read(Path(options.file))
    with progress() as bars:
        return Import(user, wanted, stop, bars, restore=options.restore).run()


def read(path: Path) -> dict[str, Line]:
    """Return the tasks of a file by id. Of several lines of a task, the one with the highest version counts.

    Empty lines are skipped. Raises CommandError, with the file and the line, for a line that is no task.
    """
    lines: dict[str, Line] = {}
    with path.open("rb") as file:
        for number, text in enumerate(file, 1):
            if not text.strip():
                continue
            task, place = _parsed(text), f"{path}, line {number}"
            if task is None:
                raise CommandError(f"{place}: this is not a task of an export. Nothing was imported.")
            if task["id"] not in lines or task["version"] > lines[task["id"]].task["version"]:
                lines[task["id"]] = Line(place, task)
    return lines


def _parsed(text: bytes) -> Task | None:
    try:
        value: Any = json.loads(text)
        json.dumps(value, allow_nan=False)  # Python also reads numbers that no JSON has
    except (ValueError, RecursionError):
        return None
    return value if is_task(value) else None


class Import:
    """One import: `wanted` are the lines of the file by id. `restore` brings tasks back that the user has deleted."""

    def __init__(
        self,
        user: UserApi,
        wanted: Mapping[str, Line],
        stop: threading.Event,
        progress: Progress,
        *,
        restore: bool = False,
    ) -> None:
        self._user = user
        self._wanted = wanted
        self._stop = stop
        self._progress = progress
        self._restore = restore
        # The tasks that the user has, by id.
        self._found: dict[str, Task] = {}

    def run(self) -> Counter[str]:
        """Create what is missing, and return the number of tasks by outcome."""
        self._found = self._tasks()
        with ThreadPoolExecutor(WORKERS) as pool:
            outcomes: Iterable[str] = pool.map(self._import, self._wanted.values())
            try:
                return Counter(self._progress.track(outcomes, total=len(self._wanted), description="import"))
            except BaseException:
                self._stop.set()  # the other workers stop after their current task
                raise

    def _tasks(self) -> dict[str, Task]:
        """Read all tasks of the user."""
        found = {}
        for status in ("all", "deleted"):
            for page, _ in self._user.pages(status):
                found.update({task["id"]: task for task in page})
                self._check_stop()
        return found

    def _import(self, line: Line) -> str:
        """Create the task of a line, unless the user has it, and return the outcome."""
        self._check_stop()
        task, found = line.task, self._found.get(line.task["id"])
        purge_at = milliseconds(task.get("purge_at"))
        if found is None and purge_at is not None and purge_at <= time.time_ns() // 1_000_000:
            return "expired"
        try:
            if found is None:
                self._send("PUT", task["id"], "", task, {"import": "true"}, {"If-None-Match": "*"})
                return "created"
            if self._restore and "deleted_at" in found and "deleted_at" not in task:
                found = self._send("POST", task["id"], "/restore")
                if _is_same(found, task):
                    return "restored"
        except ApiError as error:
            if error.kind in _UNIMPORTABLE:
                sys.stderr.write(f"{line.place}: {error}\n")
                return "failed"
            if error.kind not in _OVERTAKEN:
                raise
        if found is not None and _is_same(found, task):
            return "already there"
        sys.stderr.write(f"{line.place}: task {task['id']} of the user differs\n")
        return "different"

    def _send(self, method: str, task_id: str, action: str, *more: Any) -> Task:
        """Send a request that changes a task, and return the task. Raises CommandError if the answer is no task."""
        task = self._user.send(method, f"/tasks/{task_id}{action}", *more)
        if not is_task(task):
            raise self._user.unlike("/tasks")
        return task

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise Interrupted


def _is_same(found: Task, task: Task) -> bool:
    """Whether a task of the user has all that the file says."""
    return found.keys() & {"deleted_at"} == task.keys() & {"deleted_at"} and all(
        found.get(name) == task[name] for name in task.keys() - _NOT_COMPARED
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

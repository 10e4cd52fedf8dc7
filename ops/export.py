"""`python -m ops.export`: writes all tasks of a user to a file, through the API: one task per line, as JSON.

The file has the live tasks in the order of creation, then the trash in the order of deletion, as the API shows them.
Then the command reads the live tasks again, since a task that was restored meanwhile was in neither list. A task that
changed meanwhile is in the file more than once: its highest version counts. The command can be stopped at any moment,
and continues when it is started again.
"""

import argparse
import json
import os
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ops import api
from ops.api import ApiError, UserApi
from ops.backfill import State
from ops.command import CommandError, Interrupted, progress, run

# The lists to read, in this order.
_LISTS = ("all", "deleted", "all")


def main(arguments: Sequence[str]) -> int:
    """Export the tasks of a user, and return the exit code."""
    parser = api.options("ops.export", __doc__.partition("\n")[0], "the file to write")
    options = parser.parse_args(arguments)
    return run(partial(_export, options), "Run the same command to continue.")


def _export(options: argparse.Namespace, stop: threading.Event) -> Counter[str]:
    path, user = Path(options.file), api.user_api(options)
    if path.exists():
        raise CommandError(f"{path} exists. Remove it, or choose another name.")
    with State.at(path.with_name(f"{path.name}.state"), f"export {user.url}", len(_LISTS)) as state:
        _check_user(user, state)
        state.save()
        part = path.with_name(f"{path.name}.part")
        versions = _write(user, part, state, stop)
        # A crash before the last step starts the export again: a file with its final name is always complete.
        state.path.unlink()
        part.replace(path)
    return Counter(exported=len(versions))


def _check_user(user: UserApi, state: State) -> None:
    """Raise CommandError if the export began with the token of another user, or of another tenant.

    A token says nothing that a client may rely on. But the API accepts a sync token only from the user who got it.
    """
    query = {"limit": "1", **({"since": state.sync_token} if state.sync_token else {})}
    try:
        page = user.send("GET", "/changes", query=query)
    except ApiError as error:
        if error.kind in {"bad-cursor", "sync-token-expired"} and state.sync_token:
            raise CommandError(
                f"The export in {state.path} began for another user or tenant, or more than 30 days ago. "
                "Remove this file to start again from the beginning."
            ) from None
        raise
    if not isinstance(page.get("next_since"), str) or not page["next_since"]:
        raise user.unlike("/changes")
    state.sync_token = state.sync_token or page["next_since"]


def _write(user: UserApi, path: Path, state: State, stop: threading.Event) -> dict[str, int]:
    """Write the tasks that are not in the file yet, and return the version of each task in the file."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)  # it has the texts of the tasks
    with os.fdopen(descriptor, "r+b") as file, progress() as bars:
        complete = os.fstat(descriptor).st_size >= state.counts["bytes"]
        # What was written after the last save of the state is written again.
        file.truncate(state.counts["bytes"])
        try:
            versions = {task["id"]: task["version"] for task in map(json.loads, file)}
        except (ValueError, TypeError, KeyError):
            complete = False
        if not complete:
            raise CommandError(f"{path} is not as it was. Remove {state.path} to start again from the beginning.")
        bar = bars.add_task("export", total=None, completed=len(versions))
        for name, segment in zip(_LISTS, state.segments, strict=True):
            if segment.done:
                continue
            for tasks, cursor in user.pages(name, (segment.after or {}).get("cursor")):
                new = [task for task in tasks if task["version"] > versions.get(task["id"], 0)]
                file.writelines(json.dumps(task).encode() + b"\n" for task in new)
                file.flush()
                os.fsync(descriptor)
                versions.update({task["id"]: task["version"] for task in new})
                segment.after, segment.done = {"cursor": cursor}, cursor is None
                state.counts["bytes"] = file.tell()
                state.save()
                bars.update(bar, completed=len(versions))
                if stop.is_set():
                    raise Interrupted
    return versions


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

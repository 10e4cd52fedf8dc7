"""The frame of the commands for operators: exit codes, Ctrl-C, errors in one sentence, questions, and AWS clients.

The exit code of a command is 0 if all is done, 1 if all is done except what the command names, or if what it checks is
wrong, 2 if it could not go on and says why, and 130 if it was stopped. No output contains the text of a task.
"""

import argparse
import os
import signal
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

import boto3
import requests
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError
from rich.console import Console

DONE, LEFT_SOMETHING_OUT, NOT_DONE, STOPPED = 0, 1, 2, 130
# Outcomes of items that a command leaves out.
_LEFT_OUT: Final = ("failed", "different")
# Seconds in which a stopped command may end by itself. A request that AWS does not answer takes longer.
_GRACE: Final = 2.0
_LONGEST: Final = 600
# DynamoDB quotes values in the messages of this error.
_QUOTING: Final = "ValidationException"


class CommandError(Exception):
    """The command cannot go on. The message is a sentence that says why and what to do."""


class CheckFailed(CommandError):
    """What the command checks is wrong. The message says what."""


class Interrupted(Exception):
    """The command was stopped."""


type Result = Mapping[str, int] | str | int


def run(work: Callable[[threading.Event], Result], resume: str = "Run the same command again.") -> int:
    """Run a command that signals can stop, and return its exit code.

    `work` returns counts of outcomes or a sentence, which are printed, or the exit code. `resume` says how to go on
    after a stop.
    """
    try:
        with stop_on_signal(resume) as stop:
            result = work(stop)
    except Interrupted:
        sys.stderr.write(f"Stopped. {resume}\n")
        return STOPPED
    except Exception as error:  # noqa: BLE001 - an operator needs a sentence, and no traceback
        sys.stderr.write(f"{explained(error)}\n")
        return LEFT_SOMETHING_OUT if isinstance(error, CheckFailed) else NOT_DONE
    if isinstance(result, int):
        return result
    if isinstance(result, str):
        sys.stdout.write(f"{result}\n")
        return DONE
    sys.stdout.write("".join(f"{name:24} {count}\n" for name, count in sorted(result.items())))
    return LEFT_SOMETHING_OUT if any(Counter(result)[name] for name in _LEFT_OUT) else DONE


@contextmanager
def stop_on_signal(resume: str) -> Iterator[threading.Event]:
    """Yield an event that SIGINT and SIGTERM set. If the command does not end soon after that, end the process."""
    stop, timers = threading.Event(), list[threading.Timer]()

    def on_signal(_: int, __: FrameType | None) -> None:
        stop.set()
        timers.append(threading.Timer(_GRACE, _leave, [resume]))
        timers[-1].daemon = True
        timers[-1].start()

    before = {one: signal.signal(one, on_signal) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for timer in timers:
            timer.cancel()
        for one, handler in before.items():
            signal.signal(one, handler)


def _leave(resume: str) -> None:
    """End the process in the middle of a request. All commands can be killed at any moment."""
    Console(stderr=True).show_cursor()  # a progress bar hides it
    sys.stderr.write(f"Stopped. {resume}\n")
    sys.stderr.flush()
    os._exit(STOPPED)


def explained(error: Exception) -> str:  # noqa: PLR0911 - one return for each kind of error
    """Describe an error in one line, without the text of a task."""
    match error:
        case CommandError():
            return str(error)
        case ClientError():
            code = error.response.get("Error", {}).get("Code", "an unknown error")
            message = "" if code == _QUOTING else error.response.get("Error", {}).get("Message", "")
            return _line(f"AWS refused {error.operation_name}: {code}. {message}")
        case ResponseParserError():  # its message has the whole response
            return "A response of AWS is damaged. Run the same command again."
        case BotoCoreError():
            return _line(str(error))
        case requests.RequestException():
            url = error.request.url if error.request is not None else "The address"
            return f"{url} cannot be reached: {type(error).__name__}."
        case OSError(filename=str() | Path() as name, strerror=str(reason)):
            return f"{name}: {reason}"
        case _:
            where = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{Path(where.filename).name}:{where.lineno}"
            return f"Unexpected {type(error).__name__} at {place}. This is a defect of the command: report it."


def _line(text: str) -> str:
    return " ".join(text.split())[:_LONGEST]


def client(service: str, **config: Any) -> Any:
    """Return an AWS client that waits for seconds, and not for minutes."""
    defaults: Any = {"connect_timeout": 5, "read_timeout": 20, "retries": {"total_max_attempts": 3, "mode": "standard"}}
    make: Any = boto3.client
    return make(service, config=Config(**{**defaults, **config}))


def confirm(question: str, *, yes: bool) -> None:
    """Ask a question, unless `yes`. Raises CommandError if the answer is not yes, or if nobody can answer."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise CommandError(f"{question} Nobody can answer here: add --yes.")
    sys.stderr.write(f"{question} [yes/no] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise CommandError("Nothing was done.")


def positive(text: str) -> int:
    """Parse a whole number of 1 or more, for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of 1 or more, not {text!r}")
    return int(text)


def given(text: str) -> str:
    """Return a text that is not empty, for argparse: an empty id must not mean all users."""
    if not text:
        raise argparse.ArgumentTypeError("must not be empty")
    return text

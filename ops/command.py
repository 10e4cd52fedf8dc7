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
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from types import FrameType
from typing import Any, Final
from urllib.parse import urlsplit

import boto3
import requests
from botocore import exceptions
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

DONE, LEFT_SOMETHING_OUT, NOT_DONE, STOPPED = 0, 1, 2, 130
# Outcomes of items that a command leaves out.
_LEFT_OUT: Final = ("failed", "different")
# Seconds in which a stopped command may end by itself. A request that AWS does not answer takes longer.
_GRACE: Final = 2.0
_LONGEST: Final = 600
# DynamoDB quotes values in the messages of this error.
_QUOTING: Final = "ValidationException"
# Errors of AWS after which a client waits and tries again.
WAITING: Final = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "ThrottlingException",
        "Throttling",
        "RequestLimitExceeded",
        "InternalServerError",
    }
)
_CONFLICTS: Final = frozenset({"TransactionConflictException", "TransactionInProgressException"})
_LATER: Final = "Run the same command again later."
_NETWORK: Final = "Check the address and the network, and run the same command again."
_DAMAGED: Final = "A response of AWS is damaged. Run the same command again."


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
            _print(result)
    except Interrupted:
        sys.stderr.write(f"Stopped. {resume}\n")
        return STOPPED
    except Exception as error:  # noqa: BLE001 - an operator needs a sentence, and no traceback
        sys.stderr.write(f"{explained(error)}\n")
        return LEFT_SOMETHING_OUT if isinstance(error, CheckFailed) else NOT_DONE
    if isinstance(result, int):
        return result
    return LEFT_SOMETHING_OUT if isinstance(result, Mapping) and any(map(result.get, _LEFT_OUT)) else DONE


def _print(result: Result) -> None:
    text = f"{result}\n" if isinstance(result, str) else ""
    if isinstance(result, Mapping):
        text = "".join(f"{name:24} {count}\n" for name, count in sorted(result.items()))
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        with suppress(OSError, ValueError):  # Python writes the rest again at its end, and would fail again
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise OSError(error.errno, error.strerror, "Standard output") from None


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


def explained(error: Exception) -> str:  # noqa: C901, PLR0911 - one case for each kind of error
    """Describe an error in one line, without the text of a task."""
    match error:
        case CommandError():
            return str(error)
        case ClientError():
            code = str(error.response.get("Error", {}).get("Code", ""))
            if not code[:1].isalpha() and not is_passing(error):
                return _DAMAGED  # botocore takes the whole body for the message, and the status for the code
            message = error.response["Error"].get("Message", "") if code[:1].isalpha() and code != _QUOTING else ""
            advice = "Check the names, the credentials, their permissions and the region."
            refused = f"AWS refused {error.operation_name}: {code}. {_sentence(message)}"
            return f"{refused.strip()} {_LATER if is_passing(error) else advice}"
        case ResponseParserError():  # its message has the whole response
            return _DAMAGED
        case exceptions.ConnectionError() | exceptions.HTTPClientError():
            return f"{_sentence(str(error))} {_NETWORK}"
        case exceptions.ParamValidationError():  # its message has the values
            return "AWS cannot get such a request. Check the names of stacks and tables."
        case BotoCoreError():
            return f"{_sentence(str(error))} Check AWS_PROFILE, AWS_REGION and the names, and sign in to AWS."
        case requests.RequestException():
            url = error.request.url if error.request is not None else "The address"
            return f"{url} cannot be reached: {type(error).__name__}. {_NETWORK}"
        case OSError(strerror=str(reason)):
            name = error.filename or "A file"  # an error of a write does not name it
            return f"{name}: {reason}. Check the file and the disk, and run the same command again."
        case _:
            where = traceback.extract_tb(error.__traceback__)[-1]
            if Path(where.filename).match("botocore/parsers.py"):
                return _DAMAGED  # XML, but of another service
            place = f"{Path(where.filename).name}:{where.lineno}"
            return f"Unexpected {type(error).__name__} at {place}. This is a defect of the command: report it."


def _sentence(text: str) -> str:
    """Return a text in one line, with a full stop."""
    line = " ".join(text.split())[:_LONGEST]
    return line if not line or line.endswith((".", "?", "!")) else f"{line}."


def is_passing(error: ClientError | BotoCoreError) -> bool:
    """Whether a request may succeed if it is sent again later."""
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        code = error.response.get("Error", {}).get("Code")
        return code in {*WAITING, *_CONFLICTS} or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return isinstance(error, (exceptions.ConnectionError, exceptions.HTTPClientError))


def client(service: str, session: boto3.Session | None = None, **config: Any) -> Any:
    """Return an AWS client that waits for seconds, and not for minutes."""
    defaults: Any = {"connect_timeout": 5, "read_timeout": 20, "retries": {"total_max_attempts": 3, "mode": "standard"}}
    make: Any = session.client if session else boto3.client
    try:
        return make(service, config=Config(**{**defaults, **config}))
    except ValueError as error:  # an endpoint that is no URL
        raise CommandError(f"{_sentence(str(error))} Check AWS_ENDPOINT_URL and the like, and the region.") from None


def progress() -> Progress:
    """A progress bar on standard error, if this is a terminal. In a log there are only sentences."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, disable=not console.is_terminal)


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


def positive(text: str, most: int = 10**12) -> int:
    """Parse a whole number of 1 or more, for argparse."""
    if not text.isdecimal() or len(text) > len(str(most)) or not 1 <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to {most}, not {text[:40]!r}")
    return int(text)


def given(text: str) -> str:
    """Return a text that is not empty, for argparse: an empty id must not mean all users."""
    if not text:
        raise argparse.ArgumentTypeError("must not be empty")
    return text


def address(text: str) -> str:
    """Return the address of an API, for argparse, which also reports the ValueError of an impossible port."""
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.port == 0:
        raise argparse.ArgumentTypeError(f"must be an address such as https://api.example, not {text!r}")
    return text

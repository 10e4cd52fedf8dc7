"""Runs handlers as Lambda does: each process belongs to one function and handles one request at a time."""

import importlib
import itertools
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from local.template import Function

_ROOT = str(Path(__file__).parent.parent)
# Lambda's limit for an event and for a response, in bytes.
MAX_PAYLOAD = 6_291_556
_INIT_SECONDS = 10
# A server process has already done the slow imports. It has no threads, so forking a worker from it is safe.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["aws_lambda_powertools", "botocore.session", "pydantic"])


class FunctionError(Exception):
    """The function raised an exception, exited or timed out, or its response is too large."""


class Throttled(Exception):
    """All workers were busy, and none became free in time."""


@dataclass(frozen=True)
class Context:
    """Lambda's context object."""

    function_name: str
    memory_limit_in_mb: str
    aws_request_id: str
    log_group_name: str
    log_stream_name: str
    deadline: float
    function_version: str = "$LATEST"

    @property
    def invoked_function_arn(self) -> str:
        """The ARN of the function."""
        return f"arn:aws:lambda:{os.environ['AWS_REGION']}:000000000000:function:{self.function_name}"

    def get_remaining_time_in_millis(self) -> int:
        """Return the remaining time until the time-out of the function."""
        return max(0, int((self.deadline - time.monotonic()) * 1000))


class _Sources:
    """The code of the functions. `version` grows when a file changes, which a line on standard error reports."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._version = 0
        self._files = self._read()
        self._bytecode = tempfile.TemporaryDirectory(prefix="tasks-bytecode-")

    def version(self) -> int:
        """Look for changes."""
        with self._lock:
            files = self._read()
            if changed := sorted({path for path, _ in files.items() ^ self._files.items()}):
                self._version += 1
                self._files = files
                sys.stderr.write(f"{', '.join(changed)} changed: the functions start again\n")
            return self._version

    def bytecode(self, version: int) -> str | None:
        """The folder of the bytecode of a version; None is the usual place.

        Python compares size and time of a source with its bytecode, and the time only in whole seconds. So after a
        second change within a second it could run the old bytecode.
        """
        return str(Path(self._bytecode.name, str(version))) if version else None

    @staticmethod
    def _read() -> dict[str, tuple[int, ...]]:
        """Return what the file system says of each file. Each request waits for this, and reading would take longer."""
        found: dict[str, tuple[int, ...]] = {}
        for folder, folders, names in itertools.chain(
            *(os.walk(f"{_ROOT}/{room}") for room in ("functions", "shared"))
        ):
            folders[:] = [name for name in folders if name != "__pycache__"]
            for path in (f"{folder}/{name}" for name in names if name.endswith(".py")):
                with suppress(FileNotFoundError):  # an editor replaces it
                    of = os.stat(path)  # noqa: PTH116 - half the time of pathlib
                    found[path.removeprefix(f"{_ROOT}/")] = (of.st_mtime_ns, of.st_ctime_ns, of.st_size, of.st_ino)
        return found


_SOURCES = _Sources()


class Workers:
    """The processes of one function: at most `max_workers`, started on demand and reused until the code changes."""

    def __init__(
        self, function: Function, environment: Mapping[str, str], max_workers: int, queue_timeout: float
    ) -> None:
        self._function = function
        # Complete, because a process of the fork server would otherwise have the variables of the server's start.
        self._environment = {**os.environ, **_lambda_variables(function), **function.environment, **environment}
        self._slots = threading.Semaphore(max_workers)
        self._queue_timeout = queue_timeout
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()
        self._version = _SOURCES.version()

    def invoke(self, event: str) -> Any:
        """Invoke the handler with an event and return its result. Raises FunctionError or Throttled."""
        if not self._slots.acquire(timeout=self._queue_timeout):
            raise Throttled
        try:
            version = _SOURCES.version()
            if version != self._version:
                self._version = version
                self._retire_idle()
            worker = self._take()
            try:
                result = worker.invoke(event)
            except FunctionError:
                self._all.discard(worker)
                raise
            self._idle.append(worker)
            if version != self._version:  # the code has changed meanwhile
                self._retire_idle()
        finally:
            self._slots.release()
        if result is None:
            raise FunctionError
        size = len(result.encode(errors="surrogatepass"))
        if size > MAX_PAYLOAD:
            name = self._function.name
            sys.stderr.write(f"{name} returned {size:,} bytes of JSON, and Lambda refuses more than {MAX_PAYLOAD:,}\n")
            raise FunctionError
        return json.loads(result)

    def close(self) -> None:
        """Stop every process. Kill the busy ones, and let the idle ones exit."""
        for worker in self._all.difference(self._idle):
            worker.kill()
        for worker in self._retire_idle():
            worker.join()

    def _retire_idle(self) -> "list[_Worker]":
        """Let the idle processes exit, and return them."""
        idle, self._idle = self._idle, []
        for worker in idle:
            worker.disconnect()
            self._all.discard(worker)
        return idle

    def _take(self) -> "_Worker":
        """Return the most recently used idle worker, or a new one."""
        while True:
            try:
                worker = self._idle.pop()
            except IndexError:  # checking for an idle worker first would be a race
                worker = _Worker(self._function, self._environment, _SOURCES.bytecode(self._version))
                self._all.add(worker)
                return worker
            if worker.is_waiting():
                return worker
            self._all.discard(worker)


class _Worker:
    def __init__(self, function: Function, environment: Mapping[str, str], bytecode: str | None) -> None:
        self._name, self._timeout = function.name, function.timeout
        self._connection, child_end = _PROCESSES.Pipe()
        arguments = (child_end, function, environment, bytecode)
        self._process = _PROCESSES.Process(target=_serve, args=arguments, daemon=True)
        self._process.start()
        child_end.close()
        self._receive(_INIT_SECONDS)

    def invoke(self, event: str) -> str | None:
        with suppress(OSError):  # the process has exited: _receive() reports it
            self._connection.send((event, time.monotonic() + self._timeout))
        result: str | None = self._receive(self._timeout)
        return result

    def is_waiting(self) -> bool:
        """Whether the process is still running. Without a request, only a closed connection makes poll() true."""
        return not self._connection.poll(0)

    def disconnect(self) -> None:
        self._connection.close()

    def join(self) -> None:
        self._process.join(1)
        self._process.kill()

    def kill(self) -> None:
        self._process.kill()

    def _receive(self, seconds: float) -> Any:
        try:
            if self._connection.poll(seconds):
                return self._connection.recv()
            sys.stderr.write(f"{self._name} timed out after {seconds} s\n")
        except (EOFError, OSError):
            sys.stderr.write(f"{self._name} exited without a response\n")
        self._process.kill()
        self._process.join()
        raise FunctionError


def _lambda_variables(function: Function) -> dict[str, str]:
    return {
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory),
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
        "LAMBDA_TASK_ROOT": _ROOT,
        "TZ": ":UTC",
        "_HANDLER": function.handler,
    }


def _serve(connection: Connection, function: Function, environment: Mapping[str, str], bytecode: str | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # If the gateway was killed, it cannot stop a handler that hangs. SIGALRM then ends this process.
    signal.alarm(_INIT_SECONDS + 1)
    stream = f"{time.strftime('%Y/%m/%d')}/[$LATEST]{uuid.uuid4().hex}"
    os.environ.clear()
    os.environ.update(environment, AWS_LAMBDA_LOG_STREAM_NAME=stream)
    time.tzset()
    sys.pycache_prefix = bytecode
    if _ROOT not in sys.path:
        sys.path.insert(0, _ROOT)
    module, _, name = function.handler.rpartition(".")
    handler = getattr(importlib.import_module(module.replace("/", ".")), name)
    connection.send("ready")
    group = os.environ["AWS_LAMBDA_LOG_GROUP_NAME"]
    while True:
        signal.alarm(0)
        try:
            event, deadline = connection.recv()
        except EOFError:  # the gateway has exited or was killed
            return
        signal.alarm(function.timeout + 1)
        try:
            context = Context(function.name, str(function.memory), str(uuid.uuid4()), group, stream, deadline)
            # Lambda's runtime for Python 3.12 and later does not escape characters that are not ASCII.
            result = json.dumps(handler(json.loads(event), context), ensure_ascii=False)
        except Exception:  # noqa: BLE001 - Lambda also catches every exception
            traceback.print_exc()
            result = None
        sys.stdout.flush()
        connection.send(result)

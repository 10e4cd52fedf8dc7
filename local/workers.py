"""Runs handlers as Lambda does: in processes of their own, each of one function, one request at a time."""

import importlib
import json
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from local.template import Function

_ROOT = str(Path(__file__).parent.parent)
_INIT_SECONDS = 10
# A server process that has the slow imports done forks each worker; threads of ours are no danger to it.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["aws_lambda_powertools", "botocore.session", "pydantic"])


class FunctionError(Exception):
    """The function raised, ended, or did not answer in time."""


class Throttled(Exception):
    """As many requests run as may at once, and none ended in time."""


@dataclass(frozen=True)
class Context:
    """Lambda's context object."""

    function_name: str
    memory_limit_in_mb: str
    aws_request_id: str
    deadline: float
    function_version: str = "$LATEST"

    @property
    def invoked_function_arn(self) -> str:
        """The name that the function was called by."""
        return f"arn:aws:lambda:{os.environ['AWS_REGION']}:000000000000:function:{self.function_name}"

    def get_remaining_time_in_millis(self) -> int:
        """How long the function may still run."""
        return max(0, int((self.deadline - time.monotonic()) * 1000))


class Workers:
    """The processes of one function: started on demand, used again, at most `most` at once."""

    def __init__(self, function: Function, environment: Mapping[str, str], most: int, patience: float) -> None:
        self._function = function
        self._environment = {**environment, "AWS_LAMBDA_FUNCTION_NAME": function.name, **function.environment}
        self._free = threading.Semaphore(most)
        self._patience = patience
        self._idle: list[_Worker] = []

    def invoke(self, event: str) -> Any:
        """What the handler returns for an event. Raises FunctionError or Throttled."""
        if not self._free.acquire(timeout=self._patience):
            raise Throttled
        try:
            worker = self._idle.pop() if self._idle else _Worker(self._function, self._environment)
            answer = worker.invoke(event)
            self._idle.append(worker)
        finally:
            self._free.release()
        if answer is None:
            raise FunctionError
        return json.loads(answer)

    def close(self) -> None:
        """End every process."""
        while self._idle:
            self._idle.pop().close()


class _Worker:
    def __init__(self, function: Function, environment: Mapping[str, str]) -> None:
        self._timeout = function.timeout
        self._connection, theirs = _PROCESSES.Pipe()
        self._process = _PROCESSES.Process(target=_work, args=(theirs, function, environment), daemon=True)
        self._process.start()
        theirs.close()
        self._receive(_INIT_SECONDS)

    def invoke(self, event: str) -> str | None:
        self._connection.send((event, time.monotonic() + self._timeout))
        answer: str | None = self._receive(self._timeout)
        return answer

    def close(self) -> None:
        self._connection.close()
        self._process.join(2)
        self._process.kill()

    def _receive(self, seconds: float) -> Any:
        try:
            if self._connection.poll(seconds):
                return self._connection.recv()
        except (EOFError, OSError):
            pass
        self._process.kill()
        self._process.join()
        raise FunctionError


def _work(connection: Connection, function: Function, environment: Mapping[str, str]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.update(environment)
    if _ROOT not in sys.path:
        sys.path.insert(0, _ROOT)
    module, _, name = function.handler.rpartition(".")
    handler = getattr(importlib.import_module(module.replace("/", ".")), name)
    connection.send("ready")
    while True:
        try:
            event, deadline = connection.recv()
        except EOFError:  # the gateway has ended, in whatever way
            return
        try:
            context = Context(function.name, str(function.memory), str(uuid.uuid4()), deadline)
            answer = json.dumps(handler(json.loads(event), context))
        except Exception:  # noqa: BLE001 - as Lambda does
            traceback.print_exc()
            answer = None
        sys.stdout.flush()
        connection.send(answer)

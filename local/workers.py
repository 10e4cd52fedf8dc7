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
from contextlib import suppress
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
    log_group_name: str
    log_stream_name: str
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
        self._environment = {**environment, **_lambdas_own(function), **function.environment}
        self._free = threading.Semaphore(most)
        self._patience = patience
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()

    def invoke(self, event: str) -> Any:
        """What the handler returns for an event. Raises FunctionError or Throttled."""
        if not self._free.acquire(timeout=self._patience):
            raise Throttled
        try:
            worker = self._take()
            try:
                answer = worker.invoke(event)
            except FunctionError:
                self._all.discard(worker)
                raise
            self._idle.append(worker)
        finally:
            self._free.release()
        if answer is None:
            raise FunctionError
        return json.loads(answer)

    def close(self) -> None:
        """End every process: the idle ones by a word, the busy ones by force."""
        idle, self._idle = self._idle, []
        for worker in self._all.difference(idle):
            worker.kill()
        for worker in idle:
            worker.dismiss()
        for worker in idle:
            worker.join()

    def _take(self) -> "_Worker":
        """The worker that was busy last, or a new one."""
        while True:
            try:
                worker = self._idle.pop()
            except IndexError:  # asking first would be a race
                worker = _Worker(self._function, self._environment)
                self._all.add(worker)
                return worker
            if worker.waits():
                return worker
            self._all.discard(worker)


class _Worker:
    def __init__(self, function: Function, environment: Mapping[str, str]) -> None:
        self._name, self._timeout = function.name, function.timeout
        self._connection, theirs = _PROCESSES.Pipe()
        self._process = _PROCESSES.Process(target=_work, args=(theirs, function, environment), daemon=True)
        self._process.start()
        theirs.close()
        self._receive(_INIT_SECONDS)

    def invoke(self, event: str) -> str | None:
        with suppress(OSError):  # it has just died: receiving tells
            self._connection.send((event, time.monotonic() + self._timeout))
        answer: str | None = self._receive(self._timeout)
        return answer

    def waits(self) -> bool:
        """Whether it is there: one that died has closed its end, which is all there can be to read."""
        return not self._connection.poll(0)

    def dismiss(self) -> None:
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
            sys.stderr.write(f"{self._name} ended without an answer\n")
        self._process.kill()
        self._process.join()
        raise FunctionError


def _lambdas_own(function: Function) -> dict[str, str]:
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


def _work(connection: Connection, function: Function, environment: Mapping[str, str]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Who would end a handler that hangs may have been killed: the alarm's default is to end this process.
    signal.alarm(_INIT_SECONDS + 1)
    stream = f"{time.strftime('%Y/%m/%d')}/[$LATEST]{uuid.uuid4().hex}"
    os.environ.update(environment, AWS_LAMBDA_LOG_STREAM_NAME=stream)
    time.tzset()
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
        except EOFError:  # the gateway has ended, in whatever way
            return
        signal.alarm(function.timeout + 1)
        try:
            context = Context(function.name, str(function.memory), str(uuid.uuid4()), group, stream, deadline)
            answer = json.dumps(handler(json.loads(event), context))
        except Exception:  # noqa: BLE001 - as Lambda does
            traceback.print_exc()
            answer = None
        sys.stdout.flush()
        connection.send(answer)

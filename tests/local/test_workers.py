"""Handlers run as in Lambda: one request at a time in each process, and processes do not affect each other."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise

import pytest

from local.gateway import serve
from local.template import Template
from tests.local.conftest import Ask, descendants, gone, request


def test_a_process_handles_one_request_at_a_time(tiny: Template) -> None:
    with serve(tiny, {}, workers=2) as url, ThreadPoolExecutor(6) as pool:
        responses = list(pool.map(lambda _: request(url, "GET", "/trouble/slow", None, {}), range(6)))
    assert [response.status for response in responses] == [200] * 6
    runs = sorted(tuple(response.json) for response in responses)
    assert len({pid for pid, _, _ in runs}) == 2
    for (pid, _, ended), (other, started, _) in pairwise(runs):
        assert pid != other or ended <= started


def test_a_process_is_reused(ask: Ask) -> None:
    assert len({ask("GET", "/things/a").json["pid"] for _ in range(5)}) == 1


def test_processes_belong_to_one_function(ask: Ask) -> None:
    assert ask("GET", "/trouble/none").json[0] != ask("GET", "/things/a").json["pid"]


def test_a_function_has_the_environment_of_its_gateway(
    tiny: Template, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not that of the first gateway, which started the server that forks the processes."""
    for region in ("eu-west-1", "eu-central-1"):
        monkeypatch.setenv("AWS_DEFAULT_REGION", region)
        with serve(tiny, {}, workers=1) as url:
            seen = request(url, "GET", "/things/a", None, {"Authorization": f"Bearer {token}"}).json
        assert seen["environment"]["AWS_DEFAULT_REGION"] == region


def test_a_request_that_waits_too_long_is_503(ask: Ask) -> None:
    with ThreadPoolExecutor(3) as pool:
        hung = [pool.submit(ask, "GET", "/trouble/hang") for _ in range(2)]
        response = ask("GET", "/trouble/none")
        while response.status != 503 and not all(future.done() for future in hung):  # they may not have arrived yet
            response = ask("GET", "/trouble/none")
        assert (response.status, response.json) == (503, {"message": "Service Unavailable"})
        assert {future.result().status for future in hung} == {500}
    assert ask("GET", "/trouble/none").status == 200


def test_a_burst_of_requests_finds_processes(tiny: Template) -> None:
    with serve(tiny, {}, workers=2) as url, ThreadPoolExecutor(16) as pool:
        responses = pool.map(lambda _: request(url, "GET", "/public", None, {}), range(200))
        assert {response.status for response in responses} == {200}


def test_all_processes_end_when_the_gateway_closes(tiny: Template) -> None:
    # Without a kill, a function that hangs would run until its time limit.
    slow = replace(tiny, functions=tuple(replace(function, timeout=600) for function in tiny.functions))
    before = descendants(os.getpid())
    with ThreadPoolExecutor(1) as pool:
        with serve(slow, {}, workers=3) as url:
            request(url, "GET", "/public", None, {})
            hung = pool.submit(request, url, "GET", "/trouble/hang", None, {})
            time.sleep(0.6)
            started = descendants(os.getpid()) - before
            assert len(started) >= 2
        assert gone(started)
        hung.exception(timeout=5)

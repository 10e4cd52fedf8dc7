"""`python -m ops.smoke`: sends a few requests to a deployment, to see whether it serves, before its users find out."""

import argparse
import sys
import threading
import uuid
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial

import requests

from ops import stack
from ops.api import TIMEOUT, ApiError, UserApi, add_deployment, is_task, token_in
from ops.command import CheckFailed, explained, run


def check_without_token(url: str) -> None:
    """Check the public route, and that the API asks for a token. Raises CheckFailed."""
    for path, wanted in (("/v1/openapi.json", 200), ("/v1/users/me/tasks", 401)):
        response = requests.get(f"{url.rstrip('/')}{path}", timeout=TIMEOUT)
        if response.status_code != wanted:
            raise CheckFailed(f"GET {path} without a token returned {response.status_code} instead of {wanted}.")


def check_a_task(url: str, token: str) -> None:
    """Create a task, read it and delete it. Raises CheckFailed."""
    api = UserApi(url, "me", token)
    # With a key, a request that is sent again creates no second task.
    created = api.send("POST", "/tasks", {"title": "Smoke test"}, headers={"Idempotency-Key": str(uuid.uuid4())})
    if not is_task(created):
        raise CheckFailed("POST /tasks returned no task.")
    path = f"/tasks/{created['id']}"
    try:
        read = api.send("GET", path)
    finally:
        try:
            left = api.send("DELETE", path)
        except (ApiError, requests.RequestException) as error:
            raise CheckFailed(f"{explained(error)} The task {created['id']} is left: remove it.") from None
    if left:
        raise CheckFailed("DELETE of a task returned content.")
    if read != created:
        names = sorted(name for name in {*read, *created} if read.get(name) != created.get(name))
        raise CheckFailed(f"GET of a new task returned other values of {', '.join(names)} than POST.")


def main(arguments: Sequence[str]) -> int:
    """Run the checks, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m ops.smoke",
        description="Check that a deployment serves: the contract, 401 without a token, and a task that is created,"
        " read and deleted.",
        epilog="Uses the access token in TOKEN, or else a temporary user of the stack's own user pool. Without either,"
        " it sends only the requests without a token.",
    )
    add_deployment(parser)
    return run(partial(_smoke, parser.parse_args(arguments)))


def _smoke(options: argparse.Namespace, _: threading.Event) -> str:
    with ExitStack() as temporary:
        outputs = stack.outputs(options.stack) if options.stack else {}
        url, token = options.url or outputs["ApiUrl"], token_in("TOKEN")
        check_without_token(url)
        if not token and "UserPoolId" in outputs:
            (token,) = temporary.enter_context(stack.temporary_tokens(options.stack, 1))
        if token:
            try:
                check_a_task(url, token)
            except ApiError as error:
                raise CheckFailed(str(error)) from None
    return f"{url} serves{'' if token else '; no task was created, because there is no token'}."


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

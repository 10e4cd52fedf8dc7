"""`python -m ops.smoke`: sends a few requests to a deployment, to see whether it serves, before its users find out."""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

import requests
from botocore.exceptions import BotoCoreError, ClientError

from ops import stack
from ops.api import ApiError, UserApi

_TIMEOUT = 35  # s; API Gateway responds within 30 s


class SmokeError(Exception):
    """The deployment does not serve as it should."""


def check_without_token(url: str) -> None:
    """Check the public route, and that the API asks for a token. Raises SmokeError."""
    for path, wanted in (("/v1/openapi.json", 200), ("/v1/users/me/tasks", 401)):
        response = requests.get(f"{url.rstrip('/')}{path}", timeout=_TIMEOUT)
        if response.status_code != wanted:
            raise SmokeError(
                f"GET {path} without a token: {response.status_code} instead of {wanted}: {response.text[:200]}"
            )


def check_a_task(url: str, token: str) -> None:
    """Create a task, read it and delete it. Raises SmokeError, or ApiError if the API rejects a request."""
    api = UserApi(url, "me", token)
    created = api.send("POST", "/tasks", {"title": "Smoke test"})
    read = api.send("GET", f"/tasks/{created['id']}")
    api.send("DELETE", f"/tasks/{created['id']}")
    if read != created:
        raise SmokeError(f"GET returned {read}, and POST {created}")


def _url_of(name: str, outputs: Mapping[str, str]) -> str:
    if "ApiUrl" not in outputs:
        raise SmokeError(f"{name} has no output ApiUrl: it is no stack of this project")
    return outputs["ApiUrl"]


def main(arguments: Sequence[str]) -> int:
    """Run the checks, and return 1 if one fails."""
    parser = argparse.ArgumentParser(
        prog="python -m ops.smoke",
        description="Check that a deployment serves: the contract, 401 without a token, and a task that is created,"
        " read and deleted.",
        epilog="Uses the access token in TOKEN, or else a temporary user of the stack's own user pool. Without either,"
        " it sends only the requests without a token.",
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--stack", help="the name of a deployed stack")
    where.add_argument("--url", help="the address of an API, such as https://...")
    options = parser.parse_args(arguments)
    try:
        with ExitStack() as temporary:
            outputs = stack.outputs(options.stack) if options.stack else {}
            url, token = options.url or _url_of(options.stack, outputs), os.environ.get("TOKEN", "").strip()
            check_without_token(url)
            if not token and "UserPoolId" in outputs:
                (token,) = temporary.enter_context(stack.temporary_tokens(options.stack, 1))
            if token:
                check_a_task(url, token)
    except (SmokeError, ApiError, requests.RequestException, ClientError, BotoCoreError, ValueError) as error:
        sys.stderr.write(f"FAILED: {error}\n")
        return 1
    sys.stdout.write(f"{url} serves{'' if token else '; no task was created, because there is no token'}.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The HTTP API of a deployment, as `ops.export` and `ops.import_` use it: one user, with retries."""

import argparse
import os
import re
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from ops import stack
from ops.command import CommandError, address, given

WORKERS: Final = 8
TIMEOUT: Final = 35  # API Gateway responds within 30 s
# About a minute in all. Every request of the two commands can be sent again.
_RETRIES: Final = Retry(
    total=8,
    backoff_factor=0.5,
    backoff_max=20,
    backoff_jitter=0.5,
    status_forcelist=(429, 500, 502, 503, 504),
    allowed_methods=None,
    raise_on_status=False,
)

# The fields without which an object is no task.
_FIELDS: Final = {"id": str, "title": str, "completed": bool, "version": int}

type Task = dict[str, Any]


class ApiError(CommandError):
    """The API rejected a request, or did not answer as this API does."""

    def __init__(self, method: str, response: requests.Response) -> None:
        problem = body_of(response)
        self.kind = str(problem.get("type", "")).rpartition(":")[2]
        self.status = response.status_code
        detail = problem.get("detail") or problem.get("message") or "the response is not one of this API."
        errors = problem.get("errors")
        faults = [one for one in errors if isinstance(one, dict)] if isinstance(errors, list) else []
        listed = "".join(f"\n  {fault.get('pointer')}: {fault.get('detail')}" for fault in faults)
        text = " ".join(str(detail).split())[:300].removesuffix(".")
        advice = listed or f" {_advice(response.status_code)}"
        super().__init__(f"{method} {response.url}: {response.status_code} {text}.{advice}")


def _advice(status: int) -> str:
    if status == HTTPStatus.UNAUTHORIZED:
        return "Set TOKEN to a new token and run the same command again."
    if status in _RETRIES.status_forcelist:
        return "Run the same command again later."
    return "Check the address, the user and the token."


def body_of(response: requests.Response) -> dict[str, Any]:
    """The JSON object of a response; empty if it has none: a proxy can answer with HTML."""
    try:
        body = response.json()
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


class UserApi:
    """The tasks of one user. Every method raises ApiError, and requests' exceptions if the API cannot be reached."""

    def __init__(self, url: str, user: str, token: str) -> None:
        self.url = f"{url.rstrip('/')}/v1/users/{quote(user, safe='')}"
        self._session = requests.Session()
        self._session.auth = Bearer(token)  # a header would lose against a .netrc file
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(pool_maxsize=WORKERS, max_retries=_RETRIES))

    def send(
        self,
        method: str,
        path: str,
        body: object = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Send a request, and return the JSON object of the response; it is empty if there is no content."""
        response = self._session.request(
            method, f"{self.url}{path}", params=query, json=body, headers=headers, timeout=TIMEOUT
        )
        if method == "DELETE" and response.status_code == HTTPStatus.NO_CONTENT:
            return {}
        body = body_of(response)
        if not response.ok or not body:
            raise ApiError(method, response)
        return body

    def unlike(self, path: str) -> CommandError:
        """Return the error for an answer that this API does not give."""
        return CommandError(f"{self.url}{path} does not answer as this API does. Check the address.")

    def pages(self, status: str, cursor: str | None = None) -> Iterator[tuple[list[Task], str | None]]:
        """Walk a list of tasks from a cursor. Yield each page, and the cursor of the next one."""
        while True:
            query = {"status": status, "limit": "100", **({"cursor": cursor} if cursor else {})}
            page = self.send("GET", "/tasks", query=query)
            tasks, cursor = page.get("items"), page.get("next_cursor", 0)
            if not (isinstance(tasks, list) and all(map(is_task, tasks)) and isinstance(cursor, str | None)):
                raise self.unlike("/tasks")
            yield tasks, cursor
            if cursor is None:
                return


def is_task(value: object) -> bool:
    """Whether a value has the fields of every task. The id becomes a part of a path."""
    return (
        isinstance(value, dict)
        and all(type(value.get(name)) is kind for name, kind in _FIELDS.items())
        and re.fullmatch(r"[0-9a-f-]{36}", value["id"]) is not None
    )


class Bearer(requests.auth.AuthBase):
    """Sends a bearer token."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the header."""
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def add_deployment(parser: argparse.ArgumentParser) -> None:
    """Add the options `--stack` and `--url`, of which one is required."""
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--stack", type=given, help="the name of a deployed stack")
    where.add_argument("--url", type=address, help="the address of an API, such as https://...")


def options(program: str, purpose: str, file: str) -> argparse.ArgumentParser:
    """Return the parser of the options that both commands have."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {program}",
        description=purpose,
        epilog="TOKEN in the environment must be an access token: of a service, or of the user.",
    )
    add_deployment(parser)
    parser.add_argument("--user", type=given, required=True, help="the user id, or me for the user of the token")
    parser.add_argument("file", metavar="FILE", type=given, help=file)
    return parser


def user_api(chosen: argparse.Namespace) -> UserApi:
    """Return the API that the options name. Raises CommandError without a token."""
    token = token_in("TOKEN")
    if not token:
        raise CommandError("Set TOKEN in the environment to an access token.")
    url = stack.outputs(chosen.stack)["ApiUrl"] if chosen.stack else chosen.url
    return UserApi(url, chosen.user, token)


def token_in(variable: str) -> str:
    """Return the token in a variable of the environment, or the empty string. Raises CommandError if it is no token."""
    token = os.environ.get(variable, "").strip().removeprefix("Bearer ")
    if not re.fullmatch(r"[!-~]*", token):  # it could not be a header
        raise CommandError(f"{variable} has blanks or other characters that no token has. Set it to an access token.")
    return token

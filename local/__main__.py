"""`make run`: the API on localhost, on an engine of your choice."""

import os
import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from local import docs, dynamodb, template, tokens
from local.gateway import serve

ROOT = Path(__file__).parent.parent


@contextmanager
def engine(name: str) -> Iterator[str]:
    """The engine that DYNAMODB names: moto, local, or a URL. Raises ValueError for anything else."""
    if name.startswith(("http://", "https://")):
        yield name
        return
    os.environ.update(AWS_ACCESS_KEY_ID="local", AWS_SECRET_ACCESS_KEY="local")  # noqa: S106 - no secret
    for name_of_theirs in ("AWS_SESSION_TOKEN", "AWS_PROFILE"):
        os.environ.pop(name_of_theirs, None)
    if name == "moto":
        with dynamodb.moto() as url:
            yield url
    elif name == "local":
        missing = dynamodb.missing_for_dynamodb_local()
        if missing:
            raise ValueError(missing)
        with dynamodb.dynamodb_local(tokens.HOME / "dynamodb") as url:
            yield url
    else:
        raise ValueError(f"DYNAMODB must be moto, local or a URL, not {name!r}")


def main() -> int:
    """Serve until Ctrl-C."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    for name, value in {
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_REGION": os.environ.get("AWS_DEFAULT_REGION", "eu-central-1"),
    }.items():
        os.environ.setdefault(name, value)
    os.environ["AWS_DEFAULT_REGION"] = os.environ["AWS_REGION"]
    try:
        port = _port(os.environ.get("PORT", "8000"))
        loaded = template.load(ROOT / "template.yaml", {"JwtIssuer": tokens.ISSUER, "JwtAudience": tokens.AUDIENCE})
        with ExitStack() as stack:
            url = stack.enter_context(engine(os.environ.get("DYNAMODB", "moto")))
            os.environ["AWS_ENDPOINT_URL_DYNAMODB"] = url
            dynamodb.create_tables(loaded, url)
            address = stack.enter_context(serve(loaded, {}, port, pages={docs.PATH: docs.page}))
            sys.stdout.write(_welcome(address))
            sys.stdout.flush()
            stop.wait()
    except (OSError, ValueError, RuntimeError, BotoCoreError, ClientError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:  # noqa: PLR2004 - the last port there is
        raise ValueError(f"PORT must be a number up to 65535, not {text!r}")
    return int(text)


def _welcome(address: str) -> str:
    token = tokens.make_token(docs.USER)
    tasks = f"{address}/v1/users/me/tasks"
    curl = f"curl -sS -w '\\n' -H {shlex.quote(f'Authorization: Bearer {token}')}"
    return f"""
Serving template.yaml on {address} - Ctrl-C ends it.
Try it in a browser: {address}{docs.PATH}

A token of the user {docs.USER}, for 12 hours (another: make -s token USER=bob):
{token}

Create a task, list {docs.USER}'s tasks, and see that bob's are not hers:
{curl} -H 'Content-Type: application/json' -d '{{"title": "Buy milk"}}' {tasks}
{curl} {tasks}
{curl} {address}/v1/users/bob/tasks

"""


if __name__ == "__main__":
    sys.exit(main())

"""`make run`: serves the API on localhost, with moto, DynamoDB Local or another DynamoDB endpoint."""

import argparse
import errno
import json
import os
import shlex
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from local import docs, dynamodb, events, template, tokens
from local.gateway import serve
from local.template import Template

ROOT = Path(__file__).parent.parent


@contextmanager
def engine(name: str) -> Iterator[str]:
    """Yield the URL of the engine that DYNAMODB names: moto, local, or a URL. Raises ValueError for other values."""
    if name.startswith(("http://", "https://")):
        yield name
        return
    os.environ.update(AWS_ACCESS_KEY_ID="local", AWS_SECRET_ACCESS_KEY="local")  # noqa: S106 - no secret
    for variable in ("AWS_SESSION_TOKEN", "AWS_PROFILE"):
        os.environ.pop(variable, None)
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


# The settings, which are variables of the environment.
SETTINGS = """\
PORT          the port (8000)
DYNAMODB      moto, local for DynamoDB Local, or the URL of an endpoint (moto)
EVENTS        yes: publish events and print them; see also `make events` (no)
TENANT_CLAIM  the claim of a token that names the tenant (none)
SPACES_CLAIM  the claim of a token that lists further user ids (none)
SERVICE_CALLERS  the subjects that may use the service scope (service)
JWT_ISSUER    the URL of an OpenID Connect provider, whose tokens the API then accepts (the tokens of `make token`)
JWT_AUDIENCE  with JWT_ISSUER: the audiences that the API accepts (tasks-local)
"""


def main(arguments: Sequence[str] = ()) -> int:
    """Serve until Ctrl-C."""
    argparse.ArgumentParser(
        prog="python -m local",
        description=f"Serve the API on localhost.\n\n{SETTINGS}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args(arguments)
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
        with_events, name = _yes_or_no("EVENTS"), os.environ.get("DYNAMODB", "moto")
        parameters = {
            **tokens.PARAMETERS,
            **_issuer(),
            "ServiceCallers": os.environ.get("SERVICE_CALLERS", tokens.SERVICE),
            "TenantClaim": os.environ.get("TENANT_CLAIM", ""),
            "SpacesClaim": os.environ.get("SPACES_CLAIM", ""),
            "Events": with_events,
        }
        loaded = template.load(ROOT / "template.yaml", parameters)
        with ExitStack() as stack:
            url = stack.enter_context(engine(name))
            os.environ["AWS_ENDPOINT_URL_DYNAMODB"] = url
            dynamodb.create_tables(loaded, url)
            address = stack.enter_context(serve(loaded, {}, port, pages={docs.PATH: partial(docs.page, loaded.issuer)}))
            if with_events == "yes":
                bus = url if name == "moto" else stack.enter_context(dynamodb.moto())
                # The port is ours now, and it names the file: no two servers write into one.
                log = tokens.HOME / f"events-{urlsplit(address).port}.jsonl"
                stack.enter_context(events.publishing(loaded, url, bus, log))
            sys.stdout.write(_welcome(address, loaded))
            sys.stdout.flush()
            stop.wait()
    except (OSError, ValueError, RuntimeError, BotoCoreError, ClientError) as error:
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            error = ValueError(f"The port {port} is in use. Choose another one: make run PORT={port + 1}")
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:  # noqa: PLR2004 - the highest port number
        raise ValueError(f"PORT must be a number from 0 to 65535, not {text!r}")
    return int(text)


def _issuer() -> dict[str, str]:
    """Return the parameters of another issuer, if there is one."""
    issuer = os.environ.get("JWT_ISSUER")
    if not issuer:
        return {}
    if not issuer.startswith(("http://", "https://")):
        raise ValueError(f"JWT_ISSUER must be a URL with http or https, not {issuer!r}")
    return {"JwtIssuer": issuer, "JwtAudience": os.environ.get("JWT_AUDIENCE") or tokens.AUDIENCE}


def _yes_or_no(variable: str) -> str:
    value = os.environ.get(variable, "no")
    if value not in {"yes", "no"}:
        raise ValueError(f"{variable} must be yes or no, not {value!r}")
    return value


def _welcome(address: str, loaded: Template) -> str:
    tenant = os.environ.get("TENANT_CLAIM")
    claims = f" CLAIMS={shlex.quote(json.dumps({tenant: 'local'}))}" if tenant else ""
    user, token = docs.USER, f"$(make -s token USER={docs.USER}{claims})"
    if loaded.issuer != tokens.ISSUER:
        audiences = " or ".join(loaded.audiences)
        user, token = "the user", f"'<an access token of {loaded.issuer} for {audiences}>'"
    tasks = f"{address}/v1/users/me/tasks"
    curl = "curl -sS -w '\\n' -H \"Authorization: Bearer $TOKEN\""
    return f"""
Serving template.yaml on {address}. Press Ctrl-C to stop.
Try it in a browser: {address}{docs.PATH}
When you change the code of a function, its next request runs the new code.

In another terminal, in this folder: create a task, list the tasks of
{user}, and see that {user} cannot read the tasks of bob:

TOKEN={token}
{curl} -H 'Content-Type: application/json' -d '{{"title": "Buy milk"}}' {tasks}
{curl} {tasks}
{curl} {address}/v1/users/bob/tasks

"""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

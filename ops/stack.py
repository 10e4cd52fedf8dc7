"""`python -m ops.stack`: prints the address of a deployed stack, adds users, gets tokens, and tests the API over HTTP.

Uses the AWS credentials and region of the environment. Reads the password from PASSWORD, or asks for it.
"""

import argparse
import getpass
import os
import secrets
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import requests

from ops.command import CommandError, client, given, run
from shared.pseudonyms import pseudonym_in


def outputs(stack: str) -> Mapping[str, str]:
    """Return the outputs of a deployed stack, and its id as StackId.

    Raises ClientError if the stack does not exist, and CommandError if it is not deployed or not of this project.
    """
    found = _described(stack)
    named = {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", ())}
    if not {"ApiUrl", "TableName"} <= named.keys():
        raise CommandError(
            f"The stack {stack} has no outputs ApiUrl and TableName. Deploy it with make deploy, or check the name."
        )
    return {**named, "StackId": found["StackId"]}


def parameters(stack: str) -> Mapping[str, str]:
    """Return the parameters of a deployed stack. Raises ClientError if the stack does not exist."""
    return {one["ParameterKey"]: one.get("ParameterValue", "") for one in _described(stack).get("Parameters", ())}


def add_user(stack: str, email: str, password: str) -> None:
    """Add a user with a permanent password to the stack's user pool. Raises ClientError, as for weak passwords."""
    pool, cognito = _pool(stack)["UserPoolId"], client("cognito-idp")
    attributes: Any = [{"Name": "email", "Value": email}, {"Name": "email_verified", "Value": "true"}]
    # Cognito checks a temporary password before it creates the user. So a weak password leaves no user behind.
    cognito.admin_create_user(
        UserPoolId=pool,
        Username=email,
        UserAttributes=attributes,
        MessageAction="SUPPRESS",
        TemporaryPassword=password,
    )
    cognito.admin_set_user_password(UserPoolId=pool, Username=email, Password=password, Permanent=True)


def access_token(stack: str, email: str, password: str) -> str:
    """Return an access token for a user of the user pool. Raises ClientError, or CommandError for a challenge."""
    pool = _pool(stack)
    response = client("cognito-idp").admin_initiate_auth(
        UserPoolId=pool["UserPoolId"],
        ClientId=pool["UserPoolClientId"],
        AuthFlow="ADMIN_USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": email, "PASSWORD": password},
    )
    if "AuthenticationResult" not in response:
        raise CommandError(f"Cognito requires another challenge: {response.get('ChallengeName', 'an unknown one')}.")
    token: str = response["AuthenticationResult"]["AccessToken"]
    return token


def machine_token(stack: str, url: str = "") -> str:
    """Return an access token of the stack's machine client, with all its scopes. Raises as access_token does.

    `url` is the token endpoint; the default is that of the stack.
    """
    found = _pool(stack)
    if "MachineClientId" not in found:
        raise CommandError(f"{stack} has no machine client: deploy it with MachineClient=yes.")
    machine = client("cognito-idp").describe_user_pool_client(
        UserPoolId=found["UserPoolId"], ClientId=found["MachineClientId"]
    )["UserPoolClient"]
    url = url or found["MachineTokenUrl"]
    data = {"grant_type": "client_credentials", "scope": " ".join(machine["AllowedOAuthScopes"])}
    response = requests.post(url, data, auth=(machine["ClientId"], machine["ClientSecret"]), timeout=30)
    if response.status_code != requests.codes.ok:
        raise CommandError(f"{url} gave no token: {response.status_code} {response.text.strip()[:200]}")
    token: str = response.json()["access_token"]
    return token


@contextmanager
def temporary_tokens(stack: str, count: int) -> Iterator[list[str]]:
    """Add users to the user pool, yield an access token of each, and remove them. Raises as access_token does."""
    pool = _pool(stack)["UserPoolId"]
    # A password policy may require a character of each kind.
    users = {f"temporary-{uuid.uuid4()}@example.org": f"{secrets.token_urlsafe(24)}-aA1" for _ in range(count)}
    try:
        for email, password in users.items():
            add_user(stack, email, password)
        yield [access_token(stack, email, password) for email, password in users.items()]
    finally:
        cognito = client("cognito-idp")
        for email in users:
            with suppress(cognito.exceptions.UserNotFoundException):
                cognito.admin_delete_user(UserPoolId=pool, Username=email)


def e2e(stack: str, only: str = "") -> int:
    """Run the conformance suite, or one part of it, with two temporary users, and return its exit code."""
    with temporary_tokens(stack, 2) as (token, other):
        command = [sys.executable, "-m", "conformance", outputs(stack)["ApiUrl"], "--only", only]
        environment = {**os.environ, "TOKEN": token, "OTHER_TOKEN": other}
        return subprocess.run(command, check=False, env=environment).returncode


def main(arguments: Sequence[str]) -> int:
    """Run one command, and return the exit code."""
    return run(partial(_command, _options(arguments)))


def _command(options: argparse.Namespace, _: threading.Event) -> str | int:
    match options.command:
        case "url":
            return outputs(options.stack)["ApiUrl"]
        case "user":
            add_user(options.stack, options.email, _password())
            return 0
        case "token":
            user = options.email
            return access_token(options.stack, user, _password()) if user else machine_token(options.stack)
        case "pseudonym":
            return pseudonym_in(outputs(options.stack)["StackId"], options.user, options.tenant)
        case _:
            return e2e(options.stack, options.only)


def _described(stack: str) -> Any:
    found = client("cloudformation").describe_stacks(StackName=stack).get("Stacks")
    if not found:
        raise CommandError(f"CloudFormation does not describe the stack {stack}. Check its name and the region.")
    return found[0]


def _pool(stack: str) -> Mapping[str, str]:
    found = outputs(stack)
    if "UserPoolId" not in found:
        raise CommandError(f"{stack} has no user pool: it accepts the tokens of the issuer in its parameter JwtIssuer.")
    return found


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m ops.stack",
        description=__doc__.partition("\n")[0],
        epilog="Reads the password from the environment variable PASSWORD, or asks for it.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, purpose in {
        "url": "print the address of the API",
        "user": "add a user to the stack's own user pool",
        "token": "print an access token of a user of the stack's own user pool, or of the stack's machine client",
        "pseudonym": "print the name of a user in the logs and events of the stack",
        "e2e": "run the conformance suite, with two temporary users",
    }.items():
        command = commands.add_parser(name, help=purpose, description=purpose)
        command.add_argument("stack", metavar="STACK", type=given, help="the name of the stack, such as tasks-dev")
        if name == "user":
            command.add_argument("email", metavar="EMAIL", type=given)
        if name == "token":
            caller = command.add_mutually_exclusive_group(required=True)
            caller.add_argument("email", metavar="EMAIL", type=given, nargs="?")
            caller.add_argument("--machine", action="store_true", help="a token of the client that MachineClient adds")
        if name == "pseudonym":
            command.add_argument("user", metavar="USER", type=given, help="the user id, as in the token (sub)")
            command.add_argument("--tenant", default="", help="the tenant of the user, if the deployment has tenants")
        if name == "e2e":
            command.add_argument("--only", metavar="PART", default="", help="run one part of the checks, such as list")
    return parser.parse_args(arguments)


def _password() -> str:
    password = os.environ.get("PASSWORD")
    if not password and not sys.stdin.isatty():
        raise CommandError("Set PASSWORD in the environment: nobody can answer a question here.")
    return password or getpass.getpass()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

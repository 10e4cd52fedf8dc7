"""`python -m ops.stack`: prints the address of a deployed stack, adds users, gets tokens, and tests the API over HTTP.

Uses the AWS credentials and region of the environment. Reads the password from PASSWORD, or asks for it.
"""

import argparse
import getpass
import os
import secrets
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import boto3
import requests
from botocore.exceptions import BotoCoreError, ClientError

from shared.pseudonyms import pseudonym_in


def outputs(stack: str) -> Mapping[str, str]:
    """Return the outputs of a deployed stack, and its id as StackId. Raises ClientError if the stack does not exist."""
    (found,) = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    named = {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", ())}
    return {**named, "StackId": found["StackId"]}


def add_user(stack: str, email: str, password: str) -> None:
    """Add a user with a permanent password to the stack's user pool. Raises ClientError, as for weak passwords."""
    pool, cognito = _pool(stack)["UserPoolId"], boto3.client("cognito-idp")
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
    """Return an access token for a user of the user pool. Raises ClientError, or ValueError for a challenge."""
    pool = _pool(stack)
    response = boto3.client("cognito-idp").admin_initiate_auth(
        UserPoolId=pool["UserPoolId"],
        ClientId=pool["UserPoolClientId"],
        AuthFlow="ADMIN_USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": email, "PASSWORD": password},
    )
    if "AuthenticationResult" not in response:
        raise ValueError(f"Cognito requires another challenge: {response['ChallengeName']}")
    token: str = response["AuthenticationResult"]["AccessToken"]
    return token


def machine_token(stack: str) -> str:
    """Return an access token of the stack's machine client, with all its scopes. Raises ClientError and ValueError."""
    found = _pool(stack)
    if "MachineClientId" not in found:
        raise ValueError(f"{stack} has no machine client: deploy it with MachineClient=yes.")
    client = boto3.client("cognito-idp").describe_user_pool_client(
        UserPoolId=found["UserPoolId"], ClientId=found["MachineClientId"]
    )["UserPoolClient"]
    url = found["MachineTokenUrl"]
    data = {"grant_type": "client_credentials", "scope": " ".join(client["AllowedOAuthScopes"])}
    try:
        response = requests.post(url, data, auth=(client["ClientId"], client["ClientSecret"]), timeout=30)
    except requests.RequestException as error:
        raise ValueError(f"{url} cannot be reached: {error}") from error
    if response.status_code != requests.codes.ok:
        raise ValueError(f"{url} gave no token: {response.status_code} {response.text.strip()}")
    token: str = response.json()["access_token"]
    return token


@contextmanager
def temporary_tokens(stack: str, count: int) -> Iterator[list[str]]:
    """Add users to the user pool, yield an access token of each, and remove them. Raises ClientError and ValueError."""
    pool = _pool(stack)["UserPoolId"]
    # A password policy may require a character of each kind.
    users = {f"temporary-{uuid.uuid4()}@example.org": f"{secrets.token_urlsafe(24)}-aA1" for _ in range(count)}
    try:
        for email, password in users.items():
            add_user(stack, email, password)
        yield [access_token(stack, email, password) for email, password in users.items()]
    finally:
        cognito = boto3.client("cognito-idp")
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
    """Run one command. Return 1 if AWS rejects it."""
    options = _options(arguments)
    try:
        match options.command:
            case "url":
                sys.stdout.write(outputs(options.stack)["ApiUrl"] + "\n")
            case "user":
                add_user(options.stack, options.email, _password())
            case "token":
                user = options.email
                token = access_token(options.stack, user, _password()) if user else machine_token(options.stack)
                sys.stdout.write(token + "\n")
            case "pseudonym":
                sys.stdout.write(pseudonym_in(outputs(options.stack)["StackId"], options.user, options.tenant) + "\n")
            case "e2e":
                return e2e(options.stack, options.only)
    except (ClientError, BotoCoreError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _pool(stack: str) -> Mapping[str, str]:
    found = outputs(stack)
    if "UserPoolId" not in found:
        raise ValueError(f"{stack} has no user pool: it accepts the tokens of the issuer in its parameter JwtIssuer.")
    return found


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m ops.stack", epilog="Reads the password from the environment variable PASSWORD, or asks for it."
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
        command.add_argument("stack", metavar="STACK", help="the name of the stack, such as tasks-dev")
        if name == "user":
            command.add_argument("email", metavar="EMAIL", type=_given)
        if name == "token":
            caller = command.add_mutually_exclusive_group(required=True)
            caller.add_argument("email", metavar="EMAIL", type=_given, nargs="?")
            caller.add_argument("--machine", action="store_true", help="a token of the client that MachineClient adds")
        if name == "pseudonym":
            command.add_argument("user", metavar="USER", type=_given, help="the user id, as in the token (sub)")
            command.add_argument("--tenant", default="", help="the tenant of the user, if the deployment has tenants")
        if name == "e2e":
            command.add_argument("--only", metavar="PART", default="", help="run one part of the checks, such as list")
    return parser.parse_args(arguments)


def _given(text: str) -> str:
    if not text:
        raise ValueError(text)
    return text


def _password() -> str:
    return os.environ.get("PASSWORD") or getpass.getpass()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

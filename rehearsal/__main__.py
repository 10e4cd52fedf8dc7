"""`make rehearse`: takes the template through deployments into an emulator of AWS, without Docker and without AWS.

Each step prints a line. The first step that fails ends the rehearsal. Gaps of the emulator are in rehearsal/emulator.py
and in KNOWN_GAPS: a gap that a new release closes fails the rehearsal, too, and the line says what to remove.
"""

import argparse
import json
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import boto3
import requests
from botocore.exceptions import ClientError

from contract.requests import requests as requests_of_the_contract
from ops.stack import machine_token, outputs

ROOT: Final = Path(__file__).parent.parent
DEV, PROD = "tasks-dev", "tasks-prod"
ARCHITECTURE: Final = "arm64" if platform.machine() in {"arm64", "aarch64"} else "x86_64"
PASSWORD: Final = "correct-horse-battery"  # noqa: S105 - of a user of the emulator
# What the conformance suite finds wrong with the emulator, and not with the API.
KNOWN_GAPS: Final = {
    "A body that is not UTF-8 is 400": "the emulator replaces bytes that are not UTF-8",
    "A request without a valid token is 401": "its 401 has no WWW-Authenticate",
    "A token with a changed signature or payload is 401": "its 401 has no WWW-Authenticate",
}


class RehearsalError(Exception):
    """A step did not end as it should."""


def check(condition: object, text: object) -> None:
    """Raise RehearsalError with the text if the condition is false."""
    if not condition:
        raise RehearsalError(text)


class Rehearsal:
    """A copy of the project, an emulator, and the steps."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "eu-central-1",
            "AWS_DEFAULT_REGION": "eu-central-1",
            "CI": "true",
            "PASSWORD": PASSWORD,
        }
        os.environ.update(self.environment)
        self.token = ""

    def run(self, *command: str, fails: bool = False, **variables: str) -> str:
        """Run a command in the copy, and return what it prints."""
        environment = {**self.environment, **variables}
        done = subprocess.run(command, cwd=self.folder, env=environment, check=False, capture_output=True, text=True)
        printed = done.stdout + done.stderr
        check((done.returncode != 0) is fails, f"{' '.join(command)} exited with {done.returncode}:\n{printed[-3000:]}")
        return printed

    def command(self, module: str, *arguments: str, fails: bool = False, **variables: str) -> str:
        """Run one of the commands in ops/."""
        return self.run(".venv/bin/python", "-m", f"ops.{module}", *arguments, fails=fails, **variables).strip()

    def deploy(self, *parameters: str, stack: str = DEV, fails: bool = False) -> str:
        """Build and deploy."""
        return self.run(
            "make", "deploy", f"ARCH={ARCHITECTURE}", f"ENV={'prod' if stack == PROD else 'default'}",
            f"PARAMETERS={' '.join(parameters)}", fails=fails,
        )  # fmt: skip

    def ask(self, method: str, path: str, body: str = "", stack: str = DEV, **headers: str) -> requests.Response:
        """Send a request to a stack, as the user of the first one."""
        url = self.command("stack", "url", stack)
        sent = {"Authorization": f"Bearer {self.token}", **headers}
        return requests.request(method, f"{url}{path}", data=body.encode(), headers=sent, timeout=30)

    def tasks(self, stack: str = DEV) -> Any:
        """The tasks of the user, who must see them."""
        response = self.ask("GET", "/v1/users/me/tasks?status=all", stack=stack)
        check(response.ok, response.text)
        return response.json()["items"]

    def versions(self) -> Mapping[str, str]:
        """The versions that the aliases of the stack's functions point to."""
        client = boto3.client("lambda")
        return {name: client.get_alias(FunctionName=name, Name="live")["FunctionVersion"] for name in self.functions()}

    def functions(self) -> list[str]:
        """The names of the stack's functions."""
        listed = boto3.client("cloudformation").list_stack_resources(StackName=DEV)["StackResourceSummaries"]
        return [one["PhysicalResourceId"] for one in listed if one["ResourceType"] == "AWS::Lambda::Function"]


def refused_parameters(on: Rehearsal) -> None:
    """Parameters that cannot work together create nothing."""
    printed = on.deploy("JwtIssuer=https://issuer.example/", fails=True)
    check("JwtIssuer needs a JwtAudience" in printed, printed[-2000:])


def first_deployment(on: Rehearsal) -> None:
    """The first deployment, with a client for backends, and the smoke test."""
    on.deploy("MachineClient=yes")
    printed = on.command("smoke", "--stack", DEV)
    check(printed.endswith("serves."), printed)


def user_and_first_task(on: Rehearsal) -> None:
    """A weak password leaves no user behind; a user signs in, and creates a task as the README shows."""
    on.command("stack", "user", DEV, "you@example.org", fails=True, PASSWORD="short")  # noqa: S106
    on.command("stack", "user", DEV, "you@example.org")
    on.token = on.command("stack", "token", DEV, "you@example.org")
    created = on.ask("POST", "/v1/users/me/tasks", '{"title": "Buy milk"}', **{"Content-Type": "application/json"})
    check(created.status_code == 201, created.text)
    check([task["title"] for task in on.tasks()] == ["Buy milk"], on.tasks())


def conformance(on: Rehearsal) -> None:
    """The conformance suite finds the gaps of the emulator, and nothing else."""
    printed = on.command("stack", "e2e", DEV, fails=True)
    found = set(re.findall(r"^FAILED +\w+ +(.*)$", printed, re.MULTILINE))
    check(found <= KNOWN_GAPS.keys(), printed)
    check(found == set(KNOWN_GAPS), f"gaps that are closed, remove them from KNOWN_GAPS: {set(KNOWN_GAPS) - found}")


def own_roles(on: Rehearsal) -> None:
    """A function whose role loses its policy fails, and no other one."""
    iam, functions = boto3.client("iam"), boto3.client("lambda")
    for request in requests_of_the_contract():
        if request.name in {"erase_user", "get_openapi"}:  # one needs a service token; one has no permissions
            continue
        (function,) = (one for one in on.functions() if request.name.title().replace("_", "") in one)
        role = functions.get_function(FunctionName=function)["Configuration"]["Role"].rpartition("/")[2]
        (policy,) = iam.list_role_policies(RoleName=role)["PolicyNames"]
        document = iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
        task_id = on.tasks()[0]["id"]
        sent = request.filled(user_id="me", task_id=task_id, timestamp=str(uuid.uuid4()))
        others = ["/v1/users/me/tasks", f"/v1/users/me/tasks/{task_id}", "/v1/users/me/changes"]

        iam.delete_role_policy(RoleName=role, PolicyName=policy)
        status = on.ask(sent.method, sent.path, sent.body, **sent.headers).status_code
        check(status == 500, f"{request.name} without its policy: {status}")
        for other in others:
            if (request.method, request.filled(user_id="me", task_id=task_id, timestamp="").path) != ("GET", other):
                check(on.ask("GET", other).ok, f"GET {other} fails without the policy of {request.name}")
        iam.put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=json.dumps(document))
        status = on.ask(sent.method, sent.path, sent.body, **sent.headers).status_code
        check(status < 500, f"{request.name} with its policy: {status}")


def changed_code(on: Rehearsal) -> None:
    """A release with changed code moves the aliases, and keeps the data."""
    before, tasks = on.versions(), on.tasks()
    code = on.folder / "functions" / "get_task" / "app.py"
    code.write_text(code.read_text() + "\nCHANGED = True\n")
    on.deploy("MachineClient=yes")
    after = on.versions()
    check(all(after[name] != before[name] for name in before), (before, after))
    check(on.tasks() == tasks, on.tasks())


def changed_parameter(on: Rehearsal) -> None:
    """A release with a changed parameter reaches the functions, and keeps the data."""
    before, tasks = on.versions(), on.tasks()
    pages = ("SignInUrls=http://localhost:3000/callback,com.example.app:/callback", "SelfSignUp=yes")
    on.deploy("MachineClient=yes", "IdempotencyHours=48", "Events=yes", *pages)
    client = boto3.client("lambda")
    for name, version in on.versions().items():
        check(version != before.get(name), f"{name} is still at version {version}")
        settings = client.get_function_configuration(FunctionName=name, Qualifier="live")["Environment"]["Variables"]
        check(settings["IDEMPOTENCY_HOURS"] == "48", settings)
    check(on.tasks() == tasks, on.tasks())


def pages_for_signing_in(on: Rehearsal) -> None:
    """The pages that the last release has added are those of the client of users, and the next release removes them."""
    found, cognito = outputs(DEV), boto3.client("cognito-idp")
    names = {"UserPoolId": found["UserPoolId"], "ClientId": found["UserPoolClientId"]}
    client: Any = cognito.describe_user_pool_client(**names)["UserPoolClient"]
    check(client["AllowedOAuthFlows"] == ["code"] and len(client["CallbackURLs"]) == 2, client)
    check("SignInUrl" in found, found)
    check(not _closed(found["UserPoolId"]), "nobody can sign up")
    on.deploy("MachineClient=yes", 'SignInUrls=""', "SelfSignUp=no")
    client = cognito.describe_user_pool_client(**names)["UserPoolClient"]
    check(not client.get("AllowedOAuthFlows") and not client.get("CallbackURLs"), client)
    check(_closed(found["UserPoolId"]), "people can sign up")
    check("SignInUrl" not in outputs(DEV), outputs(DEV))


def _closed(pool_id: str) -> bool:
    """Whether a pool is in the tier Lite, without sign-up."""
    pool: Any = boto3.client("cognito-idp").describe_user_pool(UserPoolId=pool_id)["UserPool"]
    closed = (pool["UserPoolTier"], pool["AdminCreateUserConfig"]["AllowAdminCreateUserOnly"])
    check(closed in {("LITE", True), ("ESSENTIALS", False)}, closed)
    return closed == ("LITE", True)


def migration(on: Rehearsal) -> None:
    """The migration reads the whole table in its own role."""
    printed = on.command("migrate", "--stack", DEV)
    check("seen" in printed, printed)


def replay(on: Rehearsal) -> None:
    """A replay publishes the current version of every task."""
    printed = on.command("replay", "--stack", DEV, "--since", "2026-01-01T00:00:00Z")
    check(re.search(r"^published +[1-9]", printed, re.MULTILINE), printed)
    check("failed" not in printed, printed)


def restore(on: Rehearsal) -> None:
    """What was overwritten comes back from a backup, with a higher version."""
    dynamodb = boto3.client("dynamodb")
    (table,) = (name for name in dynamodb.list_tables()["TableNames"] if name.startswith(DEV))
    before = on.tasks()[0]
    dynamodb.restore_table_to_point_in_time(
        SourceTableName=table, TargetTableName=f"{table}-backup", UseLatestRestorableTime=True
    )
    dynamodb.get_waiter("table_exists").wait(TableName=f"{table}-backup")
    changed = on.ask(
        "PATCH", f"/v1/users/me/tasks/{before['id']}", '{"title": "Overwritten"}',
        **{"Content-Type": "application/merge-patch+json"},
    )  # fmt: skip
    check(changed.ok, changed.text)
    on.command("restore", "--from", f"{table}-backup", "--stack", DEV, "--user", before["user_id"])
    after = next(task for task in on.tasks() if task["id"] == before["id"])
    check((after["title"], after["version"]) == (before["title"], changed.json()["version"] + 1), after)


def leaked_token(on: Rehearsal) -> None:
    """Each switch of the runbook against a leaked token of a service works, and users do not notice."""
    cloudformation, functions, gateway = (boto3.client(name) for name in ("cloudformation", "lambda", "apigatewayv2"))

    def id_of(resource: str) -> str:
        found = cloudformation.describe_stack_resource(StackName=DEV, LogicalResourceId=resource)
        name: str = found["StackResourceDetail"]["PhysicalResourceId"]
        return name

    def service_token() -> str:
        # The stack outputs the address of Cognito, and the emulator has the endpoint at its own.
        return machine_token(DEV, f"{on.environment['AWS_ENDPOINT_URL']}/oauth2/token")

    def erase(token: str) -> int:
        return on.ask("DELETE", "/v1/users/carol?confirm=carol", Authorization=f"Bearer {token}").status_code

    token = service_token()
    check(erase(token) == 200, "an erasure by the service")

    functions.put_function_concurrency(FunctionName=id_of("EraseUser"), ReservedConcurrentExecutions=0)
    try:  # the emulator does not apply it to the alias that the API calls; AWS applies it to all versions
        functions.invoke(FunctionName=id_of("EraseUser"), Payload=b"{}")
        check(False, "the function that erases still runs")
    except functions.exceptions.TooManyRequestsException:
        pass
    check(bool(on.tasks()), "users do not notice")

    (authorizer,) = gateway.get_authorizers(ApiId=id_of("Api"))["Items"]
    configuration = authorizer["JwtConfiguration"]
    kept = [one for one in configuration["Audience"] if one == id_of("UserPoolClient")]
    check(len(configuration["Audience"]) == 2 and len(kept) == 1, configuration)
    gateway.update_authorizer(
        ApiId=id_of("Api"), AuthorizerId=authorizer["AuthorizerId"],
        JwtConfiguration={"Issuer": configuration["Issuer"], "Audience": kept},
    )  # fmt: skip
    check(erase(token) == 401, f"a token of a removed audience: {erase(token)}")
    check(bool(on.tasks()), "users do not notice")

    on.deploy("MachineClient=no")
    on.command("stack", "token", DEV, "--machine", fails=True)
    on.deploy("MachineClient=yes")
    check(erase(token) == 401, f"a token of the deleted client: {erase(token)}")
    functions.delete_function_concurrency(FunctionName=id_of("EraseUser"))
    new = service_token()
    check(erase(new) == 200, f"an erasure by the new client: {erase(new)}")


def second_stack(on: Rehearsal) -> None:
    """A second stack beside the first shares nothing with it, and its deletion takes nothing from the first."""
    on.deploy(stack=PROD)
    check(on.ask("GET", "/v1/users/me/tasks", stack=PROD).status_code == 401, "a token of the first stack")
    tasks = on.tasks()
    on.deploy("DeletionProtection=no", stack=PROD)
    delete(PROD)
    check(on.tasks() == tasks, on.tasks())


def adoption(on: Rehearsal) -> None:
    """A new stack adopts the table and the user pool of a deleted one: users sign in, and see their tasks."""
    cloudformation = boto3.client("cloudformation")
    ids = {
        one["LogicalResourceId"]: one["PhysicalResourceId"]
        for one in cloudformation.list_stack_resources(StackName=DEV)["StackResourceSummaries"]
    }
    tasks = on.tasks()
    delete(DEV)
    on.command("adopt", DEV, "--table", ids["TaskTable"], "--pool", ids["UserPool"])
    on.deploy()
    on.token = on.command("stack", "token", DEV, "you@example.org")
    check(on.tasks() == tasks, on.tasks())


def delete(stack: str) -> None:
    """Delete a stack, and wait for the end."""
    cloudformation = boto3.client("cloudformation")
    cloudformation.delete_stack(StackName=stack)
    cloudformation.get_waiter("stack_delete_complete").wait(StackName=stack, WaiterConfig={"Delay": 1})


STEPS: Final[Sequence[Callable[[Rehearsal], None]]] = (
    refused_parameters,
    first_deployment,
    user_and_first_task,
    conformance,
    own_roles,
    changed_code,
    changed_parameter,
    pages_for_signing_in,
    migration,
    replay,
    restore,
    leaked_token,
    second_stack,
    adoption,
)


@contextmanager
def emulator(folder: Path) -> Iterator[str]:
    """Start the emulator with its data in a folder, and yield its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    url, log = f"http://127.0.0.1:{port}", folder / "emulator.log"
    python = ROOT / ".build" / "rehearse" / "bin" / "python"
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "TMPDIR": str(folder)}
    with log.open("wb") as output, subprocess.Popen(
        [python, ROOT / "rehearsal" / "emulator.py", str(port)], env=environment, stdout=output, stderr=output
    ) as process:  # fmt: skip
        try:
            deadline = time.monotonic() + 60
            while not _answers(url):
                check(process.poll() is None and time.monotonic() < deadline, log.read_text()[-3000:])
                time.sleep(0.2)
            yield url
        finally:
            process.terminate()


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/_ministack/health", timeout=2).ok
    except requests.RequestException:
        return False


def copy_of_the_project(folder: Path) -> Path:
    """Copy what git knows, and link the environments."""
    copy = folder / "project"
    for name in subprocess.run(
        ["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, copy / name)
    for name in (".venv", ".build"):
        (copy / name).symlink_to(ROOT / name)
    return copy


def main(arguments: Sequence[str]) -> int:
    """Run the steps, and return 1 if one fails."""
    argparse.ArgumentParser(
        prog="python -m rehearsal",
        description="Deploy the template into an emulator of AWS, and use what was deployed.",
    ).parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="rehearsal-", ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary)
        with emulator(folder) as url:
            rehearsal = Rehearsal(copy_of_the_project(folder), url)
            for step in STEPS:
                began = time.monotonic()
                try:
                    step(rehearsal)
                except (RehearsalError, ClientError, requests.RequestException, ValueError) as error:
                    sys.stdout.write(f"FAILED {step.__name__}: {step.__doc__}\n{error}\n")
                    sys.stdout.write((folder / "emulator.log").read_text()[-2000:])
                    return 1
                sys.stdout.write(f"ok {time.monotonic() - began:4.0f} s  {step.__doc__}\n")
                sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

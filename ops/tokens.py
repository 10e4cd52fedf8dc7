"""`python -m ops.tokens`: tries a user's and a service's token with a deployment, and says in words what is wrong.

It decodes the tokens without verifying them, and sends requests that only read lists of tasks.
"""

import argparse
import re
import sys
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import quote

import jwt
import requests

from local.claims import as_text
from ops import stack
from ops.api import TIMEOUT, Bearer, add_deployment, body_of, token_in
from ops.command import CommandError, run
from shared.http import identity
from shared.http.problems import Problem

_GUIDE = "docs/issuers.md"

type Claims = Mapping[str, Any]

# How an issuer stops giving the scope to users, by a part of its `iss`.
_REMOVE_SCOPE = {
    "cognito-idp": "Remove it from AllowedOAuthScopes of the client that users sign in with, and from the pre token"
    " generation trigger.",
    "auth0.com": "Enable RBAC for the API, and allow it to applications by client grants only.",
    "microsoftonline.com": "Delete the delegated permission, and allow the app role to applications only.",
    "clerk": "Remove it from the session token and from all JWT templates.",
    "/realms/": "Unlink the client scope from all clients except that of the service.",
    "securetoken.google.com": "Remove the custom claim from the user.",
}


OK, NOTE, UNTRIED, WRONG = "ok", "note", "NOT TRIED", "WRONG"


@dataclass
class Report:
    """What was found, in sentences. Each has a mark."""

    sentences: list[tuple[str, str]] = field(default_factory=list)

    def add(self, mark: str, *sentences: str) -> None:
        """Add sentences with a mark."""
        self.sentences.extend((mark, sentence) for sentence in sentences)

    def has(self, mark: str) -> bool:
        """Whether a sentence has this mark."""
        return mark in {one for one, _ in self.sentences}

    @property
    def exit_code(self) -> int:
        """1 if something is wrong, 2 if something could not be tried, else 0."""
        return 1 if self.has(WRONG) else 2 if self.has(UNTRIED) else 0

    def write(self) -> None:
        """Write the sentences."""
        sys.stdout.writelines(f"{mark}: {sentence}\n" for mark, sentence in self.sentences)


@dataclass(frozen=True)
class Deployment:
    """The address of a deployment, and its parameters as far as they are known."""

    url: str
    parameters: Mapping[str, str]

    def value(self, name: str) -> str:
        """Return a parameter, or the empty string."""
        return self.parameters.get(name, "")

    def values(self, name: str) -> list[str]:
        """Return the values of a parameter with commas."""
        return [one.strip() for one in self.value(name).split(",") if one.strip()]

    @property
    def scope(self) -> str:
        """The service scope."""
        return self.parameters.get("ServiceScope", "tasks/service")


def of_stack(name: str) -> Deployment:
    """Return the deployment of a stack. Raises as stack.outputs does."""
    outputs, parameters = stack.outputs(name), dict(stack.parameters(name))
    if pool := outputs.get("UserPoolId"):
        clients = [outputs[key] for key in ("UserPoolClientId", "MachineClientId") if key in outputs]
        region = pool.partition("_")[0]
        parameters["JwtIssuer"] = f"https://cognito-idp.{region}.amazonaws.com/{pool}"
        parameters["JwtAudience"] = ",".join(clients)
        callers = [outputs.get("MachineClientId", ""), parameters.get("ServiceCallers", "")]
        parameters["ServiceCallers"] = ",".join(filter(None, callers))
    return Deployment(outputs["ApiUrl"], parameters)


def check_token(token: str, role: str, deployment: Deployment, report: Report) -> None:
    """Report what is wrong with a token, from its claims alone."""
    whose = f"The {role}'s token"
    try:
        header = jwt.get_unverified_header(token)
        claims: Claims = jwt.decode(token, options={"verify_signature": False})
    except (jwt.InvalidTokenError, ValueError, RecursionError) as error:
        report.add(
            WRONG,
            f"{whose} is not a JWT ({error}). It may be opaque or encrypted: API Gateway verifies only signed JWTs."
            f" Ask the issuer for a JWT for this API, as in {_GUIDE}.",
        )
        return
    # As API Gateway passes them.
    texts = {name: as_text(value) for name, value in claims.items()}
    report.add(NOTE, f"{whose} has the sub {texts.get('sub')!a} of the issuer {texts.get('iss')!a}.")
    faults = [
        *_gateway_faults(header, claims, deployment),
        *_subject_faults(texts),
        *(_user_faults if role == "user" else _service_faults)(texts, deployment),
    ]
    for name in ("TenantClaim", "SpacesClaim"):
        claim = deployment.value(name)
        if name == "SpacesClaim" and claim and claim not in claims:
            report.add(NOTE, f"{whose} has no claim `{claim}` ({name}), so its caller has no spaces.")
        elif claim:
            faults += _claim_faults(claims, texts, name, claim)
    report.add(WRONG, *(f"{whose} {fault}" for fault in faults))


def _gateway_faults(header: Claims, claims: Claims, deployment: Deployment) -> list[str]:
    """Say why API Gateway rejects a token (401)."""
    faults = []
    if header.get("alg") != "RS256":
        faults.append(f"is signed with {header.get('alg')}. API Gateway verifies RSA signatures only: configure RS256.")
    faults += _time_faults(claims)
    issuer, wanted = claims.get("iss"), deployment.value("JwtIssuer")
    if wanted and issuer != wanted:
        slash = " They differ only in the slash at the end." if str(issuer).rstrip("/") == wanted.rstrip("/") else ""
        faults.append(f"has the iss {issuer}, and the deployment accepts only {wanted} (JwtIssuer).{slash}")
    name = "aud" if "aud" in claims else "client_id"
    audience, accepted = claims.get(name), deployment.values("JwtAudience")
    if audience is None:
        faults.append("has neither aud nor client_id. API Gateway needs one of them.")
    elif accepted and not set(map(str, audience if isinstance(audience, list) else [audience])) & set(accepted):
        faults.append(
            f"has the {name} {as_text(audience)}, and the deployment accepts only {', '.join(accepted)} (JwtAudience)."
        )
    return faults


def _time_faults(claims: Claims) -> list[str]:
    """Say why API Gateway rejects a token now."""
    now, expires, begins = time.time(), claims.get("exp"), claims.get("nbf", 0)
    if not isinstance(expires, int | float):
        return ["has no exp. API Gateway rejects tokens that never expire."]
    if expires <= now:
        return [f"expired {(now - expires) / 60:.0f} minutes ago. Get a new one."]
    if isinstance(begins, int | float) and begins > now:
        return [f"is valid only in {(begins - now) / 60:.0f} minutes (nbf)."]
    return []


def _subject_faults(texts: Mapping[str, str]) -> list[str]:
    """Say why the functions reject the subject, or the purpose, of a token."""
    if texts.get("token_use", "access") != "access":
        return [f"is an ID token of Cognito (token_use is {texts['token_use']}). Send the access token."]
    try:
        identity.actor_of(texts)
    except Problem as problem:
        return [f"has the sub {texts.get('sub')!a}. {problem.detail}"]
    return []


def _user_faults(texts: Mapping[str, str], deployment: Deployment) -> list[str]:
    """Say what is wrong with a user that has the service scope, or is named as a service."""
    faults, subject = [], texts.get("sub", "")
    if subject in deployment.values("ServiceCallers"):
        faults.append(
            f"has a sub that is one of the ServiceCallers: {subject}. With the service scope, this user can read and"
            " erase every user. Remove the sub from ServiceCallers."
        )
    if identity.is_service(texts, deployment.scope, named=True):
        faults.append(
            f"has the service scope {deployment.scope}: this issuer gives it to users. It opens nothing as long as"
            " ServiceCallers does not name this sub, but the API answers each request with 403 unnamed-service."
            f" {_how_to_remove(texts.get('iss', ''))}"
        )
    return faults


def _service_faults(texts: Mapping[str, str], deployment: Deployment) -> list[str]:
    """Say why a service may not act for users."""
    faults, subject, scope = [], texts.get("sub", ""), deployment.scope
    callers = deployment.values("ServiceCallers")
    if not scope:
        faults.append("opens nothing: this deployment has no service scope (ServiceScope is empty).")
    elif not identity.is_service(texts, scope, named=True):
        seen = ", ".join(f"{name}: {texts[name]}" for name in ("scope", "scp", "roles") if name in texts)
        faults.append(f"does not have the service scope {scope}. It has {seen or 'no scope, scp or roles'}.")
    if "," in subject:
        faults.append(f"has a sub with a comma, which ServiceCallers cannot name: {subject}")
    elif "ServiceCallers" in deployment.parameters and subject not in callers:
        faults.append(
            "has a sub that is not one of the ServiceCallers. If it is a machine's own token and not a user's, deploy"
            f" with PARAMETERS='ServiceCallers={','.join([*callers, subject])}'"
        )
    return faults


def _how_to_remove(issuer: str) -> str:
    known = (advice for part, advice in _REMOVE_SCOPE.items() if part in issuer)
    return next(known, f"Remove it, as in {_GUIDE}.")


def _claim_faults(claims: Claims, texts: Mapping[str, str], name: str, claim: str) -> list[str]:
    """Say what is wrong with the claim of the tenant or of the spaces."""
    value = claims.get(claim)
    if claim in claims and value is None:
        return [f"has null in the claim `{claim}` ({name}): the issuer has no value for it."]
    if isinstance(value, dict):
        return [f"has an object in the claim `{claim}` ({name}). Let the issuer write the text or the ids themselves."]
    if name == "TenantClaim":
        try:
            identity.tenant_of(texts, claim)
        except Problem:
            seen = ascii(value) if claim in claims else "missing"
            return [f"has no tenant: the claim `{claim}` ({name}) is {seen}, not a text of 1 to 255 ASCII characters."]
        return []
    spaces = value if isinstance(value, list) else str(value).split(",")
    if bad := [one for one in spaces if not isinstance(one, str) or not re.fullmatch(r"[!-~]*", one)]:
        seen = ", ".join(map(ascii, bad))
        return [f"lists in the claim `{claim}` ({name}) what is not an id without blanks: {seen}."]
    return []


def check_requests(tokens: Mapping[str, str], deployment: Deployment, report: Report) -> None:
    """Send requests that only read, and report every answer that differs from the expected one."""
    nobody = f"nobody-{uuid.uuid4()}"
    for role, user, whose, expected in (
        ("user", identity.ME, "the user's own tasks with the user's token", "200"),
        ("user", nobody, "the tasks of another user with the user's token", "403 forbidden"),
        ("service", nobody, "the tasks of any user with the service's token", "200"),
    ):
        if role not in tokens:
            continue
        try:
            seen, detail = _answer(deployment.url, tokens[role], user)
        except (requests.RequestException, ValueError) as error:
            report.add(UNTRIED, f"Reading {whose}: {type(error).__name__}: {_first_line(str(error))}")
            return
        sentence = f"Reading {whose}: {seen}"
        if seen == expected:
            report.add(OK, f"{sentence}, as it must be.")
        elif seen.startswith(("429", "5")):
            report.add(UNTRIED, f"{sentence}. {detail} Try again later.")
        else:
            danger = " DANGEROUS: users can read the tasks of others." if expected.startswith("403") else ""
            report.add(WRONG, f"{sentence} instead of {expected}.{danger if seen == '200' else ''} {detail}".rstrip())


def _answer(url: str, token: str, user: str) -> tuple[str, str]:
    """Return the status with the kind of the problem, and what the answer says. Raises requests' exceptions."""
    address = f"{url.rstrip('/')}/v1/users/{quote(user, safe='')}/tasks"
    response = requests.get(address, params={"limit": "1"}, auth=Bearer(token), timeout=TIMEOUT, allow_redirects=False)
    body, status = body_of(response), str(response.status_code)
    if not body or (response.ok and "items" not in body):
        return f"{status} without JSON of this API", "The address may be that of another server, such as a proxy."
    kind = str(body.get("type", "")).rpartition(":")[2]
    detail = str(body.get("detail") or body.get("message") or "")
    if status == "401":
        reason = response.headers.get("WWW-Authenticate", "")
        detail = f"API Gateway rejects the token: {_first_line(reason or detail)}"
    return f"{status} {kind}".strip(), _first_line(detail)


def _first_line(text: str) -> str:
    return (text.splitlines() or [""])[0][:300]


def _tokens(report: Report) -> dict[str, str]:
    """Return the tokens of the environment. A token that cannot be a header is reported."""
    tokens: dict[str, str] = {}
    variables: dict[str, str] = {"user": "USER_TOKEN", "service": "SERVICE_TOKEN"}
    for role, variable in variables.items():
        try:
            token = token_in(variable)
        except CommandError as error:
            report.add(WRONG, str(error))
            continue
        if token:
            tokens[role] = token
        else:
            report.add(NOTE, f"{variable} is not set, so no {role} was tried.")
    return tokens


def main(arguments: Sequence[str]) -> int:
    """Try the tokens, and return the exit code: 1 if something is wrong, and 2 if something could not be tried."""
    return run(partial(_try, _options(arguments)))


def _try(options: argparse.Namespace, _: threading.Event) -> int:
    report = Report()
    tokens = _tokens(report)
    if not tokens and not report.has(WRONG):
        raise CommandError("Set USER_TOKEN, SERVICE_TOKEN or both in the environment to access tokens.")
    given = dict(options.parameters)
    deployment = of_stack(options.stack) if options.stack else Deployment(options.url, given)
    for role, token in tokens.items():
        check_token(token, role, deployment, report)
    check_requests(tokens, deployment, report)
    report.write()
    return report.exit_code


def _parameter(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"must be NAME=VALUE, not {text!r}")
    return name, value


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m ops.tokens",
        description="Try a user's and a service's token with a deployment, and say what is wrong. It sends requests"
        " that only read lists of tasks.",
        epilog="Reads access tokens from the environment: USER_TOKEN of a user, SERVICE_TOKEN of a machine. Ends with"
        " 0 if all is right, 1 if something is wrong, 2 if something could not be tried.",
    )
    add_deployment(parser)
    parser.add_argument(
        "--parameters",
        metavar="NAME=VALUE",
        nargs="*",
        type=_parameter,
        default=[],
        help="with --url: the parameters of the deployment, such as JwtIssuer=... JwtAudience=... ServiceCallers=...",
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

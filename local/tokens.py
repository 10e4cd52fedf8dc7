"""Bearer tokens that the local gateway accepts. `python -m local.tokens USER [SCOPE] [CLAIMS]` prints one."""

import argparse
import json
import os
import sys
import time
import uuid
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, cast

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from local import issuers
from local.template import Template
from ops.command import given, run

ISSUER = "https://tasks.local"
AUDIENCE = "tasks-local"
# The subject of a service.
SERVICE = "service"
# The parameters of template.yaml with which the API accepts these tokens.
PARAMETERS = {"JwtIssuer": ISSUER, "JwtAudience": AUDIENCE, "ServiceCallers": SERVICE}
HOME = Path(__file__).parent.parent / ".local"
_KEY = HOME / "jwt-key.pem"
_TWELVE_HOURS = 12 * 3600


def make_token(user: str, /, scope: str = "", expires_in: float = _TWELVE_HOURS, **claims: object) -> str:
    """Return a token with the claims of a Cognito access token. `claims` overrides them; None removes a claim."""
    now = int(time.time())
    all_claims = {
        "sub": user,
        "username": user,
        "iss": ISSUER,
        "client_id": AUDIENCE,
        "token_use": "access",
        "scope": scope,
        "iat": now,
        "exp": int(now + expires_in),
        "jti": str(uuid.uuid4()),
        **claims,
    }
    present = {name: value for name, value in all_claims.items() if value is not None}
    return jwt.encode(present, _key(), algorithm="RS256", headers={"kid": "local"})


def user_token(user: str) -> str:
    """Return a token for `make run`: if it has tenants (TENANT_CLAIM), of the tenant `local`."""
    claim = os.environ.get("TENANT_CLAIM")
    claims: dict[str, Any] = {claim: "local"} if claim else {}
    return make_token(user, **claims)


def verify(token: str, template: Template) -> dict[str, object]:
    """Verify a token as the JWT authorizer of an HTTP API does, and return its claims. Raises jwt.InvalidTokenError."""
    claims: dict[str, object] = jwt.decode(
        token,
        public_key() if template.issuer == ISSUER else issuers.key_of(token, template.issuer),
        algorithms=["RS256"],
        issuer=template.issuer,
        # An HTTP API does not check sub and jti. It checks the audience in its own way, as below.
        options={"require": ["exp", "iss"], "verify_aud": False, "verify_sub": False, "verify_jti": False},
    )
    audience = claims.get("aud", claims.get("client_id"))
    if not any(one in template.audiences for one in (audience if isinstance(audience, list) else [audience])):
        raise jwt.InvalidAudienceError("the audience is not accepted")
    return claims


def public_key() -> rsa.RSAPublicKey:
    """Return the key that verifies these tokens."""
    return _key().public_key()


@cache
def _key() -> rsa.RSAPrivateKey:
    """Return the signing key. The first call creates it."""
    if not _KEY.exists():
        HOME.mkdir(exist_ok=True)
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        temporary = _KEY.with_suffix(f".{uuid.uuid4()}")
        temporary.touch(mode=0o600)
        temporary.write_bytes(pem)
        try:
            # If two processes start at once, both must use the key of the first.
            _KEY.hardlink_to(temporary)
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    return cast("rsa.RSAPrivateKey", serialization.load_pem_private_key(_KEY.read_bytes(), password=None))


def main(arguments: list[str]) -> int:
    """Print a token, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m local.tokens", description="Print a bearer token that the local gateway accepts."
    )
    parser.add_argument("user", metavar="USER", type=given, help="the user id, which becomes the claim sub")
    parser.add_argument("scope", metavar="SCOPE", nargs="?", default="", help="such as tasks/service")
    parser.add_argument("claims", metavar="CLAIMS", nargs="?", type=_claims, default={}, help="further claims, as JSON")
    options = parser.parse_args(arguments)
    return run(lambda _: make_token(options.user, **{"scope": options.scope, **options.claims}))


def _claims(text: str) -> dict[str, Any]:
    """Parse an object of claims, for argparse. PyJWT writes only texts as the issuer."""
    with suppress(ValueError, RecursionError):
        claims = json.loads(text or "{}")
        if isinstance(claims, dict) and "expires_in" not in claims and isinstance(claims.get("iss") or "", str):
            return claims
    raise argparse.ArgumentTypeError('must be a JSON object of claims, such as {"tenant": "acme"}')


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

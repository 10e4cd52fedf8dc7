"""Bearer tokens that the local gateway accepts. `python -m local.tokens USER [SCOPE]` prints one."""

import sys
import time
import uuid
from functools import cache
from pathlib import Path
from typing import cast

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from local.template import Template

ISSUER = "https://tasks.local"
AUDIENCE = "tasks-local"
HOME = Path(__file__).parent.parent / ".local"
_KEY = HOME / "jwt-key.pem"
_TWELVE_HOURS = 12 * 3600


def make_token(user: str, scope: str = "", expires_in: float = _TWELVE_HOURS, **claims: object) -> str:
    """A token with the claims of a Cognito access token; `claims` replace or add, and None leaves one out."""
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


def verify(token: str, template: Template) -> dict[str, object]:
    """The claims of a token, checked as an HTTP API's JWT authorizer does. Raises jwt.InvalidTokenError."""
    claims: dict[str, object] = jwt.decode(
        token,
        _key().public_key(),
        algorithms=["RS256"],
        issuer=template.issuer,
        # An HTTP API judges neither sub nor jti, and audiences in a way of its own.
        options={"require": ["exp", "iss"], "verify_aud": False, "verify_sub": False, "verify_jti": False},
    )
    audience = claims.get("aud", claims.get("client_id"))
    if not any(one in template.audiences for one in (audience if isinstance(audience, list) else [audience])):
        raise jwt.InvalidAudienceError("none of the audiences")
    return claims


@cache
def _key() -> rsa.RSAPrivateKey:
    """The key that signs, made when it is first asked for."""
    if not _KEY.exists():
        HOME.mkdir(exist_ok=True)
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        own = _KEY.with_suffix(f".{uuid.uuid4()}")
        own.touch(mode=0o600)
        own.write_bytes(pem)
        try:
            # Of two processes that start at once, the first to come this far makes the key of both.
            _KEY.hardlink_to(own)
        except FileExistsError:
            pass
        finally:
            own.unlink()
    return cast("rsa.RSAPrivateKey", serialization.load_pem_private_key(_KEY.read_bytes(), password=None))


def main(arguments: list[str]) -> int:
    """Print a token for a user."""
    user, scope = (*arguments, "", "")[:2]
    if not user:
        sys.stderr.write("Usage: python -m local.tokens USER [SCOPE]\n")
        return 2
    sys.stdout.write(make_token(user, scope) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The public keys of an OpenID Connect provider, with which the local gateway verifies tokens as API Gateway does."""

import json
import sys
from functools import cache
from typing import Any
from urllib.request import urlopen

import jwt

_SECONDS = 5.0
# Tokens with invented key ids must not become a flood of requests to the provider.
_COOLDOWN = 2.0


class Keys(jwt.PyJWKClient):
    """The keys of an issuer. They are read again after five minutes, and when a token names an unknown key."""

    def __init__(self, issuer: str) -> None:
        # RFC 8414 and OpenID Connect Discovery: a slash at the end of the issuer is not doubled.
        self._discovery = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
        super().__init__(self._discovery, timeout=_SECONDS, cooldown_duration=_COOLDOWN)

    def fetch_data(self) -> Any:
        """Read the discovery document, and the keys at the place that it names."""
        try:
            with urlopen(self._discovery, timeout=_SECONDS) as response:  # noqa: S310 - PyJWKClient has checked it
                self.uri = json.load(response)["jwks_uri"]
            return super().fetch_data()
        except (OSError, ValueError, KeyError, TypeError, jwt.PyJWTError) as error:
            sys.stderr.write(f"The keys of the issuer cannot be read from {self._discovery}: {error!r}\n")
            raise jwt.InvalidTokenError("the keys of the issuer cannot be read") from error


def key_of(token: str, issuer: str) -> jwt.PyJWK:
    """Return the key that a token names. Raises jwt.InvalidTokenError if the issuer does not publish it now."""
    try:
        return _keys(issuer).get_signing_key_from_jwt(token)
    except jwt.PyJWKClientError as error:
        raise jwt.InvalidTokenError(str(error)) from error


@cache
def _keys(issuer: str) -> Keys:
    return Keys(issuer)

"""Identifies the caller, and the user whose tasks the request addresses."""

import re
from collections.abc import Mapping
from urllib.parse import quote

from shared.http import problems

ME = "me"

# Every subject that OpenID Connect Core 1.0, section 2, allows, if its characters are printable.
USER_ID = re.compile(r"[ -~]{1,255}")


def actor_of(claims: Mapping[str, str]) -> str:
    """Return the user id of the caller: the subject of a verified access token.

    Raises a 401 problem if there is no subject. Raises a 403 problem if the token is not an access token (Cognito's ID
    tokens have `token_use: id`), or if the subject is not 1 to 255 printable ASCII characters.
    """
    actor = claims.get("sub")
    if not actor:
        raise problems.no_identity()
    if claims.get("token_use", "access") != "access":
        raise problems.forbidden("This token is not an access token. Send an access token.")
    if not USER_ID.fullmatch(actor):
        raise problems.forbidden("The subject of this token must be 1 to 255 printable ASCII characters.")
    return actor


def addressed_user(actor: str, claims: Mapping[str, str], path_user: str, service_scope: str) -> str:
    """Return the user whose tasks the path addresses. `me` is the caller.

    Raises a 403 problem if this is another user and the token does not have the service scope. The problem is the same
    whether or not the other user exists, and whether or not the id is valid.
    """
    if path_user in (ME, actor):
        return actor
    if service_scope not in _scopes(claims):
        raise problems.forbidden(
            "This token does not give access to the tasks of this user. Use your own user id, or me, in the path."
        )
    if not USER_ID.fullmatch(path_user):
        detail = "The user id in the path must be 1 to 255 printable ASCII characters."
        raise problems.bad_request("bad-user-id", detail)
    return path_user


def require_service_scope(claims: Mapping[str, str], service_scope: str) -> None:
    """Raise a 403 problem if the token does not have the service scope."""
    if service_scope not in _scopes(claims):
        raise problems.forbidden("This request needs a token with the service scope.")


def path_segment(user_id: str, path_user: str) -> str:
    """Return the `{user_id}` for links, percent-encoded. `path_user` is the `{user_id}` of the request.

    If the request used `me`, links use `me` for ids that a path cannot carry: API Gateway decodes the path before it
    selects a route, clients remove the segments `.` and `..` (RFC 3986, section 5.2.4), and `me` means the caller.
    """
    if path_user == ME and (user_id in {".", "..", ME} or not {"/", "?", "#", "%"}.isdisjoint(user_id)):
        return ME
    return quote(user_id, safe="")


def _scopes(claims: Mapping[str, str]) -> set[str]:
    values = (claims.get(claim, "") for claim in ("scope", "scp"))
    # API Gateway converts a claim that is an array, such as the scp of some issuers, to the string "[a b]".
    lists = (value[1:-1] if value[:1] + value[-1:] == "[]" else value for value in values)
    return {scope for value in lists for scope in value.split(" ") if scope}

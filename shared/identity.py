"""Who calls, and whose tasks the request addresses."""

import re
from collections.abc import Mapping

from shared import problems

ME = "me"

# Covers Cognito's UUIDs, Auth0's `auth0|abc` and e-mail-like subjects. Excluded is whatever has a meaning
# in a URL (/ ? # %), in our keys (#) or in a path (a leading dot).
USER_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._~@|:+='-]{0,127}")


def actor_of(claims: Mapping[str, str]) -> str:
    """The user id of the caller: the subject of a verified access token.

    Raises a 401 problem without a subject, and a 403 problem for a token that is no access token (Cognito's ID
    tokens say `token_use: id`) or whose subject is no user id.
    """
    actor = claims.get("sub")
    if not actor:
        raise problems.no_identity()
    if claims.get("token_use", "access") != "access":
        raise problems.forbidden("Send an access token; this one is for another use.")
    if not USER_ID.fullmatch(actor):
        raise problems.forbidden("The subject of this token is not a user id that this API serves.")
    return actor


def addressed_user(actor: str, claims: Mapping[str, str], path_user: str, service_scope: str) -> str:
    """The user whose tasks the path names; `me` is the caller.

    Raises a 403 problem when that is someone else, unless the token carries the service scope. The answer is the
    same whether or not the other user exists, and whether or not the id could be one.
    """
    if path_user in (ME, actor):
        return actor
    if service_scope not in _scopes(claims):
        raise problems.forbidden("This token gives no access to the tasks of this user.")
    if not USER_ID.fullmatch(path_user):
        raise problems.bad_request("bad-user-id", f"The user id in the path must match {USER_ID.pattern}.")
    return path_user


def _scopes(claims: Mapping[str, str]) -> set[str]:
    values = (claims.get(claim, "") for claim in ("scope", "scp"))
    # API Gateway writes a claim that is an array, as some issuers' scp, as "[a b]".
    lists = (value[1:-1] if value[:1] + value[-1:] == "[]" else value for value in values)
    return {scope for value in lists for scope in value.split(" ") if scope}

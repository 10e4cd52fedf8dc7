"""Who calls, and whose tasks the request addresses."""

import re
from collections.abc import Mapping
from urllib.parse import quote

from shared.http import problems

ME = "me"

# Every subject that an issuer may give (OpenID Connect Core 1.0, section 2), in printable characters.
USER_ID = re.compile(r"[ -~]{1,255}")


def actor_of(claims: Mapping[str, str]) -> str:
    """The user id of the caller: the subject of a verified access token.

    Raises a 401 problem without a subject, and a 403 problem for a token that is no access token (Cognito's ID
    tokens say `token_use: id`) or whose subject is not 1 to 255 printable ASCII characters.
    """
    actor = claims.get("sub")
    if not actor:
        raise problems.no_identity()
    if claims.get("token_use", "access") != "access":
        raise problems.forbidden("Send an access token; this one is for another use.")
    if not USER_ID.fullmatch(actor):
        raise problems.forbidden("The subject of this token must be 1 to 255 printable ASCII characters.")
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
        detail = "The user id in the path must be 1 to 255 printable ASCII characters."
        raise problems.bad_request("bad-user-id", detail)
    return path_user


def path_segment(user_id: str, path_user: str) -> str:
    """The `{user_id}` of links, percent-encoded, for a caller that used `path_user`.

    A caller that used `me` gets `me` where a path cannot carry the id itself: API Gateway decodes a path before it
    chooses a route, clients remove dots (RFC 3986, section 5.2.4), and `me` is the caller.
    """
    if path_user == ME and (user_id in {".", "..", ME} or not {"/", "?", "#", "%"}.isdisjoint(user_id)):
        return ME
    return quote(user_id, safe="")


def _scopes(claims: Mapping[str, str]) -> set[str]:
    values = (claims.get(claim, "") for claim in ("scope", "scp"))
    # API Gateway writes a claim that is an array, as some issuers' scp, as "[a b]".
    lists = (value[1:-1] if value[:1] + value[-1:] == "[]" else value for value in values)
    return {scope for value in lists for scope in value.split(" ") if scope}

"""Identifies the caller, and the user whose tasks the request addresses."""

from collections.abc import Mapping

from shared.fields import USER_ID
from shared.http import problems

ME = "me"

# API Gateway converts claims to text in the format of Go: null to this text, arrays to "[a b]", objects to "map[k:v]".
_NULL = "<nil>"
_OBJECT = "map["


def actor_of(claims: Mapping[str, str]) -> str:
    """Return the user id of the caller: the subject of a verified access token.

    Raises a 401 problem if there is no subject. Raises a 403 problem if the token is not an access token (Cognito's ID
    tokens have `token_use: id`), or if the subject is not 1 to 255 printable ASCII characters.
    """
    actor = claims.get("sub")
    if not actor or actor == _NULL:
        raise problems.no_identity()
    if claims.get("token_use", "access") != "access":
        raise problems.forbidden("This token is not an access token. Send an access token.")
    if not USER_ID.fullmatch(actor):
        raise problems.forbidden("The subject of this token must be 1 to 255 printable ASCII characters.")
    return actor


def tenant_of(claims: Mapping[str, str], claim: str) -> str:
    """Return the tenant of the caller, or the empty string if the deployment has no tenants: `claim` is then empty.

    Raises a 403 problem if the claim is missing, is null, an array or an object, or is not 1 to 255 printable ASCII
    characters. The text of an object changes with each of its members, so it does not name a tenant.
    """
    if not claim:
        return ""
    tenant = claims.get(claim, "")
    if not USER_ID.fullmatch(tenant) or tenant == _NULL or _is_array(tenant) or tenant.startswith(_OBJECT):
        raise problems.no_tenant()
    return tenant


def is_service(claims: Mapping[str, str], service_scope: str, *, named: bool) -> bool:
    """Return whether the caller may act for every user: it is `named` as a service, and its token has the scope.

    Raises a 403 problem if the token has the scope, but the caller is not named. Many issuers give a scope to every
    user whose application asks for it, so the scope alone proves nothing.
    """
    has_scope = service_scope in _scopes(claims)
    if has_scope and not named:
        raise problems.unnamed_service()
    return has_scope


def addressed_user(
    actor: str, claims: Mapping[str, str], path_user: str, spaces_claim: str, *, may_act_for_all: bool
) -> str:
    """Return the user whose tasks the path addresses. `me` is the caller.

    The caller may use the user ids that the claim `spaces_claim` lists, and a service those of all users. Raises a 403
    problem for any other user. The problem is the same whether or not the other user exists, and whether or not the id
    is valid.
    """
    if path_user in (ME, actor):
        return actor
    if spaces_claim and path_user in _spaces(claims.get(spaces_claim, "")):
        return path_user
    if not may_act_for_all:
        raise problems.forbidden(
            "This token does not give access to the tasks of this user. Use your own user id, or me, in the path."
        )
    if not USER_ID.fullmatch(path_user):
        detail = "The user id in the path must be 1 to 255 printable ASCII characters."
        raise problems.bad_request("bad-user-id", detail)
    return path_user


def _is_array(value: str) -> bool:
    """Whether the value of a claim is an array, which API Gateway converts to a string such as "[a b]"."""
    return value[:1] + value[-1:] == "[]"


def _spaces(value: str) -> set[str]:
    """The user ids in the value of a claim: an array, or one string with commas. An id with a blank is not usable.

    An object, or an array that contains one, null or another array, lists nobody: its parts could look like ids.
    """
    if _OBJECT in value or _NULL in value or "[" in value[1:] or "]" in value[:-1]:
        return set()
    ids = value[1:-1].split(" ") if _is_array(value) else value.split(",")
    return {one for one in ids if USER_ID.fullmatch(one) and " " not in one and one != ME}


def _scopes(claims: Mapping[str, str]) -> set[str]:
    """The scopes of a token. Entra ID gives an application `roles` instead, which an administrator assigns."""
    values = (claims.get(claim, "") for claim in ("scope", "scp", "roles"))
    lists = (value[1:-1] if _is_array(value) else value for value in values if _OBJECT not in value)
    return {scope for value in lists for scope in value.split(" ") if scope}

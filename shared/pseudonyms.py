"""Pseudonyms: the names of users in logs and events, which do not show the user ids."""

import hmac
import os
from functools import lru_cache


@lru_cache(256)
def pseudonym(user_id: str, tenant: str = "") -> str:
    """Return the pseudonym of a user in this stack. The pseudonym of nobody, the empty user id, is empty."""
    return pseudonym_in(os.environ["STACK_ID"], user_id, tenant)


def pseudonym_in(stack_id: str, user_id: str, tenant: str = "") -> str:
    """Return the pseudonym of a user in a stack: the first 16 hexadecimal digits of an HMAC-SHA-256 (RFC 2104).

    The key is the id of the stack, and the message is the user id; in a tenant, the tenant, a tab and the user id.

    User ids can be email addresses. A hash without a key can be reversed by trying all addresses. Nobody can do this
    with logs that left the account. A reader of the account can, because the id of the stack is no secret there.
    """
    name = f"{tenant}\t{user_id}" if tenant else user_id
    message = name.encode(errors="surrogatepass")
    return hmac.digest(stack_id.encode(), message, "sha256").hex()[:16] if user_id else ""

"""SnapStart: prepares a function before Lambda takes its snapshot, and renews state after each restore.

A snapshot must not contain credentials: they may have expired when it is restored. It must not determine the state of
the random generator, because all copies would then produce the same numbers. Ids and tokens do not have this problem:
they use the random numbers of the operating system.
"""

import importlib
import os
import random
from contextlib import suppress

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders

from shared.store import dynamodb


def prepare() -> None:
    """Make the DynamoDB client and a connection at the start of a function. For a snapshot, register hooks instead.

    Lambda's runtime contains the package `snapshot_restore_py`. Without it, the first request after a restore makes
    the client.
    """
    kind = os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE")
    if kind == "snap-start":
        with suppress(ModuleNotFoundError):
            hooks = importlib.import_module("snapshot_restore_py")
            hooks.register_before_snapshot(prime)
            hooks.register_after_restore(renew)
    elif kind is not None:  # on Lambda
        dynamodb.connect()


def prime() -> None:
    """Build and sign a request and parse a response, without sending anything, so that this code is loaded."""
    client = dynamodb.new_client(credentials=("primer", "primer"))
    client.meta.events.register("before-send.dynamodb", _empty_response)  # type: ignore[arg-type]  # the stubs allow None only
    client.get_item(TableName="primer", Key={"pk": {"S": "primer"}, "sk": {"S": "primer"}})


def renew() -> None:
    """Seed the random generator, and make a client, which loads current credentials, and a connection."""
    random.seed()
    dynamodb.connect()


class _EmptyBody:
    @staticmethod
    def stream() -> list[bytes]:
        return [b"{}"]


def _empty_response(request: AWSPreparedRequest, **_: object) -> AWSResponse:
    return AWSResponse(request.url, 200, HTTPHeaders(), _EmptyBody())

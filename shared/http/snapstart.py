"""SnapStart: what a function makes ready before Lambda takes its snapshot, and renews in each copy of it.

A snapshot holds no credentials, since a copy may begin long after they have expired, and no state of a random
generator, which all copies would go on from alike. What needs unguessable or unique values - ids, tokens - takes them
from the operating system each time, and is not concerned.
"""

import importlib
import os
import random

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders

from shared.store import dynamodb


def prepare() -> None:
    """Make the client while the function starts; where it starts for a snapshot, only what each copy can share.

    Lambda brings the package that takes the hooks. Without it the first request after a restore makes the client.
    """
    if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") != "snap-start":
        dynamodb.client()
        return
    try:
        hooks = importlib.import_module("snapshot_restore_py")
    except ModuleNotFoundError:
        return
    hooks.register_before_snapshot(prime)
    hooks.register_after_restore(renew)


def prime() -> None:
    """Go once through all that a request takes - building, signing, reading its answer - and send nothing."""
    client = dynamodb.new_client(credentials=("primer", "primer"))
    client.meta.events.register("before-send.dynamodb", _nothing)  # type: ignore[arg-type]  # it takes an answer too
    client.get_item(TableName="primer", Key={"pk": {"S": "primer"}, "sk": {"S": "primer"}})


def renew() -> None:
    """Make this copy's own client, with its own credentials, and its own random numbers."""
    random.seed()
    dynamodb.client()


class _Empty:
    @staticmethod
    def stream() -> list[bytes]:
        return [b"{}"]


def _nothing(request: AWSPreparedRequest, **_: object) -> AWSResponse:
    return AWSResponse(request.url, 200, HTTPHeaders(), _Empty())

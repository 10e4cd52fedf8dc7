"""The DynamoDB engines for development and tests: moto in this process, and DynamoDB Local. Each is an endpoint URL."""

import base64
import copy
import fcntl
import hashlib
import logging
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import cache
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from werkzeug.serving import make_server

from local.serving import running
from local.template import Template

# An npm package that contains AWS's DynamoDB Local. Its licence forbids redistribution, so it is not committed.
_PACKAGE = "amplify-dynamodb-simulator"
_VERSION = "2.9.30"
_SHA512 = "xTeeRLvzEfqyd5lh3bH4c0kHvSHHmmhD5ZDsHFKAQ5g2Zl6JqlFdutaQhCLHzxEp6Ry1o7TB6niIoXuQAnSewQ=="
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / f"dynamodb-local-{_VERSION}"
# The shell stops Java when its standard input is closed, even if this process is killed. The shell ends when Java ends.
_JAVA = (
    'exec 3<&0; java "$@" <&- 3<&- & java=$!; (read -r _ <&3; kill $java) 2>&- & '
    'wait $java; kill $! 2>&-; rm -rf "$SCRATCH"'
)
_START_SECONDS = 30
# A server that was killed needs a moment to release its lock.
_LOCK_SECONDS = 2
# Moto loses updates if two threads call it at once, also through two servers.
_MOTO = threading.Lock()


@contextmanager
def moto(port: int = 0, address: str = "127.0.0.1") -> Iterator[str]:
    """Start moto's server in this process and yield its URL. All servers in one process share the same tables."""
    # Imported here because the import is slow and DynamoDB Local does not need it.
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app  # noqa: PLC0415

    _patch_moto()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app = DomainDispatcherApplication(create_backend_app)

    def serialized(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        with _MOTO:
            return list(app(environ, start_response))

    with running(make_server(address, port, serialized, threaded=True)) as url:
        yield url


@cache
def _patch_moto() -> None:
    from moto.dynamodb import responses  # noqa: PLC0415
    from moto.dynamodb.models import DynamoDBBackend  # noqa: PLC0415
    from moto.dynamodb.models.table import Table  # noqa: PLC0415

    # Moto still allows only 25 items in a transaction. A full batch also reads its idempotency record.
    responses.TRANSACTION_MAX_ITEMS = 100
    Table.__deepcopy__ = _shallow_copy  # type: ignore[attr-defined]
    original = DynamoDBBackend.transact_write_items

    def transact_write_items(backend: Any, parts: Any) -> None:
        """Keep the stream as it was if the transaction fails.

        DynamoDBBackend.transact_write_items replaces the table by a copy that it made before. If the copy had a stream
        of its own, an iterator would stay on the old one and read the records of the failed transaction. The next
        records get the same sequence numbers, and a reader that continues behind these numbers would miss them.
        """
        shards = [table.stream_shard for table in backend.tables.values() if table.stream_shard is not None]
        lengths = [len(shard.items) for shard in shards]
        try:
            original(backend, parts)
        except Exception:
            for shard, length in zip(shards, lengths, strict=True):
                del shard.items[length:]  # nobody has read them, because of the lock
            raise

    DynamoDBBackend.transact_write_items = transact_write_items  # type: ignore[assignment,method-assign]


def _shallow_copy(table: Any, _: dict[int, Any]) -> Any:
    """Copy a table without copying its items.

    For a rollback, moto makes a deep copy of the table for each part of a transaction: 25 copies for a batch. A shallow
    copy is enough, because our transactions replace whole items and never change one in place. It has the same stream.
    """
    copied = copy.copy(table)
    copied.items = defaultdict(dict, {key: copy.copy(items) for key, items in table.items.items()})
    return copied


def missing_for_dynamodb_local() -> str | None:
    """Return a message that names the missing tools that DynamoDB Local needs, or None if all are installed."""
    missing = [tool for tool in ("java", *(() if _CACHE.exists() else ("npm",))) if not shutil.which(tool)]
    return f"DynamoDB Local needs {' and '.join(missing)} on the PATH" if missing else None


@contextmanager
def dynamodb_local(data: Path | None) -> Iterator[str]:
    """Start DynamoDB Local, in memory or with its data in a folder, and yield its URL.

    Raises ValueError if another process uses the folder.
    """
    with nullcontext() if data is None else _lock(data):
        yield from _run_dynamodb_local(["-inMemory"] if data is None else ["-dbPath", str(data.resolve())])


@contextmanager
def _lock(data: Path) -> Iterator[None]:
    """Lock a folder for this process: two DynamoDB Locals on one folder refuse many of each other's writes."""
    data.mkdir(parents=True, exist_ok=True)
    with (data / "lock").open("w") as lock:
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise ValueError(
                        f"Another server uses the data in {data}. Stop it, or send your requests to it"
                    ) from None
                time.sleep(0.05)
        yield


def _run_dynamodb_local(where: Sequence[str]) -> Iterator[str]:
    emulator, port = _emulator(), _free_port()
    # It unpacks a library at every start and does not delete it.
    scratch = tempfile.mkdtemp(prefix="dynamodb-local-")
    # It lives for minutes: a quick start matters more than the best machine code. Tests take a quarter less CPU time.
    arguments = [
        "-Xmx512m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        f"-Djava.io.tmpdir={scratch}",
        "-Djava.library.path=./DynamoDBLocal_lib",
    ]
    arguments += ["-jar", "DynamoDBLocal.jar", "-sharedDb", "-disableTelemetry", "-port", str(port), *where]
    printed = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
    process = subprocess.Popen(
        ["sh", "-c", _JAVA, "sh", *arguments],
        cwd=emulator,
        env={**os.environ, "SCRATCH": scratch},
        stdin=subprocess.PIPE,
        stdout=printed,
        stderr=printed,
        start_new_session=True,  # Ctrl-C must not reach Java, which would stop too early
    )
    try:
        if not _listens(port, process):
            printed.seek(0)
            said = printed.read().decode(errors="replace").strip()[-2000:]
            raise RuntimeError(f"DynamoDB Local did not start: {said or 'it printed nothing'}")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.communicate()
        printed.close()


def create_tables(template: Template, url: str) -> None:
    """Create the template's tables at an endpoint. A table that exists is not changed.

    Raises ValueError if an existing table has different indexes: a local index cannot be added to a table.
    """
    config = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 2})
    client: Any = boto3.client("dynamodb", endpoint_url=url, config=config)
    for table in template.tables:
        name = table.arguments["TableName"]
        try:
            client.create_table(**table.arguments)
        except client.exceptions.ResourceInUseException:
            existing = client.describe_table(TableName=name)["Table"]
            if _indexes(existing) != _indexes(table.arguments):
                raise ValueError(
                    f"The table {name} at {url} was made by another release: its indexes differ. Delete the table. For "
                    "DYNAMODB=local, delete the folder .local/dynamodb."
                ) from None
            continue
        client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1})
        if table.ttl:
            ttl = {"AttributeName": table.ttl, "Enabled": True}
            client.update_time_to_live(TableName=name, TimeToLiveSpecification=ttl)


def _indexes(table: Mapping[str, Any]) -> set[str]:
    return {index["IndexName"] for index in table.get("LocalSecondaryIndexes", ())}


def _emulator() -> Path:
    """Return the folder of DynamoDB Local, and download it if it is not in the cache."""
    if not _CACHE.exists():
        _CACHE.parent.mkdir(parents=True, exist_ok=True)
        sys.stderr.write(f"Downloading DynamoDB Local (56 MB) into {_CACHE}, for this machine only once\n")
        with tempfile.TemporaryDirectory(dir=_CACHE.parent) as work:
            pack = ["npm", "pack", "--silent", f"{_PACKAGE}@{_VERSION}"]
            if subprocess.run(pack, cwd=work, check=False, stdout=subprocess.DEVNULL).returncode:
                raise RuntimeError(f"npm could not download {_PACKAGE} {_VERSION}")
            (archive,) = Path(work).glob("*.tgz")
            digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
            if digest != _SHA512:
                raise RuntimeError(f"{_PACKAGE} {_VERSION} does not have the expected SHA-512 hash")
            with tarfile.open(archive) as tar:
                members = [m for m in tar.getmembers() if m.name.startswith("package/emulator/")]
                tar.extractall(work, members, filter="data")
            with suppress(OSError):  # another process has downloaded it meanwhile
                (Path(work) / "package" / "emulator").rename(_CACHE)
    return _CACHE


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _listens(port: int, process: subprocess.Popen[bytes]) -> bool:
    """Wait until a process listens. Return False if it ends before, or does not within _START_SECONDS."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
        time.sleep(0.05)
    return False

"""Mutants of `shared/`: small ways to be wrong, each of which must turn a test red. `make mutants` tries them all.

A mutant is tried on the unit tests first, and on the slower suites only if it survives them, the likelier one first.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent
UNIT = ["tests/unit", "-n0"]
STORED = [
    *("tests/faults", "tests/integration", "-n2"),
    # `make run` is no judge: it needs a whole clone, and would be red in a copy. The others are about tools/.
    *(f"--ignore=tests/integration/test_{name}.py" for name in ("make_run", "migrate", "restore")),
]
SHOWN = ["tests/contract", "tests/isolation", "-n2"]
# Where mutants are found by what is stored rather than by what is shown.
OF_THE_STORE = {"dynamodb.py", "expressions.py", "items.py", "snapstart.py", "task_store.py", "upgrades.py", "wire.py"}


class Mutant(NamedTuple):
    """A way to be wrong: in a file, one text instead of another."""

    name: str
    file: str
    text: str
    instead: str


MUTANTS = [
    Mutant("no path check", "identity.py", "service_scope not in _scopes(claims):", "False:"),
    Mutant(
        "path check ignores case",
        "identity.py",
        "if path_user in (ME, actor):",
        "if path_user.lower() in (ME, actor.lower()):",
    ),
    Mutant(
        "path check strips blanks",
        "identity.py",
        "if path_user in (ME, actor):",
        "if path_user.strip() in (ME, actor):",
    ),
    Mutant("token_use not read", "identity.py", 'if claims.get("token_use", "access") != "access":', "if False:"),
    Mutant(
        "swap status keys",
        "items.py",
        'text(f"{status}#{_NO_DUE_DATE}#{task_id}")',
        'text(f"{other}#{_NO_DUE_DATE}#{task_id}")',
    ),
    Mutant(
        "toggle keeps the status key",
        "expressions.py",
        '_SWAP_STATUS: Final = ("#by_status = #other_status", "#other_status = #by_status", ',
        '_SWAP_STATUS: Final = ("#by_status = #by_status", "#other_status = #other_status", ',
    ),
    Mutant("no-store on GET", "operation.py", '"Cache-Control": "private, no-cache"', '"Cache-Control": "no-store"'),
    Mutant("no Cache-Control by default", "operation.py", '                "Cache-Control": "no-store",\n', ""),
    Mutant(
        "no Accept-Patch",
        "bodies.py",
        '{"Accept-Patch": ", ".join(wanted)} if _MERGE_PATCH in wanted else {}',
        "{}",
    ),
    Mutant(
        "Accept-Patch everywhere",
        "bodies.py",
        '{"Accept-Patch": ", ".join(wanted)} if _MERGE_PATCH in wanted else {}',
        '{"Accept-Patch": ", ".join(wanted)}',
    ),
    Mutant("duplicate keys pass", "bodies.py", "if len(value) < len(pairs):", "if False:"),
    Mutant("NaN passes", "bodies.py", ", parse_constant=_no_constant", ""),
    Mutant("surrogates pass", "bodies.py", 'if "\\\\u" in text:', "if False:"),
    Mutant("no NFC", "models.py", 'text = unicodedata.normalize("NFC", text)\n', "pass\n"),
    Mutant("NFKC", "models.py", '"NFC", text', '"NFKC", text'),
    Mutant("NUL passes", "models.py", 'if "\\0" in text:', "if False:"),
    Mutant("blank passes", "models.py", "if not text.strip():", "if not text:"),
    Mutant(
        "lax types",
        "models.py",
        'ConfigDict(strict=True, extra="forbid", frozen=True)',
        'ConfigDict(extra="forbid", frozen=True)',
    ),
    Mutant(
        "unknown fields pass",
        "models.py",
        'ConfigDict(strict=True, extra="forbid", frozen=True)',
        'ConfigDict(strict=True, extra="ignore", frozen=True)',
    ),
    Mutant("limit off by one", "bodies.py", "if len(raw) > LIMIT:", "if len(raw) >= LIMIT:"),
    Mutant("page size 101", "models.py", "PAGE_LIMIT = 100", "PAGE_LIMIT = 101"),
    Mutant("page size of changes 501", "models.py", "CHANGES_LIMIT = 500", "CHANGES_LIMIT = 501"),
    Mutant("501 cleared", "task_store.py", "MOST_CLEARED = 500", "MOST_CLEARED = 501"),
    Mutant("weak If-Match matches", "preconditions.py", "    if weak:\n", "    if True:\n"),
    Mutant(
        "If-None-Match star ignored on writes",
        "preconditions.py",
        '    if unwanted == "*":\n        return Precondition(wanted=frozenset())\n',
        '    if unwanted == "*":\n        return ANY_VERSION\n',
    ),
    Mutant("any representation matches", "preconditions.py", '{{0,14}})-{REPRESENTATION}"', '{{0,14}})-[0-9]+"'),
    Mutant(
        "cursor without user",
        "task_store.py",
        "scope = (self._user_id, query.status, query.order)",
        "scope = ('', query.status, query.order)",
    ),
    Mutant(
        "cursor without order",
        "task_store.py",
        "scope = (self._user_id, query.status, query.order)",
        "scope = (self._user_id, query.status)",
    ),
    Mutant("position unchecked", "expressions.py", "if not which.position.fullmatch(position):", "if False:"),
    Mutant("cursor spelling unchecked", "cursors.py", " or _base64(text.encode()) != cursor", ""),
    Mutant("link loses query", "operation.py", ".model_dump(exclude_unset=True)", ".model_dump(include={'cursor'})"),
    Mutant("location without quoting", "operation.py", "quote(user_id, safe='')", "user_id"),
    Mutant("nothing changed writes", "expressions.py", "if same:\n", "if False:\n"),
    Mutant(
        "condition not judged when nothing changes",
        "task_store.py",
        "            task = _allowed(items.to_task(_live(refused)), precondition)\n            guess",
        "            task = items.to_task(_live(refused))\n            guess",
    ),
    Mutant(
        "tombstones are shown for ever",
        "items.py",
        'return "expires_at" not in item or int(item["expires_at"]["N"]) * 1000 > now',
        "return True",
    ),
    Mutant("throttle not known", "dynamodb.py", '    "ThrottlingException": Failure.THROTTLED,\n', ""),
    Mutant("no Retry-After", "problems.py", 'headers={"Retry-After": str(retry_after)}', "headers={}"),
    Mutant(
        "500 tells",
        "operation.py",
        "            return problems.internal_error()",
        '            return problems.Problem(500, "internal-error", "x", repr(error))',
    ),
    Mutant(
        "correlation id unchecked",
        "operation.py",
        "correlation_id if CORRELATION_ID.fullmatch(correlation_id) else",
        "correlation_id if correlation_id else",
    ),
    Mutant(
        "body before identity",
        "operation.py",
        "    actor = identity.actor_of(claims)\n",
        "    bodies.raw_body(event)\n    actor = identity.actor_of(claims)\n",
    ),
    Mutant(
        "log has user",
        "telemetry.py",
        'return hashlib.sha256(user_id.encode(errors="surrogatepass")).hexdigest()[:16] if user_id else ""',
        "return user_id",
    ),
    Mutant(
        "query parameters ignored",
        "models.py",
        'ConfigDict(extra="forbid", frozen=True)',
        'ConfigDict(extra="ignore", frozen=True)',
    ),
    Mutant(
        "start key of another partition",
        "expressions.py",
        "{**key_of(self.user_id, position[-36:]), which.index",
        '{**key_of("x", position[-36:]), which.index',
    ),
    Mutant(
        "put_item may replace / user of item",
        "items.py",
        '"user_id": item["pk"]["S"].removeprefix("USER#")',
        '"user_id": "x"',
    ),
    Mutant("304 without ETag", "operation.py", "return Response(304, headers=headers)", "return Response(304)"),
    Mutant(
        "delete again is 404",
        "task_store.py",
        "            if not items.is_live(refused):\n                return refused\n",
        "            if not items.is_live(refused):\n                raise TaskNotFound\n",
    ),
    Mutant(
        "completed_at always",
        "items.py",
        '"completed_at": changed_at if completed else None',
        '"completed_at": changed_at',
    ),
    Mutant("seconds only", "models.py", "isoformat(timespec='milliseconds')", "isoformat(timespec='seconds')"),
    Mutant("log lines without the trace", "telemetry.py", "if trace := self._get_latest_trace_id():", "if False:"),
    Mutant("other log lines as those of requests", "telemetry.py", "if fields is None:", "if False:"),
    Mutant("pointer not escaped", "bodies.py", '.replace("~", "~0").replace("/", "~1")', ""),
    Mutant(
        "first fault only",
        "bodies.py",
        "for fault in error.errors()]) from None",
        "for fault in error.errors()[:1]]) from None",
    ),
    Mutant(
        "PUT keeps description",
        "models.py",
        '    description: Description | None\n    """',
        '    description: Description | None = None\n    """',
    ),
    Mutant("silent: no limit of sends", "dynamodb.py", "RESERVE = 4.5", "RESERVE = 0.0"),
    Mutant(
        "scope by substring",
        "identity.py",
        "service_scope not in _scopes(claims)",
        "service_scope not in str(_scopes(claims))",
    ),
    Mutant("scp not read", "identity.py", 'for claim in ("scope", "scp"))', 'for claim in ("scope",))'),
    Mutant(
        "half a bracket is stripped",
        "identity.py",
        'value[1:-1] if value[:1] + value[-1:] == "[]" else value',
        'value.strip("[]")',
    ),
    Mutant("an empty service scope serves", "identity.py", 'value.split(" ") if scope}', 'value.split(" ")}'),
    Mutant("read is eventually consistent", "expressions.py", '"ConsistentRead": True}', '"ConsistentRead": False}'),
    Mutant(
        "list is eventually consistent",
        "expressions.py",
        '            "ConsistentRead": True,\n            "ScanIndexForward"',
        '            "ConsistentRead": False,\n            "ScanIndexForward"',
    ),
    Mutant(
        "create overwrites",
        "expressions.py",
        '"ConditionExpression": "attribute_not_exists(#sk)",\n            "ExpressionAttributeNames": {"#sk": "sk"},\n',
        "",
    ),
    Mutant(
        "tombstones may be changed",
        "expressions.py",
        'state: str = "attribute_exists(#by_position)"',
        'state: str = "attribute_exists(#version)"',
    ),
    Mutant("a token is applied twice", "expressions.py", '            "NOT contains(#write_tokens, :token)",\n', ""),
    Mutant("memory may run over", "expressions.py", '            f"#write_times[{oldest}] < :since",\n', ""),
    Mutant("one write is remembered", "items.py", "REMEMBERED_WRITES = 4", "REMEMBERED_WRITES = 1"),
    Mutant("If-Match is not sent", "expressions.py", "if precondition.wanted is not None:", "if False:"),
    Mutant("If-None-Match is not sent", "expressions.py", "if precondition.unwanted:", "if False:"),
    Mutant("an update keeps its place in by_change", "expressions.py", '            "#by_change = :change",\n', ""),
    Mutant("an update keeps its version", "expressions.py", '            "#version = #version + :one",\n', ""),
    Mutant(
        "the guess is not checked", "expressions.py", 'conditions.append("begins_with(#by_status, :guess)")', "pass"
    ),
    Mutant("toggle keeps completed_at", "expressions.py", ', "#status_changed_at = :now")', ")"),
    Mutant("delete forgets the place", "expressions.py", '            "#live_position = #by_position",\n', ""),
    Mutant(
        "delete stays in lists",
        "expressions.py",
        '_Change(sets, ["#by_position"], conditions, values)',
        "_Change(sets, [], conditions, values)",
    ),
    Mutant("29 days", "items.py", "RETENTION_SECONDS = 30", "RETENTION_SECONDS = 29"),
    Mutant(
        "expires in milliseconds",
        "items.py",
        "return now // 1000 + RETENTION_SECONDS",
        "return now + RETENTION_SECONDS",
    ),
    Mutant("botocore retries", "dynamodb.py", '"total_max_attempts": 1', '"total_max_attempts": 3'),
    Mutant(
        "checksum is not checked",
        "wire.py",
        "(checksum is not None and int(checksum) != zlib.crc32(body))",
        "False",
    ),
    Mutant("garbled answers pass", "wire.py", 'body[:1] + body[-1:] != b"{}" or', "False or"),
    Mutant(
        "5xx is a defect",
        "dynamodb.py",
        "Failure.UNANSWERED if status >= 500 else None",
        "None if status >= 500 else None",
    ),
    Mutant(
        "time-out means not sent",
        "dynamodb.py",
        "_NOT_SENT = (EndpointConnectionError,",
        "_NOT_SENT = (HTTPClientError, EndpointConnectionError,",
    ),
    Mutant(
        "writes are never unsure",
        "dynamodb.py",
        "self.unsure |= self._writing and failure is Failure.UNANSWERED",
        "pass",
    ),
    Mutant("reads may be unsure", "dynamodb.py", "self.unsure |= self._writing and", "self.unsure |="),
    Mutant("six sends", "dynamodb.py", "MAX_FAILURES = 5", "MAX_FAILURES = 6"),
    Mutant(
        "no jitter bound",
        "dynamodb.py",
        "min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(count - 1, 10))",
        "FIRST_DELAY * 2 ** min(count - 1, 10)",
    ),
    Mutant(
        "a new token for each send",
        "task_store.py",
        "stamp = Stamp(token, now, since - CLOCK",
        "stamp = Stamp(secrets.token_urlsafe(8), now, since - CLOCK",
    ),
    Mutant(
        "a resend has the first time",
        "task_store.py",
        "stamp = Stamp(token, now, since",
        "stamp = Stamp(token, since, since",
    ),
    Mutant("clocks are trusted", "task_store.py", "since - CLOCK_SKEW if sends.unsure else since", "since"),
    Mutant(
        "own write is not found", "task_store.py", "if item is not None and items.remembers(item, stamp):", "if False:"
    ),
    Mutant(
        "forgotten is not applied",
        "task_store.py",
        "if item is not None and sends.unsure and items.has_forgotten(item, stamp):",
        "if False:",
    ),
    Mutant("wrong guess is kept", "task_store.py", "            guess = task.completed\n", ""),
    Mutant("trash can be read", "task_store.py", "if item is None or not items.is_live(item):", "if item is None:"),
    Mutant(
        "a lone status is guessed the same",
        "task_store.py",
        'guess = not changes["completed"] if',
        'guess = changes["completed"] if',
    ),
    Mutant("version is not judged", "task_store.py", "if not precondition.allows(task.version):", "if False:"),
    Mutant("ids do not sort", "uuid7.py", "fraction << 64", "0 << 64"),
    Mutant(
        "causes quote",
        "telemetry.py",
        'chain.append(f"{type(link).__name__}{code} at',
        'chain.append(f"{link}{code} at',
    ),
    Mutant("faults are not counted", "telemetry.py", "if record.problem is not None:", "if False:"),
    Mutant(
        "key: record may be overwritten",
        "expressions.py",
        '"attribute_not_exists(#sk) OR #expires_at <= :second"',
        '"attribute_not_exists(#sk) OR #expires_at > :second"',
    ),
    Mutant(
        "key: expired records count",
        "expressions.py",
        '"attribute_not_exists(#sk) OR #expires_at <= :second"',
        '"attribute_not_exists(#sk)"',
    ),
    Mutant("key: own record is a replay", "items.py", 'return record["write_token"]["S"] == token', "return False"),
    Mutant(
        "key: fingerprint is not compared",
        "items.py",
        'return record["fingerprint"]["S"] == once.fingerprint',
        "return True",
    ),
    Mutant(
        "key: records are looked at though expired",
        "task_store.py",
        "if record is not None and items.is_kept(record, self._now()):",
        "if record is not None:",
    ),
    Mutant(
        "key: the first look is believed",
        "task_store.py",
        "if record is not None and items.is_kept(record, self._now()):",
        "if False:",
    ),
    Mutant(
        "key: tasks may have moved",
        "expressions.py",
        '_STILL: Final = "#version = :version"',
        '_STILL: Final = "#version = :version OR attribute_exists(#version)"',
    ),
    Mutant(
        "key: a lost look is no unknown outcome",
        "task_store.py",
        "            if sends.unsure:\n                raise OutcomeUnknown from None\n            raise",
        "            raise",
    ),
    Mutant(
        "key: a lost race is an error",
        "task_store.py",
        "                if any(refused):\n                    sends.refused()\n",
        "                if False:\n                    sends.refused()\n",
    ),
    Mutant("key: late transactions are sent", "task_store.py", "            sends.begin()\n", ""),
    Mutant("key: body is not in the fingerprint", "idempotency.py", '.encode() + b"\\n" + body', ".encode()"),
    Mutant("key: conditions are not in the fingerprint", "idempotency.py", "[*parts, *conditions]", "[*parts]"),
    Mutant("key: kept for hours as seconds", "idempotency.py", "hours * 3600", "hours"),
    Mutant("key: read on every method", "operation.py", 'if record.route.startswith("POST "):', "if True:"),
    Mutant("key: replays are not told", "operation.py", "if request.tasks.replayed:", "if False:"),
    Mutant("restore: what is purged comes back", "expressions.py", '["#expires_at > :second"]', "[]"),
    Mutant(
        "restore: keyed, what is purged comes back",
        "task_store.py",
        "        if item is None or not items.is_kept(item, self._now()):\n            raise TaskNotFound\n        if",
        "        if item is None:\n            raise TaskNotFound\n        if",
    ),
    Mutant(
        "restore: live tasks too", "task_store.py", "            raise NotDeleted\n", "            raise TaskNotFound\n"
    ),
    Mutant(
        "restore: stays in the trash",
        "expressions.py",
        'sets = ["#by_position = #live_position", "#by_status = #live_status"]',
        'sets = ["#by_position = #live_position"]',
    ),
    Mutant(
        "restore: at another place",
        "items.py",
        '"by_position": item["live_position"], "by_status": item["live_status"]}',
        '"by_position": item["live_position"], "by_status": item["other_status"]}',
    ),
    Mutant("clear: open tasks too", "expressions.py", 'conditions.append("begins_with(#by_status, :done)")', "pass"),
    Mutant(
        "clear: counts what others did",
        "task_store.py",
        "return None if completed else {}",
        "return None if completed else refused",
    ),
    Mutant("clear: never more", "task_store.py", 'more="LastEvaluatedKey" in page', "more=False"),
    Mutant("clear: no time limit", "task_store.py", "if time.monotonic() > self._deadline - RESERVE:", "if False:"),
    Mutant("batch: the same task twice", "batches.py", "places.setdefault(operation.id, place) != place", "False"),
    Mutant(
        "batch: conditions are not read",
        "batches.py",
        "return ANY_VERSION if self.if_match is None else preconditions.if_match(self.if_match)",
        "return ANY_VERSION",
    ),
    Mutant("batch: 26", "models.py", "BATCH_LIMIT = 25", "BATCH_LIMIT = 26"),
    Mutant("batch: what is not changed is not checked", "task_store.py", "if after is before:", "if False:"),
    Mutant("batch: which one is not told", "operation.py", '.at(f"/operations/{error.place}")', '.at("/operations/0")'),
    Mutant("batch: kinds stand in pointers", "bodies.py", "place = place[:2] + place[3:]", "pass"),
    Mutant("conflicts count as failures", "dynamodb.py", " and failure is not Failure.CONTENDED", ""),
    Mutant(
        "older items: the upgrade ignores other writers",
        "expressions.py",
        'condition = "#schema = :old_schema AND #version = :old_version"',
        'condition = "#version >= :old_version AND NOT #schema < :old_schema"',
    ),
    Mutant("older items: written as they are", "expressions.py", '            "#schema >= :schema",\n', ""),
    Mutant(
        "older items: what is gone stays",
        "expressions.py",
        "    if removes:\n        update +=",
        "    if 0:\n        update +=",
    ),
    Mutant("older items: never written back", "task_store.py", "self._upgrade(found, item)", "pass"),
    Mutant(
        "older items: keyed writes take them as they are",
        "task_store.py",
        "*(None if item is None else items.current(item) for item in found)]",
        "*found]",
    ),
    Mutant(
        "older items: not in lists",
        "task_store.py",
        "items.to_task(items.current(item)) for",
        "items.to_task(item) for",
    ),
    Mutant(
        "older items: not in changes", "task_store.py", "items.to_change(items.current(item))", "items.to_change(item)"
    ),
    Mutant("older items: not in remembered answers", "items.py", 'current(result["M"])', 'result["M"]'),
    Mutant("newer items: keep their stamp", "expressions.py", '            "#schema = :schema",\n', ""),
    Mutant(
        "newer items: keep their stamp in transactions",
        "items.py",
        '        **item,\n        "schema": number(SCHEMA),\n',
        "        **item,\n",
    ),
    Mutant("newer items: refused", "expressions.py", '"#schema >= :schema"', '"#schema = :schema"'),
    Mutant(
        "cancelled transactions are defects", "dynamodb.py", '*(reason.get("Code", "") for reason in reasons)]', "]"
    ),
    Mutant("sync: no overlap", "task_store.py", "SYNC_OVERLAP = 15_000", "SYNC_OVERLAP = 100"),
    Mutant(
        "sync: a walk shows only up to its watermark",
        "task_store.py",
        "last = watermark + SYNC_OVERLAP + SYNC_AHEAD",
        "last = watermark",
    ),
    Mutant(
        "sync: a walk shows nothing ahead",
        "task_store.py",
        "SYNC_OVERLAP + SYNC_AHEAD",
        "SYNC_OVERLAP - 2 * SYNC_AHEAD",
    ),
    Mutant("sync: a walk never ends", "task_store.py", "last = watermark + SYNC_OVERLAP + SYNC_AHEAD", "last = 10**14"),
    Mutant(
        "sync: a walk forgets where it began",
        "task_store.py",
        'token = f"{first:015}.{token}.',
        'token = f"{watermark:015}.{token}.',
    ),
    Mutant(
        "sync: the watermark moves while a walk goes on",
        "task_store.py",
        "first, watermark = int(since), int(until)",
        "first, watermark = int(since), max(int(until), now - SYNC_OVERLAP)",
    ),
    Mutant(
        "sync: the watermark goes back",
        "task_store.py",
        "watermark = max(first, now - SYNC_OVERLAP)",
        "watermark = first",
    ),
    Mutant(
        "sync: the future is taken", "task_store.py", "if not first <= watermark <= now:", "if not first <= watermark:"
    ),
    Mutant("sync: tokens never expire", "task_store.py", "> items.RETENTION_SECONDS * 1000:", "> 10**15:"),
    Mutant("sync: a snapshot expires at once", "task_store.py", "now - (first or watermark)", "now - first"),
    Mutant(
        "sync: anyone's token",
        "task_store.py",
        'now, scope = self._now(), (self._user_id, "changes")',
        'now, scope = self._now(), ("changes",)',
    ),
    Mutant("sync: there is never more", "task_store.py", "has_more=last_key is not None", "has_more=False"),
    Mutant("sync: tombstones are not told", "items.py", "if isinstance(task, DeletedTask):", "if False:"),
    Mutant(
        "sync: positions out of range",
        "expressions.py",
        "not _CHANGE.fullmatch(position) or not start < position < end",
        "not _CHANGE.fullmatch(position)",
    ),
    Mutant("sync: skew is not noticed", "wire.py", "time.time() - _seconds_of(date)", "0.0"),
    Mutant("errors are read like successes", "wire.py", 'if response_dict["status_code"] < 300:', "if True:"),
    Mutant("copies share random numbers", "snapstart.py", "    random.seed()\n", ""),
    Mutant("a snapshot holds credentials", "snapstart.py", 'credentials=("primer", "primer")', ""),
]


CONTROL = Mutant("the code as it is", "settings.py", "class Settings", "class Settings")


def killer(mutant: Mutant) -> str | None:
    """The test that a mutant turns red, if one does. Raises ValueError where the code no longer has its text."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in ("bench", "conformance", "docs", "events", "functions", "local", "shared", "tests", "tools"):
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("template.yaml", "pyproject.toml"):
            shutil.copy(ROOT / name, copy)
        path = copy / "shared" / mutant.file
        source = path.read_text()
        if source.count(mutant.text) != 1:
            raise ValueError(f"{mutant.name}: {mutant.file} has its text {source.count(mutant.text)} times")
        path.write_text(source.replace(mutant.text, mutant.instead))
        for suite in (UNIT, *((STORED, SHOWN) if mutant.file in OF_THE_STORE else (SHOWN, STORED))):
            options = ["-x", "-q", "--tb=no", "-p", "no:cacheprovider"]
            pytest = subprocess.run(
                [sys.executable, "-m", "pytest", *suite, *options],
                cwd=copy,
                check=False,
                capture_output=True,
                text=True,
            )
            red = [line for line in pytest.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
            if pytest.returncode and not red:
                raise RuntimeError(pytest.stdout[-300:] + pytest.stderr[-300:])
            if red:
                return red[0].split(" - ")[0]
    return None


def main(wanted: list[str]) -> int:
    """Try the mutants whose names hold one of the words, or all; return 1 if one survived."""
    if red := killer(CONTROL):
        sys.stdout.write(f"{CONTROL.name} is red, so this would prove nothing: {red}\n")
        return 1
    survivors = []
    chosen = [mutant for mutant in MUTANTS if not wanted or any(word in mutant.name for word in wanted)]
    # The unit tests, which kill most of them, take one processor.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for mutant, test in zip(chosen, pool.map(killer, chosen), strict=True):
            sys.stdout.write(f"{mutant.name}: {test or 'SURVIVED'}\n")
            sys.stdout.flush()
            if test is None:
                survivors.append(mutant.name)
    sys.stdout.write(f"{len(chosen)} mutants, {len(survivors)} survived: {', '.join(survivors) or '-'}\n")
    return min(len(survivors), 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

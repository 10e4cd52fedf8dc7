"""Mutants of `shared/`: small ways to be wrong, each of which must turn a test red. `make mutants` tries them all.

A mutant is tried on the unit tests first, and on the slower suites only if it survives them.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent
SUITES = (["tests/unit", "-n0"], ["tests/contract", "tests/isolation", "tests/faults", "-n2"])


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
        "expressions.py",
        '_text(f"{status}#{_NO_DUE_DATE}#{task_id}")',
        '_text(f"{other}#{_NO_DUE_DATE}#{task_id}")',
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
        '{"Accept-Patch": ", ".join(accepted)} if _MERGE_PATCH in accepted else {}',
        "{}",
    ),
    Mutant(
        "Accept-Patch everywhere",
        "bodies.py",
        '{"Accept-Patch": ", ".join(accepted)} if _MERGE_PATCH in accepted else {}',
        '{"Accept-Patch": ", ".join(accepted)}',
    ),
    Mutant("duplicate keys pass", "bodies.py", "if len(value) < len(pairs):", "if False:"),
    Mutant("NaN passes", "bodies.py", ", parse_constant=_no_constant", ""),
    Mutant("surrogates pass", "bodies.py", 'if "\\\\u" in text:', "if False:"),
    Mutant("no NFC", "models.py", 'text = unicodedata.normalize("NFC", text)\n        if len', "if len"),
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
        "expressions.py",
        'return "expires_at" not in item or int(item["expires_at"]["N"]) * 1000 > now',
        "return True",
    ),
    Mutant("throttle not known", "dynamodb.py", '        "ThrottlingException",\n', ""),
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
        'return hashlib.sha256(user_id.encode()).hexdigest()[:16] if user_id else ""',
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
        "{**self._key(position[-36:]), which.index",
        '{**self._key(position[-36:]), "pk": _text("USER#x"), which.index',
    ),
    Mutant(
        "put_item may replace / user of item",
        "expressions.py",
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
        "expressions.py",
        '"completed_at": changed_at if completed else None',
        '"completed_at": changed_at',
    ),
    Mutant("seconds only", "models.py", '.{rest:03}Z"', '.000Z"'),
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
        "    description: Description | None\n    completed: bool\n\n    id",
        "    description: Description | None = None\n    completed: bool\n\n    id",
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
        '            "ConsistentRead": True,\n',
        '            "ConsistentRead": False,\n',
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
        '            "attribute_exists(#by_position)",\n',
        '            "attribute_exists(#version)",\n',
    ),
    Mutant("a token is applied twice", "expressions.py", '            "NOT contains(#write_tokens, :token)",\n', ""),
    Mutant("memory may run over", "expressions.py", '            f"#write_times[{oldest}] < :since",\n', ""),
    Mutant("one write is remembered", "expressions.py", "REMEMBERED_WRITES = 4", "REMEMBERED_WRITES = 1"),
    Mutant("If-Match is not sent", "expressions.py", "if precondition.wanted is not None:", "if False:"),
    Mutant("If-None-Match is not sent", "expressions.py", "if precondition.unwanted:", "if False:"),
    Mutant("an update keeps its place in by_change", "expressions.py", ', "#by_change = :change"', ""),
    Mutant("an update keeps its version", "expressions.py", ', "#version = #version + :one"]', "]"),
    Mutant(
        "the guess is not checked", "expressions.py", 'conditions.append("begins_with(#by_status, :guess)")', "pass"
    ),
    Mutant("toggle keeps completed_at", "expressions.py", ', "#status_changed_at = :now")', ")"),
    Mutant("delete forgets the place", "expressions.py", '            "#live_position = #by_position",\n', ""),
    Mutant(
        "delete stays in lists",
        "expressions.py",
        '_Change(sets, ["#by_position"], values=values)',
        "_Change(sets, values=values)",
    ),
    Mutant("29 days", "expressions.py", "RETENTION_SECONDS = 30", "RETENTION_SECONDS = 29"),
    Mutant(
        "expires in milliseconds",
        "expressions.py",
        "_number(stamp.now // 1000 + RETENTION_SECONDS)",
        "_number(stamp.now + RETENTION_SECONDS)",
    ),
    Mutant("botocore retries", "dynamodb.py", '"total_max_attempts": 1', '"total_max_attempts": 3'),
    Mutant(
        "checksum is not checked",
        "dynamodb.py",
        "(checksum is not None and int(checksum) != zlib.crc32(body))",
        "False",
    ),
    Mutant("garbled answers pass", "dynamodb.py", 'body[:1] + body[-1:] != b"{}" or', "False or"),
    Mutant("5xx is a defect", "dynamodb.py", "return Failure.UNANSWERED if status >= 500 else None", "return None"),
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
        "stamp = Stamp(token, now,",
        "stamp = Stamp(secrets.token_urlsafe(8), now,",
    ),
    Mutant(
        "a resend has the first time",
        "task_store.py",
        "stamp = Stamp(token, now, since",
        "stamp = Stamp(token, since, since",
    ),
    Mutant("clocks are trusted", "task_store.py", "since - CLOCK_SKEW if sends.unsure else since", "since"),
    Mutant(
        "own write is not found",
        "task_store.py",
        "if item is not None and items.remembers(item, stamp):",
        "if False:",
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
]


def killer(mutant: Mutant) -> str | None:
    """The test that a mutant turns red, if one does. Raises ValueError where the code no longer has its text."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in ("functions", "shared", "local", "tests"):
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("template.yaml", "pyproject.toml"):
            shutil.copy(ROOT / name, copy)
        path = copy / "shared" / mutant.file
        source = path.read_text()
        if source.count(mutant.text) != 1:
            raise ValueError(f"{mutant.name}: {mutant.file} has its text {source.count(mutant.text)} times")
        path.write_text(source.replace(mutant.text, mutant.instead))
        for suite in SUITES:
            options = ["--no-cov", "-x", "-q", "--tb=no", "-p", "no:cacheprovider"]
            pytest = subprocess.run(
                [sys.executable, "-m", "pytest", *suite, *options],
                cwd=copy,
                check=False,
                capture_output=True,
                text=True,
            )
            red = [line for line in pytest.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
            if pytest.returncode:
                return red[0].split(" - ")[0] if red else pytest.stdout[-300:] + pytest.stderr[-300:]
    return None


def main(wanted: list[str]) -> int:
    """Try the mutants whose names hold one of the words, or all; return how many survived."""
    survivors = []
    chosen = [mutant for mutant in MUTANTS if not wanted or any(word in mutant.name for word in wanted)]
    for mutant in chosen:
        test = killer(mutant)
        sys.stdout.write(f"{mutant.name}: {test or 'SURVIVED'}\n")
        sys.stdout.flush()
        if test is None:
            survivors.append(mutant.name)
    sys.stdout.write(f"{len(chosen)} mutants, {len(survivors)} survived: {', '.join(survivors) or '-'}\n")
    return min(len(survivors), 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

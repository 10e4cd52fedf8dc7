"""`python3 -m conformance URL`: run every check against an address, and print a table.

Exits with 0 if no check failed, 1 if one failed, and 2 if the suite could not start. A check is "not judged" if this
deployment does not allow to check it.
"""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from conformance.checks import CHECKS, Check, Users
from conformance.client import Caller, Failed, NotJudged, clean_up

PASSED, FAILED, NOT_JUDGED = "passed", "FAILED", "not judged"
_TOKENS = "TOKEN and OTHER_TOKEN in the environment must be the access tokens of two users"


class CannotRun(Exception):
    """The suite cannot start."""


def users_of(url: str, environment: Mapping[str, str]) -> Users:
    """Return the two users of the tokens in the environment. Raises CannotRun if this is impossible."""
    token, other = (environment.get(name, "").strip() for name in ("TOKEN", "OTHER_TOKEN"))
    if not (token and other):
        raise CannotRun(_TOKENS)
    try:
        address = urlsplit(url)
    except ValueError as error:
        raise CannotRun(f"the URL {url!r} is invalid: {error}") from error
    if address.scheme not in ("http", "https") or not address.hostname:
        raise CannotRun(f"the URL must begin with http:// or https://: {url!r}")
    callers = (Caller(url.rstrip("/"), token), Caller(url.rstrip("/"), other))
    ids = []
    for name, caller in zip(("TOKEN", "OTHER_TOKEN"), callers, strict=True):
        try:
            ids.append(caller.create("who am I?")["user_id"])
        except (Failed, KeyError, TypeError) as error:
            clean_up(callers)
            raise CannotRun(f"{name} cannot create a task: {error}") from error
    if ids[0] == ids[1]:
        clean_up(callers)
        raise CannotRun(f"TOKEN and OTHER_TOKEN belong to the same user, {ids[0]}. The isolation checks need two users")
    return Users(*callers, *ids)


def chosen_checks(part: str) -> list[Check]:
    """Return the checks of a part, or all checks. Raises CannotRun if the part does not exist."""
    chosen = [check for check in CHECKS if part in (check.part, "")]
    if not chosen:
        raise CannotRun(f"There is no part {part!r}: {', '.join(dict.fromkeys(check.part for check in CHECKS))}")
    return chosen


def run_check(check: Check, users: Users) -> tuple[str, str]:
    """Run a check; return its result and the reason."""
    try:
        check.run(users)
    except NotJudged as reason:
        return NOT_JUDGED, str(reason)
    except Failed as failure:
        return FAILED, str(failure)
    except (LookupError, TypeError, ValueError, AttributeError) as error:  # a response with an unexpected structure
        return FAILED, f"the response has an unexpected structure: {type(error).__name__} {error}"
    return PASSED, ""


def main(arguments: Sequence[str]) -> int:
    """Run the checks."""
    parser = argparse.ArgumentParser(
        prog="python3 -m conformance", description="Test an API from outside.", epilog=_TOKENS
    )
    parser.add_argument("url", metavar="URL", help="the address of the API, such as https://...")
    parser.add_argument("--only", metavar="PART", default="", help="run one part of the checks, such as list")
    options = parser.parse_args(arguments)
    try:
        chosen = chosen_checks(options.only)
        users = users_of(options.url, os.environ)
    except CannotRun as reason:
        sys.stderr.write(f"{reason}\n")
        return 2
    counts: Counter[str] = Counter()
    try:
        for check in chosen:
            verdict, why = run_check(check, users)
            counts[verdict] += 1
            _say(f"{verdict:10}  {check.part:15}  {check.description}" + (f"\n{'':29}{why}" if why else ""))
    finally:
        created, left = clean_up((users.mine, users.other))
        _say(f"\n{', '.join(f'{counts[one]} {one}' for one in (PASSED, FAILED, NOT_JUDGED))}.")
        if left:
            _say(f"Could not delete these tasks of the suite: {', '.join(left)}")
        else:
            _say(f"All {created} tasks of the suite are in the trash for 30 days. Idempotency keys expire after a day.")
    return 1 if counts[FAILED] or left else 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

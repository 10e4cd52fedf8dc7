"""`make mutants`: change the code in small ways with mutmut, and print the changes that no unit test notices.

Fails if fewer than LEAST of the changes are noticed. Some cannot be noticed, such as another `strict=` of a `zip`.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent
LEAST = 0.97
_MUTMUT = (sys.executable, "-m", "mutmut")


def noticed(stats: Mapping[str, int]) -> float:
    """The share of mutants that the tests noticed: one that hangs or crashes is noticed, too."""
    return (stats["killed"] + stats["timeout"] + stats["segfault"]) / stats["total"]


def main() -> int:
    """Run mutmut from the start, since it keeps results that a changed test makes wrong."""
    shutil.rmtree(ROOT / "mutants", ignore_errors=True)
    subprocess.run([*_MUTMUT, "run", "--max-children", str(os.cpu_count() or 2)], cwd=ROOT, check=True)
    for line in _said("results").splitlines():
        name, _, status = line.strip().partition(": ")
        if status not in {"timeout", "segfault"}:
            sys.stdout.write(f"\n{status}: {_said('show', name)}")
    _said("export-cicd-stats")
    stats = json.loads((ROOT / "mutants" / "mutmut-cicd-stats.json").read_text())
    share = noticed(stats)
    sys.stdout.write(f"\n{share:.1%} of {stats['total']} mutants were noticed; at least {LEAST:.0%} must be.\n")
    return 0 if share >= LEAST else 1


def _said(*arguments: str) -> str:
    return subprocess.run([*_MUTMUT, *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    sys.exit(main())

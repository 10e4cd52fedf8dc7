"""`make load`: starts locust, which has its own environment, with load/locustfile.py."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from local.tokens import make_token

ROOT = Path(__file__).parent.parent
LOCUST = ROOT / ".build" / "load" / "bin" / "locust"


def main(arguments: Sequence[str]) -> None:
    """Replace this process with locust, which exits with 1 if a request failed."""
    parser = argparse.ArgumentParser(
        prog="make load ARGS=...",
        description="Send a realistic mix of requests to any deployment.",
        epilog="TOKEN in the environment is the bearer token. With the service scope, each simulated person is another"
        " user. Without TOKEN, a service token for `make run` is used. Other options go to"
        " locust, such as --csv=PREFIX.",
    )
    parser.add_argument("url", metavar="URL", help="the address of the API")
    parser.add_argument("--people", type=int, default=20, help="how many people are simulated (20)")
    parser.add_argument("--time", default="1m", help="the duration, such as 30s, 10m or 2h (1m)")
    options, others = parser.parse_known_args(arguments)
    if not os.environ.get("TOKEN"):
        os.environ["TOKEN"] = make_token("load", "tasks/service")
    os.environ["PYTHONPATH"] = str(ROOT)
    people = str(options.people)
    os.execv(  # noqa: S606 - no shell is wanted
        LOCUST,
        [
            *(str(LOCUST), "--locustfile", str(ROOT / "load" / "locustfile.py"), "--headless", "--only-summary"),
            *("--host", options.url, "--users", people, "--spawn-rate", people, "--run-time", options.time),
            *others,
        ],
    )


if __name__ == "__main__":
    main(sys.argv[1:])

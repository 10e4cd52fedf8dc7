"""The measured process: it can import only from an artifact, like a function on Lambda.

    python -S -s -P -B process.py ARTIFACT MODULE EVENT STATUS [WARM-UPS CALLS]

It loads the handler and calls it once. With WARM-UPS and CALLS, it also calls it again. It prints the time of these
calls, or of the first one, as JSON.
"""

import os
import sys


class Context:
    """Lambda's context object."""

    function_name = "bench"
    function_version = "$LATEST"
    invoked_function_arn = "arn:aws:lambda:eu-central-1:000000000000:function:bench"
    memory_limit_in_mb = "512"
    aws_request_id = "bench"

    def get_remaining_time_in_millis(self) -> int:
        """Return the full time-out: each call is a new invocation."""
        return 10_000


def main() -> None:
    """Load the handler, call it, and measure further calls."""
    artifact, module, event_file, status, *counts = sys.argv[1:]
    sys.path.insert(0, artifact)
    import json  # noqa: PLC0415 - only after sys.path is set, as in Lambda's runtime

    with open(event_file) as file:  # noqa: PTH123 - importing pathlib would be measured
        event = json.load(file)
    import importlib  # noqa: PLC0415
    import time  # noqa: PLC0415

    handler = importlib.import_module(module).handler
    cpu, wall = time.process_time(), time.perf_counter()
    response = handler(event, Context())
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    if response["statusCode"] != int(status):
        sys.exit(f"{module} returned {response}")
    if not counts:
        sys.stderr.write(json.dumps({"cpu": cpu, "wall": wall}))
        sys.stderr.flush()
        os._exit(0)  # Lambda freezes a function instead of a clean exit
    warm_ups, calls = map(int, counts)
    # Each call has another body than the one before, so that an update changes something.
    bodies = event.pop("bodies", [event.get("body")])

    def call(times: int) -> None:
        for number in range(times):
            event["body"] = bodies[number % len(bodies)]
            handler(event, Context())

    call(warm_ups)
    cpu, wall = time.process_time(), time.perf_counter()
    call(calls)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    sys.stderr.write(json.dumps({"cpu": cpu / calls, "wall": wall / calls}))


if __name__ == "__main__":
    main()

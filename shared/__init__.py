"""The code that all functions share: the HTTP layer, the store, the rules and the models."""

import gc
import os
from typing import Protocol

# Objects that are created at the start of a function live as long as the function, so a garbage collection there is
# useless and takes 4 % of a cold start. `end_start` enables the collector again. Only Lambda sets this variable.
if "AWS_LAMBDA_INITIALIZATION_TYPE" in os.environ:
    gc.disable()


class LambdaContext(Protocol):
    """The part of the context object of Lambda that a function uses."""

    def get_remaining_time_in_millis(self) -> int:
        """The time until Lambda stops the function."""


def end_start() -> None:
    """Enable the garbage collector, and exclude all existing objects from it. Call this at the end of the start."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()

"""The code that all functions share: the HTTP layer, the store, the rules and the models."""

import gc
import os

# Objects that are made at the start of a function live as long as the function, so a garbage collection there is
# useless and takes 4 % of a cold start. shared.http.operation enables the collector again. Only Lambda sets this
# variable.
if "AWS_LAMBDA_INITIALIZATION_TYPE" in os.environ:
    gc.disable()

"""What every function shares."""

import gc
import os

# What is made while a function starts stays as long as the function: to look for garbage there wastes a twenty-fifth
# of a cold start. shared.http.operation turns the collector on again. Lambda sets the variable, nothing else does.
if "AWS_LAMBDA_INITIALIZATION_TYPE" in os.environ:
    gc.disable()

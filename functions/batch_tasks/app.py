"""POST /v1/users/{user_id}/tasks/batch - do several operations, all or none."""

from shared.batches import Batch
from shared.operation import Request, Response, answered, operation


@operation
def handler(request: Request[Batch]) -> Response:
    """Do the operations of the batch and answer with their results."""
    return answered(request.tasks.batch(request.body.operations))

"""The peer with Powertools' HTTP resolver and its validation, Logger and Metrics, on boto3's resource."""

import json
from typing import Annotated

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.event_handler.openapi.params import Query
from aws_lambda_powertools.metrics import MetricUnit
from peers import tasks
from peers.tasks import NewTask, Page, Patch, Refused, Task

app = APIGatewayHttpResolver(enable_validation=True)
logger = Logger()
metrics = Metrics()


@app.exception_handler(Refused)
def refuse(refused: Refused) -> Response:
    return Response(refused.args[0], "application/json", json.dumps({"message": refused.args[1]}))


def caller():
    return app.current_event.request_context.authorizer.jwt_claim["sub"]


@app.post("/v1/users/<user_id>/tasks")
def create(user_id: str, new: NewTask) -> tuple[Task, int]:
    return tasks.create(caller(), new), 201


@app.get("/v1/users/<user_id>/tasks")
def list_(user_id: str, limit: Annotated[int, Query(ge=1, le=100)] = 50) -> Page:
    return tasks.list_(caller(), limit)


@app.get("/v1/users/<user_id>/tasks/<task_id>")
def get(user_id: str, task_id: str) -> Task:
    return tasks.get(caller(), task_id)


@app.patch("/v1/users/<user_id>/tasks/<task_id>")
def update(user_id: str, task_id: str, patch: Patch) -> Task:
    return tasks.update(caller(), task_id, patch)


@app.post("/v1/users/<user_id>/tasks/<task_id>/toggle")
def toggle(user_id: str, task_id: str) -> Task:
    return tasks.toggle(caller(), task_id)


@logger.inject_lambda_context
@metrics.log_metrics
def handler(event, context):
    response = app.resolve(event, context)
    logger.info("request", status=response["statusCode"])
    metrics.add_metric(name="Requests", unit=MetricUnit.Count, value=1)
    return response

"""The peer with a web framework: FastAPI behind Mangum, on boto3's resource. It logs nothing."""

from typing import Annotated

from fastapi import Depends, FastAPI, Query, Request
from fastapi.responses import JSONResponse
from mangum import Mangum
from peers import tasks
from peers.tasks import NewTask, Page, Patch, Refused, Task

app = FastAPI()


@app.exception_handler(Refused)
def refuse(_, refused: Refused) -> JSONResponse:
    return JSONResponse({"message": refused.args[1]}, refused.args[0])


def caller(request: Request) -> str:
    return request.scope["aws.event"]["requestContext"]["authorizer"]["jwt"]["claims"]["sub"]


Caller = Annotated[str, Depends(caller)]


@app.post("/v1/users/{user_id}/tasks", status_code=201)
def create(user_id: str, new: NewTask, user: Caller) -> Task:
    return tasks.create(user, new)


@app.get("/v1/users/{user_id}/tasks")
def list_(user_id: str, user: Caller, limit: Annotated[int, Query(ge=1, le=100)] = 50) -> Page:
    return tasks.list_(user, limit)


@app.get("/v1/users/{user_id}/tasks/{task_id}")
def get(user_id: str, task_id: str, user: Caller) -> Task:
    return tasks.get(user, task_id)


@app.patch("/v1/users/{user_id}/tasks/{task_id}")
def update(user_id: str, task_id: str, patch: Patch, user: Caller) -> Task:
    return tasks.update(user, task_id, patch)


@app.post("/v1/users/{user_id}/tasks/{task_id}/toggle")
def toggle(user_id: str, task_id: str, user: Caller) -> Task:
    return tasks.toggle(user, task_id)


handler = Mangum(app, lifespan="off")

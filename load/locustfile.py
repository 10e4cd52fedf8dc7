"""`make load ARGS=URL`: sends a realistic mix of requests to any deployment.

If the token has the service scope, each simulated person is another user. Otherwise, all are the user of the token.
"""

import base64
import json
import os
import random
import time
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from locust import FastHttpUser, between, task

from shared.store.uuid7 import uuid7

TOKEN = os.environ["TOKEN"]
SCOPE = os.environ.get("SERVICE_SCOPE", "tasks/service")


def has_service_scope(token: str) -> bool:
    """Whether a token has the service scope."""
    payload = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    scopes: str | list[str] = claims.get("scope") or claims.get("scp") or ""
    return SCOPE in (scopes.split() if isinstance(scopes, str) else scopes)


def new_key() -> dict[str, str]:
    """The header of a request that is done once."""
    return {"Idempotency-Key": str(uuid.uuid4())}


class Person(FastHttpUser):
    """A person who reads and changes tasks, with devices that synchronize."""

    wait_time = between(0.5, 1.5)

    def on_start(self) -> None:
        """Create a few tasks and synchronize once."""
        user = f"load-{uuid.uuid4()}" if has_service_scope(TOKEN) else "me"
        self.path = f"/v1/users/{user}"
        self.ids: list[str] = []
        self.trash: list[str] = []
        self.since: str | None = None
        for _ in range(5):
            self.create()
        self.sync()

    def request(self, method: str, path: str, name: str, body: object = None, headers: Mapping[str, str] = {}) -> Any:
        """Send a request. Return the body of a successful response, or None."""
        headers = {"Authorization": f"Bearer {TOKEN}", **headers}
        # A 404 also counts as a failure: it would mean that a task of this person was lost.
        response = self.client.request(method, f"{self.path}{path}", name=name, json=body, headers=headers)
        return response.json() if response.status_code in (200, 201) else None

    @task(20)
    def sync(self) -> None:
        """Fetch all changes since the last sync."""
        query = f"?since={self.since}" if self.since else ""
        while page := self.request("GET", f"/changes{query}", "changes"):
            self.since = page["next_since"]
            query = f"?since={self.since}"
            if not page["has_more"]:
                return

    @task(6)
    def list(self) -> None:
        """Read a list."""
        query = random.choice(["status=open", "status=open", "status=completed", "status=all"])  # noqa: S311 - no secret
        self.request("GET", f"/tasks?{query}", "list")

    @task(2)
    def week(self) -> None:
        """Read the open tasks that are due this week, and those with a tag."""
        today = datetime.now().date()
        self.request("GET", f"/tasks?status=open&due_before={today + timedelta(7)}", "list by due date")
        self.request("GET", "/tasks?tag=home", "list by tag")

    @task(2)
    def drag(self) -> None:
        """Read a list of the person's, and drag a task to another place of it."""
        page = self.request("GET", "/tasks?list=home&status=open", "list by position")
        if page and len(page["items"]) > 1:
            moved, anchor = random.sample([one["id"] for one in page["items"]], 2)
            self.request("POST", f"/tasks/{moved}/move", "move", {"after": anchor})

    @task(4)
    def create(self) -> None:
        """Create a task, with an idempotency key."""
        due = datetime.now().date() + timedelta(random.randrange(60))  # noqa: S311
        task = {
            "title": "load",
            "description": "x" * 200,
            "due": str(due),
            "tags": ["home"],
            "priority": 5,
            "list": "home",
        }
        created = self.request("POST", "/tasks", "create", task, new_key())
        if created:
            self.ids.append(created["id"])

    @task(2)
    def work_offline(self) -> None:
        """Send what a device did while it was offline: a task with an id of its own, and a batch of changes."""
        changed = self.any()
        own = str(uuid7(time.time_ns()))
        task = {"title": "load", "list": "home"}
        whole = {**task, "description": None, "completed": False}
        if self.request("PUT", f"/tasks/{own}", "create with own id", whole, {"If-None-Match": "*"}):
            operations = [
                {"op": "create", "task": task},
                {"op": "update", "id": changed, "patch": {"priority": 9}},
                {"op": "toggle", "id": own},
            ]
            self.ids.append(own)
            done = self.request("POST", "/tasks/batch", "batch", {"operations": operations}, new_key())
            if done:
                self.ids.append(done["results"][0]["id"])

    @task(4)
    def toggle(self) -> None:
        """Toggle a task."""
        self.request("POST", f"/tasks/{self.any()}/toggle", "toggle")

    @task(3)
    def update(self) -> None:
        """Rename a task."""
        self.request("PATCH", f"/tasks/{self.any()}", "update", {"title": f"load {uuid.uuid4()}"})

    @task(2)
    def get(self) -> None:
        """Read a task."""
        self.request("GET", f"/tasks/{self.any()}", "get")

    @task(1)
    def delete(self) -> None:
        """Delete a task, and sometimes restore one."""
        if len(self.ids) > 3:  # noqa: PLR2004 - keep some tasks for the other requests
            self.trash.append(self.ids.pop(random.randrange(len(self.ids))))  # noqa: S311
            self.request("DELETE", f"/tasks/{self.trash[-1]}", "delete")
        if len(self.trash) > 2:  # noqa: PLR2004
            self.ids.append(self.trash.pop(0))
            self.request("POST", f"/tasks/{self.ids[-1]}/restore", "restore")

    def any(self) -> str:
        """Return the id of one of the person's tasks."""
        return random.choice(self.ids)  # noqa: S311

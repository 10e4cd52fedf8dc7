"""A mix of real use, for any address: `make load ARGS=URL`.

With a token that has the service scope, each simulated user has tasks of its own; with any other, all are its owner.
"""

import base64
import json
import os
import random
import uuid
from typing import Any

from locust import FastHttpUser, between, task

TOKEN = os.environ["TOKEN"]
SCOPE = os.environ.get("SERVICE_SCOPE", "tasks/service")


def acts_for_everyone(token: str) -> bool:
    """Whether a token has the service scope."""
    payload = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    scopes: str | list[str] = claims.get("scope") or claims.get("scp") or ""
    return SCOPE in (scopes.split() if isinstance(scopes, str) else scopes)


class Person(FastHttpUser):
    """One who looks at their tasks, ticks some off, and whose devices stay in step."""

    wait_time = between(0.5, 1.5)

    def on_start(self) -> None:
        """Begin with a few tasks and a first sync."""
        user = f"load-{uuid.uuid4()}" if acts_for_everyone(TOKEN) else "me"
        self.path = f"/v1/users/{user}"
        self.ids: list[str] = []
        self.trash: list[str] = []
        self.since: str | None = None
        for _ in range(5):
            self.create()
        self.sync()

    def ask(self, method: str, path: str, name: str, body: object = None, key: bool = False) -> Any:
        """Send a request; its body, where it has one and went well."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        if key:
            headers["Idempotency-Key"] = str(uuid.uuid4())
        # A 404 counts as a failure, too: a person only asks for tasks of their own, and one would be lost.
        answer = self.client.request(method, f"{self.path}{path}", name=name, json=body, headers=headers)
        return answer.json() if answer.status_code in (200, 201) else None

    @task(20)
    def sync(self) -> None:
        """Fetch what has changed."""
        query = f"?since={self.since}" if self.since else ""
        while page := self.ask("GET", f"/changes{query}", "changes"):
            self.since = page["next_since"]
            query = f"?since={self.since}"
            if not page["has_more"]:
                return

    @task(6)
    def list(self) -> None:
        """Look at a list."""
        status = random.choice(["open", "open", "all", "completed"])  # noqa: S311 - no secret
        self.ask("GET", f"/tasks?status={status}", "list")

    @task(4)
    def create(self) -> None:
        """Add a task, in a way that can be repeated."""
        made = self.ask("POST", "/tasks", "create", {"title": "load", "description": "x" * 200}, key=True)
        if made:
            self.ids.append(made["id"])

    @task(4)
    def toggle(self) -> None:
        """Tick a task off, or on again."""
        self.ask("POST", f"/tasks/{self.any()}/toggle", "toggle")

    @task(3)
    def update(self) -> None:
        """Rename a task."""
        self.ask("PATCH", f"/tasks/{self.any()}", "update", {"title": f"load {uuid.uuid4()}"})

    @task(2)
    def get(self) -> None:
        """Look at a task."""
        self.ask("GET", f"/tasks/{self.any()}", "get")

    @task(1)
    def delete(self) -> None:
        """Throw a task away, and get one back now and then."""
        if len(self.ids) > 3:  # noqa: PLR2004 - so that there is something to work on
            self.trash.append(self.ids.pop(random.randrange(len(self.ids))))  # noqa: S311
            self.ask("DELETE", f"/tasks/{self.trash[-1]}", "delete")
        if len(self.trash) > 2:  # noqa: PLR2004
            self.ids.append(self.trash.pop(0))
            self.ask("POST", f"/tasks/{self.ids[-1]}/restore", "restore")

    def any(self) -> str:
        """One of the person's tasks."""
        return random.choice(self.ids)  # noqa: S311

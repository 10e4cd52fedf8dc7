"""What stands in for a contributor's care: hooks that fetch nothing, workflows that may do little and hold no key."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))


def loaded(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def jobs() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in WORKFLOWS:
        for name, job in loaded(path)["jobs"].items():
            yield f"{path.stem}/{name}", job


def test_hooks_are_commands_of_this_project() -> None:
    config = loaded(ROOT / ".pre-commit-config.yaml")
    assert {repository["repo"] for repository in config["repos"]} == {"local"}
    for hook in config["repos"][0]["hooks"]:
        assert hook["language"] == "system"
        assert hook["entry"].startswith((".venv/bin/", "make "))


@pytest.mark.parametrize("path", WORKFLOWS, ids=[path.stem for path in WORKFLOWS])
def test_workflows_hold_no_key_and_pin_what_they_use(path: Path) -> None:
    text = path.read_text()
    assert loaded(path)["permissions"] == {}
    assert "secrets." not in text
    assert "aws-access-key-id" not in text
    for _, job in jobs():
        for step in job.get("steps", ()):
            assert "uses" not in step or step["uses"].rpartition("@")[2].startswith("v")
            # What somebody typed must reach a shell as a variable, never as its text.
            assert "${{" not in step.get("run", "")
            # And must not reach make as a variable of its command line, which make expands.
            assert "PARAMETERS=" not in step.get("run", "")


def test_only_deployments_may_ask_for_a_token() -> None:
    may = {name: job.get("permissions", {}) for name, job in jobs()}
    assert {name for name, granted in may.items() if granted.get("id-token") == "write"} == {
        *("ci/dev", "ci/prod", "deploy/deploy")
    }
    assert all(set(granted.values()) <= {"read", "write"} and granted["contents"] == "read" for granted in may.values())


def test_prod_comes_after_dev_and_dev_after_the_proof() -> None:
    of = dict(jobs())
    assert (of["ci/prod"]["needs"], of["ci/dev"]["needs"]) == ("dev", "prove")
    assert of["ci/prove"]["steps"][-1]["run"] == ".ci/run"
    assert of["ci/dev"]["if"].startswith("github.event_name == 'push'")
    assert of["deploy/deploy"]["environment"] == "${{ inputs.environment }}"
    assert of["deploy/deploy"]["concurrency"]["cancel-in-progress"] is False

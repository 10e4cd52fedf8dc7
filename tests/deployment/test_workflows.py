"""Hooks download nothing, and workflows have few permissions and no keys."""

import json
import os
import re
import subprocess
import tomllib
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
def test_workflows_contain_no_keys_and_pin_their_actions(path: Path) -> None:
    text = path.read_text()
    assert loaded(path)["permissions"] == {}
    assert "secrets." not in text
    assert "aws-access-key-id" not in text
    for _, job in jobs():
        for step in job.get("steps", ()):
            assert "uses" not in step or step["uses"].rpartition("@")[2].startswith("v")
            # Inputs must reach a shell as variables, never as part of its text.
            assert "${{" not in step.get("run", "")
            # And they must not reach make as a variable of its command line, which make expands.
            assert "PARAMETERS=" not in step.get("run", "")


def test_locks_name_versions_and_digests_but_no_registry() -> None:
    """Each machine uses the registries of its own settings."""
    packages = json.loads((ROOT / "requirements" / "node" / "package-lock.json").read_text())["packages"]
    locked = [package for path, package in packages.items() if path]
    assert locked
    assert all(package["integrity"] and "resolved" not in package for package in locked)
    for lock in (ROOT / "requirements").glob("*.txt"):
        assert "--index-url" not in lock.read_text(), lock


def test_only_deployments_may_ask_for_a_token() -> None:
    may = {name: job.get("permissions", {}) for name, job in jobs()}
    assert {name for name, granted in may.items() if granted.get("id-token") == "write"} == {
        *("ci/dev", "ci/prod", "deploy/deploy")
    }
    assert all(set(granted.values()) <= {"read", "write"} for granted in may.values())
    assert {name for name, granted in may.items() if granted["contents"] != "read"} == {"update/propose"}


def test_unreviewed_packages_run_without_a_write_token() -> None:
    of = dict(jobs())
    prove, propose = of["update/prove"], of["update/propose"]
    assert prove["permissions"] == {"contents": "read"}
    assert prove["steps"][0]["with"]["persist-credentials"] is False
    assert ".ci/run" in {step.get("run") for step in prove["steps"]}
    assert not [step for step in prove["steps"] if step.get("uses", "").startswith("actions/cache")]
    assert {step["uses"] for step in propose["steps"] if "uses" in step} == {
        *("actions/checkout@v4", "actions/download-artifact@v4")
    }
    (run,) = (step["run"] for step in propose["steps"] if "run" in step)
    assert not re.search(r"make|python|pip|\./", run)
    assert propose["needs"] == "prove"


@pytest.mark.parametrize("already_open", [False, True])
def test_an_update_is_pushed_and_proposed_once(already_open: bool, tmp_path: Path) -> None:
    (run,) = (step["run"] for step in dict(jobs())["update/propose"]["steps"] if "run" in step)
    origin, clone, programs, log = (tmp_path / name for name in ("origin", "clone", "bin", "log"))
    programs.mkdir()
    (programs / "gh").write_text(
        f'#!/bin/sh\necho "$@" >> {log}\n[ "$2" = list ] && echo "{"7" if already_open else ""}" || true\n'
    )
    (programs / "gh").chmod(0o700)
    environment = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "PROOF": "https://example.org/runs/1",
        "GIT_CONFIG_NOSYSTEM": "1",
    }

    def shell(script: str, folder: Path) -> str:
        # Like GitHub runs it.
        return subprocess.run(
            ["bash", "-e", "-c", script], cwd=folder, env=environment, check=True, capture_output=True, text=True
        ).stdout

    user = "-c user.name=x -c user.email=x@example.org"
    shell(f"git init -q --bare -b main {origin}; git init -q -b main {clone}", tmp_path)
    (clone / "dev.txt").write_text("old")
    shell(f"git add . && git {user} commit -qm first && git push -q {origin} main", clone)
    shell(f"git remote add origin {origin}", clone)
    for number in (1, 2):  # the branch of an earlier week still exists
        (clone / "dev.txt").write_text(f"new {number}")
        shell(run, clone)
        assert shell("git show update-requirements:dev.txt", origin) == f"new {number}"
        assert "Proved by https://example.org/runs/1" in shell("git log -1 --format=%b update-requirements", origin)
        shell("git switch -q main && git branch -qD update-requirements", clone)
    assert ("pr create" in log.read_text()) is not already_open


def test_prod_is_deployed_after_dev_and_dev_after_the_tests() -> None:
    of = dict(jobs())
    assert (of["ci/prod"]["needs"], of["ci/dev"]["needs"]) == ("dev", "prove")
    assert of["ci/prove"]["steps"][-1]["run"] == ".ci/run"
    assert of["ci/dev"]["if"].startswith("github.event_name == 'push'")
    assert of["deploy/deploy"]["environment"] == "${{ inputs.environment }}"
    assert of["deploy/deploy"]["concurrency"]["cancel-in-progress"] is False


def test_a_deployment_is_followed_by_the_smoke_test_of_its_stack() -> None:
    """Prod is deployed after this job, so only if dev works."""
    deploy, smoke = dict(jobs())["deploy/deploy"]["steps"][-2:]
    assert deploy["run"].startswith("make deploy ")
    assert smoke["run"] == '.venv/bin/python -m ops.smoke --stack "$STACK"'
    settings = tomllib.loads((ROOT / "samconfig.toml").read_text())
    names = {name: settings[name]["global"]["parameters"]["stack_name"] for name in ("prod", "default")}
    wanted = f"${{{{ inputs.config == 'prod' && '{names['prod']}' || '{names['default']}' }}}}"
    assert smoke["env"]["STACK"] == wanted

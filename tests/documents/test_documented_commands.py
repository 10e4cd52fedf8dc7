"""Commands in the documents exist with their options, in blocks and in lines: of make, aws, sam, Python and npm.

tests/integration/test_make_run.py executes the blocks that send requests to `make run`. Here nothing is executed.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import botocore.session
import pytest
from botocore import xform_name
from botocore.model import OperationModel, Shape, StructureShape

from contract.checker import contract
from local import template as templates
from tests.conftest import ROOT
from tests.markdown import Block, blocks, documents, spans

type Command = Sequence[str]

# It takes the place of `<table>`: a time, since that is also a good name.
PLACEHOLDER = "2026-11-25T09:00:00Z"
# Programs whose options are not checked, and what the shell brings.
OTHERS = {"cd", "cut", "done", "echo", "export", "grep", "jq", "openssl", "printf", "sha256sum", "sleep"}
KEYWORDS = {"do", "until", "while", "if", "then"}
# What the AWS CLI names differently than AWS, and the options of all its commands.
SERVICES = {"deploy": "codedeploy"}
OPTIONS = {"--notification-endpoint": "--endpoint"}
GLOBAL = {"--output", "--profile", "--query", "--region"}


@cache
def template() -> dict[str, Any]:
    return templates.read(ROOT / "template.yaml")


def commands(script: str) -> Iterator[list[str]]:
    """The simple commands of a shell script, in order, also those in $(...), without the variables that they set."""
    script = re.sub(r"<[A-Za-z][^<>|&;\n]*>", PLACEHOLDER, script).replace("\\\n", " ")
    for line in script.splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        command: list[str] = []
        redirected = False
        for word in [*lexer, ";"]:
            if redirected:
                redirected = False
            elif set(word) <= set("<>"):
                redirected = True
            elif set(word) <= set(";&|()"):
                if command:
                    yield command
                command = []
            elif command or not (word in KEYWORDS or re.match(r"[A-Z_a-z]+=", word)):
                command.append(word)
            for inner in re.findall(r"\$\((.*)\)", word):
                yield from commands(inner)


def of_documents() -> Iterator[tuple[str, list[str]]]:
    """Each command of the documents once, with its place."""
    found = [(str(block), command) for block in blocks(language="sh") for command in commands(block.text)]
    named = re.compile(rf"(\w+=\S+ )*({'|'.join(map(re.escape, CHECKS))}|\.(venv|build/\w+)/bin/\S+|openapi-\w+) ")
    for document in documents():
        for command in (command for span in spans(document) if named.match(span) for command in commands(span)):
            # A text names a command without its arguments, a block does not.
            only_named = len(command) == 3 and CHECKS.get(command[0]) in {check_aws, check_python}
            found.append((document, [*command, "..."] if only_named else command))
    seen = set()
    for place, command in found:
        if str(command) not in seen:
            seen.add(str(command))
            yield place, command


def check_make(arguments: Command) -> None:
    targets = {
        name: (needed.split(), described)
        for name, needed, described in re.findall(
            r"^([a-z-]+):([^#=\n]*)## (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE
        )
    }
    named = [one for one in arguments if "=" not in one and not one.startswith("-")]
    assert set(named) <= set(targets)
    known = " ".join(targets[one][1] for name in named for one in (name, *targets[name][0]) if one in targets)
    for name, value in (one.split("=", 1) for one in arguments if "=" in one):
        assert re.search(rf"\b{name}=", known), f"`make` does not describe {name}"
        if name == "PARAMETERS":
            for parameter in shlex.split(value):
                check_parameter(*parameter.split("=", 1))
        if name == "ARGS" and value != "...":
            check_python(["-m", *named, *shlex.split(re.sub(r"\$\(.*\)", PLACEHOLDER, value))])


def check_parameter(name: str, value: str) -> None:
    """A parameter of the template, and a value that it accepts."""
    parameter = template()["Parameters"][name]
    assert value in map(str, parameter.get("AllowedValues", [value]))
    for one in value.split(",") if parameter["Type"] == "CommaDelimitedList" else [value]:
        assert one == PLACEHOLDER or re.fullmatch(parameter.get("AllowedPattern", ".*"), one)


class Parsed(BaseException):
    """The arguments are valid. No command catches it."""


def check_python(arguments: Command) -> None:
    flag, name, *others = arguments
    assert flag == "-m"
    if name == "pytest":
        assert all((ROOT / one).exists() for one in others if "/" in one)
        return
    folder = ROOT / name.replace(".", "/")
    name = f"{name}.__main__" if folder.is_dir() else name
    source = (ROOT / f"{name.replace('.', '/')}.py").read_text()
    if others == ["..."]:
        return
    if "argparse" not in source:
        assert all(f'"{one}"' in source for one in others)
        return

    def parsed(*_: object) -> NoReturn:
        raise Parsed

    def locust(_: object, sent: Sequence[str]) -> NoReturn:
        assert sent[-2] == "--run-time", f"an option of locust: {sent[-1]}"  # the documents use none
        raise Parsed

    parse, main = ArgumentParser.parse_args, import_module(name).main
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "environ", os.environ.copy())
        patch.setattr(os, "execv", locust)
        patch.setattr(ArgumentParser, "parse_args", lambda *given: parsed(parse(*given)))
        with pytest.raises(Parsed):
            main(others)


@cache
def operation(service: str, name: str) -> OperationModel:
    model = botocore.session.get_session().get_service_model(SERVICES.get(service, service))
    (found,) = [one for one in model.operation_names if xform_name(one, "-") == name]
    return model.operation_model(found)


def check_aws(arguments: Command) -> None:
    service, name, *others = arguments
    shape = operation(service, name).input_shape
    members = {f"--{xform_name(member, '-')}": (member, of) for member, of in shape.members.items()} if shape else {}
    given: dict[str, list[str]] = {}
    for word in others:
        if word.startswith("--"):
            given[OPTIONS.get(word, word)] = []
        elif word != "...":
            given[list(given)[-1]].append(word)
    for option, values in given.items():
        if option not in GLOBAL:
            check_values(members[re.sub("^--no-", "--", option) if option not in members else option][1], values)
    if shape and "..." not in others:
        needed = {option for option, (member, _) in members.items() if member in shape.required_members}
        assert needed <= set(given), f"{needed - set(given)} is missing"


def check_values(shape: Shape, values: Sequence[str]) -> None:
    """The values of an option: of a structure as JSON or as pairs, and the names in it."""
    if shape.type_name == "boolean":
        assert not values
    elif shape.type_name == "list":
        assert values
    elif isinstance(shape, StructureShape):
        (value,) = values
        names = json.loads(value) if value.startswith("{") else dict(pair.split("=") for pair in value.split(","))
        assert set(names) <= set(shape.members)
    else:
        (value,) = values
        allowed = shape.metadata.get("enum")
        assert allowed is None or value in allowed


def check_sam(arguments: Command) -> None:
    """The command is a folder of SAM CLI, whose options are texts in its code. It lives in another environment."""
    (samcli,) = (ROOT / ".build" / "sam").glob("lib/python*/site-packages/samcli/commands")
    path, others = samcli, list(arguments)
    while others and (path / others[0].replace("-", "_")).is_dir():
        path /= others.pop(0).replace("-", "_")
    assert path != samcli or not arguments
    sources = "".join(one.read_text() for one in samcli.rglob("*.py"))
    functions = template()["Resources"]
    for before, word in pairwise(["", *others]):
        if word.startswith("-"):
            assert f'"{word}"' in sources
        elif not before.startswith("-"):
            assert word in functions
        elif "/" in word:
            assert (ROOT / word).exists()


def check_curl(arguments: Command) -> None:
    """The request is one of the API."""
    (path,) = (path for one in arguments for path in re.findall(r"(/v1/[^?]*)", one))
    method = next((after for before, after in pairwise(arguments) if re.fullmatch(r"-\w*X", before)), "")
    assert contract().operation_at(method or ("POST" if "-d" in arguments else "GET"), path)


CHECKS: dict[str, Callable[[Command], None]] = {
    "make": check_make,
    "aws": check_aws,
    "curl": check_curl,
    **dict.fromkeys(("sam", ".build/sam/bin/sam"), check_sam),
    **dict.fromkeys(("python", "python3", ".venv/bin/python"), check_python),
}


def is_installed(program: str) -> bool:
    """Whether a lock has the program. Its options are not checked."""
    npm = (ROOT / "requirements" / "node" / "package.json").read_text()
    return (ROOT / program).exists() or (Path(sys.executable).parent / program).exists() or f'"{program}"' in npm


@pytest.mark.parametrize(("place", "command"), [pytest.param(*one, id=shlex.join(one[1])) for one in of_documents()])
def test_a_command_exists_with_its_options(place: str, command: list[str]) -> None:
    program, *arguments = command
    if program in CHECKS:
        CHECKS[program](arguments)
    else:
        assert program in OTHERS or is_installed(program), f"{place}: {program}"


@pytest.mark.parametrize("block", blocks(language="sh"), ids=str)
def test_a_script_has_the_syntax_of_a_shell(block: Block) -> None:
    script = re.sub(r"<[A-Za-z][^<>|&;\n]*>", PLACEHOLDER, block.text)
    subprocess.run(["bash", "-n", "-c", script], check=True)


@pytest.mark.parametrize("document", [one for one in documents() if "decisions" not in one])
def test_a_parameter_with_a_value_is_one_of_the_template(document: str) -> None:
    for span in spans(document):
        if re.fullmatch(r"[A-Z][a-z]\w+=\S+", span):
            check_parameter(*span.split("=", 1))

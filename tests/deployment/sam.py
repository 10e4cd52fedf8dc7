"""Runs SAM on a template, an artifact and parameters. Runs in the environment of SAM CLI.

Reads lines of `[command, argument, ...]` from stdin and writes each result to stdout as a line, all as JSON.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from samcli.cli.types import CfnParameterOverridesType
from samcli.lib.utils.hash import dir_checksum
from samcli.yamlhelper import parse_yaml_file
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator


def read(path: str) -> Any:
    """The template as SAM CLI reads it."""
    return parse_yaml_file(path)


class Plain(yaml.SafeLoader):
    """YAML without the short forms, such as !Sub, that SAM CLI adds to SafeLoader: AWS::Include accepts none."""

    yaml_multi_constructors = {}  # noqa: RUF012 - as in the base class


def included(path: str) -> Any:
    """The template with the files that AWS::Include inserts. CloudFormation does this before the SAM transform."""

    def resolve(node: Any) -> Any:
        match node:
            case {"Fn::Transform": {"Name": "AWS::Include", "Parameters": {"Location": str(location)}}}:
                return yaml.load((Path(path).parent / location).read_text(), Plain)  # noqa: S506 - Plain is a safe loader
            case dict():
                return {key: resolve(value) for key, value in node.items()}
            case list():
                return [resolve(value) for value in node]
        return node

    return resolve(read(path))


def translate(path: str, code_uri: str, parameters: dict[str, str]) -> Any:
    """The CloudFormation template that SAM makes from ours, for some parameters."""
    template = included(path)
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":  # as `sam package` writes it
            resource["Properties"]["CodeUri"] = code_uri
    return Translator({}, Parser()).translate(template, parameters)


def checksum(folder: str) -> str:
    """The name under which SAM uploads an artifact."""
    return str(dir_checksum(folder))


def parameters(text: str) -> Any:
    """The values that `sam deploy --parameter-overrides` reads from a text."""
    return CfnParameterOverridesType().convert((text,), None, None)


COMMANDS: dict[str, Callable[..., Any]] = {
    "read": read,
    "included": included,
    "translate": translate,
    "checksum": checksum,
    "parameters": parameters,
}

if __name__ == "__main__":
    for line in sys.stdin:
        command, *arguments = json.loads(line)
        sys.stdout.write(json.dumps(COMMANDS[command](*arguments)) + "\n")
        sys.stdout.flush()

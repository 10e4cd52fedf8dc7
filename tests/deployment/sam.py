"""What SAM itself makes of a template, of an artifact and of parameters. Runs in the environment of SAM CLI.

Reads `[command, argument, ...]` from stdin and writes the result to stdout, both as JSON.
"""

import json
import sys
from collections.abc import Callable
from typing import Any

from samcli.cli.types import CfnParameterOverridesType
from samcli.lib.utils.hash import dir_checksum
from samcli.yamlhelper import parse_yaml_file
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator


def read(path: str) -> Any:
    """The template as SAM CLI reads it."""
    return parse_yaml_file(path)


def translate(path: str, code_uri: str, parameters: dict[str, str]) -> Any:
    """The CloudFormation template that SAM makes of ours, for given parameters."""
    template = read(path)
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":  # as `sam package` would leave it
            resource["Properties"]["CodeUri"] = code_uri
    return Translator({}, Parser()).translate(template, parameters)


def checksum(folder: str) -> str:
    """The name under which SAM uploads an artifact."""
    return str(dir_checksum(folder))


def parameters(text: str) -> Any:
    """The values that `sam deploy --parameter-overrides` takes from a text."""
    return CfnParameterOverridesType().convert((text,), None, None)


COMMANDS: dict[str, Callable[..., Any]] = {
    "read": read,
    "translate": translate,
    "checksum": checksum,
    "parameters": parameters,
}

if __name__ == "__main__":
    command, *arguments = json.load(sys.stdin)
    json.dump(COMMANDS[command](*arguments), sys.stdout)

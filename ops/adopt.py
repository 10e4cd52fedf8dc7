"""`python -m ops.adopt`: makes a new stack from the table and the user pool that a deleted stack has left behind.

CloudFormation imports the two into a stack that has nothing else. The next `make deploy` adds the rest.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/import-resources-new-stack.html
"""

import argparse
import json
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from local import template
from ops.command import client, given, run

# By option: the resource in template.yaml, and the name of its identifier.
RESOURCES: Final = {"table": ("TaskTable", "TableName"), "pool": ("UserPool", "UserPoolId")}
_CHANGE_SET: Final = "adopt"


def reduced(names: Sequence[str]) -> Mapping[str, Any]:
    """Return template.yaml with these resources only. They refer to parameters, and to no other resource."""
    document = template.read(Path(__file__).parent.parent / "template.yaml")
    kept = {name: document[name] for name in ("AWSTemplateFormatVersion", "Parameters", "Conditions")}
    return {**kept, "Resources": {name: document["Resources"][name] for name in names}}


def adopt(stack: str, identifiers: Mapping[str, str]) -> None:
    """Import the resources with these identifiers, by option, into a new stack. Raises botocore's errors."""
    document = reduced([RESOURCES[option][0] for option in identifiers])
    imports: list[Any] = [
        {
            "ResourceType": document["Resources"][name]["Type"],
            "LogicalResourceId": name,
            "ResourceIdentifier": {key: identifiers[option]},
        }
        for option in identifiers
        for name, key in [RESOURCES[option]]
    ]
    cloudformation = client("cloudformation")
    cloudformation.create_change_set(
        StackName=stack,
        ChangeSetName=_CHANGE_SET,
        ChangeSetType="IMPORT",
        TemplateBody=json.dumps(document),
        ResourcesToImport=imports,
    )
    cloudformation.get_waiter("change_set_create_complete").wait(StackName=stack, ChangeSetName=_CHANGE_SET)
    cloudformation.execute_change_set(StackName=stack, ChangeSetName=_CHANGE_SET)
    cloudformation.get_waiter("stack_import_complete").wait(StackName=stack)


def main(arguments: Sequence[str]) -> int:
    """Adopt what the options name, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m ops.adopt", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("stack", metavar="STACK", type=given, help="the name of the new stack, such as tasks-dev")
    parser.add_argument(
        "--table", type=given, required=True, help="the name of the table that the deleted stack has left"
    )
    parser.add_argument("--pool", type=given, help="the id of the user pool, if the deleted stack had one")
    return run(partial(_adopt, parser.parse_args(arguments)))


def _adopt(options: argparse.Namespace, _: threading.Event) -> str:
    adopt(options.stack, {option: value for option in RESOURCES if (value := getattr(options, option))})
    return f"The stack {options.stack} has its data. Now run make deploy."


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Reads functions, routes, tables and authorizer from template.yaml, and resolves parameters and intrinsics."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

PSEUDO_PARAMETERS = {
    "AWS::AccountId": "000000000000",
    "AWS::Partition": "aws",
    "AWS::Region": "eu-central-1",
    "AWS::StackId": "arn:aws:cloudformation:eu-central-1:000000000000:stack/local/0",
    "AWS::StackName": "local",
    "AWS::URLSuffix": "amazonaws.com",
}
_NO_VALUE = object()
_TABLE_KEYS = (
    *("AttributeDefinitions", "BillingMode", "GlobalSecondaryIndexes", "KeySchema", "LocalSecondaryIndexes"),
    *("ProvisionedThroughput", "StreamSpecification"),
)
# Only these properties are resolved: others may contain intrinsics that cannot be resolved outside of AWS.
_USED = {
    *(
        "Auth",
        "CorsConfiguration",
        "Environment",
        "Events",
        "Handler",
        "MemorySize",
        "TimeToLiveSpecification",
        "Timeout",
    ),
    *_TABLE_KEYS,
}


@dataclass(frozen=True)
class Route:
    """A route of the API, and whether it needs a token."""

    method: str
    path: str
    public: bool


@dataclass(frozen=True)
class Function:
    """A Lambda function. `timeout` is in seconds. `stream` has the settings of the mapping that calls it, if any."""

    name: str
    handler: str
    environment: Mapping[str, str]
    timeout: int
    memory: int
    routes: tuple[Route, ...]
    stream: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Table:
    """A DynamoDB table: the arguments of CreateTable, and the attribute that TTL reads."""

    arguments: Mapping[str, Any]
    ttl: str | None


@dataclass(frozen=True)
class Template:
    """The parts of a template that a gateway needs."""

    functions: tuple[Function, ...]
    tables: tuple[Table, ...]
    issuer: str
    audiences: tuple[str, ...]
    cors: Mapping[str, Any]


class _Loader(yaml.CSafeLoader):
    """YAML with the short forms of CloudFormation: `!Ref X` is `{Ref: X}`, `!Sub X` is `{"Fn::Sub": X}`."""


def _intrinsic(loader: _Loader, name: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    match node:
        case yaml.SequenceNode():
            value = loader.construct_sequence(node)
        case yaml.MappingNode():
            value = loader.construct_mapping(node)
        case _:
            value = node.value.split(".", 1) if name == "GetAtt" else node.value
    return {name if name in {"Ref", "Condition"} else f"Fn::{name}": value}


_Loader.add_multi_constructor("!", _intrinsic)
# CloudFormation has no date type: the version of a policy is a string.
_Loader.add_constructor("tag:yaml.org,2002:timestamp", lambda _, node: node.value)


def read(path: Path) -> dict[str, Any]:
    """Return the template without resolving it, with intrinsic functions in their long form."""
    document: dict[str, Any] = _Loader(path.read_text()).get_single_data()
    return document


def operations(document: Mapping[str, Any]) -> list[str]:
    """Return the names of the functions that are operations of the API. Other functions have no route."""
    return [
        name
        for name, resource in document["Resources"].items()
        if any(event["Type"] == "HttpApi" for event in resource.get("Properties", {}).get("Events", {}).values())
    ]


def load(path: Path, parameters: Mapping[str, str]) -> Template:
    """Read and resolve a template. A Ref to a resource becomes its logical id. Raises ValueError if this fails."""
    document = read(path)
    resolve = _Resolver(document, parameters)
    resources = {
        name: resource
        for name, resource in document["Resources"].items()
        if "Condition" not in resource or resolve.condition(resource["Condition"])
    }

    def of_type(kind: str) -> dict[str, dict[str, Any]]:
        return {name: used(r.get("Properties", {})) for name, r in resources.items() if r["Type"] == kind}

    def used(properties: Mapping[str, Any]) -> dict[str, Any]:
        resolved: dict[str, Any] = resolve({key: value for key, value in properties.items() if key in _USED})
        return resolved

    defaults = used(document.get("Globals", {}).get("Function", {}))
    api = next(iter(of_type("AWS::Serverless::HttpApi").values()), {})
    jwt: Mapping[str, Any] = next(
        (one["JwtConfiguration"] for one in api.get("Auth", {}).get("Authorizers", {}).values()), {}
    )
    audience = jwt.get("audience", ())
    return Template(
        functions=tuple(_function(name, defaults, own) for name, own in of_type("AWS::Serverless::Function").items()),
        tables=tuple(_table(name, own) for name, own in of_type("AWS::DynamoDB::Table").items()),
        issuer=jwt.get("issuer", ""),
        audiences=(audience,) if isinstance(audience, str) else tuple(audience),
        cors=api.get("CorsConfiguration", {}),
    )


def _table(name: str, own: Mapping[str, Any]) -> Table:
    arguments = {"TableName": name, **{key: own[key] for key in _TABLE_KEYS if key in own}}
    if stream := own.get("StreamSpecification"):
        # CloudFormation enables a stream by naming it, CreateTable by a flag.
        arguments["StreamSpecification"] = {"StreamEnabled": True, **stream}
    ttl = own.get("TimeToLiveSpecification", {})
    return Table(arguments, ttl["AttributeName"] if ttl.get("Enabled") else None)


def _function(name: str, defaults: Mapping[str, Any], own: Mapping[str, Any]) -> Function:
    def variables(of: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = of.get("Environment", {}).get("Variables", {})
        return found

    merged = {**defaults, **own}
    events, streams = (
        [event["Properties"] for event in own.get("Events", {}).values() if event["Type"] == kind]
        for kind in ("HttpApi", "DynamoDB")
    )
    return Function(
        name=name,
        handler=merged["Handler"],
        environment={key: str(value) for key, value in {**variables(defaults), **variables(own)}.items()},
        timeout=merged.get("Timeout", 3),
        memory=merged.get("MemorySize", 128),
        routes=tuple(
            Route(event["Method"].upper(), event["Path"], event.get("Auth", {}).get("Authorizer") == "NONE")
            for event in events
        ),
        stream=next(iter(streams), None),
    )


class _Resolver:
    """Resolves the intrinsic functions that the template uses."""

    def __init__(self, document: Mapping[str, Any], parameters: Mapping[str, str]) -> None:
        self._conditions = document.get("Conditions", {})
        self._resources = document["Resources"]
        self._values: dict[str, Any] = dict(PSEUDO_PARAMETERS)
        for name, parameter in document.get("Parameters", {}).items():
            value = parameters.get(name, parameter.get("Default"))
            if parameter["Type"] == "CommaDelimitedList" and value is not None:
                value = [part.strip() for part in str(value).split(",")]
            self._values[name] = value

    def __call__(self, node: Any) -> Any:  # noqa: C901, PLR0911 - one case for each intrinsic function
        """Return the node with its intrinsics resolved."""
        match node:
            case {"Ref": str(name)}:
                return self._ref(name)
            case {"Fn::GetAtt": [name, attribute]} | {"Fn::GetAtt": str(name) as attribute}:
                return f"{name}.{attribute}"
            case {"Fn::Sub": [str(text), dict(names)]}:
                return self._sub(text, self(names))
            case {"Fn::Sub": str(text)}:
                return self._sub(text, {})
            case {"Fn::Join": [str(separator), parts]}:
                return separator.join(map(str, self(parts)))
            case {"Fn::Select": [int(index), several]}:
                return self(several)[index]
            case {"Fn::If": [str(name), yes, no]}:
                return self(yes if self.condition(name) else no)
            case dict() if any(str(key).startswith("Fn::") for key in node):
                raise ValueError(f"cannot resolve {node}")
            case dict():
                resolved = {key: self(value) for key, value in node.items()}
                return {key: value for key, value in resolved.items() if value is not _NO_VALUE}
            case list():
                return [value for value in map(self, node) if value is not _NO_VALUE]
        return node

    def condition(self, node: Any) -> bool:
        """Evaluate a condition."""
        match node:
            case str(name) if name in self._conditions:
                return self.condition(self._conditions[name])
            case {"Condition": str(name)}:
                return self.condition(name)
            case {"Fn::Equals": [one, other]}:
                return bool(self(one) == self(other))
            case {"Fn::Not": [inner]}:
                return not self.condition(inner)
            case {"Fn::And": list(inner)}:
                return all(map(self.condition, inner))
            case {"Fn::Or": list(inner)}:
                return any(map(self.condition, inner))
        raise ValueError(f"cannot evaluate the condition {node}")

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return _NO_VALUE
        if name in self._resources:
            return name
        if self._values.get(name) is None:
            raise ValueError(f"the parameter {name} has no value")
        return self._values[name]

    def _sub(self, text: str, names: Mapping[str, Any]) -> str:
        def value(match: re.Match[str]) -> str:
            literal, name = match.groups()
            return f"${{{name}}}" if literal else str(names[name] if name in names else self._name(name))

        return re.sub(r"\$\{(!?)([\w:.]+)\}", value, text)

    def _name(self, name: str) -> Any:
        return name if "." in name else self._ref(name)

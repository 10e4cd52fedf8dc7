"""Starts ministack, an emulator of AWS, with what it lacks for this template. It runs in an environment of its own.

    python rehearsal/emulator.py PORT

Each function below fills one gap. Where a new release closes the gap, the start fails and names what to remove. These
are private parts of ministack, so requirements/rehearse.in pins its version.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

PORT = sys.argv.pop()  # ministack reads the arguments, too
os.environ.update(
    GATEWAY_PORT=PORT,
    BIND_HOST="127.0.0.1",
    LAMBDA_EXECUTOR="local",
    IOT_MTLS_ENABLED="0",
    AUTH="true",  # evaluate the policies of IAM
)

from ministack import app
from ministack.services import apigateway
from ministack.services.cloudformation import changesets, engine, provisioners
from samtranslator.translator import transform as sam

# The types that this template needs and ministack does not have. Nothing that the rehearsal checks depends on them.
PLACEHOLDERS = (
    "AWS::CodeDeploy::Application",
    "AWS::CodeDeploy::DeploymentGroup",
    "AWS::Cognito::ManagedLoginBranding",
    "AWS::Logs::QueryDefinition",
    "AWS::Events::ApiDestination",
    "AWS::Events::Archive",
    "AWS::Events::Connection",
)
API = "AWS::ApiGatewayV2::Api"


def main() -> None:
    """Fill the gaps, and serve until the process is killed."""
    add_placeholders()
    accept_metric_math()
    import_routes()
    pass_parameters_to_sam()
    app.main()


def add_placeholders() -> None:
    """Accept types of resources without making anything."""
    handlers = provisioners._RESOURCE_HANDLERS
    for kind in PLACEHOLDERS:
        if kind in handlers:
            sys.exit(f"ministack now has {kind}: remove it from PLACEHOLDERS in rehearsal/emulator.py")
        handlers[kind] = {
            "create": lambda logical_id, _, stack: (f"{stack}-{logical_id}", {"Arn": f"arn:aws:none:::{logical_id}"}),
            "update": lambda physical_id, *_: (physical_id, {}),
            "delete": lambda *_: None,
        }


def accept_metric_math() -> None:
    """Make an alarm on one metric in place of one on an expression."""
    handlers = provisioners._RESOURCE_HANDLERS["AWS::CloudWatch::Alarm"]
    make = handlers["create"]

    def create(logical_id: str, properties: Mapping[str, Any], stack: str) -> Any:
        if "Metrics" not in properties:
            return make(logical_id, properties, stack)
        try:
            make(logical_id, properties, stack)
        except ValueError:
            one = {"Namespace": "Rehearsal", "MetricName": logical_id, "Statistic": "Sum", "Period": 60}
            return make(logical_id, {**properties, **one, "Metrics": None}, stack)
        raise ValueError("ministack now has metric math: remove accept_metric_math from rehearsal/emulator.py")

    handlers["create"] = create


def import_routes() -> None:
    """Make the routes that the property Body of an API defines, and give the API an address that needs no DNS."""
    if "Body" in apigateway.__dict__.get("_IMPORTED_PROPERTIES", ()) or hasattr(apigateway, "_import_api"):
        sys.exit("ministack now imports the Body of an HTTP API: remove import_routes from rehearsal/emulator.py")
    handlers = provisioners._RESOURCE_HANDLERS[API]

    def importing(make: Callable[..., Any], place_of_properties: int) -> Callable[..., Any]:
        def make_and_import(*arguments: Any) -> Any:
            made = make(*arguments)
            api_id = made[0] if isinstance(made, tuple) else arguments[0]
            _import(api_id, arguments[place_of_properties]["Body"])
            endpoint = {"ApiId": api_id, "ApiEndpoint": f"http://127.0.0.1:{PORT}/_aws/execute-api/{api_id}/$default"}
            return api_id, endpoint

        return make_and_import

    handlers["create"] = importing(handlers["create"], 1)
    handlers["update"] = importing(handlers["update"], 2)


def _import(api_id: str, body: Mapping[str, Any]) -> None:
    for parts in (apigateway._routes, apigateway._integrations, apigateway._authorizers):
        parts[api_id] = {}
    authorizers = {}
    for name, scheme in body["components"]["securitySchemes"].items():
        authorizer = scheme["x-amazon-apigateway-authorizer"]
        made = {"name": name, "authorizerType": "JWT", "jwtConfiguration": authorizer["jwtConfiguration"]}
        authorizers[name] = _made(apigateway._create_authorizer(api_id, made))["authorizerId"]
    for path, methods in body["paths"].items():
        for method, operation in methods.items():
            target = operation["x-amazon-apigateway-integration"]
            integration = _made(apigateway._create_integration(api_id, {"integrationUri": target["uri"]}))
            names = [name for one in operation.get("security", ()) for name in one if name in authorizers]
            route = {
                "routeKey": f"{method.upper()} {path}",
                "target": f"integrations/{integration['integrationId']}",
                **({"authorizationType": "JWT", "authorizerId": authorizers[names[0]]} if names else {}),
            }
            _made(apigateway._create_route(api_id, route))


def _made(response: Any) -> Any:
    status, _, content = response
    if status >= 300:
        raise ValueError(content)
    return json.loads(content)


def pass_parameters_to_sam() -> None:
    """Let SAM see the values of parameters: `Release` publishes versions only then."""
    values: dict[str, Any] = {}
    apply, transform = changesets._apply_transforms, sam.transform

    def apply_with_values(template: Any, provided: Any = None, previous: Any = None) -> Any:
        values.clear()
        values.update(engine._transform_parameters(template, provided, previous))
        return apply(template, provided, previous)

    def transform_with_values(template: Any, parameters: Mapping[str, Any], policies: Any) -> Any:
        if parameters:
            raise ValueError(
                "ministack now passes parameters to SAM: remove pass_parameters_to_sam from rehearsal/emulator.py"
            )
        return transform(template, dict(values), policies)

    changesets._apply_transforms = apply_with_values
    sam.transform = transform_with_values


if __name__ == "__main__":
    main()

"""The page to try the API on: Swagger UI as Powertools brings it, with the contract and a token filled in."""

import json
from importlib.resources import files
from pathlib import Path

from aws_lambda_powertools.event_handler.openapi import swagger_ui

from local.tokens import make_token

PATH = "/docs"
USER = "alice"
_CONTRACT = Path(__file__).parent.parent / "docs" / "openapi.json"


def page() -> str:
    """The page, with the contract as it is now and a new token of the user alice."""
    shipped = files(swagger_ui)
    script = (shipped / "swagger-ui-bundle.min.js").read_text(encoding="utf-8")
    style = (shipped / "swagger-ui.min.css").read_text(encoding="utf-8")
    contract = json.loads(_CONTRACT.read_text(encoding="utf-8"))
    contract["info"]["description"] += f"\n\nA token of the user {USER} is filled in: press Try it out, then Execute."
    # Inside of a script element a slash after < would end it.
    spec = json.dumps(contract).replace("</", "<\\/")
    html = swagger_ui.generate_swagger_html(spec, script, style, swagger_base_url="", oauth2_config=None)
    # Where Powertools' own resolver would serve the document.
    html = html.replace('currentUrl.pathname + "?format=json"', '"/v1/openapi.json"')
    authorize = f"<script>ui.preauthorizeApiKey('Jwt', {json.dumps(make_token(USER))});</script>"
    head = "<title>Tasks: try it</title><link rel='icon' href='data:,'>"  # else browsers ask for one, and get a 404
    return html.replace("<title>Swagger UI</title>", head) + authorize

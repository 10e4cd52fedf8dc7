"""The page /docs of `make run`: the Swagger UI that Powertools contains, with the contract and a token filled in."""

import json
from importlib.resources import files
from pathlib import Path

from aws_lambda_powertools.event_handler.openapi import swagger_ui

from local.tokens import ISSUER, user_token

PATH = "/docs"
USER = "alice"
_CONTRACT = Path(__file__).parent.parent / "docs" / "openapi.json"


def page(issuer: str = ISSUER) -> str:
    """Return the HTML page, with the current contract, and with a new token for alice if we are the issuer."""
    package = files(swagger_ui)
    script = (package / "swagger-ui-bundle.min.js").read_text(encoding="utf-8")
    style = (package / "swagger-ui.min.css").read_text(encoding="utf-8")
    contract = json.loads(_CONTRACT.read_text(encoding="utf-8"))
    own = issuer == ISSUER
    token = f"A token for the user {USER} is filled in." if own else f"Press Authorize, and enter a token of {issuer}."
    contract["info"]["description"] += f"\n\n{token} Press Try it out, then Execute."
    # The browser would end the script element at the first `</`.
    spec = json.dumps(contract).replace("</", "<\\/")
    html = swagger_ui.generate_swagger_html(spec, script, style, swagger_base_url="", oauth2_config=None)
    # Powertools' page expects the document at the URL that its own resolver serves.
    html = html.replace('currentUrl.pathname + "?format=json"', '"/v1/openapi.json"')
    authorize = f"<script>ui.preauthorizeApiKey('Jwt', {json.dumps(user_token(USER))});</script>" if own else ""
    head = "<title>Tasks: try it</title><link rel='icon' href='data:,'>"  # else browsers request favicon.ico
    return html.replace("<title>Swagger UI</title>", head) + authorize

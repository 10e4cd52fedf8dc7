"""Imitates an API Gateway HTTP API on localhost: routes, authorizer, events in payload format 2.0, and errors."""

import base64
import json
import re
import socket
import sys
import time
import traceback
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote

import jwt
from werkzeug.exceptions import BadRequest
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from local import tokens
from local.claims import as_text
from local.serving import running
from local.template import Route, Template
from local.workers import MAX_PAYLOAD, FunctionError, Throttled, Workers

_MAX_BODY = 10 * 1024 * 1024
_MAX_DRAINED = 64 * 1024 * 1024
_INTEGRATION_SECONDS = 29.0
_TEXT = re.compile(r"text/|application/(json|javascript|xml)\s*(;|$)", re.IGNORECASE)


class _HttpError(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.response = _json(status, {"message": message})


@dataclass(frozen=True)
class _Endpoint:
    name: str
    route: Route
    workers: Workers

    @property
    def key(self) -> str:
        return f"{self.route.method} {self.route.path}"

    def match(self, path: str) -> dict[str, str] | None:
        """Return the path parameters, each one segment of the raw path, or None if the path does not match."""
        wanted, given = self.route.path.split("/"), path.split("/")
        pairs = [(want, got) for want, got in zip(wanted, given, strict=False) if want != got]
        if len(wanted) != len(given) or not all(want[:1] == "{" and got for want, got in pairs):
            return None
        return {want.strip("{}"): unquote(got) for want, got in zip(wanted, given, strict=True) if want[:1] == "{"}


class Gateway:
    """The API of a template, as a WSGI application."""

    def __init__(
        self,
        template: Template,
        environment: Mapping[str, str],
        max_workers: int,
        queue_timeout: float,
        pages: Mapping[str, Callable[[], str]],
    ) -> None:
        self._template = template
        self._pages = pages
        self._workers = [Workers(function, environment, max_workers, queue_timeout) for function in template.functions]
        endpoints = [
            _Endpoint(function.name, route, workers)
            for function, workers in zip(template.functions, self._workers, strict=True)
            for route in function.routes
        ]
        # A literal segment takes precedence over a parameter.
        self._endpoints = sorted(endpoints, key=lambda endpoint: endpoint.route.path.replace("{", "\U0010ffff"))

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Respond to a WSGI request."""
        request = Request(environ)
        request_id = base64.b64encode(uuid.uuid4().bytes).decode()[:16]
        try:
            response = self._page(request) or self._preflight(request) or self._invoke(request, request_id)
        except _HttpError as error:
            response = error.response
        except Exception:  # noqa: BLE001 - a defect of the gateway, which must respond as API Gateway does
            traceback.print_exc()
            response = _json(500, {"message": "Internal Server Error"})
        response.headers["apigw-requestid"] = request_id
        self._allow_origin(request, response)
        return response(environ, start_response)

    def close(self) -> None:
        """End all worker processes."""
        for workers in self._workers:
            workers.close()

    def _invoke(self, request: Request, request_id: str) -> Response:
        body = _body(request)
        endpoint, parameters = self._match(request)
        claims = None if endpoint.route.public else self._claims(request)
        event = json.dumps(_event(request, request_id, endpoint, parameters, claims, body), ensure_ascii=False)
        if len(event.encode(errors="surrogatepass")) > MAX_PAYLOAD:
            raise _HttpError(413, "Request Entity Too Large")
        try:
            response = _response(endpoint.workers.invoke(event))
        except Throttled:
            raise _HttpError(503, "Service Unavailable") from None
        except FunctionError:
            raise _HttpError(500, "Internal Server Error") from None
        except (TypeError, ValueError, AttributeError) as error:
            sys.stderr.write(f"{endpoint.name} returned a malformed response: {error}\n")
            raise _HttpError(500, "Internal Server Error") from None
        for name in {name for name, _ in response.headers if name.lower().startswith("access-control-")}:
            if self._template.cors:
                del response.headers[name]  # the CORS settings of the API replace the headers of a function
        if request.method == "HEAD":
            # A function need not make the body, so its length may not be that of the body of a GET.
            response.automatically_set_content_length = False
            del response.headers["content-length"]
        return response

    def _match(self, request: Request) -> tuple[_Endpoint, dict[str, str]]:
        for endpoint in self._endpoints:
            parameters = endpoint.match(_raw_path(request))
            if parameters is not None and request.method == endpoint.route.method:
                return endpoint, parameters
        raise _HttpError(404, "Not Found")

    def _claims(self, request: Request) -> dict[str, str]:
        token = re.sub(r"^bearer ", "", request.headers.get("Authorization", ""), flags=re.IGNORECASE)
        try:
            claims = tokens.verify(token, self._template)
        except jwt.InvalidTokenError:
            error = _HttpError(401, "Unauthorized")
            error.response.headers["www-authenticate"] = "Bearer"
            raise error from None
        return {name: as_text(value) for name, value in claims.items()}

    def _page(self, request: Request) -> Response | None:
        if request.method != "GET":
            return None
        path = _raw_path(request)
        if path == "/" and self._pages:
            return Response(status=302, headers={"Location": next(iter(self._pages))})
        page = self._pages.get(path)
        return page and Response(page(), content_type="text/html; charset=utf-8", headers={"Cache-Control": "no-store"})

    def _preflight(self, request: Request) -> Response | None:
        is_preflight = "Origin" in request.headers and "Access-Control-Request-Method" in request.headers
        if not (self._template.cors and request.method == "OPTIONS" and is_preflight):
            return None
        response = Response(status=204)
        cors = self._template.cors
        if self._allowed_origin(request) is None:
            return response
        response.headers["access-control-allow-methods"] = ",".join(cors.get("AllowMethods", ()))
        response.headers["access-control-allow-headers"] = ",".join(cors.get("AllowHeaders", ())).lower()
        response.headers["access-control-max-age"] = str(cors.get("MaxAge", 0))
        return response

    def _allow_origin(self, request: Request, response: Response) -> None:
        origin = self._allowed_origin(request)
        if origin is not None:
            response.headers["access-control-allow-origin"] = origin
            exposed = ",".join(self._template.cors.get("ExposeHeaders", ())).lower()
            response.headers["access-control-expose-headers"] = exposed

    def _allowed_origin(self, request: Request) -> str | None:
        origin, allowed = request.headers.get("Origin"), self._template.cors.get("AllowOrigins", ())
        return next((one for one in ("*", origin) if origin is not None and one in allowed), None)


@contextmanager
def serve(  # noqa: PLR0913, PLR0917 - the options of a gateway
    template: Template,
    environment: Mapping[str, str],
    port: int = 0,
    workers: int = 8,
    queue_timeout: float = _INTEGRATION_SECONDS,
    pages: Mapping[str, Callable[[], str]] | None = None,
) -> Iterator[str]:
    """Serve a template on 127.0.0.1 and yield the URL. Raises OSError if the port is in use.

    Args:
        template: The template whose API is served.
        environment: Environment variables for every function. They override those of the template.
        port: The port, or 0 for a free one.
        workers: The maximum number of processes of each function.
        queue_timeout: How many seconds a request waits for a free process.
        pages: Additional HTML pages by path, which a deployed API does not have. The path / leads to the first one.
    """
    gateway = Gateway(template, environment, workers, queue_timeout, pages or {})
    with socket.create_server(("127.0.0.1", port)) as listener:  # werkzeug itself would exit if the port is in use
        server = make_server(
            "127.0.0.1", port, gateway, threaded=True, request_handler=_QuietHandler, fd=listener.fileno()
        )
    try:
        with running(server) as url:
            yield url
    finally:
        gateway.close()


class _QuietHandler(WSGIRequestHandler):
    """Logs nothing: the functions log each request."""

    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - werkzeug's name
        """Log nothing."""


def _raw_path(request: Request) -> str:
    # RFC 9112, section 3.2.2: a server must accept the absolute form of the request target, too.
    return re.sub(r"^https?://[^/?#]*", "", str(request.environ["REQUEST_URI"]), flags=re.IGNORECASE).partition("?")[0]


def _body(request: Request) -> bytes:
    body = b""
    try:
        while len(body) <= _MAX_BODY and (part := request.stream.read(_MAX_BODY + 1)):
            body += part
    except (OSError, BadRequest):  # the body is incomplete, or its chunks are malformed: RFC 9112, section 8
        error = _HttpError(400, "Bad Request")
        error.response.headers["connection"] = "close"
        raise error from None
    if len(body) > _MAX_BODY:
        request.stream.read(_MAX_DRAINED)  # a client that is still sending would get a reset instead of the response
        raise _HttpError(413, "Request Entity Too Large")
    return body


def _event(  # noqa: PLR0913, PLR0917 - the parts of an event
    request: Request,
    request_id: str,
    endpoint: _Endpoint,
    parameters: Mapping[str, str],
    claims: Mapping[str, str] | None,
    body: bytes,
) -> dict[str, Any]:
    headers = {name.lower(): value for name, value in request.headers.items()}
    cookies = [cookie.strip() for cookie in headers.pop("cookie", "").split(";") if cookie.strip()]
    path, now = unquote(_raw_path(request)), time.time()
    query: dict[str, str] = {}
    for name, value in parse_qsl(request.query_string.decode("latin-1"), keep_blank_values=True):
        query[name] = f"{query[name]},{value}" if name in query else value
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": endpoint.key,
        "rawPath": path,
        "rawQueryString": request.query_string.decode("latin-1"),
        "headers": headers,
        "requestContext": {
            "accountId": "000000000000",
            "apiId": "local",
            "domainName": request.host,
            "domainPrefix": request.host.partition(".")[0],
            "http": {
                "method": request.method,
                "path": path,
                "protocol": request.environ["SERVER_PROTOCOL"],
                "sourceIp": request.remote_addr,
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": request_id,
            "routeKey": endpoint.key,
            "stage": "$default",
            "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
            "timeEpoch": int(now * 1000),
        },
        "isBase64Encoded": False,
    }
    if cookies:
        event["cookies"] = cookies
    if query:
        event["queryStringParameters"] = query
    if parameters:
        event["pathParameters"] = dict(parameters)
    if claims is not None:
        event["requestContext"]["authorizer"] = {"jwt": {"claims": dict(claims), "scopes": None}}
    if body:
        event["body"], event["isBase64Encoded"] = _payload(body, headers.get("content-type", ""))
    return event


def _payload(body: bytes, content_type: str) -> tuple[str, bool]:
    """Return the body for the event, and whether it is base64. Only a few content types are sent as text."""
    if _TEXT.match(content_type):
        try:
            return body.decode(), False
        except UnicodeDecodeError:
            pass
    return base64.b64encode(body).decode(), True


def _response(result: Any) -> Response:
    if isinstance(result, str):
        return Response(result, content_type="application/json")
    if not isinstance(result, dict) or "statusCode" not in result:
        return _json(200, result)
    status = int(result["statusCode"])
    if not 200 <= status <= 599:  # noqa: PLR2004 - the status codes of final responses
        raise ValueError(f"status {status}")
    body = result.get("body") or ""
    data = base64.b64decode(body) if result.get("isBase64Encoded") else body.encode()
    response = Response(data, status=status, content_type="text/plain;charset=UTF-8")
    for name, value in (result.get("headers") or {}).items():
        response.headers[name] = str(value)
    for cookie in result.get("cookies") or []:
        response.headers.add("set-cookie", cookie)
    if response.status_code in {204, 304}:
        del response.headers["content-type"]
    return response


def _json(status: int, value: object) -> Response:
    return Response(json.dumps(value), status=status, content_type="application/json")

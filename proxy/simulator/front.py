"""What every request passes before its endpoint: it is logged, written down, spoilt if a fault says so, authorized."""

from __future__ import annotations

import hmac
import time
from typing import TYPE_CHECKING

import structlog
from aiohttp import web

from proxy.http.fields import is_secret_field
from proxy.simulator.answers import answer_json, answer_refusal
from proxy.simulator.faults import Fault
from proxy.simulator.journal import Journal, SeenRequest, TokenRequest
from proxy.simulator.misbehaviour import Misbehaviour
from proxy.simulator.parameters import parse_basic
from proxy.simulator.refusals import RefusalError, invalid_login, invalid_token
from proxy.simulator.rehearsal import UNREAD
from proxy.simulator.token_call import TokenCall, parse_token_call
from proxy.simulator.tokens import IssuedToken
from proxy.traffic.names import MASK, is_secret_name

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from proxy.simulator.faults import Faults
    from proxy.simulator.settings import SimulatorSettings
    from proxy.simulator.tokens import TokenServer

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = structlog.get_logger(__name__)

CONTROL_PREFIX = "/_simulator"
LIS_PATH = "/v1/lis"
HOOK_PREFIX = "/v1/rem/trigger/hook/"
_OAUTH_PREFIX = "/oauth/"
_CLIENT_LEFT = 499
"""For the log alone, after nginx's custom."""

TOKEN = web.RequestKey("token", IssuedToken)
"""The token that a request was authorized by."""
TOKEN_CALL = web.RequestKey("token_call", TokenCall)
"""What a request to a token endpoint says."""
FAULT = web.RequestKey("fault", Fault)
"""The fault that a request meets."""


class Front:
    """The middlewares, and what they write down.

    Attributes:
        requests: Whole requests to the API.
        unfinished: Requests whose client left before their body was whole.
        token_requests: Calls of the token endpoints.
    """

    def __init__(self, settings: SimulatorSettings, tokens: TokenServer, faults: Faults) -> None:
        """Stand before the endpoints of one host."""
        keep, keep_bytes = settings.keep_requests, settings.keep_bytes
        self.requests: Journal[SeenRequest] = Journal(keep, keep_bytes)
        self.unfinished: Journal[SeenRequest] = Journal(keep, keep_bytes)
        self.token_requests: Journal[TokenRequest] = Journal(keep, keep_bytes)
        self.misbehaviour = Misbehaviour(tokens)
        self._settings = settings
        self._tokens = tokens
        self._faults = faults

    @web.middleware
    async def log_answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Log one line a request, and give every error its documented body."""
        started = time.perf_counter()
        status: int | None = None
        try:
            response = await _answer(request, handler)
            status = response.status
        finally:
            log.info(
                "simulator.answered",
                family=self._settings.family,
                method=request.method,
                path=request.raw_path.partition("?")[0],
                status=status,
                fault=request[FAULT].kind if FAULT in request else None,
                milliseconds=round((time.perf_counter() - started) * 1000, 1),
            )
        return response

    @web.middleware
    async def record(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Write the request down when it has arrived; then it meets its fault, if there is one for it."""
        path = request.raw_path
        if path.startswith(CONTROL_PREFIX):
            return await handler(request)
        body = await self._read(request)
        fault = self._faults.take("token" if path.startswith(_OAUTH_PREFIX) else "api", path)
        if path.startswith(_OAUTH_PREFIX):
            self._record_token_call(request, body)
        else:
            self.requests.add(self._build_seen(request, body))
        if fault is None:
            return await handler(request)
        request[FAULT] = fault
        return await self.misbehaviour.meet(fault, request, handler)

    @web.middleware
    async def authorize(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse a request whose credential is not good; a path that there is not needs none."""
        path = request.raw_path
        is_open = path.startswith((CONTROL_PREFIX, _OAUTH_PREFIX)) or request.match_info.http_exception is not None
        if not is_open and _takes_basic(path):
            self._check_login(request)
        elif not is_open:
            request[TOKEN] = self._check_bearer(request)
        return await handler(request)

    async def _read(self, request: web.Request) -> bytes:
        if request.match_info.handler in UNREAD:
            return b""
        try:
            return await request.read()
        except web.HTTPException:
            raise
        except BaseException:  # a client that leaves cancels us, or breaks the body
            self.unfinished.add(self._build_seen(request, b""))
            raise

    def _build_seen(self, request: web.Request, body: bytes) -> SeenRequest:
        return SeenRequest(
            method=request.method,
            raw_path=request.raw_path,
            headers=_fields(request),
            body=body,
            bearer=_bearer(request),
            authorized=self._is_authorized(request),
        )

    def _is_authorized(self, request: web.Request) -> bool:
        check = self._check_login if _takes_basic(request.raw_path) else self._check_bearer
        try:
            check(request)
        except RefusalError:
            return False
        return True

    def _check_bearer(self, request: web.Request) -> IssuedToken:
        if len(request.headers.getall("Authorization", ())) > 1:
            raise invalid_token()
        return self._tokens.check(_bearer(request))

    def _check_login(self, request: web.Request) -> None:
        known = self._settings
        sent = parse_basic(request.headers.get("Authorization", ""))
        password = known.basic_password.reveal().encode()
        if sent is None or sent[0] != known.basic_username or not hmac.compare_digest(sent[1].encode(), password):
            raise invalid_login()

    def _record_token_call(self, request: web.Request, body: bytes) -> None:
        headers = request.headers
        call = parse_token_call(
            request.path.rstrip("/"), headers.get("Content-Type", ""), headers.get("Authorization", ""), body
        )
        request[TOKEN_CALL] = call
        self.token_requests.add(
            TokenRequest(
                path=request.raw_path,
                grant=call.fields.get("grant_type"),
                client_id=call.client_id,
                username=call.fields.get("username"),
                client_auth=call.client_auth,
                encoding=call.encoding,
                fields={name: value for name, value in call.fields.items() if not is_secret_name(name)},
                headers=[(name, MASK if is_secret_field(name.lower()) else value) for name, value in _fields(request)],
            )
        )


async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except RefusalError as refusal:
        return answer_refusal(refusal)
    except ConnectionError:  # the client left in mid-answer: nobody reads this one
        return web.Response(status=_CLIENT_LEFT, reason="Client Closed Request")
    except web.HTTPException as error:  # the router's 404 and 405, and 413
        texts = {404: "Not found.", 405: f'Method "{request.method}" not allowed.'}
        allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
        return answer_json({"detail": texts.get(error.status, error.reason)}, error.status, allow)


def _takes_basic(path: str) -> bool:
    return path.startswith(HOOK_PREFIX) or path.partition("?")[0] == LIS_PATH


def _fields(request: web.Request) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.raw_headers]


def _bearer(request: web.Request) -> str | None:
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    return value if scheme == "Bearer" and value else None

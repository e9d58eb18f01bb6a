"""Carries a fault out: on the answer where that is enough, on the connection where it is not."""

from __future__ import annotations

import asyncio
import socket
import struct
from http import HTTPStatus
from typing import TYPE_CHECKING, NoReturn

import orjson
from aiohttp import web

from proxy.simulator.answers import answer_json
from proxy.simulator.parameters import JSON
from proxy.simulator.refusals import TOO_MANY, detail, invalid_client, invalid_token, quota

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from proxy.simulator.faults import Fault, Kind
    from proxy.simulator.refusals import RefusalError
    from proxy.simulator.tokens import TokenServer

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
    Act = Callable[[Fault, web.Request, Handler], Awaitable[web.StreamResponse]]

_BROKEN_BODY_BYTES = 1000
_OVERSIZE_BYTES = 6 * 1000 * 1000
_FLUSH_S = 0.001
_LOGIN_PAGE = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body><form></form></body></html>"


class Misbehaviour:
    """Does what a fault says."""

    def __init__(self, tokens: TokenServer) -> None:
        """Act upon ``tokens`` where a fault revokes."""
        self._tokens = tokens
        self._released = asyncio.Event()
        self._acts: Mapping[Kind, Act] = {
            "slow": self._slow,
            "stall": self._stall,
            "stall_body": self._break_body,
            "reset_body": self._break_body,
            "close_body": self._break_body,
            "reset": _reset,
            "close": _close,
            "status": _refuse,
            "unauthorized": _refuse,
            "garbage": _replace,
            "html": _replace,
            "empty": _replace,
            "fields": _alter,
            "oversize": _alter,
            "revoke": self._revoke,
            "echo_secret": _echo_secret,
            "redirect": _redirect,
        }

    def release(self) -> None:
        """Let all that is stalled go on."""
        self._released.set()
        self._released = asyncio.Event()

    async def meet(self, fault: Fault, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer ``request`` as ``fault`` says, through ``handler`` where it leaves room for that."""
        return await self._acts[fault.kind](fault, request, handler)

    async def _slow(self, fault: Fault, request: web.Request, handler: Handler) -> web.StreamResponse:
        await asyncio.sleep(fault.delay_s)
        return await handler(request)

    async def _stall(self, _fault: Fault, request: web.Request, handler: Handler) -> web.StreamResponse:
        await self._released.wait()
        return await handler(request)

    async def _revoke(self, _fault: Fault, request: web.Request, handler: Handler) -> web.StreamResponse:
        self._tokens.revoke_all()
        return await handler(request)

    async def _break_body(self, fault: Fault, request: web.Request, _handler: Handler) -> web.StreamResponse:
        size = fault.size_bytes or _BROKEN_BODY_BYTES
        response = web.StreamResponse(headers={"Content-Type": JSON})
        if fault.chunked:
            response.enable_chunked_encoding()
        else:
            response.content_length = size
        await response.prepare(request)
        body = _build_body(size)
        await response.write(body[: size // 2])
        if fault.kind == "reset_body":
            await _reset(fault, request, _handler)
        if fault.kind == "close_body":
            await _close(fault, request, _handler)
        await self._released.wait()
        await response.write(body[size // 2 :])
        await response.write_eof()
        return response


def _build_body(size: int) -> bytes:
    """Build JSON of ``size`` bytes, so that nothing but its end tells that it is whole."""
    return b'"' + b"x" * (size - 2) + b'"'


async def _reset(_fault: Fault, request: web.Request, _handler: Handler) -> NoReturn:
    transport = await _transport(request)
    while transport.get_write_buffer_size():  # noqa: ASYNC110 (a transport tells nobody that its buffer is empty)
        await asyncio.sleep(_FLUSH_S)
    linger_no_time = struct.pack("ii", 1, 0)  # close() then sends RST and not FIN
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_no_time)
    transport.abort()
    await _end()


async def _close(_fault: Fault, request: web.Request, _handler: Handler) -> NoReturn:
    (await _transport(request)).close()
    await _end()


async def _transport(request: web.Request) -> asyncio.Transport:
    return request.transport or await _end()


async def _end() -> NoReturn:
    """Wait for the server, which cancels the handler of a lost connection."""
    while True:
        await asyncio.Event().wait()


async def _refuse(fault: Fault, _request: web.Request, _handler: Handler) -> NoReturn:
    raise _build_refusal(fault)


def _build_refusal(fault: Fault) -> RefusalError:
    if fault.kind == "unauthorized":
        return invalid_client() if fault.where == "token" else invalid_token()
    status = fault.status or HTTPStatus.INTERNAL_SERVER_ERROR
    text = TOO_MANY if status == HTTPStatus.TOO_MANY_REQUESTS else f"Simulated fault, status {int(status)}."
    refusal = detail(status, text)
    if fault.shape == "gateway":  # old gateways send a spent quota as 500
        refusal.body = quota().body
    if fault.retry_after is not None:
        refusal.headers = {"Retry-After": str(fault.retry_after)}
    return refusal


async def _replace(fault: Fault, _request: web.Request, _handler: Handler) -> web.Response:
    match fault.kind:
        case "html":
            return web.Response(body=_LOGIN_PAGE, content_type="text/html")
        case "empty":
            return web.Response(body=b"", content_type=JSON)
        case _:
            return web.Response(body=b'{"access_token": "abc", "expires_in', content_type=JSON)


async def _alter(fault: Fault, request: web.Request, handler: Handler) -> web.StreamResponse:
    response = await handler(request)
    if not isinstance(response, web.Response) or not isinstance(response.body, bytes):
        return response
    found = orjson.loads(response.body)
    if fault.kind == "oversize":
        spare = (fault.size_bytes or _OVERSIZE_BYTES) - len(response.body)
        return answer_json({**found, "padding": "x" * max(spare, 0)})
    return answer_json({name: value for name, value in {**found, **fault.fields}.items() if name not in fault.drop})


async def _echo_secret(_fault: Fault, request: web.Request, _handler: Handler) -> web.Response:
    quoted = (await request.read()).decode("utf-8", "replace")
    shown = f"rejected: {request.headers.get('Authorization', '')} {quoted}"
    return answer_json({"error": "invalid_client", "error_description": shown, "detail": shown}, 401)


async def _redirect(fault: Fault, _request: web.Request, _handler: Handler) -> web.Response:
    status = fault.status or HTTPStatus.TEMPORARY_REDIRECT
    return answer_json({"detail": "Moved."}, status, {"Location": fault.location})

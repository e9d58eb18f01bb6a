"""What the running proxy answers on its control socket: JSON over HTTP, as the admin listener's answers.

The rule of this file: who asks is looked at before what is asked; whatever changes something is logged with the process
that wanted it.
"""

from __future__ import annotations

import contextlib
import math
import os
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol

import structlog
from aiohttp import web

from proxy.admin.answers import answer_errors, build_json, build_problem
from proxy.admin.view import AdminView
from proxy.control.claim import claim
from proxy.control.peer import Peer, find_peer
from proxy.errors import ConfigError, RefreshPaused
from proxy.threads import in_thread

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware

    from proxy.control.claim import Claim
    from proxy.control.place import Place
    from proxy.reload import Reloaded
    from proxy.tokens.token import CredentialStatus

log = structlog.get_logger(__name__)

TOKENS = "/tokens"
REFRESH = "/tokens/{credential}/refresh"
FORCE = "force"
RELOAD = "/reload"
PEER: web.RequestKey[Peer] = web.RequestKey("peer", Peer)
"""Missing where the system does not tell."""
MAX_BODY_BYTES = 1024
"""No path reads a body."""
THREAD = "control-socket"
RELEASE_S = 1.0
"""At the end; a file system that hangs must not keep the proxy from stopping."""


class Controlled(AdminView, Protocol):
    """The running proxy, as the control socket sees it."""

    async def refresh_token(self, credential: str, *, force: bool) -> CredentialStatus:
        """Replace a credential's token now.

        Raises:
            RefreshPaused: As the token source does.
        """
        ...

    async def reload(self) -> Reloaded:
        """Read the configuration again, and use it.

        Raises:
            ConfigError: If it is refused.
        """
        ...


class ControlSocket:
    """The socket, while the proxy runs."""

    def __init__(self, proxy: Controlled, place: Place) -> None:
        """Prepare; nothing listens yet."""
        self._place = place
        self._claim: Claim | None = None
        self._runner = web.AppRunner(build_control(proxy, os.geteuid()), access_log=None, shutdown_timeout=1)

    async def open(self) -> None:
        """Listen.

        Raises:
            ConfigError: If the place cannot be had.
        """
        self._claim = await in_thread(partial(claim, self._place), name=THREAD)
        await self._runner.setup()
        await web.SockSite(self._runner, self._claim.socket).start()

    async def close(self) -> None:
        """Answer nothing more, and remove the socket."""
        await self._runner.cleanup()
        if self._claim is not None:
            with contextlib.suppress(TimeoutError):  # the next start removes what nobody listens at
                await in_thread(self._claim.release, name=THREAD, limit_s=RELEASE_S)


def build_control(proxy: Controlled, owner: int) -> web.Application:
    """Build the application.

    Args:
        proxy: The running one.
        owner: The number of the user that it runs as.
    """
    app = web.Application(middlewares=[answer_errors, _build_guard(owner)], client_max_size=MAX_BODY_BYTES)
    handlers = _Handlers(proxy)
    app.router.add_get(TOKENS, handlers.tokens)
    app.router.add_post(REFRESH, handlers.refresh)
    app.router.add_post(RELOAD, handlers.reload)
    return app


def _build_guard(owner: int) -> Middleware:
    """Build the step that every request passes first."""

    @web.middleware
    async def refuse_others(request: web.Request, handler: Handler) -> web.StreamResponse:
        connection = request.get_extra_info("socket")
        peer = None if connection is None else find_peer(connection)
        if peer is not None and not peer.may_command(owner):
            log.warning("control.refused", uid=peer.uid, pid=peer.pid)
            detail = f"The proxy takes commands of its own user (number {owner}) and of root."
            return build_problem(HTTPStatus.FORBIDDEN, "not_yours", "This is another user's proxy", detail)
        if peer is not None:
            request[PEER] = peer
        return await handler(request)

    return refuse_others


class _Handlers:
    """Answers for the running proxy."""

    def __init__(self, proxy: Controlled) -> None:
        self._proxy = proxy

    async def tokens(self, _request: web.Request) -> web.Response:
        """Answer with every credential's status."""
        return build_json({"tokens": self._proxy.status().credentials})

    async def refresh(self, request: web.Request) -> web.Response:
        """Replace one credential's token, and answer with its status then."""
        name, force = request.match_info["credential"], FORCE in request.query
        known = [credential.name for credential in self._proxy.status().credentials]
        if name not in known:
            detail = f"There is no credential {name}; there are: {', '.join(known)}."
            return build_problem(HTTPStatus.NOT_FOUND, "no_credential", "No such credential", detail)
        peer = request.get(PEER)
        log.info("token.refresh_asked", credential=name, force=force, pid=peer.pid if peer else None)
        try:
            return build_json(await self._proxy.refresh_token(name, force=force))
        except RefreshPaused as error:
            fields = {"Retry-After": str(math.ceil(error.pause_s))} if error.pause_s < math.inf else None
            return build_problem(
                HTTPStatus.CONFLICT, "paused", "No token call may be made now", error.detail, fields=fields
            )

    async def reload(self, request: web.Request) -> web.Response:
        """Reload the configuration; what is wrong with it is told as whoever started the proxy would be told."""
        peer = request.get(PEER)
        log.info("config.reload_asked", pid=peer.pid if peer else None)
        try:
            return build_json(await self._proxy.reload())
        except ConfigError as error:
            refusal = {"where": error.where, "problem": error.problem, "fix": error.fix}
            return build_json(refusal, status=HTTPStatus.UNPROCESSABLE_ENTITY)

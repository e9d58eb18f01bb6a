"""The way in to an application of the admin listener: so many connections, each for so long, one request on each.

The rule of this file: probes and metrics servers ask little and often, so a connection that stays is one that somebody
has forgotten, or holds on purpose; it must not cost the data path its descriptors.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, cast

from aiohttp import web

from proxy.admin.crowd import Crowd, find_origin
from proxy.http.authority import build_authority

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from proxy.config.units import SocketAddress

LIFE_S = 10.0
"""Of a connection, from its opening to the last byte of its answer; probes and scrapes give up no later."""
HEAD_S = 2.0
"""Of one that has sent no whole head: whoever asks does so as soon as it is connected."""
HEAD_END = b"\r\n\r\n"


class Door:
    """One address that an application is asked at.

    Attributes:
        url: With the port that it has; empty before ``open``.
    """

    def __init__(self, app: web.Application, *, life_s: float = LIFE_S, head_s: float = HEAD_S) -> None:
        """Prepare; nothing listens yet.

        Args:
            app: What answers.
            life_s: Of each connection.
            head_s: Of one that has sent no whole head.
        """
        app.on_response_prepare.append(_close_after)
        # aiohttp writes a traceback for each request that is no HTTP; any port scanner could fill the disk with them.
        # What goes wrong within the application is logged by ``answers.answer_errors``.
        silent = logging.Logger(__name__, level=logging.CRITICAL + 1)  # noqa: LOG001 (no parent, so that it is silent)
        self._runner = web.AppRunner(app, access_log=None, logger=silent, shutdown_timeout=1)
        self._server: asyncio.Server | None = None
        self._crowd = Crowd()
        self._life_s = life_s
        self._head_s = head_s
        self.url = ""

    async def open(self, bind: SocketAddress) -> None:
        """Listen at ``bind``.

        Raises:
            OSError: If the address cannot be had.
        """
        await self._runner.setup()
        factory = cast("Callable[[], asyncio.Protocol]", self._runner.server)
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Visitor(factory(), self._crowd, self._life_s, self._head_s), bind.host, bind.port
        )
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://{build_authority(bind.host, port)}"

    async def close(self) -> None:
        """Accept nothing more, finish what is being answered, close."""
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()


class Visitor(asyncio.Protocol):
    """One connection: what stands before aiohttp's own protocol, and counts.

    Attributes:
        origin: Who it is from, where an address tells.
        has_asked: Whether a whole head has come.
    """

    def __init__(self, inner: asyncio.Protocol, crowd: Crowd, life_s: float, head_s: float) -> None:
        """Stand before ``inner``, one of ``crowd``, for so many seconds, and fewer until a head has come."""
        self.origin: Hashable = None
        self.has_asked = False
        self._inner = inner
        self._crowd = crowd
        self._life_s = life_s
        self._head_s = min(head_s, life_s)
        self._tail = b""
        self._connection: asyncio.Transport | None = None
        self._end: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let it in if there is room."""
        connection = cast("asyncio.Transport", transport)
        peer = connection.get_extra_info("peername")  # uvloop has none for one that is gone already
        self.origin = find_origin(peer[0]) if peer else None
        if not self._crowd.admit(self):
            connection.abort()
            return
        self._connection = connection
        self._end = asyncio.get_running_loop().call_later(self._head_s, connection.abort)
        self._inner.connection_made(connection)

    def leave(self) -> None:
        """Close at once."""
        if self._connection is not None:
            self._connection.abort()

    def connection_lost(self, error: Exception | None) -> None:
        """Make room."""
        if self._end is not None:
            self._end.cancel()
            self._crowd.dismiss(self)
            self._inner.connection_lost(error)

    def data_received(self, data: bytes) -> None:
        """Pass it on; once the head is whole, there is time for the answer."""
        if self._end is None:
            return
        if not self.has_asked:
            seen = self._tail + data
            self.has_asked = HEAD_END in seen
            self._tail = seen[-len(HEAD_END) + 1 :]
            if self.has_asked:
                self._extend()
        self._inner.data_received(data)

    def _extend(self) -> None:
        """Let it live for as long as one that has asked may."""
        if self._end is not None and self._connection is not None:
            self._end.cancel()
            rest_s = self._life_s - self._head_s
            self._end = asyncio.get_running_loop().call_at(self._end.when() + rest_s, self._connection.abort)

    def eof_received(self) -> bool | None:
        """Pass it on."""
        return self._inner.eof_received() if self._end is not None else None

    def pause_writing(self) -> None:
        """Pass it on."""
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Pass it on."""
        self._inner.resume_writing()


async def _close_after(_request: web.BaseRequest, response: web.StreamResponse) -> None:
    response.force_close()

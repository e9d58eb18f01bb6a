"""An upstream that does what a test's script says, however wrong."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable

PATIENCE_S = 10


class Peer:
    """One connection of the proxy's, as the upstream sees it.

    Attributes:
        received: Every byte read so far.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Wrap an accepted connection."""
        self._reader = reader
        self._writer = writer
        self.received = b""

    @property
    def is_closing(self) -> bool:
        """Whether the connection is gone, or going."""
        return self._writer.is_closing()

    async def read_head(self) -> bytes:
        """Read one request head."""
        async with asyncio.timeout(PATIENCE_S):
            head = await self._reader.readuntil(b"\r\n\r\n")
        self.received += head
        return head

    async def read_exactly(self, size: int) -> bytes:
        """Read ``size`` bytes."""
        async with asyncio.timeout(PATIENCE_S):
            data = await self._reader.readexactly(size)
        self.received += data
        return data

    async def read_chunked(self) -> bytes:
        """Read one chunked body; return its data."""
        data = b""
        while True:
            line = await self._read_line()
            size = int(line, 16)
            data += await self.read_exactly(size)
            await self.read_exactly(2)
            if size == 0:
                return data

    async def wait_closed(self) -> bytes:
        """Wait until the proxy closes; return what it still sent."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                rest = await self._reader.read()
            except ConnectionError:
                rest = b""
        self.received += rest
        return rest

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._writer.write(data)

    async def flush(self) -> None:
        """Wait until the kernel has what was sent."""
        await self._writer.drain()

    def close(self) -> None:
        """Close."""
        self._writer.close()

    def reset(self) -> None:
        """Close with a reset."""
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def send_in_the_clear(self, data: bytes) -> None:
        """Send bytes past TLS."""
        with socket.fromfd(self._writer.get_extra_info("socket").fileno(), socket.AF_INET, socket.SOCK_STREAM) as sock:
            sock.send(data)

    def cut(self) -> None:
        """Close the TCP connection without TLS's close_notify."""
        # uvloop's own socket object knows no shutdown
        with socket.fromfd(self._writer.get_extra_info("socket").fileno(), socket.AF_INET, socket.SOCK_STREAM) as sock:
            sock.shutdown(socket.SHUT_RDWR)

    def send_at_once(self, data: bytes) -> None:
        """Send bytes, or close if there are none, before the event loop runs again."""
        with socket.fromfd(self._writer.get_extra_info("socket").fileno(), socket.AF_INET, socket.SOCK_STREAM) as sock:
            if data:
                sock.send(data)
            else:
                sock.shutdown(socket.SHUT_RDWR)

    async def _read_line(self) -> bytes:
        async with asyncio.timeout(PATIENCE_S):
            line = await self._reader.readuntil(b"\r\n")
        self.received += line
        return line


Script = "Callable[[Peer], Awaitable[None]]"


class ScriptedUpstream:
    """Runs a script on each connection.

    Attributes:
        port: On 127.0.0.1.
        peers: Every connection so far, in order.
        done: How many scripts have come to their end.
        failures: What scripts raised; a test that ends with some has failed.
    """

    def __init__(self, *scripts: Callable[[Peer], Awaitable[None]]) -> None:
        """Run the first script on the first connection, and so on; the last one on all that follow."""
        self._scripts = scripts
        self.peers: list[Peer] = []
        self.done = 0
        self.failures: list[BaseException] = []
        self.port = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        script = self._scripts[min(len(self.peers), len(self._scripts) - 1)]
        self.peers.append(peer)
        try:
            await script(peer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the proxy left: what the test expects of it, the test asserts
        except Exception as error:  # noqa: BLE001 (reported by the fixture)
            self.failures.append(error)
        finally:
            self.done += 1
            writer.close()


@asynccontextmanager
async def scripted_upstream(
    *scripts: Callable[[Peer], Awaitable[None]], tls: ssl.SSLContext | None = None, port: int = 0
) -> AsyncIterator[ScriptedUpstream]:
    """Serve scripts for the length of a block; 0 is any port that is free."""
    upstream = ScriptedUpstream(*scripts)
    server = await asyncio.start_server(upstream._serve, "127.0.0.1", port, ssl=tls)
    upstream.port = server.sockets[0].getsockname()[1]
    try:
        yield upstream
    finally:
        server.close()
        for peer in upstream.peers:
            peer.close()
    assert upstream.failures == []


def answering(answer: bytes, *, body: int = 0) -> Callable[[Peer], Awaitable[None]]:
    """Build a script that answers every request, with a body of ``body`` bytes, alike."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.read_head()
            await peer.read_exactly(body)
            peer.send(answer)

    return script

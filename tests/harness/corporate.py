"""A centre's own HTTP proxy: it opens tunnels, or refuses them."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class CorporateProxy:
    """A proxy that opens tunnels, all of them to one port of this machine.

    Attributes:
        heads: What it was asked.
    """

    def __init__(self, target: int, answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n") -> None:
        """Lead to ``target``, after ``answer``."""
        self.heads: list[bytes] = []
        self._target = target
        self._answer = answer

    @contextlib.asynccontextmanager
    async def serve(self) -> AsyncIterator[int]:
        """Serve for the length of a block; yield the port."""
        server = await asyncio.start_server(self._tunnel, "127.0.0.1", 0)
        yield server.sockets[0].getsockname()[1]
        server.close()

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(self._answer)
        if b" 200 " not in self._answer:
            writer.close()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
    writer.close()

"""A network that fails as it is told: a TCP relay between the proxy and whatever it calls, or whoever calls it.

The rule of this file: it knows bytes and connections, and no HTTP.  ``tc netem`` needs root and a kernel that has it;
this does the same to one connection, at a byte that is named.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PIECE = 65_536


@dataclass(frozen=True, slots=True)
class Way:
    """What happens to the bytes of one direction.

    Attributes:
        delay_s: What each piece waits before it goes on.
        piece: The most bytes that go on at once; with ``delay_s`` a thin line.
        cut_at: So many bytes pass; where the next one would, comes ``cut``; None: never.
        cut: How the connection ends there: ``close`` in order, ``reset``, or ``silence``: open, and nothing passes.
    """

    delay_s: float = 0.0
    piece: int = PIECE
    cut_at: int | None = None
    cut: Literal["close", "reset", "silence"] = "close"


WELL = Way()
"""Everything passes at once."""


class FaultRelay:
    """Relays connections to a port of 127.0.0.1, each with the faults that are set when it is made.

    Attributes:
        port: Where it listens, on 127.0.0.1.
        there: The way of bytes from whoever connects.
        back: The way of the answers.
        accepted: Connections so far.
        open: Connections there are now.
        most_open: The most that there were at once.
    """

    def __init__(self, target: int) -> None:
        """Relay to ``target`` on 127.0.0.1, without a fault."""
        self.port = 0
        self.there = self.back = WELL
        self.accepted = self.open = self.most_open = 0
        self._target = target
        self._changed = asyncio.Condition()
        self._writers: set[asyncio.StreamWriter] = set()

    def set(self, *, there: Way = WELL, back: Way = WELL) -> None:
        """Give connections that come from now on these faults."""
        self.there, self.back = there, back

    def break_all(self) -> None:
        """Reset every connection there is, as a router that restarts does."""
        for writer in list(self._writers):
            _reset(writer)

    async def wait_accepted(self, count: int) -> None:
        """Wait until ``count`` connections have come in all."""
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(lambda: self.accepted >= count)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Relay one connection to its end."""
        there, back = self.there, self.back
        self.accepted += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        async with self._changed:
            self._changed.notify_all()
        target = None
        try:
            from_target, target = await asyncio.open_connection("127.0.0.1", self._target)
            self._writers |= {writer, target}
            await asyncio.gather(_carry(reader, target, writer, there), _carry(from_target, writer, target, back))
        except ConnectionError:
            pass  # either side may leave when it likes; the other one is told by the close below
        finally:
            self.open -= 1
            for side in (writer, target):
                if side is not None:
                    self._writers.discard(side)
                    side.close()


async def _carry(
    reader: asyncio.StreamReader, to: asyncio.StreamWriter, back_to: asyncio.StreamWriter, way: Way
) -> None:
    """Carry one direction to its end, or to its cut."""
    passed = 0
    while data := await reader.read(way.piece):
        if way.cut_at is not None and passed + len(data) > way.cut_at:
            to.write(data[: way.cut_at - passed])
            break
        passed += len(data)
        if way.delay_s:
            await asyncio.sleep(way.delay_s)
        to.write(data)
        await to.drain()
    else:
        if to.can_write_eof():
            to.write_eof()
        return
    if way.cut == "silence":
        while await reader.read(PIECE):
            pass  # what still comes is lost on the way, until the sender gives up
        return
    if way.cut == "reset":
        _reset(to)
        _reset(back_to)
    raise ConnectionAbortedError


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    if sock is not None and not writer.is_closing():
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@asynccontextmanager
async def fault_relay(target: int) -> AsyncIterator[FaultRelay]:
    """Relay to a port of 127.0.0.1 for the length of a block."""
    relay = FaultRelay(target)
    server = await asyncio.start_server(relay.serve, "127.0.0.1", 0)
    relay.port = server.sockets[0].getsockname()[1]
    try:
        yield relay
    finally:
        server.close()
        relay.break_all()

"""Clients of several kinds, and what each of them sees.

The rule of this file: it reads answers with no parser of the proxy's.
"""

from __future__ import annotations

import asyncio
import gzip
import re
import socket
import time
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from bench.soak.plan import KINDS
from bench.soak.upstream import build_chunks, reset
from bench.soak.verdict import Sight

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from bench.soak.ledger import Ledger
    from bench.soak.plan import Order

PATIENCE_S = 40.0
"""More than any limit of the proxy's that a request could run into."""
LONGEST_IDLE_S = 20.0
"""Less than the proxy leaves an idle connection open."""
LOOK_S = 0.01
SIP = 64 * 1024
"""Bytes that a slow reader takes at a time, and its socket's buffer."""
SIP_S = 0.05
FIRST_FINAL = 200
_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-5][0-9][0-9]) [^\r\n]*")
_SLUG = re.compile(rb'"urn:rapidsos-auth-proxy:error:([a-z_]+)"')


@dataclass(slots=True)
class Answer:
    """One answer as it came.

    Attributes:
        fields: By lower-case name.
        body: As far as it came, without its framing.
        is_whole: Whether its end was seen.
    """

    status: int
    fields: dict[bytes, bytes]
    body: bytes = b""
    is_whole: bool = False

    @property
    def keeps_alive(self) -> bool:
        """Whether another request may follow."""
        connection, has_end = self.fields.get(b"connection"), len(self.fields.keys() & FRAMES) == 1
        return self.is_whole and has_end and connection != b"close"

    def see(self, order: Order) -> Sight:
        """Compare with what ``order`` must get."""
        match = _SLUG.search(self.body) if b"proxy-status" in self.fields else None
        is_right = self.is_whole and self.status == order.status and self._is_body(order.answer)
        return Sight(self.status, slug=match[1].decode() if match else None, is_whole=self.is_whole, is_right=is_right)

    def _is_body(self, wanted: bytes) -> bool:
        if self.fields.get(b"content-encoding") != b"gzip":
            return self.body == wanted
        try:
            return gzip.decompress(self.body) == wanted
        except (OSError, EOFError, zlib.error):
            return False


FRAMES = {b"content-length", b"transfer-encoding"}


class Connection:
    """One connection to the proxy.

    Attributes:
        idle_since: Monotonic seconds; when it was last used.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Wrap an open connection."""
        self.idle_since = 0.0
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int, *, buffer: int | None = None) -> Self:
        """Connect; ``buffer`` is how much the kernel keeps of what is not read yet, in bytes."""
        sock = socket.socket()
        if buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        sock.setblocking(False)  # noqa: FBT003 (its only parameter)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        return cls(*await asyncio.open_connection(sock=sock, limit=SIP))

    @property
    def is_good(self) -> bool:
        """Whether the proxy has not closed it."""
        return not (self._reader.at_eof() or self._writer.is_closing())

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self._writer.write(data)

    def close(self, *, is_rude: bool = False) -> None:
        """Close, or reset."""
        if is_rude:
            reset(self._writer)
        else:
            self._writer.close()

    async def sip(self) -> bytes:
        """Read a little of what is there."""
        return await self._reader.read(SIP)

    async def read_answer(self, *, pause_s: float = 0.0) -> Answer:
        """Read one answer; wait before each part of its body.

        Raises:
            ConnectionError, asyncio.IncompleteReadError: If the connection ends before the head is whole.
        """
        while True:
            head = await self._reader.readuntil(b"\r\n\r\n")
            answer = parse_head(head)
            if answer.status >= FIRST_FINAL:
                break
        try:
            await self._read_body(answer, pause_s)
        except (ConnectionError, asyncio.IncompleteReadError):
            answer.is_whole = False
        return answer

    async def _read_body(self, answer: Answer, pause_s: float) -> None:
        if b"transfer-encoding" in answer.fields:
            while size := int(await self._reader.readuntil(b"\r\n"), 16):
                answer.body += await self._reader.readexactly(size)
                await self._reader.readexactly(2)
                await asyncio.sleep(pause_s)
            await self._reader.readexactly(2)
        else:
            length = int(answer.fields.get(b"content-length", b"-1"))
            await self._read_plain(answer, length, pause_s)
            if 0 <= length != len(answer.body):
                return
        answer.is_whole = True

    async def _read_plain(self, answer: Answer, length: int, pause_s: float) -> None:
        """Read up to ``length`` bytes, or to the end where it is negative."""
        parts, left = [], length
        try:
            while left and (part := await self._reader.read(SIP if left < 0 else min(SIP, left))):
                parts.append(part)
                left -= len(part) if left > 0 else 0
                await asyncio.sleep(pause_s)
        finally:
            answer.body = b"".join(parts)


class Clients:
    """Everybody who uses the proxy."""

    def __init__(self, port: int, ledger: Ledger) -> None:
        """Use the proxy on this port; ``ledger`` tells those who leave when the upstream has their request."""
        self._port = port
        self._ledger = ledger
        self._idle: list[Connection] = []
        self._kinds: dict[str, Callable[[Sequence[Order]], Awaitable[list[Sight]]]] = {
            "one_shot": self._ask_once,
            "http_1_0": self._ask_once,
            "reads_slowly": self._read_slowly,
            "leaves_body": self._leave,
            "leaves_waiting": self._leave,
            "leaves_answer": self._leave,
        }

    async def carry_out(self, orders: Sequence[Order]) -> list[Sight]:
        """Do what one client does; return what it saw of each request."""
        started = time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE_S):
                sights = await self._kinds.get(orders[0].kind, self._ask)(orders)
        except TimeoutError:
            sights = [Sight(None, trouble=f"no answer within {PATIENCE_S:g} s") for _ in orders]
        except (OSError, ValueError, asyncio.LimitOverrunError) as error:
            sights = [Sight(None, trouble=f"{type(error).__name__}: {error}") for _ in orders]
        for sight in sights:
            sight.started, sight.ended = started, time.monotonic()
        return sights

    def close(self) -> None:
        """Close what is idle."""
        for connection in self._idle:
            connection.close()

    async def _ask(self, orders: Sequence[Order]) -> list[Sight]:
        """Ask on a connection that is kept."""
        connection = self._take_idle() or await Connection.open(self._port)
        connection.send(b"".join(map(build_request, orders)))
        sights, keeps_alive = await self._read(connection, orders)
        if keeps_alive:
            connection.idle_since = time.monotonic()
            self._idle.append(connection)
        else:
            connection.close()
        return sights

    async def _ask_once(self, orders: Sequence[Order]) -> list[Sight]:
        connection = await Connection.open(self._port)
        connection.send(build_request(orders[0]))
        sights, _ = await self._read(connection, orders)
        connection.close()
        return sights

    async def _read_slowly(self, orders: Sequence[Order]) -> list[Sight]:
        connection = await Connection.open(self._port, buffer=SIP)
        connection.send(build_request(orders[0]))
        sights, _ = await self._read(connection, orders, pause_s=SIP_S)
        connection.close()
        return sights

    async def _read(
        self, connection: Connection, orders: Sequence[Order], *, pause_s: float = 0.0
    ) -> tuple[list[Sight], bool]:
        """Read the answers; tell whether the connection can be used again."""
        sights: list[Sight] = []
        for order in orders:
            try:
                answer = await connection.read_answer(pause_s=pause_s)
            except (ConnectionError, asyncio.IncompleteReadError) as error:
                lost = Sight(None, trouble=f"the connection ended without an answer ({type(error).__name__})")
                return [*sights, *(lost for _ in orders[len(sights) :])], False
            sights.append(answer.see(order))
        return sights, answer.keeps_alive

    async def _leave(self, orders: Sequence[Order]) -> list[Sight]:
        """Go when the upstream has the request, or the first of the answer is here; in peace or with a reset."""
        [order] = orders
        connection = await Connection.open(self._port)
        request = build_request(order)
        connection.send(request[: -KINDS[order.kind].body // 2] if order.body else request)
        reading = asyncio.ensure_future(connection.sip())
        while not (reading.done() or self._may_leave(order)):  # noqa: ASYNC110 (the ledger has no event)
            await asyncio.sleep(LOOK_S)
        reading.cancel()
        _ = await asyncio.gather(reading, return_exceptions=True)
        connection.close(is_rude=bool(order.number % 2))
        return [Sight(None, has_left=True)]

    def _may_leave(self, order: Order) -> bool:
        return order.kind != "leaves_answer" and order.number in self._ledger.deeds

    def _take_idle(self) -> Connection | None:
        oldest = time.monotonic() - LONGEST_IDLE_S
        while self._idle:
            connection = self._idle.pop()
            if connection.is_good and connection.idle_since > oldest:
                return connection
            connection.close()
        return None


def build_request(order: Order) -> bytes:
    """Build a request as its kind of client sends it."""
    version = "1.0" if order.kind == "http_1_0" else "1.1"
    lines = [f"{order.method} {order.target} HTTP/{version}", "Host: proxy", "User-Agent: soak"]
    body = order.body
    if order.kind == "post_chunked":
        lines.append("Transfer-Encoding: chunked")
        body = build_chunks(body) + b"0\r\n\r\n"
    elif body:
        lines.append(f"Content-Length: {len(body)}")
    if order.kind == "one_shot":
        lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode() + body


def parse_head(head: bytes) -> Answer:
    """Parse the head of an answer.

    Raises:
        ValueError: If it is none.
    """
    first, *lines = head[:-4].split(b"\r\n")
    match = _STATUS_LINE.fullmatch(first)
    if match is None:
        message = f"no status line: {first!r}"
        raise ValueError(message)
    pairs = (line.partition(b": ") for line in lines)
    return Answer(int(match[1]), {name.lower(): value for name, _, value in pairs})

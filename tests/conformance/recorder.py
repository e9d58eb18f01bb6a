"""An upstream that keeps every byte it gets, and a reader of what a client gets: both strict, and not the proxy's."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

PATIENCE_S = 10
"""A wait that takes longer than this has failed."""
MOST_HEAD = 1024 * 1024
PLAIN_ANSWER = b"HTTP/1.1 200 OK\r\nDate: Tue, 24 Nov 2026 12:00:00 GMT\r\nContent-Length: 2\r\n\r\nok"
WITHOUT_BODY = (204, 304)


@dataclass
class Delivered:
    """A request as it came to the upstream.

    Attributes:
        head: With the empty line; empty if it never became whole.
        body: Framing removed.
        trailers: The lines behind the last chunk.
        is_whole: Whether head and body came to their end.
        connection: Which connection it came on, counted from the first.
    """

    head: bytes
    body: bytes
    is_whole: bool
    connection: int
    trailers: bytes = b""


@dataclass(frozen=True)
class Received:
    """An answer as it came to the client.

    Attributes:
        status: Of the status line.
        head: With the empty line.
        body: Framing removed.
        is_whole: Whether the body came to its end; never so for one that the close of the connection ends.
    """

    status: int
    head: bytes
    body: bytes
    is_whole: bool

    def has(self, line: bytes) -> bool:
        """Return whether a field line stands in the head, in any case."""
        return b"\r\n" + line.lower() + b"\r\n" in self.head.lower()


class Recorder:
    """Reads requests by the letter, keeps them, and answers.

    Attributes:
        port: On 127.0.0.1.
        delivered: What came since the last ``reset``.
        answer: What the first request since then is answered with.
        closes: Whether its connection is closed behind that answer.
        is_early: Whether it is answered before its body has come.
        failures: What was found wrong in a request's framing.
    """

    def __init__(self) -> None:
        """Answer plainly until told otherwise."""
        self.port = 0
        self.delivered: list[Delivered] = []
        self.answer = PLAIN_ANSWER
        self.closes = False
        self.is_early = False
        self.failures: list[BaseException] = []
        self._connections = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._changed = asyncio.Condition()

    def reset(self, answer: bytes = PLAIN_ANSWER, *, closes: bool = False, early: bool = False) -> None:
        """Forget what came, and close what is open: each case begins with a new connection."""
        self.delivered = []
        self.answer = answer
        self.closes = closes
        self.is_early = early
        self._connections = 0
        for writer in self._writers:
            writer.close()

    async def wait(self, condition: Callable[[list[Delivered]], bool]) -> None:
        """Wait until what was delivered is as ``condition`` says."""
        async with asyncio.timeout(PATIENCE_S), self._changed:
            await self._changed.wait_for(lambda: condition(self.delivered))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Be one connection."""
        self._writers.add(writer)
        delivered, number = self.delivered, self._connections
        self._connections += 1
        try:
            while await self._serve_one(reader, writer, number):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the gateway left, in the middle of a request or between two
        except Exception as error:  # noqa: BLE001 (told at the end)
            self.failures.append(error)
        finally:
            self._writers.discard(writer)
            writer.close()
            if delivered and not delivered[-1].is_whole:
                delivered[-1].connection = CUT
            await self._tell()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        request = Delivered(head, b"", is_whole=False, connection=number)
        self.delivered.append(request)
        await self._tell()
        is_first = len(self.delivered) == 1
        if is_first and self.is_early:
            writer.write(self.answer)
            await reader.read()
            return False
        await self._read_body(reader, request)
        request.is_whole = True
        await self._tell()
        answer = self.answer if is_first else PLAIN_ANSWER
        if answer is PLAIN_ANSWER and head.startswith(b"HEAD "):
            answer = answer.removesuffix(b"ok")
        writer.write(answer)
        await writer.drain()
        return not (is_first and self.closes)

    async def _read_body(self, reader: asyncio.StreamReader, request: Delivered) -> None:
        fields = _parse_fields(request.head)
        if "transfer-encoding" in fields:
            assert [coding.strip(", ").lower() for coding in fields["transfer-encoding"] if coding] == ["chunked"]
            assert "content-length" not in fields
            while size := int((await reader.readuntil(b"\r\n"))[:-2], 16):
                request.body += await reader.readexactly(size)
                assert await reader.readexactly(2) == b"\r\n"
            while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
                request.trailers += line
        elif "content-length" in fields:
            [length] = fields["content-length"]
            request.body = await reader.readexactly(int(length))

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


CUT = -1
"""In place of a connection's number: it was closed in the middle of the request."""


@asynccontextmanager
async def running_recorder() -> AsyncIterator[Recorder]:
    """Run a recorder for the length of a block."""
    recorder = Recorder()
    server = await asyncio.start_server(recorder.serve, "127.0.0.1", 0, limit=MOST_HEAD)
    recorder.port = server.sockets[0].getsockname()[1]
    try:
        yield recorder
    finally:
        server.close()
        recorder.reset()
    assert recorder.failures == []


async def exchange(port: int, data: bytes) -> bytes:
    """Send ``data``, and return all that comes back until the other side closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await reader.read()
    except ConnectionError:  # refused in the middle of what was sent, and the reset overtook the answer
        return b""
    finally:
        writer.close()


def parse_answers(data: bytes, method: bytes) -> list[Received]:
    """Read every final answer in ``data``; the first is one to ``method``, the others to GET."""
    answers: list[Received] = []
    while data:
        head, end, data = data.partition(b"\r\n\r\n")
        assert end, f"half a head: {head!r}"
        status = int(head.split(b" ", 2)[1])
        if status < 200:
            continue
        is_bare = status in WITHOUT_BODY or (method == b"HEAD" and not answers)
        body, is_whole, data = (b"", True, data) if is_bare else _split_body(head, data)
        answers.append(Received(status, head + end, body, is_whole))
    return answers


def parse_interim(data: bytes) -> list[bytes]:
    """Return the heads of the 1xx that stand before the first final answer."""
    heads = []
    while data.startswith(b"HTTP/1.1 1"):
        head, end, data = data.partition(b"\r\n\r\n")
        heads.append(head + end)
    return heads


def _split_body(head: bytes, data: bytes) -> tuple[bytes, bool, bytes]:
    fields = _parse_fields(head + b"\r\n\r\n")
    assert not {"content-length", "transfer-encoding"} <= set(fields), "an answer that can be read two ways"
    if "transfer-encoding" in fields:
        return _split_chunks(data)
    if "content-length" in fields:
        [length] = map(int, fields["content-length"])
        return data[:length], len(data) >= length, data[length:]
    return data, False, b""


def _split_chunks(data: bytes) -> tuple[bytes, bool, bytes]:
    body = b""
    while True:
        line, end, data = data.partition(b"\r\n")
        if not end:
            return body, False, b""
        size = int(line, 16)
        body, data = body + data[:size], data[size:]
        if not data.startswith(b"\r\n"):
            return body, False, b""
        data = data[2:]
        if not size:
            return body, True, data


def _parse_fields(head: bytes) -> dict[str, list[str]]:
    fields: dict[str, list[str]] = {}
    for line in head.decode("latin-1").split("\r\n")[1:-2]:
        name, colon, value = line.partition(":")
        assert colon, f"no field: {line!r}"
        fields.setdefault(name.lower(), []).append(value.strip(" \t"))
    return fields

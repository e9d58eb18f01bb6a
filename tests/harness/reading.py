"""What a strict client makes of the bytes that it gets: one answer, whole or visibly broken, or no sound answer at all.

The rule of this file: nothing of the proxy's own parsers is used, and what could be read in two ways fails the test.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.running import PATIENCE_S

if TYPE_CHECKING:
    from harness.running import RawClient, RunningProxy

STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-5][0-9][0-9]) ([\t -~\x80-\xff]*)")
FIELD_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+): ([!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?")
CHUNK_SIZE = re.compile(rb"[0-9a-f]+")
NO_CONTENT = {204, 304}


@dataclass
class Reading:
    """One answer as its client reads it.

    Attributes:
        status: Of the final answer; None where the connection ended before it.
        fields: Lower-case names, and values.
        body: As far as it came, framing removed.
        is_whole: Whether the client can take it for complete.
        interim: Statuses of the 1xx before it.
        raw: Every byte.
    """

    status: int | None = None
    fields: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    is_whole: bool = False
    interim: list[int] = field(default_factory=list)
    raw: bytes = b""

    def all(self, name: bytes) -> list[bytes]:
        """Return the values of every field called ``name``."""
        return [value for lower, value in self.fields if lower == name]

    @property
    def slug(self) -> str | None:
        """Which error of the proxy's own it tells of; None for an answer of the upstream's."""
        match = re.search(rb"urn:rapidsos-auth-proxy:error:([a-z_]+)", self.body)
        return match[1].decode() if match and self.all(b"proxy-status") else None


async def ask(proxy: RunningProxy, request: bytes) -> Reading:
    """Send a request on a connection of its own, and read what comes until the connection ends."""
    client = await proxy.connect()
    client.send(request)
    return await read_to_the_end(client, request)


async def read_to_the_end(client: RawClient, request: bytes, seen: bytes = b"") -> Reading:
    """Read the answer to ``request``, after which the connection is to be closed; ``seen`` was read before."""
    data, is_reset = seen, False
    async with asyncio.timeout(PATIENCE_S):
        try:
            while piece := await client.reader.read(65_536):
                data += piece
        except ConnectionError:
            is_reset = True
    client.close()
    return read_answer(data, request.split(b" ")[0], is_reset=is_reset)


def read_answer(data: bytes, method: bytes, *, is_reset: bool) -> Reading:
    """Read all that came as the answer to one request.

    Raises:
        AssertionError: If it could be read in two ways, or holds more than one answer.
    """
    reading = Reading(raw=data)
    rest = data
    while b"\r\n\r\n" in rest:
        head, _, rest = rest.partition(b"\r\n\r\n")
        status, fields = _read_head(head)
        if status >= 200:
            reading.status, reading.fields = status, fields
            _read_body(reading, rest, method, is_reset=is_reset)
            break
        assert not {name for name, _ in fields} & {b"content-length", b"transfer-encoding"}, "a 1xx has no length"
        reading.interim.append(status)
    return reading


def _read_head(head: bytes) -> tuple[int, list[tuple[bytes, bytes]]]:
    first, *lines = head.split(b"\r\n")
    match = STATUS_LINE.fullmatch(first)
    assert match, f"no status line: {first!r}"
    fields = []
    for line in lines:
        found = FIELD_LINE.fullmatch(line)
        assert found, f"no field line: {line!r}"
        fields.append((found[1].lower(), found[2] or b""))
    return int(match[1]), fields


def _read_body(reading: Reading, data: bytes, method: bytes, *, is_reset: bool) -> None:
    lengths, codings = reading.all(b"content-length"), reading.all(b"transfer-encoding")
    assert len(lengths) + len(codings) <= 1, "one framing at the most"
    if method == b"HEAD" or reading.status in NO_CONTENT:
        assert data == b"", "a body that must not be"
        assert reading.status != 204 or not lengths + codings, "204 has no length"
        reading.is_whole = True
    elif lengths:
        assert re.fullmatch(rb"[0-9]+", lengths[0]), "one plain number"
        assert len(data) <= int(lengths[0]), "more than was announced"
        reading.body, reading.is_whole = data, len(data) == int(lengths[0])
    elif codings:
        assert codings == [b"chunked"], "no other coding"
        reading.body, reading.is_whole = _read_chunks(data)
    else:
        reading.body, reading.is_whole = data, not is_reset


def _read_chunks(data: bytes) -> tuple[bytes, bool]:
    body = b""
    while b"\r\n" in data:
        line, _, data = data.partition(b"\r\n")
        assert CHUNK_SIZE.fullmatch(line), f"no chunk size: {line!r}"
        size = int(line, 16)
        if size == 0:
            assert b"\r\n".startswith(data) or data == b"\r\n", "something behind the last chunk"
            return body, data == b"\r\n"
        body += data[:size]
        assert b"\r\n".startswith(data[size : size + 2]), "a chunk longer than its size"
        data = data[size + 2 :]
    return body, False

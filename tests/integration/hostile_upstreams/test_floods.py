"""An upstream that sends without an end: memory stays where it is, and others are served meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from harness.misbehaving import build_answer, build_request, read_request, staged
from harness.reading import ask
from harness.running import until
from harness.upstream import scripted_upstream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from harness.misbehaving import Ending, Stage
    from harness.running import RawClient
    from harness.upstream import Peer

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
MOST_GROWTH = 48 * 1024 * 1024
"""Bytes; both ends' buffers of a few connections, and the upstream's own, are in it."""
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads memory in /proc")


def measure_memory() -> int:
    """Return the bytes of memory that this process, in which the proxy runs, has resident."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextlib.asynccontextmanager
async def staged_with_bystander() -> AsyncIterator[Stage]:
    """Run a stage with another upstream, which behaves, beside it."""

    async def serve(peer: Peer) -> None:
        while True:
            peer.send(build_answer((await read_request(peer)).encode()))

    async with scripted_upstream(serve) as good, staged(beside=good.port) as stage:
        yield stage


async def ask_beside(stage: Stage, count: int) -> None:
    """Ask the upstream that behaves, again and again, and be answered."""
    for number in range(count):
        request = f"GET /beside/{number} HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\n\r\n"
        reading = await ask(stage.proxy, request.encode())
        assert (reading.status, reading.body) == (200, b"/%d" % number)


class Flood:
    """Sends the same without an end, until the proxy closes.

    Attributes:
        sent: Bytes that were taken.
        is_over: Whether the proxy has closed.
    """

    def __init__(self, begin: bytes, again: bytes) -> None:
        """Send ``begin`` once."""
        self._begin, self._again = begin, again * max(1, 65_536 // len(again))
        self.sent = 0
        self.is_over = False

    async def __call__(self, peer: Peer) -> Ending:
        """Send."""
        with contextlib.suppress(ConnectionError):
            peer.send(self._begin)
            while not peer.is_closing:
                peer.send(self._again)
                await peer.flush()
                self.sent += len(self._again)
                await asyncio.sleep(0)
        self.is_over = True
        return "closes"


REFUSED = {
    "endless head": (HEAD, b"A: bbbbbbbbbb\r\n"),
    "endless field": (HEAD + b"A: ", b"b" * 64),
    "endless status line": (b"HTTP/1.1 200 ", b"b" * 64),
    "endless early hints": (b"", b"HTTP/1.1 103 H\r\nLink: </a>\r\n\r\n"),
    "endless empty lines": (b"", b"\r\n"),
    "endless line that is no HTTP": (b"", b"b" * 64),
    "endless trailers": (CHUNKED + b"4\r\ngood\r\n0\r\n", b"A: b\r\n"),
    "endless trailer": (CHUNKED + b"4\r\ngood\r\n0\r\nA: ", b"b" * 64),
    "endless chunk extension": (CHUNKED + b"4\r\ngood\r\n4;a=", b"b" * 64),
    "endless chunk extensions": (CHUNKED, b"1;" + b"a" * 200 + b"\r\nb\r\n"),
    "endless zeros of a size": (CHUNKED + b"4\r\ngood\r\n", b"0" * 64),
    "endless extra bytes": (HEAD + b"Content-Length: 4\r\n\r\ngood", b"b" * 64),
    "endless extra answers": (b"", HEAD + b"Content-Length: 4\r\n\r\ngood"),
}


@linux_only
@pytest.mark.parametrize(("begin", "again"), REFUSED.values(), ids=REFUSED.keys())
async def test_what_has_no_end_is_cut_off(begin: bytes, again: bytes) -> None:
    """By its size and not by a time limit; little of it was taken, and the neighbour was served all along."""
    async with staged_with_bystander() as stage:
        flood = Flood(begin, again)
        await ask_beside(stage, 1)
        before = measure_memory()
        stage.acts["/first"] = flood
        reading, _ = await asyncio.gather(ask(stage.proxy, build_request("/first")), ask_beside(stage, 5))
        await until(lambda: flood.is_over)

        assert measure_memory() - before < MOST_GROWTH
        assert flood.sent < MOST_GROWTH
        assert reading.slug == "upstream_protocol" or not reading.is_whole or reading.body == b"good"


BACKED_UP = {
    "length": (HEAD + b"Content-Length: 999999999999999999\r\n\r\n", b"b" * 64),
    "chunks of 16 KiB": (CHUNKED, b"4000\r\n" + b"b" * 16_384 + b"\r\n"),
    "chunks of 16 bytes with extensions": (CHUNKED, b"10;" + b"a" * 40 + b"\r\n" + b"b" * 16 + b"\r\n"),
    "until the close": (HEAD + b"\r\n", b"b" * 64),
}


@linux_only
@pytest.mark.parametrize(("begin", "again"), BACKED_UP.values(), ids=BACKED_UP.keys())
async def test_a_body_that_nobody_reads_waits_at_its_sender(begin: bytes, again: bytes) -> None:
    """What the client does not take is not taken from the upstream."""
    async with staged_with_bystander() as stage:
        flood = Flood(begin, again)
        await ask_beside(stage, 1)
        before = measure_memory()
        stage.acts["/first"] = flood
        client = await stage.proxy.connect()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined] # asyncio's stub has it on ReadTransport
        client.send(build_request("/first"))
        await until(lambda: flood.sent > 0)
        sent = -1
        while sent < flood.sent:
            sent = flood.sent
            await ask_beside(stage, 10)
        growth = measure_memory() - before
        client.reset()
        await until(lambda: flood.is_over)

        assert sent < MOST_GROWTH
        assert growth < MOST_GROWTH


TINY = {"chunks of a byte": (CHUNKED, b"1\r\nb\r\n")}


@linux_only
@pytest.mark.parametrize(("begin", "again"), (BACKED_UP | TINY).values(), ids=(BACKED_UP | TINY).keys())
async def test_a_body_that_is_read_holds_nobody_up(begin: bytes, again: bytes) -> None:
    """However small its pieces: a neighbour is answered in the middle of it, and memory stays where it is."""
    async with staged_with_bystander() as stage:
        flood = Flood(begin, again)
        await ask_beside(stage, 1)
        before = measure_memory()
        stage.acts["/first"] = flood
        client = await stage.proxy.connect()
        client.send(build_request("/first"))
        await client.read_head()
        reading = asyncio.ensure_future(drain(client))
        await ask_beside(stage, 10)
        growth = measure_memory() - before
        is_under_way = not reading.done()
        client.reset()
        await asyncio.wait({reading})
        await until(lambda: flood.is_over)

        assert is_under_way
        assert growth < MOST_GROWTH


async def drain(client: RawClient) -> None:
    """Read and throw away."""
    with contextlib.suppress(ConnectionError):
        while await client.reader.read(65_536):
            pass

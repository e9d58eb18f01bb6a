"""Bodies of 64 MiB through a proxy that is a process of its own: every byte arrives, and memory stays flat.

`make bodies` does the same with a gibibyte.
"""

from __future__ import annotations

import asyncio
import hashlib
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest
from bench.bodies import KINDS, LARGEST_GROWTH, MEBIBYTE, Kind, build_digest, measured_growth, transfer
from bench.proxies import OwnProxy, Setting, running_own

from proxy.simulator.rehearsal import generate_bytes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from proxy.simulator.server import Simulator

pytestmark = [
    # The proxy runs on a loop of its own: the test's makes no difference to it.
    pytest.mark.asyncio(loop_factories=["uvloop"]),
    pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux's /proc is missing"),
]

SIZE = 64 * MEBIBYTE
SMALL_BUFFER = 64 * 1024
QUIET_EXCHANGES = 100
PATIENCE_S = 60
OK = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"


class Stalling:
    """An upstream that sends and takes large bodies, and lets a test watch and hold it.

    Attributes:
        moved: Bytes of the large body sent or taken so far.
        resume: Until it is set, an upload is not read.
    """

    def __init__(self) -> None:
        """Begin held."""
        self.moved = 0
        self.resume = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection's requests, by path."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                match head.split(b" ")[1]:
                    case b"/v1/download":
                        await self._send(writer)
                    case b"/v1/upload":
                        await self._take(reader, writer)
                    case _:
                        writer.write(OK % 0)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the proxy closed the connection
        finally:
            writer.close()

    async def _send(self, writer: asyncio.StreamWriter) -> None:
        writer.write(OK % SIZE)
        for piece in generate_bytes(SIZE):
            writer.write(piece)
            await writer.drain()
            self.moved += len(piece)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.resume.wait()
        digest = hashlib.sha256()
        while self.moved < SIZE:
            piece = await reader.read(MEBIBYTE)
            if not piece:
                raise ConnectionError
            digest.update(piece)
            self.moved += len(piece)
        answer = digest.hexdigest().encode()
        writer.write(OK % len(answer) + answer)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """Return an ordinary client."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE_S)) as session:
        yield session


@pytest.fixture
async def to_simulator(simulator: Simulator, tmp_path: Path) -> AsyncIterator[OwnProxy]:
    """Run a proxy in front of the simulator."""
    async with running_own(Setting(simulator.url, simulator, tmp_path)) as proxy:
        yield proxy


@pytest.fixture
async def stalling() -> AsyncIterator[tuple[Stalling, str]]:
    """Run an upstream that can be held; return it and its URL."""
    upstream = Stalling()
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0, limit=SMALL_BUFFER)
    yield upstream, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


@pytest.fixture
async def to_stalling(
    simulator: Simulator, stalling: tuple[Stalling, str], tmp_path: Path
) -> AsyncIterator[tuple[OwnProxy, Stalling]]:
    """Run a proxy in front of the upstream that can be held."""
    upstream, url = stalling
    async with running_own(Setting(url, simulator, tmp_path)) as proxy:
        yield proxy, upstream


async def until_stalled(session: aiohttp.ClientSession, proxy: OwnProxy, progress: Callable[[], int]) -> None:
    """Wait until nothing moves any more while many other exchanges pass through the proxy.

    Each of them is a turn of the proxy's loop, in which it would have moved what it could.
    """
    quiet, last = 0, -1
    while quiet < QUIET_EXCHANGES:
        async with session.get(f"{proxy.url}/egress/v1/other") as answer:
            answer.raise_for_status()
        now = progress()
        quiet = quiet + 1 if now == last else 0
        last = now


async def connect(proxy: OwnProxy, head: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Send a request's head on a connection that takes little before it is read."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
    sock.settimeout(0)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", proxy.port))
    reader, writer = await asyncio.open_connection(sock=sock, limit=SMALL_BUFFER)
    writer.write(f"{head}\r\nHost: proxy\r\n\r\n".encode())
    return reader, writer


async def read_whole(reader: asyncio.StreamReader, size: int) -> str:
    """Read ``size`` bytes; return their SHA-256."""
    digest = hashlib.sha256()
    while size:
        piece = await reader.read(min(size, MEBIBYTE))
        assert piece, f"the connection ended {size} bytes early"
        digest.update(piece)
        size -= len(piece)
    return digest.hexdigest()


@pytest.mark.parametrize("kind", KINDS, ids=str)
async def test_large_body_arrives_whole_in_little_memory(
    kind: Kind, to_simulator: OwnProxy, session: aiohttp.ClientSession
) -> None:
    """Each way and in each framing, every byte arrives, and memory does not follow the body's size."""
    url = f"{to_simulator.url}/egress"
    await transfer(session, url, kind, 1)

    with measured_growth(to_simulator.process) as growth:
        arrived = await transfer(session, url, kind, SIZE)

    assert arrived == build_digest(SIZE)
    assert growth.bytes < LARGEST_GROWTH


async def test_slow_reader_holds_the_upstream_and_not_the_memory(
    to_stalling: tuple[OwnProxy, Stalling], session: aiohttp.ClientSession
) -> None:
    """While a client does not read its answer, the proxy does not either; then the whole answer arrives."""
    proxy, upstream = to_stalling
    with measured_growth(proxy.process) as growth:
        reader, writer = await connect(proxy, "GET /egress/v1/download HTTP/1.1")
        await until_stalled(session, proxy, lambda: upstream.moved)
        held = upstream.moved
        async with asyncio.timeout(PATIENCE_S):
            await reader.readuntil(b"\r\n\r\n")
            arrived = await read_whole(reader, SIZE)
        writer.close()

    assert 0 < held < SIZE
    assert arrived == build_digest(SIZE)
    assert growth.bytes < LARGEST_GROWTH


async def test_slow_upstream_holds_the_client_and_not_the_memory(
    to_stalling: tuple[OwnProxy, Stalling], session: aiohttp.ClientSession
) -> None:
    """While an upstream does not read an upload, the proxy does not either; then the whole upload arrives."""
    proxy, upstream = to_stalling
    sent = 0

    async def upload(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        for piece in generate_bytes(SIZE):
            writer.write(piece)
            await writer.drain()
            sent += len(piece)

    with measured_growth(proxy.process) as growth:
        reader, writer = await connect(proxy, f"POST /ingress/v1/upload HTTP/1.1\r\nContent-Length: {SIZE}")
        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
            _ = tasks.create_task(upload(writer))
            await until_stalled(session, proxy, lambda: sent)
            held = sent
            upstream.resume.set()
        async with asyncio.timeout(PATIENCE_S):
            await reader.readuntil(b"\r\n\r\n")
            arrived = (await reader.readexactly(64)).decode()
        writer.close()

    assert 0 < held < SIZE
    assert arrived == build_digest(SIZE)
    assert growth.bytes < LARGEST_GROWTH

"""Clients are to blame: crowds that are idle, slow, greedy or deaf; a dispatcher beside them is served as ever.

Each test has a caller at work from before the crowd comes until after it has gone, and none of its requests may fail.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import re
import resource
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from harness.caller import GET, calling
from harness.running import RawClient, until
from harness.tools import find_tool, run_tool
from harness.upstream import Peer, ScriptedUpstream, scripted_upstream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from harness.program import Program

# The program chooses its own loop.
pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])

CROWD = "127.0.0.2"
"""Where the crowd calls from; the caller is at 127.0.0.1."""
MOST_IDLE = 10_000
OWN_DESCRIPTORS = 500
LARGEST_IDLE_BYTES = 16 * 1024
"""Memory of the proxy for a connection that has not asked."""
PATIENCE_S = 60
ESTABLISHED = 1
"""The first byte of Linux's tcp_info: both sides may still send."""
SHORT = {"head": 1.0, "body": 1.0, "idle": 1.0, "silence": 1.0}
PIECE = b"x" * 65_536
LARGE_PIECES = 300
"""More than the kernel's buffers of both connections can hold."""
POST = b"POST /api/x HTTP/1.1\r\nHost: proxy\r\nContent-Length: 100000\r\n\r\n"


async def answer_by_path(peer: Peer) -> None:
    """Answer ``/api/large`` with a large body, and all else with a small one."""
    while True:
        head = await peer.read_head()
        pieces = LARGE_PIECES if b"/large" in head else 0
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (pieces * len(PIECE) + 2) + b"ok")
        for _ in range(pieces):
            peer.send(PIECE)
            await peer.flush()


@pytest.fixture
async def both_sizes() -> AsyncIterator[ScriptedUpstream]:
    """Run an upstream with answers of both sizes."""
    async with scripted_upstream(answer_by_path) as upstream:
        yield upstream


@contextlib.contextmanager
def descriptors(wanted: int) -> Iterator[int]:
    """Raise the tests' own limit of open files for the length of a block; yield how many there may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
    try:
        yield most
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def read_memory(program: Program) -> int:
    """Return the bytes of memory that are the program's own."""
    status = Path(f"/proc/{program.process.pid}/status").read_text()
    found = re.search(r"RssAnon:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024


def count_descriptors(program: Program) -> int:
    """Return how many files and sockets the program has open."""
    return len(list(Path(f"/proc/{program.process.pid}/fd").iterdir()))


def open_idle(port: int, count: int) -> list[socket.socket]:
    """Open connections that say nothing, from a few addresses."""
    return [
        socket.create_connection(("127.0.0.1", port), 10, source_address=(f"127.0.0.{2 + number % 4}", 0))
        for number in range(count)
    ]


async def test_ten_thousand_idle_connections_take_no_ones_place(serving: Any, both_sizes: ScriptedUpstream) -> None:
    """Who is in is served; who comes on top is told; the memory of each is known; when they go there is room again."""
    with descriptors(MOST_IDLE + OWN_DESCRIPTORS) as most:
        crowd = most - OWN_DESCRIPTORS
        limits = {"connections": crowd + 1, "client_connections": crowd}
        async with serving(both_sizes.port, limits=limits) as program:
            port = program.ports["cad"]
            async with calling(port) as caller:
                empty, before = read_memory(program), count_descriptors(program)
                idle = await asyncio.get_running_loop().run_in_executor(None, open_idle, port, crowd)
                await until(lambda: count_descriptors(program) >= before + crowd)
                await caller.wait_served(200)
                grown = read_memory(program) - empty
                newcomer = RawClient(*await asyncio.open_connection("127.0.0.1", port))
                told, _ = await newcomer.read_answer()
                newcomer.close()
                live = RawClient(*await asyncio.open_connection("127.0.0.1", program.admin_port))
                live.send(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n")
                alive = await live.read_head()
                live.close()
                for connection in idle:
                    connection.close()
                await until(lambda: count_descriptors(program) <= before + 5)
                async with calling(port) as other:
                    await other.wait_served()
            code = await program.stop()

    assert code == 0
    assert told.startswith(b"HTTP/1.1 503 ")
    assert alive.startswith(b"HTTP/1.1 200 ")
    assert grown / crowd < LARGEST_IDLE_BYTES


@pytest.mark.parametrize(
    ("first", "drip"),
    [
        (b"GET /api/x HTTP/1.1\r\nHost: proxy\r\n", b"X-A: b\r\n"),
        (POST, b"x"),
        (b"", b"\r\n"),
        (b"GET /api/large HTTP/1.1\r\nHost: proxy\r\n\r\n", b""),
    ],
    ids=["slow heads", "slow bodies", "empty lines", "answers that nobody reads"],
)
async def test_a_crowd_that_is_slow_is_cut_off_and_holds_up_no_other(
    serving: Any, both_sizes: ScriptedUpstream, first: bytes, drip: bytes
) -> None:
    """However steadily they drip, their time ends, and with it all that they held; the caller has not noticed."""
    async with serving(both_sizes.port, timeouts=SHORT) as program:
        port = program.ports["cad"]
        async with calling(port) as caller:
            before = count_descriptors(program)
            crowd = [Drip(port, first, drip) for _ in range(100)]
            async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
                for one in crowd:
                    tasks.create_task(one.drip_on())
                await until(lambda: all(one.is_connected for one in crowd))
                await caller.wait_served(100)
            await until(lambda: count_descriptors(program) <= before + 5)
        code = await program.stop()

    assert code == 0
    assert caller.wronged == []


class Drip:
    """One of a slow crowd: it sends a little, now and then, and reads nothing.

    Attributes:
        is_connected: Whether it has got so far.
    """

    def __init__(self, port: int, first: bytes, drip: bytes) -> None:
        """Send ``first``, and then ``drip`` for ever."""
        self.is_connected = False
        self._port = port
        self._first = first
        self._drip = drip

    async def drip_on(self) -> None:
        """Go on until the proxy ends it."""
        loop = asyncio.get_running_loop()
        with socket.socket() as sock:
            sock.setblocking(False)  # noqa: FBT003 (the socket's own)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.bind((CROWD, 0))
            await loop.sock_connect(sock, ("127.0.0.1", self._port))
            with contextlib.suppress(ConnectionError):
                await loop.sock_sendall(sock, self._first)
                self.is_connected = True
                while _is_open(sock):
                    await loop.sock_sendall(sock, self._drip)
                    await asyncio.sleep(0.1)


def _is_open(sock: socket.socket) -> bool:
    """Return whether the other side has not closed yet, as our kernel sees it; what it has sent stays unread."""
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == ESTABLISHED


async def test_a_client_that_floods_is_held_to_its_share(serving: Any, both_sizes: ScriptedUpstream) -> None:
    """It has 429 for what is beyond; whoever calls from another address is served as ever."""
    limits = {"client_connections": 20, "client_in_flight": 10}
    async with serving(both_sizes.port, limits=limits) as program:
        port = program.ports["cad"]
        async with calling(port) as caller:
            floods = [
                RawClient(*await asyncio.open_connection("127.0.0.1", port, local_addr=(CROWD, 0))) for _ in range(40)
            ]
            beyond = [await flood.read_head() for flood in floods[20:]]
            for flood in floods[:20]:
                flood.send(GET * 500)
            await caller.wait_served(200)
            heads = [await flood.read_head() for flood in floods[:20]]
            for flood in floods:
                flood.reset()
            await caller.wait_served()
        code = await program.stop()

    assert code == 0
    assert {head.split()[1] for head in beyond} == {b"429"}
    assert {head.split()[1] for head in heads} <= {b"200", b"429"}
    assert caller.wronged == []


CONNECTIONS = 100
SLOW_HTTP_TEST = {
    "slow heads": ("-H", "/api/x", "-i", "1", "-x", "24"),
    "slow bodies": ("-B", "/api/x", "-i", "1", "-s", "8192", "-x", "10"),
    "slow readers": ("-X", "/api/large", "-w", "512", "-y", "1024", "-n", "1", "-z", "1", "-k", "2"),
    "many ranges": ("-R", "/api/x", "-a", "10", "-b", "3000"),
}
"""Each mode of slowhttptest, with what makes it as slow as it can be."""


async def test_slowhttptest_in_all_its_modes_holds_up_no_other(
    serving: Any, both_sizes: ScriptedUpstream, tmp_path: Path
) -> None:
    """It finds the service there all the while, and its connections closed before its time is over.

    Of those it reads from slowly it does not see that: what has come already, it goes on reading.  The log says it.
    """
    tool = find_tool("slowhttptest")
    limits = {"head": 2.0, "body": 2.0, "silence": 2.0}
    async with serving(both_sizes.port, timeouts=limits) as program:
        port = program.ports["cad"]

        async def attack(flag: str, path: str, *more: str) -> str:
            url, count = f"http://127.0.0.1:{port}{path}", str(CONNECTIONS)
            done = await run_tool(tool, flag, "-c", count, "-r", count, "-l", "12", "-p", "3", "-u", url, *more)
            return done.output.decode(errors="replace")

        async with calling(port) as caller:
            attacks = [asyncio.get_running_loop().create_task(attack(*mode)) for mode in SLOW_HTTP_TEST.values()]
            for _ in itertools.count():
                await caller.wait_served()
                if all(task.done() for task in attacks):
                    break
            said = dict(zip(SLOW_HTTP_TEST, [task.result() for task in attacks], strict=True))
        code = await program.stop()
    endings = {name: find_last(text, "Exit status") for name, text in said.items()}
    slow = endings.pop("slow readers")
    records = [json.loads(line) for line in (tmp_path / "traffic.jsonl").read_text().splitlines()]
    large = [record for record in records if record.get("request") and record["request"]["target"] == "/api/large"]

    assert code == 0
    assert {find_last(text, "service available") for text in said.values()} == {"YES"}
    assert set(endings.values()) == {"No open connections left"}
    assert slow in {"No open connections left", "Hit test time limit"}
    assert len([record for record in large if record["error"] == "client_timeout"]) >= CONNECTIONS


def find_last(said: str, name: str) -> str:
    """Return what slowhttptest says of something at its end."""
    plain = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", said)
    found = re.findall(rf"{name}:\s*(.+)", plain)
    return found[-1].strip() if found else plain[-2000:]

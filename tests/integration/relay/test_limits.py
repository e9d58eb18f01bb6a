"""What one client, and all of them, may ask: a limit passed is told, recorded, and costs the upstream nothing."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from harness.running import RawClient, RunningProxy, until
from harness.upstream import Peer, answering

from proxy.relay.occupancy import TOLD

if TYPE_CHECKING:
    from pathlib import Path

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET /api/x HTTP/1.1\r\nHost: proxy\r\n\r\n"
SMALL = {"head": 2048, "line": 512, "fields": 8, "body": 1000, "replay": 500}


def status_of(answer: bytes) -> int:
    """Return the status of an answer."""
    return int(answer.split(b" ", 2)[1])


def slug_of(answer: bytes) -> str:
    """Return which error a problem document tells of."""
    document = json.loads(answer.partition(b"\r\n\r\n")[2])
    return str(document["type"].rpartition(":")[2])


def get_of_line(size: int) -> bytes:
    """Build a request whose first line has ``size`` bytes, its CRLF not counted."""
    return b"GET /api/" + b"x" * (size - len("GET /api/ HTTP/1.1")) + b" HTTP/1.1\r\nHost: proxy\r\n\r\n"


def get_of_head(size: int) -> bytes:
    """Build a request whose head has ``size`` bytes, the empty line that ends it not counted."""
    start = b"GET /api/x HTTP/1.1\r\nHost: proxy\r\nX: "
    return start + b"x" * (size - len(start)) + b"\r\n\r\n"


def get_of_fields(count: int) -> bytes:
    """Build a request of ``count`` header fields."""
    return b"GET /api/x HTTP/1.1\r\nHost: proxy\r\n" + b"X: 1\r\n" * (count - 1) + b"\r\n"


def post_of_length(size: int) -> bytes:
    """Build a request with a body of stated length."""
    return b"POST /api/x HTTP/1.1\r\nHost: proxy\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size


def post_of_chunks(size: int) -> bytes:
    """Build a request with a body in chunks of 100 bytes."""
    chunk = b"64\r\n" + b"x" * 100 + b"\r\n"
    head = b"POST /api/x HTTP/1.1\r\nHost: proxy\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + chunk * (size // 100) + b"%x\r\n" % (size % 100) + b"x" * (size % 100) + b"\r\n0\r\n\r\n"


async def take_any_body(peer: Peer) -> None:
    """Answer once a request with a body of either framing has arrived."""
    head = await peer.read_head()
    if b"Transfer-Encoding" in head:
        await peer.read_chunked()
    elif b"Content-Length: " in head:
        await peer.read_exactly(int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0]))
    peer.send(OK)


@pytest.mark.parametrize(
    "request_at_the_limit",
    [
        get_of_line(512),
        get_of_head(2048),
        get_of_fields(8),
        post_of_length(1000),
        post_of_chunks(999),
    ],
    ids=["line", "head", "fields", "length", "chunks"],
)
async def test_what_is_within_a_limit_passes(in_front_of: Any, request_at_the_limit: bytes) -> None:
    """A limit is the most that is taken, not the least that is refused."""
    async with in_front_of(take_any_body, limits=SMALL) as proxy:
        answer = await proxy.talk(request_at_the_limit)

        assert answer.endswith(b"ok")


@pytest.mark.parametrize(
    ("request_beyond", "status", "slug"),
    [
        (get_of_line(513), 414, "target_too_long"),
        (b"GET /api/" + b"x" * 600, 414, "target_too_long"),
        (get_of_head(2049), 431, "head_too_large"),
        (GET[:-2] + b"X: 1\r\n" * 500, 431, "head_too_large"),
        (get_of_fields(9), 431, "head_too_large"),
        (post_of_length(1001), 413, "body_too_large"),
        (b"POST /api/x HTTP/1.1\r\nHost: proxy\r\nContent-Length: 999999999999999999\r\n\r\n", 413, "body_too_large"),
        (post_of_length(5000).replace(b"POST", b"GET"), 413, "body_too_large"),
    ],
    ids=["line", "endless line", "head", "endless head", "fields", "length", "absurd length", "GET with a body"],
)
async def test_what_is_beyond_a_limit_is_refused(
    in_front_of: Any, request_beyond: bytes, status: int, slug: str
) -> None:
    """It is told at once, with the limit's name in the configuration; the upstream hears nothing."""
    async with in_front_of(answering(OK), limits=SMALL) as proxy:
        answer = await proxy.talk(request_beyond)
        [exchange] = await proxy.recorder.wait_exchanges(1)

        assert (status_of(answer), slug_of(answer)) == (status, slug)
        assert b"limits." in answer
        assert b"\r\nConnection: close\r\n" in answer
        assert exchange.outcome == "refused"
        assert not proxy.upstream.peers


@pytest.mark.parametrize("size", [1001, 1100, 50_000])
async def test_a_chunked_body_beyond_the_limit_is_cut_off(in_front_of: Any, size: int) -> None:
    """Nobody can tell beforehand: the client gets its 413, and the upstream never sees the body end."""
    async with in_front_of(take_any_body, limits=SMALL) as proxy:
        answer = await proxy.talk(post_of_chunks(size))
        [exchange] = await proxy.recorder.wait_exchanges(1)

        assert (status_of(answer), slug_of(answer)) == (413, "body_too_large")
        assert exchange.outcome == "refused"
        assert all(not peer.received.endswith(b"0\r\n\r\n") for peer in proxy.upstream.peers)


async def test_a_body_that_grows_beyond_the_limit_later_is_cut_off(in_front_of: Any) -> None:
    """The upstream has half of it by then: its connection is closed, not used again."""
    gone = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.wait_closed()
        gone.set()

    async with in_front_of(script, limits=SMALL) as proxy:
        client = await proxy.connect()
        head, chunk = post_of_chunks(100).split(b"\r\n\r\n", 1)
        client.send(head + b"\r\n\r\n" + chunk.removesuffix(b"0\r\n\r\n").removesuffix(b"0\r\n\r\n"))
        await until(lambda: bool(proxy.upstream.peers and proxy.upstream.peers[0].received))
        client.send(b"3e8\r\n" + b"x" * 1000 + b"\r\n")
        answer = await client.read_all()
        await gone.wait()

        assert (status_of(answer), slug_of(answer)) == (413, "body_too_large")


async def test_beyond_in_flight_a_request_is_refused_and_may_come_again(in_front_of: Any) -> None:
    """503 with Retry-After, on a connection that lives on; once there is room, the same client is served."""
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        while True:
            await peer.read_head()
            await go_on.wait()
            peer.send(OK)

    async with in_front_of(script, limits={"in_flight": 2}) as proxy:
        slow = [await proxy.connect() for _ in range(2)]
        for client in slow:
            client.send(GET)
        await until(lambda: len(proxy.upstream.peers) == 2)
        late = await proxy.connect()
        late.send(GET)
        head, body = await late.read_answer()
        go_on.set()
        served = [(await client.read_answer())[1] for client in slow]
        late.send(GET)
        again = await late.read_answer()

        assert (status_of(head), slug_of(head + body)) == (503, "overloaded")
        assert b"\r\nRetry-After: 1\r\n" in head
        assert [*served, again[1]] == [b"ok", b"ok", b"ok"]


async def test_beyond_connections_a_client_is_told_and_closed(in_front_of: Any) -> None:
    """It is not left to hang: 503 at once, before it has asked; those who are in stay in."""
    async with in_front_of(answering(OK), limits={"connections": 2}) as proxy:
        inside = [await proxy.connect() for _ in range(2)]
        await until(lambda: proxy.service.status().client_connections == 2)
        outside = await proxy.connect()
        answer = await outside.read_all()
        for client in inside:
            client.send(GET)

        assert (status_of(answer), slug_of(answer)) == (503, "overloaded")
        assert b"\r\nRetry-After: 1\r\n" in answer
        assert [(await client.read_answer())[1] for client in inside] == [b"ok", b"ok"]


async def test_a_connection_that_closed_makes_room(in_front_of: Any) -> None:
    """The count goes down again, refused connections included."""
    async with in_front_of(answering(OK), limits={"connections": 1}) as proxy:
        first = await proxy.connect()
        await until(lambda: proxy.service.status().client_connections == 1)
        assert status_of(await (await proxy.connect()).read_all()) == 503
        first.close()
        for client in proxy.clients:
            client.close()
        await until(lambda: proxy.service.status().client_connections == 0)

        assert (await proxy.talk(GET)).endswith(b"ok")


async def connect_from(address: str, port: int) -> RawClient:
    """Connect from another address of this machine."""
    return RawClient(*await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0)))


async def test_one_client_cannot_take_every_connection(in_front_of: Any) -> None:
    """Beyond its share it gets 429; a neighbour is let in as before."""
    async with in_front_of(answering(OK), limits={"client_connections": 2}) as proxy:
        for _ in range(2):
            await proxy.connect()
        await until(lambda: proxy.service.status().client_connections == 2)
        answer = await (await proxy.connect()).read_all()
        neighbour = await connect_from("127.0.0.2", proxy.port)
        neighbour.send(GET)
        head, _ = await neighbour.read_answer()
        neighbour.close()

        assert (status_of(answer), slug_of(answer)) == (429, "client_limit")
        assert b"\r\nRetry-After: 1\r\n" in answer
        assert status_of(head) == 200


async def test_one_client_cannot_have_every_exchange(in_front_of: Any) -> None:
    """Beyond its share it gets 429, and keeps its connection; a neighbour is served."""
    asked = asyncio.Queue[None]()
    release = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_head()
        asked.put_nowait(None)
        await release.wait()
        peer.send(OK)

    async with in_front_of(script, limits={"client_in_flight": 1}) as proxy:
        first, second = await proxy.connect(), await proxy.connect()
        neighbour = await connect_from("127.0.0.2", proxy.port)
        first.send(GET)
        await asked.get()
        second.send(GET)
        head, body = await second.read_answer()
        neighbour.send(GET)
        await asked.get()
        release.set()
        heads = [(await client.read_answer())[0] for client in (first, neighbour)]
        second.send(GET)
        await asked.get()
        heads.append((await second.read_answer())[0])
        neighbour.close()

        assert (status_of(head), slug_of(head + body)) == (429, "client_limit")
        assert [status_of(head) for head in heads] == [200, 200, 200]


async def test_strangers_take_nobodys_place(in_front_of: Any) -> None:
    """A few are told that they may not; the others are closed without a word, and counted; clients are served."""
    listener = [{"name": "cad", "bind": "127.0.0.1:0", "allow": ["127.0.0.1/32"]}]
    async with in_front_of(answering(OK), listener=listener, limits={"connections": 1}) as proxy:
        strangers = [await connect_from("127.0.0.2", proxy.port) for _ in range(TOLD)]
        heads = [await stranger.read_head() for stranger in strangers]
        one_more = await connect_from("127.0.0.2", proxy.port)
        with contextlib.suppress(ConnectionError):
            assert await one_more.read_all() == b""
        answer = await proxy.talk(GET)
        turned_away = proxy.service.status().turned_away
        for client in (*strangers, one_more):
            client.close()

        assert {status_of(head) for head in heads} == {403}
        assert answer.endswith(b"ok")
        assert turned_away == 1


async def test_far_beyond_connections_a_client_is_closed_at_once(in_front_of: Any) -> None:
    """An answer takes a descriptor for seconds, and thousands of them would take all there are."""
    async with in_front_of(answering(OK), limits={"connections": 1}) as proxy:
        clients = [await proxy.connect() for _ in range(1 + TOLD)]
        await until(lambda: proxy.service.status().client_connections == len(clients))
        one_more = await proxy.connect()
        with contextlib.suppress(ConnectionError):
            assert await one_more.read_all() == b""
        clients[0].send(GET)

        assert (await clients[0].read_answer())[1] == b"ok"
        assert proxy.service.status().turned_away == 1


# A traffic log that cannot be written.


class StuckReader:
    """A pipe that takes the traffic log, and is read only when a test says so."""

    def __init__(self, path: Path) -> None:
        """Make it as small as the kernel allows, so that it fills up soon."""
        os.mkfifo(path)
        self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        fcntl.fcntl(self._descriptor, fcntl.F_SETPIPE_SZ, 4096)
        self._received = b""
        self._loop = asyncio.get_running_loop()

    @property
    def events(self) -> list[dict[str, Any]]:
        """The records read so far."""
        return [json.loads(line) for line in self._received.splitlines(keepends=True) if line.endswith(b"\n")]

    def read_on(self) -> None:
        """Read whatever comes from now on."""
        self._loop.add_reader(self._descriptor, self._read)

    def _read(self) -> None:
        data = os.read(self._descriptor, 65_536)
        self._received += data
        if not data:
            self._loop.remove_reader(self._descriptor)

    def close(self) -> None:
        """Close."""
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)


def log_to(path: Path, when_full: str) -> dict[str, Any]:
    """Describe a traffic log with a small queue."""
    return {"traffic_log": {"path": str(path), "when_full": when_full}, "limits": {"log_queue": 20_000}}


async def ask_until(proxy: RunningProxy, status: int) -> bytes:
    """Ask again and again until the answer has this status; return it."""
    for _ in range(500):
        answer = await proxy.talk(GET)
        if status_of(answer) == status:
            return answer
    message = f"never answered {status}"
    raise AssertionError(message)


async def test_a_full_log_refuses_requests_if_told_to(in_front_of: Any, tmp_path: Path) -> None:
    """503 log_full while the disk is stuck; nothing sent unrecorded; served again when the disk goes on."""
    reader = StuckReader(tmp_path / "log")
    async with in_front_of(answering(OK), **log_to(tmp_path / "log", "refuse")) as proxy:
        refused = await ask_until(proxy, 503)
        sent = len(b"".join(peer.received for peer in proxy.upstream.peers).split(b"GET /x ")) - 1
        reader.read_on()
        await until(lambda: proxy.service.status().log.queue_bytes == 0)
        served = await proxy.talk(GET)
        stats = proxy.service.status().log
        count = len(proxy.recorder.exchanges)
        await until(lambda: sum(event["event"] == "exchange.closed" for event in reader.events) == count)
    outcomes = [event["outcome"] for event in reader.events if event["event"] == "exchange.closed"]
    reader.close()

    assert slug_of(refused) == "log_full"
    assert status_of(served) == 200
    assert b"\r\nRetry-After: 1\r\n" in refused
    assert b"when_full" in refused
    assert stats.dropped == 0
    assert outcomes.index("refused") == sent


async def test_refusals_do_not_push_out_the_record_of_what_was_sent(in_front_of: Any, tmp_path: Path) -> None:
    """A client that asks on and on while the disk is stuck costs no record of an exchange that was let in before."""
    let_go = asyncio.Event()

    async def script(peer: Peer) -> None:
        while True:
            head = await peer.read_head()
            if head.startswith(b"GET /held "):
                await let_go.wait()
            peer.send(OK)

    reader = StuckReader(tmp_path / "log")
    async with in_front_of(script, **log_to(tmp_path / "log", "refuse")) as proxy:
        held = await proxy.connect()
        held.send(GET.replace(b"/x", b"/held").replace(b"Host", b"X-Large: " + b"x" * 2000 + b"\r\nHost"))
        await until(lambda: bool(proxy.upstream.peers and proxy.upstream.peers[0].received))
        await ask_until(proxy, 503)
        refused = [status_of(await proxy.talk(GET)) for _ in range(100)]
        let_go.set()
        await held.read_answer()
        reader.read_on()
    await until(lambda: bool(reader.events) and reader.events[-1]["event"] == "log.stopped")
    targets = [event["request"]["target"] for event in reader.events if event["event"] == "exchange.closed"]
    reader.close()

    assert refused == [503] * 100
    assert targets.count("/api/held") == 1


async def test_a_full_log_drops_and_counts_by_default(in_front_of: Any, tmp_path: Path) -> None:
    """No request is refused for it; the count stands in the state, and in the log once that can be written."""
    reader = StuckReader(tmp_path / "log")
    async with in_front_of(answering(OK), **log_to(tmp_path / "log", "drop")) as proxy:
        asked = 0
        while proxy.service.status().log.dropped < 5:
            assert (await proxy.talk(GET)).endswith(b"ok")
            asked += 1
        reader.read_on()
    await until(lambda: bool(reader.events) and reader.events[-1]["event"] == "log.stopped")
    dropped = sum(event["count"] for event in reader.events if event["event"] == "log.dropped")
    written = sum(event["event"] == "exchange.closed" for event in reader.events)
    reader.close()

    assert dropped >= 5
    assert written + dropped == asked


async def test_a_client_that_asks_too_often_is_told_when_to_come_back(in_front_of: Any) -> None:
    """429 on a connection that lives on; another client is not concerned, and what is refused is not sent."""
    listener = [{"name": "cad", "bind": "127.0.0.1:0", "allow": ["127.0.0.0/8"]}]
    limits = {"client_rate": 0.01, "client_burst": 3}
    async with in_front_of(answering(OK), limits=limits, listener=listener) as proxy:
        client = await proxy.connect()
        answers = []
        for _ in range(5):
            client.send(GET)
            answers.append(await client.read_answer())
        other = RawClient(*await asyncio.open_connection("127.0.0.1", proxy.port, local_addr=("127.0.0.2", 0)))
        other.send(GET)
        head, _ = await other.read_answer()
        other.close()
        exchanges = await proxy.recorder.wait_exchanges(6)

        assert [answer[0].split(b" ", 2)[1] for answer in answers] == [*[b"200"] * 3, *[b"429"] * 2]
        assert b"\r\nRetry-After: 100\r\n" in answers[-1][0]
        assert b"error:client_limit" in answers[-1][1]
        assert head.startswith(b"HTTP/1.1 200 ")
        assert [len(exchange.attempts) for exchange in exchanges] == [1, 1, 1, 0, 0, 1]

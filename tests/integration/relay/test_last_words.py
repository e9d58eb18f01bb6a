"""The end of a client's connection: what was asked is answered, and what was answered arrives."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import pytest
from harness.running import until
from harness.upstream import Peer, answering

from proxy.relay import relay

if TYPE_CHECKING:
    from harness.running import RawClient

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET /api/x HTTP/1.1\r\nHost: proxy\r\n\r\n"
LOOKS = 40
"""How often the proxy looks at its connections in these tests, while something goes on that it must not cut."""


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> asyncio.Queue[None]:
    """Return what is told of each look that the proxy takes at its connections; it takes many a second."""
    looks: asyncio.Queue[None] = asyncio.Queue()
    sleep, pause_s = asyncio.sleep, 0.0203

    async def sleep_on(delay: float, result: Any = None) -> Any:
        """Between two looks it sleeps for as long as nobody else does."""
        if delay == pause_s:
            looks.put_nowait(None)
        return await sleep(delay, result)

    monkeypatch.setattr(relay, "SWEEP_S", pause_s)
    monkeypatch.setattr(asyncio, "sleep", sleep_on)
    return looks


async def send_on(client: RawClient, looks: asyncio.Queue[None], pieces: int) -> None:
    """Send a piece of a body after each look."""
    for _ in range(pieces):
        client.send(bytes(1000))
        await client.writer.drain()
        await looks.get()


@pytest.mark.parametrize("count", [2, 40])
async def test_pipelined_requests_before_a_half_close_are_all_answered(in_front_of: Any, count: int) -> None:
    """A client that has said all it wants still hears everything; so with more than one turn's worth."""
    async with in_front_of(answering(OK)) as proxy:
        answers = await proxy.talk(GET * count)

        assert answers.count(b"200 OK") == count
        assert len(await proxy.recorder.wait_exchanges(count)) == count


async def test_pipelined_refusals_before_a_half_close_are_all_answered(in_front_of: Any) -> None:
    """Those that need no upstream as well, more of them than are taken in one turn of the loop."""
    async with in_front_of(answering(OK)) as proxy:
        answers = await proxy.talk(b"GET /nowhere HTTP/1.1\r\nHost: proxy\r\n\r\n" * 100)

        assert answers.count(b" 404 ") == 100


async def test_half_a_head_behind_a_request_leaves_a_record(in_front_of: Any) -> None:
    """The whole request is answered, and what was only begun is not forgotten."""
    async with in_front_of(answering(OK)) as proxy:
        answers = await proxy.talk(GET + b"GET /api/y HTTP/1.1\r\nHo")
        exchanges = await proxy.recorder.wait_exchanges(2)

        assert answers.count(b"200 OK") == 1
        assert [exchange.outcome for exchange in exchanges] == ["ok", "client_left"]
        assert exchanges[1].bytes_in == len(b"GET /api/y HTTP/1.1\r\nHo")


@pytest.mark.parametrize(
    ("waiting", "target"),
    [
        (b"POST /api/y HTTP/1.1\r\nHost: proxy\r\nContent-Length: 2\r\n\r\nhi", "/api/y"),
        (b"GET /api/y HT", None),
        (b"x\r\n\r\n", None),
    ],
    ids=["whole", "half a head", "no HTTP"],
)
async def test_what_waited_behind_a_request_when_its_client_broke_off_leaves_a_record(
    in_front_of: Any, waiting: bytes, target: str | None
) -> None:
    """Its turn never came, but it was sent: whoever looks for it finds it."""

    async def say_nothing(peer: Peer) -> None:
        await peer.read_head()
        await peer.wait_closed()

    async with in_front_of(say_nothing) as proxy:
        client = await proxy.connect()
        client.send(GET + waiting)
        await until(lambda: bool(proxy.upstream.peers and proxy.upstream.peers[0].received))
        client.reset()
        first, second = await proxy.recorder.wait_exchanges(2)

        assert [first.outcome, second.outcome] == ["client_left", "client_left"]
        assert first.request.target == "/api/x"
        assert (second.request.target if second.request else None) == target
        assert second.bytes_in == len(waiting)
        assert second.attempts == []


@pytest.mark.parametrize(("path", "first"), [("/api/x", "ok"), ("/nowhere", "refused")])
async def test_what_waits_behind_the_last_request_of_a_connection_leaves_a_record(
    in_front_of: Any, path: str, first: str
) -> None:
    """Also where the first is answered as it is read; empty lines are no request."""
    last = f"GET {path} HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\n\r\n".encode()
    async with in_front_of(answering(OK)) as proxy:
        await proxy.talk(last + b"\r\n")
        await proxy.talk(last + GET + GET)
        exchanges = await proxy.recorder.wait_exchanges(3)

        assert [exchange.outcome for exchange in exchanges] == [first, first, "aborted"]
        assert (exchanges[2].request.target, exchanges[2].bytes_in) == ("/api/x", 2 * len(GET))


async def test_what_waits_when_the_proxy_stops_leaves_a_record(in_front_of: Any) -> None:
    """The request under way is answered whole; the one behind it is not begun, and not forgotten."""
    go_on = asyncio.Event()

    async def answer_late(peer: Peer) -> None:
        await peer.read_head()
        await go_on.wait()
        peer.send(OK)

    async with in_front_of(answer_late) as proxy:
        client = await proxy.connect()
        client.send(GET + GET)
        await until(lambda: bool(proxy.upstream.peers and proxy.upstream.peers[0].received))
        async with asyncio.TaskGroup() as group:
            group.create_task(proxy.service.drain())
            await until(lambda: proxy.service.status().draining)
            go_on.set()
            answers = await client.read_all()

        assert answers.count(b"HTTP/1.1 ") == 1
        assert [exchange.outcome for exchange in proxy.recorder.exchanges] == ["ok", "aborted"]
        assert proxy.recorder.exchanges[1].error.slug == "draining"


async def test_a_refused_upload_that_goes_on_gets_its_answer(
    in_front_of: Any, looks: asyncio.Queue[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that reads only when all is sent finds its 404, and no reset, however long it sends."""
    monkeypatch.setattr("proxy.relay.client.LINGER_S", 0.2)
    async with in_front_of(answering(OK)) as proxy:
        client = await proxy.connect()
        client.writer.transport.pause_reading()
        client.send(b"POST /nowhere HTTP/1.1\r\nHost: proxy\r\nContent-Length: 50000000\r\n\r\n")
        await proxy.recorder.wait_exchanges(1)
        await send_on(client, looks, LOOKS)
        client.writer.transport.resume_reading()
        answer = await client.read_all()

        assert answer.startswith(b"HTTP/1.1 404 ")
        assert answer.endswith(b"}")


async def test_a_client_that_goes_on_for_ever_is_cut_off(
    in_front_of: Any, looks: asyncio.Queue[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is listened to without end for the sake of a refusal."""
    monkeypatch.setattr("proxy.relay.client.LONGEST_LINGER_S", 0.1)
    async with in_front_of(answering(OK)) as proxy:
        client = await proxy.connect()
        client.send(b"POST /nowhere HTTP/1.1\r\nHost: proxy\r\nContent-Length: 50000000\r\n\r\n")
        with pytest.raises(ConnectionError):
            await send_on(client, looks, 1000)

        assert proxy.service.status().client_connections == 0


@pytest.mark.parametrize("ends", [b"", b"Connection: close\r\n"], ids=["kept alive", "closed"])
async def test_a_client_that_reads_slowly_and_steadily_gets_it_all(
    in_front_of: Any, looks: asyncio.Queue[None], ends: bytes
) -> None:
    """However long it takes, as long as it never stops for the time limit; with a length, and before a close."""
    size = 200_000

    async def script(peer: Peer) -> None:
        await peer.read_head()
        for client in proxy.service._relay._clients:  # else the kernel would take it all
            client._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size))
        await peer.wait_closed()

    async with in_front_of(script, timeouts={"silence": 0.4, "idle": 0.4}) as proxy:
        loop = asyncio.get_running_loop()
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)  # noqa: FBT003 (the name is the standard library's)
            await loop.sock_connect(sock, ("127.0.0.1", proxy.port))
            await loop.sock_sendall(sock, b"GET /api/x HTTP/1.1\r\nHost: proxy\r\n" + ends + b"\r\n")
            received = 0
            taken_looks = 0
            while received < size:
                data = await loop.sock_recv(sock, 2000)
                if not data:
                    break
                received += len(data)
                await looks.get()
                taken_looks += 1

            assert received > size
            assert taken_looks > LOOKS
            [exchange] = await proxy.recorder.wait_exchanges(1)
            assert exchange.outcome == "ok"


async def test_a_slow_client_gets_its_whole_answer_though_the_proxy_stops(in_front_of: Any) -> None:
    """The exchange is over once the answer is handed on; the drain waits until it has been taken."""
    size = 8_000_000

    async def script(peer: Peer) -> None:
        await peer.read_head()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size))
        await peer.wait_closed()

    async with in_front_of(script) as proxy:
        client = await proxy.connect()
        client.send(GET)
        head = await client.read_head()
        client.writer.transport.pause_reading()
        stopping = asyncio.gather(proxy.service.drain())
        await until(lambda: proxy.service.status().draining)
        client.writer.transport.resume_reading()
        body = await client.read_exactly(size)
        await stopping
        await proxy.stop()

        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert len(body) == size
        assert [exchange.outcome for exchange in proxy.recorder.exchanges] == ["ok"]


@pytest.mark.parametrize("half", [b"GET /api/x HT", GET + b"POST /api/y HTTP/1.1\r\nHo"], ids=["first", "pipelined"])
async def test_who_has_begun_a_request_is_told_that_the_proxy_stops(in_front_of: Any, half: bytes) -> None:
    """And it leaves a record: nothing is lost without a word."""
    async with in_front_of(answering(OK)) as proxy:
        client = await proxy.connect()
        client.send(half)
        if half.startswith(GET):
            await client.read_answer()
        await until(lambda: any(client._buffer for client in proxy.service._relay._clients))
        await proxy.service.drain()
        answer = await client.read_all()

        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"error:draining" in answer
        assert proxy.recorder.exchanges[-1].error is not None

"""Whoever keeps an exchange waiting is told, or cut off, in time; whoever is slow but honest is not.

Limits are tiny here.  The proxy looks at its connections once a second, so each of these takes about that long, and
none asserts how long.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from harness.running import RunningProxy, build_document, running_proxy, until
from harness.upstream import Peer, answering, scripted_upstream

from proxy.config.secret import Secret

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from proxy.exchange import Exchange

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET /api/x HTTP/1.1\r\nHost: proxy\r\n\r\n"
LAST_GET = b"GET /api/x HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\n\r\n"
POST = b"POST /api/x HTTP/1.1\r\nHost: proxy\r\nContent-Length: 10\r\n\r\n"
TINY_S = 0.05
PAUSE_S = 0.2
"""Between the pieces of a slow but honest sender."""
PIECES = 12
"""So many that all of them together take longer than any limit of their test."""
HONEST_S = 1.2
"""A limit that no single pause comes near, and all of them together pass."""
LARGE_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n" + bytes(50_000)


def status_of(answer: bytes) -> int:
    """Return the status of an answer."""
    return int(answer.split(b" ", 2)[1])


def slug_of(answer: bytes) -> str:
    """Return which error a problem document tells of."""
    return str(json.loads(answer.partition(b"\r\n\r\n")[2])["type"].rpartition(":")[2])


def ending_of(exchange: Exchange) -> tuple[str, str | None]:
    """Return how the record says that it ended."""
    return exchange.outcome, exchange.error.slug if exchange.error else None


async def say_nothing(peer: Peer) -> None:
    """Read a request and wait."""
    await peer.read_head()
    await peer.wait_closed()


def say_by_path(starts: dict[bytes, bytes]) -> Callable[[Peer], Awaitable[None]]:
    """Build a script that begins an answer, by the path that is asked for, and then says nothing more."""

    async def script(peer: Peer) -> None:
        head = await peer.read_head()
        peer.send(starts[head.split()[1]])
        await peer.wait_closed()

    return script


async def ask_each(proxy: RunningProxy, requests: list[bytes]) -> list[bytes]:
    """Send each on a connection of its own, all at once; return all that comes back."""
    clients = [await proxy.connect() for _ in requests]
    for client, request in zip(clients, requests, strict=True):
        client.send(request)
    return await asyncio.gather(*(client.read_all() for client in clients))


# The client keeps us waiting.


async def test_a_head_that_does_not_end_in_time(in_front_of: Any) -> None:
    """408, a record, and the connection closes, wherever in the head its client stopped."""
    starts = [b"G", b"GET /api/x HTTP/1.1\r\n", GET[:-2], b"\r\n\r\nGET"]
    async with in_front_of(answering(OK), timeouts={"head": TINY_S}) as proxy:
        answers = await ask_each(proxy, starts)
        exchanges = await proxy.recorder.wait_exchanges(len(starts))

        assert [(status_of(answer), slug_of(answer)) for answer in answers] == [(408, "client_timeout")] * len(starts)
        assert {ending_of(exchange) for exchange in exchanges} == {("refused", "client_timeout")}


async def test_a_head_that_trickles_in_is_cut_off_too(in_front_of: Any) -> None:
    """The limit is for the whole head: one byte now and then does not stretch it."""
    async with in_front_of(answering(OK), timeouts={"head": 0.5}) as proxy:
        client = await proxy.connect()
        client.send(b"GET /api/x HTTP/1.1\r\nX: ")

        async def trickle() -> None:
            while True:
                client.send(b"x")
                await asyncio.sleep(0.05)

        trickling = asyncio.get_running_loop().create_task(trickle())
        answer = await client.read_head()
        trickling.cancel()

        assert status_of(answer) == 408


async def test_empty_lines_do_not_keep_a_connection(in_front_of: Any) -> None:
    """RFC 9112, section 2.2 lets a client send some before a request, not for ever."""
    async with in_front_of(answering(OK), timeouts={"head": 0.5, "idle": 0.5}) as proxy:
        client = await proxy.connect()

        async def trickle() -> None:
            while True:
                client.send(b"\r\n")
                await asyncio.sleep(0.05)

        trickling = asyncio.get_running_loop().create_task(trickle())
        try:
            await asyncio.wait_for(client.read_all(), 5)
        except ConnectionError:
            pass  # a reset is an end as well
        finally:
            trickling.cancel()


async def test_empty_lines_are_not_kept(in_front_of: Any) -> None:
    """A few may come before each request; more are refused at once, in a flood and one by one."""
    async with in_front_of(answering(OK)) as proxy:
        client = await proxy.connect()
        for _ in range(10):
            client.send(b"\r\n\r\n")
            await asyncio.sleep(0)
            client.send(GET)
            await client.read_answer()
        [connection] = proxy.service._relay._clients
        assert connection._buffer == b""
        client.send(b"\r\n" * 100_000)
        answers = [await client.read_all()]
        dripping = await proxy.connect()
        for _ in range(20):
            dripping.send(b"\r\n")
            await asyncio.sleep(0)
        answers.append(await dripping.read_all())

        assert [answer[:13] for answer in answers] == [b"HTTP/1.1 400 "] * 2


async def test_an_idle_connection_is_closed_without_a_record(in_front_of: Any) -> None:
    """Nothing was asked, so there is nothing to tell: neither before a first request nor after one."""
    async with in_front_of(answering(OK), timeouts={"head": TINY_S, "idle": TINY_S}) as proxy:
        silent, served = await proxy.connect(), await proxy.connect()
        served.send(GET)

        assert await silent.read_all() == b""
        assert (await served.read_all()).endswith(b"\r\n\r\nok")
        assert len(proxy.recorder.exchanges) == 1


async def test_a_body_that_stops_coming(in_front_of: Any) -> None:
    """408 for the client; the upstream sees its request broken off, and the record says whose fault it was."""
    chunked = POST.replace(b"Content-Length: 10", b"Transfer-Encoding: chunked")
    starts = [POST, POST + b"half", chunked + b"5\r\nhal", chunked + b"4\r\nhalf\r\n0\r\n"]
    async with in_front_of(say_nothing, timeouts={"body": TINY_S}) as proxy:
        answers = await ask_each(proxy, starts)
        exchanges = await proxy.recorder.wait_exchanges(len(starts))
        await until(lambda: proxy.upstream.done == len(starts))

        assert [(status_of(answer), slug_of(answer)) for answer in answers] == [(408, "client_timeout")] * len(starts)
        assert {ending_of(exchange) for exchange in exchanges} == {("refused", "client_timeout")}


async def test_a_client_that_never_reads_is_cut_off(in_front_of: Any) -> None:
    """It holds its upstream and our memory for no longer than the limit; then both connections are gone."""

    async def flood(peer: Peer) -> None:
        await peer.read_head()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n" + bytes(50_000_000))
        await peer.wait_closed()

    async with in_front_of(flood, timeouts={"silence": TINY_S}) as proxy:
        client = await proxy.connect()
        client.writer.transport.pause_reading()
        client.send(GET)
        [exchange] = await proxy.recorder.wait_exchanges(1)
        await until(lambda: proxy.upstream.done == 1)
        await until(lambda: proxy.service.status().client_connections == 0)

        assert ending_of(exchange) == ("refused", "client_timeout")


async def test_a_trickle_does_not_hold_a_place_for_ever(in_front_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte within each time limit is no upload; a slow honest one is far above this rate."""
    monkeypatch.setattr("proxy.relay.relay.SWEEP_S", 0.05)

    async def script(peer: Peer) -> None:
        await peer.wait_closed()

    async with in_front_of(script, timeouts={"body": 0.5}) as proxy:
        client = await proxy.connect()
        client.send(b"POST /api/x HTTP/1.1\r\nHost: proxy\r\nContent-Length: 100000\r\n\r\n")

        async def trickle() -> None:
            while True:
                client.send(b"x")
                await asyncio.sleep(0.1)

        trickling = asyncio.get_running_loop().create_task(trickle())
        [exchange] = await proxy.recorder.wait_exchanges(1)
        trickling.cancel()

        assert ending_of(exchange) == ("refused", "client_timeout")


# The upstream keeps us waiting.


async def test_an_upstream_that_never_answers(in_front_of: Any) -> None:
    """504 that says so; its connection is not used again."""
    async with in_front_of(say_nothing, timeouts={"first_byte": TINY_S}) as proxy:
        answer = await proxy.talk(GET)
        [exchange] = await proxy.recorder.wait_exchanges(1)
        await until(lambda: proxy.upstream.done == 1)

        assert (status_of(answer), slug_of(answer)) == (504, "upstream_timeout")
        assert ending_of(exchange) == ("upstream_failed", "upstream_timeout")
        assert [attempt.error for attempt in exchange.attempts] == ["upstream_timeout"]


async def test_an_upstream_that_stops_within_its_head(in_front_of: Any) -> None:
    """Half a head is no answer: 504, and nothing of it reaches the client but a 1xx that was whole."""
    starts = {b"/a": b"H", b"/b": b"HTTP/1.1 200 OK\r\nContent-Le", b"/c": b"HTTP/1.1 100 Continue\r\n\r\n"}
    async with in_front_of(say_by_path(starts), timeouts={"first_byte": TINY_S}) as proxy:
        answers = await ask_each(proxy, [LAST_GET.replace(b"/x", path) for path in starts])
        finals = [answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n") for answer in answers]

        assert [(status_of(answer), slug_of(answer)) for answer in finals] == [(504, "upstream_timeout")] * len(starts)


async def test_an_upstream_that_stops_within_its_body(in_front_of: Any) -> None:
    """Its head is out: only a break is left, and the client can tell that the answer is not whole."""
    sent = {b"/a": b"half", b"/b": b"4\r\nhalf\r\n"}
    framing = {b"/a": b"Content-Length: 10", b"/b": b"Transfer-Encoding: chunked"}
    starts = {path: b"HTTP/1.1 200 OK\r\n" + framing[path] + b"\r\n\r\n" + sent[path] for path in sent}
    async with in_front_of(say_by_path(starts), timeouts={"silence": TINY_S}) as proxy:
        answers = await ask_each(proxy, [LAST_GET.replace(b"/x", path) for path in starts])
        exchanges = await proxy.recorder.wait_exchanges(len(starts))

        assert [answer.partition(b"\r\n\r\n")[2] for answer in answers] == list(sent.values())
        assert {ending_of(exchange) for exchange in exchanges} == {("upstream_failed", "upstream_timeout")}


async def test_an_answer_that_a_close_would_end_is_reset(in_front_of: Any) -> None:
    """For an HTTP/1.0 client a mere close would make half an answer look whole."""

    async def script(peer: Peer) -> None:
        await peer.read_head()
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
        await peer.wait_closed()

    async with in_front_of(script, timeouts={"silence": TINY_S}) as proxy:
        client = await proxy.connect()
        client.send(b"GET /api/x HTTP/1.0\r\n\r\n")
        await client.read_head()

        with pytest.raises(ConnectionResetError):
            await client.read_all()


async def take_slowly(client: socket.socket) -> None:
    """Take a kilobyte now and then, for longer than any limit."""
    for _ in range(5 * PIECES):
        await asyncio.get_running_loop().sock_recv(client, 1024)
        await asyncio.sleep(PAUSE_S)


# Slow, and honest.


async def test_a_slow_body_is_not_cut_off(in_front_of: Any) -> None:
    """Silence is limited, not the whole: an upload that takes longer than every limit arrives."""

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.read_exactly(PIECES * 100)
        peer.send(OK)

    limits = {"head": HONEST_S, "body": HONEST_S, "first_byte": HONEST_S, "silence": HONEST_S, "idle": HONEST_S}
    async with in_front_of(script, timeouts=limits) as proxy:
        client = await proxy.connect()
        client.send(b"POST /api/x HTTP/1.1\r\nHost: proxy\r\nContent-Length: %d\r\n\r\n" % (PIECES * 100))
        for _ in range(PIECES):
            await asyncio.sleep(PAUSE_S)
            client.send(b"x" * 100)
        _, body = await client.read_answer()

        assert body == b"ok"


async def test_a_slow_answer_is_not_cut_off(in_front_of: Any) -> None:
    """Nor a download, though its client says nothing all the while."""

    async def script(peer: Peer) -> None:
        await peer.read_head()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % PIECES)
        for _ in range(PIECES):
            await asyncio.sleep(PAUSE_S)
            peer.send(b"x")

    limits = {"head": HONEST_S, "body": HONEST_S, "first_byte": HONEST_S, "silence": HONEST_S, "idle": HONEST_S}
    async with in_front_of(script, timeouts=limits) as proxy:
        client = await proxy.connect()
        client.send(GET)
        _, body = await client.read_answer()

        assert body == b"x" * PIECES


async def test_the_last_of_an_answer_is_not_waited_for_for_ever(
    in_front_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exchanges are over, and their client has much to take: who takes a little now and then is reset."""
    monkeypatch.setattr("proxy.relay.client.LEAST_RATE", 10**9)

    async with in_front_of(answering(LARGE_OK), timeouts={"silence": HONEST_S, "idle": HONEST_S}) as proxy:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", proxy.port))
            client.setblocking(False)  # noqa: FBT003 (the standard library's)
            client.send(GET * 100)
            await proxy.recorder.wait_exchanges(1)
            with pytest.raises(ConnectionResetError):
                await take_slowly(client)


# What is no HTTP/1.1, and what ends too early.


@pytest.mark.parametrize(
    ("data", "status", "slug"),
    [
        (b"GET /api/x\r\n\r\n", 400, "malformed"),
        (b"GET /api/x HTTP/0.9\r\n\r\n", 505, "version"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0", 505, "version"),
        (b"GET /api/x HTTP/3.0\r\nHost: proxy\r\n\r\n", 505, "version"),
        (b"GET /api/x HTTP/1.2\r\nHost: proxy\r\n\r\n", 505, "version"),
        (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + bytes(64), 400, "malformed"),
        (b"\x16\x03\x01" + b"\r\n\r\n", 400, "malformed"),
        (b"GET /api/x HTTP/1.1\nHost: proxy\n\n", 400, "malformed"),
        (bytes(100) + b"\r\n\r\n", 400, "malformed"),
        (b"\xff\xfe\r\n\r\n", 400, "malformed"),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", 400, "malformed"),
    ],
)
async def test_what_is_not_http_1_is_refused_in_words(in_front_of: Any, data: bytes, status: int, slug: str) -> None:
    """Old, new and other protocols get an answer that says what is spoken here, and a record."""
    async with in_front_of(answering(OK)) as proxy:
        answer = await proxy.talk(data)
        [exchange] = await proxy.recorder.wait_exchanges(1)

        assert (status_of(answer), slug_of(answer)) == (status, slug)
        assert ending_of(exchange) == ("refused", slug)
        assert b"\r\nConnection: close\r\n" in answer
        assert not proxy.upstream.peers


async def test_a_tls_client_on_the_plain_port_is_told_in_the_log(in_front_of: Any) -> None:
    """A real handshake fails at once and not after a time limit; the record shows that somebody tried."""
    context = ssl.create_default_context()
    async with in_front_of(answering(OK)) as proxy:
        with pytest.raises(ssl.SSLError):
            await asyncio.open_connection("127.0.0.1", proxy.port, ssl=context, server_hostname="proxy")
        [exchange] = await proxy.recorder.wait_exchanges(1)

        assert ending_of(exchange) == ("refused", "malformed")


@pytest.mark.parametrize("half", [b"G", b"GET /api/x HTTP/1.1\r\nHost: pro", GET[:-1]])
async def test_half_a_head_and_a_close_leave_a_record(in_front_of: Any, half: bytes) -> None:
    """Nothing fails silently: a client that breaks off is on record with what it had sent."""
    async with in_front_of(answering(OK)) as proxy:
        assert await proxy.talk(half) == b""
        [exchange] = await proxy.recorder.wait_exchanges(1)

        assert exchange.outcome == "client_left"
        assert exchange.bytes_in == len(half)


async def test_half_a_head_and_a_reset_leave_a_record(in_front_of: Any) -> None:
    """A client that crashes sends no FIN."""
    async with in_front_of(answering(OK)) as proxy:
        client = await proxy.connect()
        client.send(GET + b"GET /api/y HTTP/1.1\r\nHost: pro")
        await client.read_answer()
        client.reset()
        _, exchange = await proxy.recorder.wait_exchanges(2)

        assert exchange.outcome == "client_left"


@pytest.mark.parametrize("half", [POST + b"half", POST.replace(b"Content-Length: 10", b"Transfer-Encoding: chunked")])
async def test_half_a_body_and_a_close_leave_a_record(in_front_of: Any, half: bytes) -> None:
    """The upstream never sees such a request end, and its connection is not used again."""
    async with in_front_of(say_nothing) as proxy:
        assert await proxy.talk(half) == b""
        [exchange] = await proxy.recorder.wait_exchanges(1)
        await until(lambda: proxy.upstream.done == len(proxy.upstream.peers))

        assert exchange.outcome == "client_left"
        assert all(not peer.received.endswith(b"0\r\n\r\n") for peer in proxy.upstream.peers)


@pytest.mark.parametrize(
    ("request_bytes", "closes"),
    [
        (GET, False),
        (GET.replace(b"Host", b"Connection: close\r\nHost"), True),
        (GET.replace(b"Host", b"Connection: x, Close\r\nHost"), True),
        (GET.replace(b"1.1", b"1.0"), True),
        (GET.replace(b"1.1\r\n", b"1.0\r\nConnection: keep-alive\r\n"), False),
        (GET.replace(b"1.1\r\n", b"1.0\r\nConnection: keep-alive, close\r\n"), True),
    ],
)
async def test_connection_close_is_honoured(in_front_of: Any, request_bytes: bytes, *, closes: bool) -> None:
    """RFC 9112, section 9.6: the answer says so and the connection ends; otherwise it serves the next request."""
    async with in_front_of(answering(OK)) as proxy:
        client = await proxy.connect()
        client.send(request_bytes)
        head, _ = await client.read_answer()
        client.send(GET)
        if closes:
            rest = await client.read_all()
        else:
            rest = (await client.read_answer())[1]

        assert (b"\r\nConnection: close\r\n" in head) == closes
        assert rest == (b"" if closes else b"ok")


# The route's deadline.


@pytest.fixture
def sweeping(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at every connection twenty times a second."""
    monkeypatch.setattr("proxy.relay.relay.SWEEP_S", 0.05)


def with_deadline(**more: Any) -> list[dict[str, Any]]:
    """Describe a route that takes everything, and gives it a second."""
    upstream = more.pop("upstream", None)
    route = {"name": "api", "strip": "", "credential": "core", "deadline": "1s", **more}
    return [route if upstream is None else route | {"upstream": upstream}]


@asynccontextmanager
async def behind_a_deadline(
    *scripts: Callable[[Peer], Awaitable[None]], **sections: Any
) -> AsyncIterator[RunningProxy]:
    """Run a proxy in front of scripts whose one route has a deadline."""
    async with scripted_upstream(*scripts) as upstream:
        route = with_deadline(upstream=f"http://127.0.0.1:{upstream.port}")
        basic = {"grant": "basic", "username": Secret("user", "test"), "password": Secret("a-basic-password", "test")}
        document = build_document("", "", **{"credential": {"core": basic}, "route": route, **sections})
        async with running_proxy(document, with_tokens=False) as proxy:
            proxy.upstream = upstream
            yield proxy


@pytest.mark.usefixtures("sweeping")
async def test_a_deadline_ends_the_wait_for_an_answer() -> None:
    """504 which names it, though each single wait would go on."""
    async with behind_a_deadline(say_nothing) as proxy:
        answer = await proxy.talk(GET)
        [exchange] = await proxy.recorder.wait_exchanges(1)

        assert (status_of(answer), slug_of(answer)) == (504, "upstream_timeout")
        assert b"the upstream gave no answer within the route's deadline of 1 s; " in answer
        assert ending_of(exchange) == ("upstream_failed", "upstream_timeout")


@pytest.mark.usefixtures("sweeping")
async def test_a_deadline_is_for_all_attempts_together() -> None:
    """A second try has what is left of the time of the first."""

    async def die_late(peer: Peer) -> None:
        await peer.read_head()
        await asyncio.sleep(0.6)

    async with behind_a_deadline(die_late, say_nothing, timeouts={"first_byte": 0.9}) as proxy:
        answer = await proxy.talk(GET)
        [exchange] = await proxy.recorder.wait_exchanges(1)

        assert status_of(answer) == 504
        assert b"the route's deadline" in answer
        assert [attempt.error for attempt in exchange.attempts] == ["upstream_closed", "upstream_timeout"]


@pytest.mark.usefixtures("sweeping")
async def test_a_deadline_cuts_an_answer_that_is_still_coming() -> None:
    """However steadily it comes; its client can tell that it is not whole."""

    async def trickle(peer: Peer) -> None:
        await peer.read_head()
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            peer.send(b"4\r\npart\r\n")
            await peer.flush()
            await asyncio.sleep(0.05)

    async with behind_a_deadline(trickle) as proxy:
        answer = await proxy.talk(GET)
        [exchange] = await proxy.recorder.wait_exchanges(1)

        assert status_of(answer) == 200
        assert not answer.endswith(b"0\r\n\r\n")
        assert ending_of(exchange) == ("upstream_failed", "upstream_timeout")


@pytest.mark.usefixtures("sweeping")
async def test_a_deadline_that_the_client_lets_pass_is_its_own_fault() -> None:
    """408: it was not done with its request, though it might have gone on for longer."""
    async with behind_a_deadline(say_nothing) as proxy:
        client = await proxy.connect()
        client.send(POST)
        answer = await client.read_all()
        [exchange] = await proxy.recorder.wait_exchanges(1)

        assert (status_of(answer), slug_of(answer)) == (408, "client_timeout")
        assert b"the client's request was not whole within the route's deadline" in answer
        assert ending_of(exchange) == ("refused", "client_timeout")


@pytest.mark.usefixtures("sweeping")
async def test_a_deadline_ends_the_wait_for_a_token() -> None:
    """503 that says whose turn it was: RapidSOS's API was never asked."""
    async with scripted_upstream(say_nothing) as token_server:
        token_url = f"http://127.0.0.1:{token_server.port}/oauth/token"
        credential = build_document("", token_url)["credential"]
        async with behind_a_deadline(say_nothing, credential=credential) as proxy:
            answer = await proxy.talk(GET)
            [exchange] = await proxy.recorder.wait_exchanges(1)

            assert (status_of(answer), slug_of(answer)) == (503, "no_token")
            assert b"no token was to be had within the route's deadline of 1 s" in answer
            assert ending_of(exchange) == ("token_failed", "no_token")
            assert proxy.upstream.peers == []


@pytest.mark.usefixtures("sweeping")
async def test_a_deadline_ends_the_wait_for_a_connection() -> None:
    """A TLS handshake that the other side does not begin has a limit of its own, which is longer."""

    async def hang(peer: Peer) -> None:
        await peer.wait_closed()

    async with scripted_upstream(hang) as upstream:
        route = with_deadline(upstream=f"https://127.0.0.1:{upstream.port}")
        async with behind_a_deadline(hang, route=route) as proxy:
            answer = await proxy.talk(GET)

            assert (status_of(answer), slug_of(answer)) == (504, "upstream_timeout")
            assert b"no connection came about within the route's deadline of 1 s; " in answer


@pytest.mark.usefixtures("sweeping")
async def test_what_is_done_in_time_is_none_of_the_deadlines_business() -> None:
    """A connection that lives longer than a deadline serves on: each exchange has its own."""
    async with behind_a_deadline(answering(OK)) as proxy:
        client = await proxy.connect()
        for _ in range(3):
            client.send(GET)
            head, body = await client.read_answer()
            await asyncio.sleep(0.5)

            assert (status_of(head), body) == (200, b"ok")

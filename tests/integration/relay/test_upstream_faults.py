"""An upstream that dies, lies or says nothing: what the client sees, what is sent again, and what never is."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import pytest
from harness.running import until
from harness.upstream import Peer, answering

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

GET = b"GET /api/x HTTP/1.1\r\nHost: proxy\r\n\r\n"
POST = b"POST /api/x HTTP/1.1\r\nHost: proxy\r\nContent-Length: 2\r\n\r\nhi"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def close_after_head(peer: Peer) -> None:
    """Read a request, and close without an answer."""
    await peer.read_head()


async def reset_after_head(peer: Peer) -> None:
    """Read a request, and reset."""
    await peer.read_head()
    peer.reset()


@pytest.mark.parametrize("dies", [close_after_head, reset_after_head])
async def test_get_goes_once_more_on_a_new_connection(in_front_of: Any, dies: Any) -> None:
    """Nothing is lost when a connection dies under an idempotent request; both attempts are on record."""
    async with in_front_of(dies, answering(OK)) as proxy:
        answer = await proxy.talk(GET)

        assert answer.endswith(b"\r\n\r\nok")
        [exchange] = await proxy.recorder.wait_exchanges(1)
        assert [(attempt.error, attempt.status) for attempt in exchange.attempts] == [
            ("upstream_closed", None),
            (None, 200),
        ]


@pytest.mark.parametrize(("dies", "how"), [(close_after_head, b"closed"), (reset_after_head, b"reset")])
async def test_get_is_given_up_after_the_second_death(in_front_of: Any, dies: Any, how: bytes) -> None:
    """Two tries, then 502, which says so in plain words, and what to do."""
    async with in_front_of(dies) as proxy:
        answer = await proxy.talk(GET)

        assert answer.startswith(b"HTTP/1.1 502 ")
        assert b'"slug"' not in answer
        assert b"urn:rapidsos-auth-proxy:error:upstream_closed" in answer
        assert b"the upstream " + how + b" the connection before its answer, twice; `rapidsos-proxy doctor`" in answer
        assert len(proxy.upstream.peers) == 2


@pytest.mark.parametrize("part", [b"H", b"HTTP/1.1 200 OK\r\nContent-Le"], ids=["a byte", "half a head"])
async def test_get_is_not_repeated_once_its_answer_has_begun(in_front_of: Any, part: bytes) -> None:
    """The upstream is alive and has acted: what is broken is its answer, and another try would hide that."""

    async def dies_within_its_head(peer: Peer) -> None:
        await peer.read_head()
        peer.send(part)
        await peer.flush()

    async with in_front_of(dies_within_its_head, answering(OK)) as proxy:
        answer = await proxy.talk(GET)

        assert answer.startswith(b"HTTP/1.1 502 ")
        assert b"error:upstream_closed" in answer
        assert len(proxy.upstream.peers) == 1


@pytest.mark.parametrize("dies", [close_after_head, reset_after_head])
async def test_post_is_never_sent_twice(in_front_of: Any, dies: Any) -> None:
    """It may have been acted on: the client is told so."""
    async with in_front_of(dies, answering(OK, body=2)) as proxy:
        answer = await proxy.talk(POST)

        assert answer.startswith(b"HTTP/1.1 502 ")
        assert b"whether it acted on the request is unknown" in answer
        assert len(proxy.upstream.peers) == 1


async def test_post_avoids_a_pooled_connection_that_the_upstream_closed(in_front_of: Any) -> None:
    """The close is seen before a byte is sent, so the request goes on a new connection."""

    async def once(peer: Peer) -> None:
        await peer.read_head()
        peer.send(OK)
        await peer.flush()

    async with in_front_of(once, answering(OK, body=2)) as proxy:
        first = await proxy.talk(GET)
        second = await proxy.talk(POST)

        assert first.endswith(b"ok")
        assert second.endswith(b"ok")
        exchanges = await proxy.recorder.wait_exchanges(2)
        assert [attempt.error for attempt in exchanges[1].attempts] == [None]


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        (b"Content-Length: 10\r\n\r\npart", b""),
        (b"Transfer-Encoding: chunked\r\n\r\n4\r\npart\r\n", b""),
        (b"Transfer-Encoding: chunked\r\n\r\n4\r\npart\r\n", b"zz\r\n"),
        (b"Transfer-Encoding: chunked\r\n\r\n4\r\npart\r\n", b"0\r\nno colon\r\n\r\n"),
    ],
    ids=["short", "no last chunk", "bad chunk size", "bad trailer"],
)
async def test_an_answer_cut_short_looks_cut_short(in_front_of: Any, begin: bytes, end: bytes) -> None:
    """RFC 9112, section 8: the client can tell, and no second head is ever put into the body."""
    seen = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_head()
        peer.send(b"HTTP/1.1 200 OK\r\n" + begin)
        await seen.wait()
        peer.send(end)

    async with in_front_of(script) as proxy:
        client = await proxy.connect()
        client.send(GET)
        head = await client.read_head()
        framed = b"part" if b"Content-Length" in head else b"4\r\npart\r\n"
        assert await client.read_exactly(len(framed)) == framed
        seen.set()

        assert await client.read_all() == b""
        [exchange] = await proxy.recorder.wait_exchanges(1)
        assert exchange.outcome == "upstream_failed"
        assert exchange.response_body.total == 4


async def test_an_answer_that_fails_before_its_head_was_sent_is_502(in_front_of: Any) -> None:
    """As long as the client has seen nothing of it, it can be told in full what happened."""
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\nzz\r\n"
    async with in_front_of(answering(answer)) as proxy:
        got = await proxy.talk(GET)

        assert got.startswith(b"HTTP/1.1 502 ")
        assert b"a chunk size is malformed" in got


async def test_a_cut_answer_resets_a_client_that_waits_for_the_close(in_front_of: Any) -> None:
    """To an HTTP/1.0 client a mere close would say that the body is whole."""

    async def script(peer: Peer) -> None:
        await peer.read_head()
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n")
        await peer.flush()

    async with in_front_of(script) as proxy:
        client = await proxy.connect()
        client.send(b"GET /api/x HTTP/1.0\r\n\r\n")

        with pytest.raises(ConnectionError):
            await client.read_all()


async def test_an_answer_ended_by_close_is_whole(in_front_of: Any) -> None:
    """RFC 9112, section 6.3, rule 8: without a length the close is the end."""

    async def script(peer: Peer) -> None:
        await peer.read_head()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        await peer.flush()

    async with in_front_of(script) as proxy:
        new = await proxy.talk(GET)
        old = await proxy.talk(b"GET /api/x HTTP/1.0\r\n\r\n")

        assert new.endswith(b"9\r\nall of it\r\n0\r\n\r\n")
        assert old.endswith(b"\r\n\r\nall of it")
        exchanges = await proxy.recorder.wait_exchanges(2)
        assert [exchange.outcome for exchange in exchanges] == ["ok", "ok"]


async def test_tls_cut_without_close_notify_is_no_end(
    in_front_of: Any, server_tls: ssl.SSLContext, ca_file: Path
) -> None:
    """A truncation attack on an answer ended by close is seen as a cut; close_notify is an end."""

    async def cut(peer: Peer) -> None:
        await peer.read_head()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        await peer.flush()
        peer.cut()

    async def close(peer: Peer) -> None:
        await peer.read_head()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        await peer.flush()

    outbound = {"ca_file": str(ca_file)}
    async with in_front_of(cut, close, tls=server_tls, outbound=outbound) as proxy:
        await proxy.talk(GET)
        whole = await proxy.talk(GET)

        assert whole.endswith(b"9\r\nall of it\r\n0\r\n\r\n")
        exchanges = await proxy.recorder.wait_exchanges(2)
        assert [exchange.outcome for exchange in exchanges] == ["upstream_failed", "ok"]


@pytest.mark.parametrize(
    "answer",
    [
        b"ICY 200 OK\r\n\r\n",
        b"HTTP/1.1 099 No\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\r\n folded\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nX: a\x00b\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nX : a\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 2000 + b"\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 100,
    ],
    ids=[
        "not http", "status 099", "version", "length and chunked", "two lengths", "length list", "negative length",
        "unknown coding", "folded", "bare cr", "nul", "space before colon", "huge head", "many fields", "101",
        "endless 1xx",
    ],
)  # fmt: skip
async def test_an_answer_that_could_be_read_two_ways_is_refused(in_front_of: Any, answer: bytes) -> None:
    """502, the connection thrown away, and not a byte of it reaches the client."""
    async with in_front_of(answering(answer)) as proxy:
        got = await proxy.talk(b"GET /api/x HTTP/1.0\r\n\r\n")

        assert got.startswith(b"HTTP/1.1 502 ")
        assert b"error:upstream_protocol" in got
        [exchange] = await proxy.recorder.wait_exchanges(1)
        assert exchange.attempts[-1].error == "upstream_protocol"


async def test_bytes_after_an_answer_never_become_the_next_one(in_front_of: Any) -> None:
    """RFC 9112, section 9.2: that connection is closed, the next exchange has a new one."""
    smuggled = OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
    async with in_front_of(answering(smuggled), answering(OK)) as proxy:
        first = await proxy.talk(GET)
        second = await proxy.talk(GET)

        assert first.endswith(b"\r\n\r\nok")
        assert second.endswith(b"\r\n\r\nok")
        assert len(proxy.upstream.peers) == 2


async def test_an_answer_nobody_asked_for_is_thrown_away(in_front_of: Any) -> None:
    """An upstream that speaks on an idle connection loses it."""

    async def speaks_twice(peer: Peer) -> None:
        await peer.read_head()
        peer.send(OK)
        await peer.flush()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        await peer.wait_closed()

    async with in_front_of(speaks_twice, answering(OK)) as proxy:
        first = await proxy.talk(GET)
        await until(lambda: proxy.upstream.done == 1)
        second = await proxy.talk(GET)

        assert first.endswith(b"ok")
        assert second.endswith(b"ok")


@pytest.mark.parametrize("unasked", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"], ids=["close", "answer"])
async def test_a_post_that_has_not_left_goes_elsewhere(in_front_of: Any, unasked: bytes) -> None:
    """The loop hears of both in one turn: the request is still here, and is sent once, on a new connection."""
    first = asyncio.Event()

    async def answers_once(peer: Peer) -> None:
        await peer.read_head()
        await peer.read_exactly(2)
        peer.send(OK)
        await peer.flush()
        first.set()
        await peer.wait_closed()

    async with in_front_of(answers_once, answering(OK)) as proxy:
        with socket.create_connection(("127.0.0.1", proxy.port)) as client:
            client.setblocking(False)  # noqa: FBT003 (the standard library's)
            client.send(POST)
            await first.wait()
            await until(lambda: len(proxy.recorder.exchanges) == 1)
            # Neither of these lets the loop run: what they cause is in the kernel when it looks next.
            client.send(POST)
            proxy.upstream.peers[0].send_at_once(unasked)
            await until(lambda: len(proxy.recorder.exchanges) == 2)
            answers = client.recv(65_536)

        assert answers.count(b"HTTP/1.1 200 OK") == 2
        assert b"evil" not in answers
        assert [peer.received.count(b"POST") for peer in proxy.upstream.peers] == [1, 1]
        unsent, sent = proxy.recorder.exchanges[1].attempts
        assert (unsent.error, unsent.sent_at, sent.status) == ("upstream_closed", None, 200)


async def test_an_early_answer_reaches_the_client(in_front_of: Any) -> None:
    """A 413 in the middle of an upload is relayed; the client's connection then closes."""

    async def script(peer: Peer) -> None:
        await peer.read_head()
        peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        await peer.wait_closed()

    async with in_front_of(script) as proxy:
        client = await proxy.connect()
        client.send(b"POST /api/x HTTP/1.1\r\nHost: proxy\r\nContent-Length: 1000000\r\n\r\nsome")
        head = await client.read_head()

        assert head.startswith(b"HTTP/1.1 413 Too Large\r\n")
        assert b"\r\nConnection: close\r\n" in head
        assert await client.read_all() == b""


async def test_refused_connection_is_502_at_once(in_front_of: Any, unused_tcp_port: int) -> None:
    """The answer says whose fault it was, in the document and in Proxy-Status (RFC 9209)."""
    route = {
        "name": "api",
        "match": {"path": "/api/"},
        "strip": "/api",
        "upstream": f"http://127.0.0.1:{unused_tcp_port}",
        "credential": "core",
    }
    async with in_front_of(close_after_head, route=[route]) as proxy:
        answer = await proxy.talk(POST)

        assert answer.startswith(b"HTTP/1.1 502 ")
        assert b"Proxy-Status: rapidsos-proxy; error=connection_refused; details=" in answer
        [exchange] = await proxy.recorder.wait_exchanges(1)
        assert [attempt.error for attempt in exchange.attempts] == ["upstream_refused"]


async def test_client_that_leaves_stops_the_upstream(in_front_of: Any) -> None:
    """The transfer ends on both sides, and the record says how far it came."""

    async def script(peer: Peer) -> None:
        await peer.read_head()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n" + b"x" * 1000)
        await peer.wait_closed()

    async with in_front_of(script) as proxy:
        client = await proxy.connect()
        client.send(GET)
        await client.read_head()
        await client.read_exactly(1000)
        client.reset()
        [exchange] = await proxy.recorder.wait_exchanges(1)
        await until(lambda: proxy.upstream.done == 1)

        assert exchange.outcome == "client_left"
        assert exchange.response_body.total >= 1000


async def test_client_that_leaves_in_mid_upload_delivers_no_whole_request(in_front_of: Any) -> None:
    """The upstream sees a body that is too short, never a shorter request."""

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.read_exactly(4)
        await peer.wait_closed()

    async with in_front_of(script) as proxy:
        client = await proxy.connect()
        client.send(b"POST /api/x HTTP/1.1\r\nHost: proxy\r\nContent-Length: 100\r\n\r\nhalf")
        await until(lambda: bool(proxy.upstream.peers))
        client.reset()
        [exchange] = await proxy.recorder.wait_exchanges(1)
        await until(lambda: proxy.upstream.done == 1)

        assert exchange.outcome == "client_left"
        assert proxy.upstream.peers[0].received.endswith(b"\r\n\r\nhalf")

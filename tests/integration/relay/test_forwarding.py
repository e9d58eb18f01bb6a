"""A plain exchange: what reaches the upstream, and what comes back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from harness.upstream import Peer, answering

from proxy.simulator.rehearsal import GZIPPED

if TYPE_CHECKING:
    from harness.running import RunningProxy

    from proxy.simulator.server import Simulator

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def test_request_reaches_the_upstream_with_one_token(proxy: RunningProxy, simulator: Simulator) -> None:
    """A plain request arrives with exactly one Authorization, a token that is valid."""
    await proxy.talk(b"GET /api/v1/echo HTTP/1.1\r\nHost: proxy\r\nAuthorization: Bearer mine\r\n\r\n")

    [seen] = simulator.requests
    assert seen.authorized
    assert [value for name, value in seen.headers if name.lower() == "authorization"] == [f"Bearer {seen.bearer}"]


async def test_order_case_and_duplicates_of_fields_are_kept(in_front_of: Any) -> None:
    """What is not ours to change leaves as it came."""
    async with in_front_of(answering(OK)) as proxy:
        await proxy.talk(b"GET /api/x HTTP/1.1\r\nX-b: 1\r\nHOST: proxy\r\nx-A:  2 \r\nX-b: 3\r\nAccept: \xe9\r\n\r\n")

        lines = proxy.upstream.peers[0].received.split(b"\r\n")
        assert lines[0] == b"GET /x HTTP/1.1"
        assert lines[1] == b"Host: 127.0.0.1:%d" % proxy.upstream.port
        assert lines[2:6] == [b"X-b: 1", b"x-A: 2", b"X-b: 3", b"Accept: \xe9"]


async def test_path_and_query_pass_byte_for_byte(in_front_of: Any) -> None:
    """Escapes, plus signs, empty segments and repeated keys are the upstream's to read."""
    target = b"/a%2Fb/%41//c;d?x=1&x=2&+%20|&y=%zz?"
    async with in_front_of(answering(OK)) as proxy:
        await proxy.talk(b"GET /api" + target + b" HTTP/1.1\r\nHost: proxy\r\n\r\n")

        assert proxy.upstream.peers[0].received.startswith(b"GET " + target + b" HTTP/1.1\r\n")


async def test_hop_by_hop_and_nominated_fields_stay_behind(in_front_of: Any) -> None:
    """Connection names fields that go no further; naming Authorization does not strip ours."""
    async with in_front_of(answering(OK)) as proxy:
        await proxy.talk(
            b"GET /api/x HTTP/1.1\r\nHost: proxy\r\nConnection: x-mine, Authorization\r\nX-Mine: 1\r\nTE: trailers\r\n"
            b"Keep-Alive: 5\r\nProxy-Connection: keep-alive\r\nUpgrade: h2c\r\nX-Forwarded-For: 10.0.0.1\r\n"
            b"Proxy-Authorization: Basic eDp5\r\nForwarded: for=1\r\nX-Stays: 1\r\n\r\n"
        )

        names = [line.split(b":")[0].lower() for line in proxy.upstream.peers[0].received.split(b"\r\n")[1:-2]]
        assert names == [b"host", b"x-stays", b"via", b"authorization"]


async def test_via_is_added_both_ways(in_front_of: Any) -> None:
    """RFC 9110, section 7.6.3: each forwarded message says through whom it went."""
    async with in_front_of(answering(OK)) as proxy:
        answer = await proxy.talk(b"GET /api/x HTTP/1.0\r\nVia: 1.0 old\r\n\r\n")

        request = proxy.upstream.peers[0].received
        assert b"\r\nVia: 1.0 old\r\nVia: 1.0 rapidsos-proxy-" in request
        assert b"\r\nVia: 1.1 rapidsos-proxy-" in answer


async def test_answer_is_relayed_as_it_is(in_front_of: Any) -> None:
    """Reason, order, case, duplicates and body of an answer are not ours to change."""
    answer = b"HTTP/1.1 299 Odd  one\r\nset-cookie: a\r\nX-Y: 1\r\nSet-Cookie: b\r\ncontent-length: 3\r\n\r\n\x00\xffz"
    async with in_front_of(answering(answer)) as proxy:
        got = await proxy.talk(b"GET /api/x HTTP/1.1\r\nHost: proxy\r\n\r\n")

        head, body = got.split(b"\r\n\r\n", 1)
        assert head.split(b"\r\n")[:5] == answer.split(b"\r\n")[:5]
        assert body == b"\x00\xffz"


async def test_chunked_both_ways(in_front_of: Any) -> None:
    """Bodies in chunks arrive whole, framed anew, and end where they ended."""

    async def script(peer: Peer) -> None:
        await peer.read_head()
        data = await peer.read_chunked()
        peer.send(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\n" + data[:3] + b"\r\n0\r\nT: 1\r\n\r\n"
        )

    async with in_front_of(script) as proxy:
        client = await proxy.connect()
        client.send(b"POST /api/x HTTP/1.1\r\nHost: proxy\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.send(b"4;ext\r\nabcd\r\n0\r\n\r\n")
        head = await client.read_head()
        body = await client.read_exactly(len(b"3\r\nabc\r\n0\r\n\r\n"))

        assert b"Transfer-Encoding: chunked\r\n" in head
        assert body == b"3\r\nabc\r\n0\r\n\r\n"


async def test_http_1_0_client_gets_no_chunks(in_front_of: Any) -> None:
    """RFC 9112, section 6.1: chunked is not for HTTP/1.0; the close ends the body."""
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    async with in_front_of(answering(answer)) as proxy:
        got = await proxy.talk(b"GET /api/x HTTP/1.0\r\n\r\n")

        head, body = got.split(b"\r\n\r\n", 1)
        assert b"transfer-encoding" not in head.lower()
        assert b"Connection: close" in head
        assert body == b"abc"


async def test_head_204_and_304_have_no_body(in_front_of: Any) -> None:
    """RFC 9112, section 6.3: whatever their fields say; the client's connection goes on."""
    answers = (
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n",
    )

    async def serve(peer: Peer) -> None:
        while True:
            await peer.read_head()
            peer.send(answers[len(proxy.recorder.exchanges)])

    async with in_front_of(serve) as proxy:
        client = await proxy.connect()
        heads = []
        for method in (b"HEAD", b"GET", b"GET"):
            client.send(method + b" /api/x HTTP/1.1\r\nHost: proxy\r\n\r\n")
            heads.append(await client.read_head())
            await proxy.recorder.wait_exchanges(len(heads))

        assert [head.split(b" ")[1] for head in heads] == [b"200", b"204", b"304"]
        assert b"Content-Length: 10" in heads[0]
        assert b"Content-Length: 10" in heads[2]


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 42\r\n\r\n"),
        (b"HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 42\r\n\r\n"),
        (b"GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 42\r\n\r\n"),
    ],
)
async def test_a_body_that_must_not_come_cannot_become_the_next_answer(
    in_front_of: Any, method: bytes, answer: bytes
) -> None:
    """A faulty server sends what it announced, late; the next request goes out on another connection."""

    async def sends_late(peer: Peer) -> None:
        await peer.read_head()
        peer.send(answer)
        await peer.wait_closed()

    async with in_front_of(sends_late, answering(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nsound")) as proxy:
        client = await proxy.connect()
        client.send(method + b" /api/x HTTP/1.1\r\nHost: proxy\r\n\r\n")
        await client.read_head()
        client.send(b"GET /api/y HTTP/1.1\r\nHost: proxy\r\n\r\n")
        _, body = await client.read_answer()

        assert body == b"sound"
        assert len(proxy.upstream.peers) == 2


async def test_one_connection_carries_many_exchanges_both_sides(in_front_of: Any) -> None:
    """Keep-alive towards the client, and one pooled connection towards the upstream."""
    async with in_front_of(answering(OK)) as proxy:
        client = await proxy.connect()
        for _ in range(5):
            client.send(b"GET /api/x HTTP/1.1\r\nHost: proxy\r\n\r\n")
            _, body = await client.read_answer()
            assert body == b"ok"

        assert len(proxy.upstream.peers) == 1
        assert [attempt.reused for exchange in proxy.recorder.exchanges for attempt in exchange.attempts] == [
            False,
            True,
            True,
            True,
            True,
        ]


async def test_pipelined_requests_are_answered_in_order(in_front_of: Any) -> None:
    """RFC 9112, section 9.3.2: what follows a request waits for its answer."""

    async def script(peer: Peer) -> None:
        while True:
            target = (await peer.read_head()).split()[1]
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(target) + target)

    async with in_front_of(script) as proxy:
        client = await proxy.connect()
        client.send(b"".join(b"GET /api/%d HTTP/1.1\r\nHost: proxy\r\n\r\n" % number for number in range(20)))
        bodies = [(await client.read_answer())[1] for _ in range(20)]

        assert bodies == [b"/%d" % number for number in range(20)]


async def test_expect_100_continue_passes_through(in_front_of: Any) -> None:
    """The upstream's 100 reaches the client, which then sends its body."""

    async def script(peer: Peer) -> None:
        head = await peer.read_head()
        assert b"\r\nExpect: 100-continue\r\n" in head
        peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await peer.read_exactly(4)
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n" + body)

    async with in_front_of(script) as proxy:
        client = await proxy.connect()
        client.send(b"POST /api/x HTTP/1.1\r\nHost: proxy\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        assert (await client.read_head()).startswith(b"HTTP/1.1 100 Continue\r\n")
        client.send(b"body")
        _, body = await client.read_answer()

        assert body == b"body"


async def test_interim_answers_are_relayed(in_front_of: Any) -> None:
    """RFC 9110, section 15.2: 103 reaches an HTTP/1.1 client, and no HTTP/1.0 one."""
    answer = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK
    async with in_front_of(answering(answer)) as proxy:
        new = await proxy.talk(b"GET /api/x HTTP/1.1\r\nHost: proxy\r\n\r\n")
        old = await proxy.talk(b"GET /api/x HTTP/1.0\r\n\r\n")

        assert new.startswith(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\n")
        assert old.startswith(b"HTTP/1.1 200 OK\r\n")


async def test_client_that_half_closes_gets_its_answer(in_front_of: Any) -> None:
    """Legacy clients close their sending side as soon as the request is out."""
    half_closed = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await half_closed.wait()
        peer.send(OK)

    async with in_front_of(script) as proxy:
        client = await proxy.connect()
        client.send(b"GET /api/x HTTP/1.1\r\nHost: proxy\r\n\r\n")
        client.writer.write_eof()
        half_closed.set()

        assert (await client.read_all()).endswith(b"ok")


async def test_redirects_are_relayed_not_followed(proxy: RunningProxy, simulator: Simulator) -> None:
    """The token goes where the configuration says, never where an answer says."""
    answer = await proxy.talk(b"GET /api/v1/redirect?to=https://elsewhere.invalid/ HTTP/1.1\r\nHost: proxy\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 302 ")
    assert b"\r\nLocation: https://elsewhere.invalid/\r\n" in answer
    assert len(simulator.requests) == 1


async def test_compressed_answers_stay_compressed(proxy: RunningProxy) -> None:
    """No decoding, no encoding: the bytes are the upstream's."""
    answer = await proxy.talk(b"GET /api/v1/gzip HTTP/1.1\r\nHost: proxy\r\n\r\n")

    assert b"\r\nContent-Encoding: gzip\r\n" in answer
    assert answer.split(b"\r\n\r\n", 1)[1] == GZIPPED


async def test_client_fields_are_not_invented(in_front_of: Any) -> None:
    """Nothing is added for the client: no User-Agent, Accept, Accept-Encoding or Content-Type."""
    async with in_front_of(answering(OK, body=1)) as proxy:
        await proxy.talk(b"POST /api/x HTTP/1.1\r\nHost: proxy\r\nContent-Length: 1\r\n\r\nz")

        names = [line.split(b":")[0] for line in proxy.upstream.peers[0].received.split(b"\r\n\r\n")[0].split(b"\r\n")]
        assert names[1:] == [b"Host", b"Content-Length", b"Via", b"Authorization"]

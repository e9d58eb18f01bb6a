"""Bodies that end too early, too late or nowhere: the client sees a break, and nothing becomes another's answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from harness.misbehaving import build_request, sending
from harness.reading import read_to_the_end

if TYPE_CHECKING:
    from harness.misbehaving import Ending, Stage
    from harness.upstream import Peer

pytestmark = pytest.mark.asyncio(loop_scope="module")
FIRST = build_request("/first")
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
OTHER = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"

BAD_CHUNKS = {
    **{
        f"size {text!r}": text.encode("latin-1") + b"\r\nevil\r\n0\r\n\r\n"
        for text in (
            "",
            " ",
            "g",
            "0x4",
            "+4",
            "-4",
            " 4",
            "4 ",
            "4\t",
            "4_0",
            "4.",
            "4,4",
            "²",
            '"4"',
            "f" * 16,
            "0" * 300,
            "4 4",
            "four",
            "4\r",
            "\r4",
            "4\x00",
            "\x004",
            "4h",
            "1" * 5000,
        )
    },
    "size ended by LF": b"4\nevil\r\n0\r\n\r\n",
    "size ended by CR": b"4\revil\r\n0\r\n\r\n",
    "data longer than its size": b"3\r\nevil\r\n0\r\n\r\n",
    "data shorter than its size": b"5\r\nevil\r\n0\r\n\r\n",
    "data ended by LF": b"4\r\nevil\n0\r\n\r\n",
    "data ended by CR": b"4\r\nevil\r0\r\n\r\n",
    "data ended by nothing": b"4\r\nevil0\r\n\r\n",
    "no size after data": b"4\r\nevil\r\n\r\n",
    "extension with a control": b"4;a=\x01\r\nevil\r\n0\r\n\r\n",
    "extension with NUL": b"4;a=\x00\r\nevil\r\n0\r\n\r\n",
    "extension with LF": b"4;a\n0\r\nevil\r\n0\r\n\r\n",
    "extension with CR": b"4;a\rb\r\nevil\r\n0\r\n\r\n",
    "extension of 300 bytes": b"4;a=" + b"b" * 300 + b"\r\nevil\r\n0\r\n\r\n",
    "extension without an end": b"4;a=" + b"b" * 100_000,
    "extension without a semicolon": b"4 a=b\r\nevil\r\n0\r\n\r\n",
    "last chunk ended by LF": b"0\n\r\n",
    "last chunk of a sign": b"-0\r\n\r\n",
    "trailer without a colon": b"0\r\nevil\r\n\r\n",
    "trailer without a name": b"0\r\n: evil\r\n\r\n",
    "trailer with a space before its colon": b"0\r\nA : evil\r\n\r\n",
    "trailer folded": b"0\r\nA: b\r\n evil\r\n\r\n",
    "trailer with LF": b"0\r\nA: b\nevil: c\r\n\r\n",
    "trailer with CR": b"0\r\nA: b\revil: c\r\n\r\n",
    "trailer with NUL": b"0\r\nA: b\x00\r\n\r\n",
    "trailers ended by LF": b"0\r\nA: b\r\n\n",
    "trailer of 9000 bytes": b"0\r\nA: " + b"b" * 9000 + b"\r\n\r\n",
    "trailer without an end": b"0\r\nA: " + b"b" * 100_000,
    "5000 trailers": b"0\r\n" + b"A: b\r\n" * 5000 + b"\r\n",
    "an answer for a size": OTHER,
}


@pytest.mark.parametrize("rest", BAD_CHUNKS.values(), ids=BAD_CHUNKS.keys())
@pytest.mark.parametrize("version", ["1.1", "1.0"])
async def test_bad_chunks_with_the_head_are_told_in_full(stage: Stage, version: str, rest: bytes) -> None:
    """As long as nothing of the answer has left, the client can be told what was wrong with it."""
    played = await stage.play(sending(CHUNKED + b"4\r\ngood\r\n" + rest), build_request("/first", version=version))

    assert played.record == ("upstream_failed", "upstream_protocol")
    assert not played.was_reused
    if played.first.slug is None:  # more than one read's worth: its beginning had left
        assert len(rest) > 60_000
        assert not played.first.is_whole
    else:
        assert (played.first.status, played.first.slug, played.first.is_whole) == (502, "upstream_protocol", True)
        assert b"evil" not in played.first.raw


@pytest.mark.parametrize("rest", BAD_CHUNKS.values(), ids=BAD_CHUNKS.keys())
@pytest.mark.parametrize("version", ["1.1", "1.0"])
async def test_bad_chunks_after_the_head_are_a_break(stage: Stage, version: str, rest: bytes) -> None:
    """No last chunk for HTTP/1.1, a reset for HTTP/1.0, and never a second head in the middle."""
    goes_on = asyncio.Event()
    stage.acts["/first"] = sending(CHUNKED + b"4\r\ngood\r\n", rest, between=[goes_on])
    before = len(stage.proxy.recorder.exchanges)
    client = await stage.proxy.connect()
    request = build_request("/first", version=version)
    client.send(request)
    head = await client.read_head()
    goes_on.set()
    reading = await read_to_the_end(client, request, head)
    played = await stage.follow(reading, before)

    assert (reading.status, reading.is_whole) == (200, False)
    assert reading.body.startswith(b"good") or version == "1.0"  # a reset takes with it what was not read yet
    assert played.record == ("upstream_failed", "upstream_protocol")
    assert played.exchange.response is not None
    assert played.exchange.response.status == 200
    assert not played.was_reused


GOOD_CHUNKS = {
    "capital size": b"4\r\ngood\r\n00A\r\n0123456789\r\n000\r\n\r\n",
    "extensions": b'4;a=b;c="d"\r\ngood\r\n000a \t;x\r\n0123456789\r\n0;last\r\n\r\n',
    "trailers": b"4\r\ngood\r\na\r\n0123456789\r\n0\r\nA: b\r\nContent-Length: 99\r\nTransfer-Encoding: gzip\r\n\r\n",
    "pieces of one byte": b"".join(b"1\r\n%c\r\n" % code for code in b"good0123456789") + b"0\r\n\r\n",
}


@pytest.mark.parametrize("rest", GOOD_CHUNKS.values(), ids=GOOD_CHUNKS.keys())
@pytest.mark.parametrize("version", ["1.1", "1.0"])
async def test_odd_and_sound_chunks_pass(stage: Stage, version: str, rest: bytes) -> None:
    """What one side says between its chunks never reaches the other; a trailer cannot change the framing."""
    played = await stage.play(sending(CHUNKED + rest), build_request("/first", version=version))

    assert (played.first.status, played.first.body, played.first.is_whole) == (200, b"good0123456789", True)
    assert b"gzip" not in played.first.raw
    assert played.record == ("ok", None)
    assert played.was_reused


EXTRA = {
    "a whole answer": OTHER,
    "half an answer": OTHER[:30],
    "a byte": b"e",
    "a NUL": b"\x00",
    "CRLF": b"\r\n",
    "LF": b"\n",
    "a last chunk": b"0\r\n\r\n",
    "a 100": b"HTTP/1.1 100 Continue\r\n\r\n",
    "a 408": b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    "a hundred answers": OTHER * 100,
    "a megabyte": b"e" * 1_000_000,
}
WHOLE = {
    "length": ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood", b"good"),
    "length zero": ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
    "chunked": ("GET", CHUNKED + b"4\r\ngood\r\n0\r\n\r\n", b"good"),
    "chunked with a trailer": ("GET", CHUNKED + b"4\r\ngood\r\n0\r\nA: b\r\n\r\n", b"good"),
    "HEAD": ("HEAD", b"HTTP/1.1 200 OK\r\n\r\n", b""),
    "HEAD of a length": ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", b""),
    "HEAD of chunks": ("HEAD", CHUNKED, b""),
    "204": ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    "204 of a length": ("GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\n", b""),
    "204 of chunks": ("GET", b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", b""),
    "304": ("GET", b"HTTP/1.1 304 Not Modified\r\n\r\n", b""),
    "304 of a length": ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\n", b""),
    "205 of length zero": ("GET", b"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n", b""),
    "205 with a body": ("GET", b"HTTP/1.1 205 Reset Content\r\nContent-Length: 4\r\n\r\ngood", b"good"),
    "401": ("GET", b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 4\r\n\r\ngood", b"good"),
    "413": ("GET", b"HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\n\r\ngood", b"good"),
    "500": ("GET", b"HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\ngood", b"good"),
}


@pytest.mark.parametrize(("method", "answer", "body"), WHOLE.values(), ids=WHOLE.keys())
@pytest.mark.parametrize("extra", EXTRA.values(), ids=EXTRA.keys())
async def test_bytes_right_behind_an_answer_go_nowhere(
    stage: Stage, extra: bytes, method: str, answer: bytes, body: bytes
) -> None:
    """RFC 9112, section 9.2: the answer is good, its connection is not used again."""
    played = await stage.play(sending(answer + extra), build_request("/first", method=method))

    assert (played.first.body, played.first.is_whole) == (body, True)
    assert played.record == ("ok", None)
    assert not played.was_reused


@pytest.mark.parametrize(("method", "answer", "body"), WHOLE.values(), ids=WHOLE.keys())
@pytest.mark.parametrize("extra", EXTRA.values(), ids=EXTRA.keys())
async def test_bytes_that_come_later_go_nowhere_either(
    stage: Stage, extra: bytes, method: str, answer: bytes, body: bytes
) -> None:
    """They meet a connection that has gone back to the pool, and end it."""
    goes_on, sent = asyncio.Event(), asyncio.Event()

    async def act(peer: Peer) -> Ending:
        peer.send(answer)
        await goes_on.wait()
        try:
            peer.send(extra)
            await peer.flush()
        finally:
            sent.set()
        return "stays"

    stage.acts["/first"] = act
    before = len(stage.proxy.recorder.exchanges)
    client = await stage.proxy.connect()
    request = build_request("/first", method=method)
    client.send(request)
    reading = await read_to_the_end(client, request)
    goes_on.set()
    await sent.wait()
    played = await stage.follow(reading, before)

    assert (reading.body, reading.is_whole) == (body, True)
    assert played.record == ("ok", None)
    assert not played.was_reused


SHORT = {
    "length of one more": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\ngood",
    "length of a terabyte": b"HTTP/1.1 200 OK\r\nContent-Length: 1099511627776\r\n\r\ngood",
    "length of 18 digits": b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999999999\r\n\r\ngood",
    "length and nothing": b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n",
    "HTTP/1.0 length": b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\ngood",
    "chunk of a terabyte": CHUNKED + b"10000000000\r\ngood",
    "no last chunk": CHUNKED + b"4\r\ngood\r\n",
    "no end of trailers": CHUNKED + b"4\r\ngood\r\n0\r\n",
    "within a trailer": CHUNKED + b"4\r\ngood\r\n0\r\nA: b",
    "chunked and nothing": CHUNKED,
}


@pytest.mark.parametrize("answer", SHORT.values(), ids=SHORT.keys())
@pytest.mark.parametrize("ending", ["closes", "resets"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_less_than_was_announced_is_a_break(stage: Stage, method: str, ending: Ending, answer: bytes) -> None:
    """Never a shorter answer that looks whole; and no second try behind the client's back."""
    before = stage.received["/first"]
    played = await stage.play(sending(answer, then=ending), build_request("/first", method=method, body=b"hi"))

    assert played.first.slug == "upstream_closed" or not played.first.is_whole
    assert played.record == ("upstream_failed", "upstream_closed")
    assert stage.received["/first"] == before + 1
    assert not played.was_reused


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
@pytest.mark.parametrize("ending", ["closes", "resets"])
@pytest.mark.parametrize(
    "body", [b"", b"good", OTHER, b"4\r\ngood\r\n0\r\n\r\n"], ids=["no body", "body", "answer", "chunks"]
)
async def test_what_a_close_ends(stage: Stage, version: str, ending: Ending, body: bytes) -> None:
    """RFC 9112, section 6.3, rule 8: all of it is the body, whatever it looks like; a reset is no end."""
    goes_on = asyncio.Event()
    head = version.encode() + b" 200 OK\r\n\r\n"

    async def act(peer: Peer) -> Ending:
        peer.send(head + body)
        await peer.flush()
        if ending == "resets":
            await goes_on.wait()
        return ending

    stage.acts["/first"] = act
    before = len(stage.proxy.recorder.exchanges)
    client = await stage.proxy.connect()
    client.send(FIRST)
    seen = await client.read_head()
    goes_on.set()
    reading = await read_to_the_end(client, FIRST, seen)
    played = await stage.follow(reading, before)

    assert reading.is_whole == (ending == "closes")
    assert reading.body == body
    assert played.record == (("ok", None) if ending == "closes" else ("upstream_failed", "upstream_closed"))
    assert not played.was_reused


@pytest.mark.parametrize(
    "more",
    [b"Connection: close\r\n", b"Connection: x, Close\r\n", b"Connection: x\r\nConnection: close\r\n"],
    ids=["close", "in a list", "in a second line"],
)
async def test_a_close_that_was_announced_is_believed(stage: Stage, more: bytes) -> None:
    """Though the upstream stays."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n" + more + b"\r\ngood"
    played = await stage.play(sending(answer), FIRST)

    assert (played.first.body, played.first.is_whole) == (b"good", True)
    assert not played.was_reused

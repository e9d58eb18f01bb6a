"""Heads of answers that could be read in two ways, or not at all: refused, never relayed, never waited for in vain."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from harness.misbehaving import build_request, sending

if TYPE_CHECKING:
    from harness.misbehaving import Ending, Stage
    from harness.upstream import Peer

pytestmark = pytest.mark.asyncio(loop_scope="module")
FIRST = build_request("/first")
FRAMINGS = {
    "length then chunked": b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
    "chunked then length": b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
    "length then chunked, far apart": b"Content-Length: 4\r\nA: b\r\nC: d\r\ntransfer-encoding: chunked\r\n",
    "length zero and chunked": b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
    "length and identity": b"Content-Length: 4\r\nTransfer-Encoding: identity\r\n",
    "two equal lengths": b"Content-Length: 4\r\nContent-Length: 4\r\n",
    "two different lengths": b"Content-Length: 4\r\nContent-Length: 0\r\n",
    "lengths of either case": b"Content-Length: 4\r\ncontent-length: 5\r\n",
    "list of equal lengths": b"Content-Length: 4, 4\r\n",
    "list of different lengths": b"Content-Length: 4, 0\r\n",
    "list with an empty member": b"Content-Length: 4,\r\n",
    "empty length": b"Content-Length:\r\n",
    "length +4": b"Content-Length: +4\r\n",
    "length -4": b"Content-Length: -4\r\n",
    "length -0": b"Content-Length: -0\r\n",
    "length 4.0": b"Content-Length: 4.0\r\n",
    "length 4e0": b"Content-Length: 4e0\r\n",
    "length 0x4": b"Content-Length: 0x4\r\n",
    "length 0o4": b"Content-Length: 0o4\r\n",
    "length 1_0": b"Content-Length: 1_0\r\n",
    "length 4 4": b"Content-Length: 4 4\r\n",
    "length 4;": b"Content-Length: 4;\r\n",
    "length in quotes": b'Content-Length: "4"\r\n',
    "length four": b"Content-Length: four\r\n",
    "length in other digits": "Content-Length: ٤\r\n".encode(),
    "length superscript": b"Content-Length: \xb2\r\n",
    "length of 19 digits": b"Content-Length: 9999999999999999999\r\n",
    "length past 64 bits": b"Content-Length: 18446744073709551620\r\n",
    "length of 4000 digits": b"Content-Length: " + b"9" * 4000 + b"\r\n",
    "coding gzip": b"Transfer-Encoding: gzip\r\n",
    "coding identity": b"Transfer-Encoding: identity\r\n",
    "coding empty": b"Transfer-Encoding:\r\n",
    "coding unknown": b"Transfer-Encoding: x-evil\r\n",
    "gzip, chunked": b"Transfer-Encoding: gzip, chunked\r\n",
    "chunked, gzip": b"Transfer-Encoding: chunked, gzip\r\n",
    "chunked, chunked": b"Transfer-Encoding: chunked, chunked\r\n",
    "chunked, identity": b"Transfer-Encoding: chunked, identity\r\n",
    "chunked twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    "chunked then gzip lines": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n",
    "gzip then chunked lines": b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
    "chunked with a parameter": b"Transfer-Encoding: chunked;q=1\r\n",
    "chunked with a comma": b"Transfer-Encoding: chunked,\r\n",
    "comma chunked": b"Transfer-Encoding: ,chunked\r\n",
    "chunked in quotes": b'Transfer-Encoding: "chunked"\r\n',
    "xchunked": b"Transfer-Encoding: xchunked\r\n",
    "chunked with a vertical tab": b"Transfer-Encoding: \x0bchunked\r\n",
    "chunked with a no-break space": b"Transfer-Encoding: \xa0chunked\r\n",
    "folded chunked": b"Transfer-Encoding:\r\n chunked\r\n",
    "space before the colon of a length": b"Content-Length : 4\r\n",
    "tab before the colon of a coding": b"Transfer-Encoding\t: chunked\r\n",
    "space before a length": b"A: b\r\n Content-Length: 4\r\n",
    "length behind a bare CR": b"A: b\rContent-Length: 4\r\n",
    "length behind a bare LF": b"A: b\nContent-Length: 4\r\n",
    "length behind NUL": b"A: b\x00Content-Length: 4\r\n",
}
FIELDS = {
    "folded by a space": b"A: b\r\n c\r\n",
    "folded by a tab": b"A: b\r\n\tc\r\n",
    "folded before the first": b" A: b\r\n",
    "no colon": b"evil\r\n",
    "no name": b": b\r\n",
    "space in a name": b"A B: c\r\n",
    "space before the colon": b"A : b\r\n",
    "slash in a name": b"A/B: c\r\n",
    "at in a name": b"A@B: c\r\n",
    "parenthesis in a name": b"A(: c\r\n",
    "quote in a name": b'"A": c\r\n',
    "byte above ASCII in a name": b"\xe9: c\r\n",
    **{f"control {code:#04x} in a name": b"A%cB: c\r\n" % code for code in (*range(1, 9), 11, 12, *range(14, 32), 127)},
    **{f"control {code:#04x} in a value": b"A: b%cc\r\n" % code for code in (*range(9), 11, 12, *range(14, 32), 127)},
    "bare CR in a value": b"A: b\rc\r\n",
    "bare CR at a value's end": b"A: b\r\r\n",
    "bare LF in a value": b"A: b\nc: d\r\n",
    "a second status line": b"HTTP/1.1 200 OK\r\n",
}
STATUS_LINES = {
    "empty line first": b"\r\nHTTP/1.1 200 OK",
    "empty": b"",
    "blank": b" ",
    "no status": b"HTTP/1.1",
    "no status but a space": b"HTTP/1.1 ",
    **{
        f"status {text}": f"HTTP/1.1 {text} OK".encode()
        for text in (
            "0",
            "20",
            "2000",
            "000",
            "042",
            "099",
            "600",
            "666",
            "700",
            "999",
            "1000",
            "abc",
            "2xx",
            "-20",
            "+200",
            "0200",
            "20 0",
            "2.0",
            "0xc8",
            "\uff12\uff10\uff10",
        )
    },
    "status with a tab": b"HTTP/1.1\t200 OK",
    "two spaces": b"HTTP/1.1  200 OK",
    "status glued to the reason": b"HTTP/1.1 200OK",
    "tab before the reason": b"HTTP/1.1 200\tOK",
    "space first": b" HTTP/1.1 200 OK",
    **{
        f"version {text}": f"{text} 200 OK".encode()
        for text in (
            "HTTP/0.9",
            "HTTP/1.2",
            "HTTP/1.9",
            "HTTP/1.10",
            "HTTP/01.1",
            "HTTP/1.01",
            "HTTP/2.0",
            "HTTP/2",
            "HTTP/3.0",
            "HTTP/1",
            "HTTP/1.",
            "HTTP/.1",
            "HTTP/1,1",
            "HTTP/1.1.1",
            "HTTP/11",
            "HTTP 1.1",
            "http/1.1",
            "Http/1.1",
            "HTTPS/1.1",
            "ICY",
            "SIP/2.0",
            "RTSP/1.0",
            "XHTTP/1.1",
            "HTTP/-1.1",
            "HTTP/1.1x",
        )
    },
    **{f"control {code:#04x} in the reason": b"HTTP/1.1 200 O%cK" % code for code in (*range(9), *range(14, 32), 127)},
    "bare CR in the reason": b"HTTP/1.1 200 O\rK",
    "bare LF in the reason": b"HTTP/1.1 200 O\nContent-Length: 0",
    "CR before the end": b"HTTP/1.1 200 OK\r",
    "a request": b"GET / HTTP/1.1",
    "SSH": b"SSH-2.0-OpenSSH_9.9",
    "SMTP": b"220 mail.example ESMTP",
    "markup": b"<!DOCTYPE html><html>",
}
UNENDING = {
    "bare LF throughout": b"HTTP/1.1 200 OK\nContent-Length: 4\n\nevil",
    "bare LF after the status line": b"HTTP/1.1 200 OK\nContent-Length: 4\r\n",
    "bare LF ends the head": b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\nevil",
    "bare LF then CRLF": b"HTTP/1.1 200 OK\r\nContent-Length: 4\n\r\nevil",
    "bare CR throughout": b"HTTP/1.1 200 OK\rContent-Length: 4\r\revil\n",
    "HTTP/0.9": b"<html>evil</html>",
    "HTTP/0.9 of lines": b"evil\r\nevil\r\n",
    "SSH": b"SSH-2.0-OpenSSH_9.9\r\n",
    "SMTP": b"220 mail.example ESMTP\r\n",
    "HTTP/2 settings": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64",
    "TLS alert": b"\x15\x03\x01\x00\x02\x02\x46",
    "empty lines": b"\r\n",
    "lower case": b"http/1.1 200 OK\r\n",
    "NUL": b"\x00",
}
FLOODS = {
    "a head without an end": b"HTTP/1.1 200 OK\r\nA: " + b"a" * 70_000,
    "a status line without an end": b"HTTP/1.1 200 " + b"a" * 70_000,
    "a huge field": b"HTTP/1.1 200 OK\r\nA: " + b"a" * 70_000 + b"\r\nContent-Length: 0\r\n\r\n",
    "a huge name": b"HTTP/1.1 200 OK\r\n" + b"a" * 70_000 + b": b\r\nContent-Length: 0\r\n\r\n",
    "101 fields": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + b"A: b\r\n" * 100 + b"\r\n",
    "5000 fields": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 5000 + b"\r\n",
    "5000 cookies": b"HTTP/1.1 200 OK\r\n" + b"Set-Cookie: a=b\r\n" * 4000 + b"\r\n",
    "33 interim answers": b"HTTP/1.1 100 Continue\r\n\r\n" * 33,
    "endless early hints": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 2000,
    "an interim flood before a head without an end": b"HTTP/1.1 103 H\r\n\r\n" * 30 + b"HTTP/1.1 200 " + b"a" * 70_000,
    "an interim head of 101 fields": b"HTTP/1.1 103 H\r\n" + b"A: b\r\n" * 101 + b"\r\n",
    "an interim head too long": b"HTTP/1.1 103 H\r\nA: " + b"a" * 70_000 + b"\r\n\r\n",
}
INTERIM = {
    "101": b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    "101 of no protocol": b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "101 to HTTP/2": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    "101 behind a 100": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    "a 1xx with a body": b"HTTP/1.1 103 H\r\nContent-Length: 4\r\n\r\nevil",
    "a 1xx in chunks": b"HTTP/1.1 103 H\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n",
    "a folded 1xx": b"HTTP/1.1 103 H\r\nA: b\r\n c\r\n\r\n",
}
CASES = {
    **{f"framing: {name}": b"HTTP/1.1 200 OK\r\n" + lines + b"\r\nevil" for name, lines in FRAMINGS.items()},
    **{
        f"HTTP/1.0: {name}": b"HTTP/1.0 200 OK\r\n" + lines + b"\r\n4\r\nevil\r\n0\r\n\r\n"
        for name, lines in {
            "chunked": b"Transfer-Encoding: chunked\r\n",
            "chunked, kept alive": b"Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n",
            "chunked and a length": b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        }.items()
    },
    **{
        f"field: {name}": b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n" + lines + b"\r\nevil"
        for name, lines in FIELDS.items()
    },
    **{f"first line: {name}": line + b"\r\nContent-Length: 4\r\n\r\nevil" for name, line in STATUS_LINES.items()},
    **{f"without an end: {name}": data for name, data in UNENDING.items()},
    **{f"flood: {name}": data for name, data in FLOODS.items()},
    **{f"interim: {name}": data for name, data in INTERIM.items()},
}


@pytest.mark.parametrize("answer", CASES.values(), ids=CASES.keys())
async def test_a_head_that_is_not_to_the_letter_is_refused(stage: Stage, answer: bytes) -> None:
    """502 at once, not a byte of it relayed, the connection gone, the next client served."""
    played = await stage.play(sending(answer), FIRST)

    assert (played.first.status, played.first.slug, played.first.is_whole) == (502, "upstream_protocol", True)
    assert b"evil" not in played.first.raw
    assert played.record == ("upstream_failed", "upstream_protocol")
    assert [(one.status, one.error) for one in played.exchange.attempts] == [(None, "upstream_protocol")]
    assert not played.was_reused


@pytest.mark.parametrize("lines", FRAMINGS.values(), ids=FRAMINGS.keys())
@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified", b"401 Unauthorized", b"500 Oops"])
async def test_framing_is_judged_whatever_the_status(stage: Stage, status: bytes, lines: bytes) -> None:
    """Also where there is to be no body, and where the proxy has a reason to look at the answer itself."""
    played = await stage.play(sending(b"HTTP/1.1 " + status + b"\r\n" + lines + b"\r\n"), FIRST)

    assert (played.first.status, played.first.slug, played.first.is_whole) == (502, "upstream_protocol", True)
    assert played.record == ("upstream_failed", "upstream_protocol")
    assert not played.was_reused


@pytest.mark.parametrize("lines", FRAMINGS.values(), ids=FRAMINGS.keys())
async def test_framing_is_judged_in_an_answer_to_head(stage: Stage, lines: bytes) -> None:
    """There is no body to end, but whoever caches the head would believe it."""
    answer = b"HTTP/1.1 200 OK\r\n" + lines + b"\r\n"
    played = await stage.play(sending(answer), build_request("/first", method="HEAD"))

    assert (played.first.status, played.first.body) == (502, b"")
    assert played.record == ("upstream_failed", "upstream_protocol")
    assert not played.was_reused


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        (b"HTTP/1.1 200", b"HTTP/1.1 200 \r\n"),
        (b"HTTP/1.1 200 ", b"HTTP/1.1 200 \r\n"),
        (b"HTTP/1.1 200  two", b"HTTP/1.1 200  two\r\n"),
        (b"HTTP/1.1 200 a\tb", b"HTTP/1.1 200 a\tb\r\n"),
        (b"HTTP/1.1 200 caf\xe9", b"HTTP/1.1 200 caf\xe9\r\n"),
        (b"HTTP/1.1 299 Own", b"HTTP/1.1 299 Own\r\n"),
        (b"HTTP/1.1 599 Own", b"HTTP/1.1 599 Own\r\n"),
        (b"HTTP/1.0 200 Old", b"HTTP/1.1 200 Old\r\n"),
    ],
    ids=["no reason", "empty reason", "two spaces", "a tab", "latin-1", "299", "599", "HTTP/1.0"],
)
async def test_what_is_odd_and_sound_passes(stage: Stage, line: bytes, kept: bytes) -> None:
    """Strict is not narrow: what has one reading is relayed, in HTTP/1.1."""
    played = await stage.play(sending(line + b"\r\nContent-Length: 4\r\n\r\ngood"), FIRST)

    assert played.first.raw.startswith(kept)
    assert (played.first.body, played.first.is_whole, played.first.slug) == (b"good", True, None)
    assert played.was_reused == line.startswith(b"HTTP/1.1")


@pytest.mark.parametrize("lines", [b"Content-Length: 9\r\n", b"Transfer-Encoding: chunked\r\n"], ids=["length", "te"])
async def test_an_interim_answer_is_relayed_without_a_length(stage: Stage, lines: bytes) -> None:
    """RFC 9110, section 8.6: a client that believed it would take the final head for a body."""
    answer = b"HTTP/1.1 103 H\r\n" + lines + b"Link: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood"
    played = await stage.play(sending(answer), FIRST)

    assert (played.first.interim, played.first.status, played.first.body) == ([103], 200, b"good")


@pytest.mark.parametrize("size", [1, 2, 3, 7])
async def test_a_head_in_small_pieces_is_the_same_head(stage: Stage, size: int) -> None:
    """Where the pieces end changes nothing, not within CRLF either."""
    answer = b"HTTP/1.1 103 H\r\nA: b\r\n\r\n" + b"HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 4\r\n\r\ngood"

    async def act(peer: Peer) -> Ending:
        for index in range(0, len(answer), size):
            peer.send(answer[index : index + size])
            await peer.flush()
            await asyncio.sleep(0)
        return "stays"

    played = await stage.play(act, FIRST)

    assert (played.first.interim, played.first.status, played.first.body) == ([103], 200, b"good")
    assert played.first.is_whole
    assert played.was_reused

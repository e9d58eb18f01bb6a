"""Framing: a body means the same in whatever pieces it arrives, and the same as to other parsers."""

import asyncio
import contextlib
from itertools import pairwise

import httptools
import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import BadHttpMessage
from aiohttp.http_parser import HttpRequestParser
from hypothesis import event, example, given
from hypothesis import strategies as st

from proxy.errors import Malformed
from proxy.http.framing import LAST_CHUNK, ChunkedBody, CloseBody, LengthBody, NoBody, build_chunk

HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

pieces = st.binary(min_size=1, max_size=40) | st.sampled_from([b"\r\n", b"0\r\n\r\n", b"\r\n0\r\n\r\n", b"\n", b"\r"])
cut_points = st.lists(st.integers(0, 400), max_size=12)
followers = st.sampled_from([b"", b"GET / HTTP/1.1\r\n", b"\r\n", b"X: y\r\n\r\n"])
extensions = st.sampled_from([b"", b";a", b";a=b", b' ;\ta="b;c"'])
trailers = st.lists(st.sampled_from([b"X: y\r\n", b"Expires:\r\n", b"Content-MD5: \xe9\r\n"]), max_size=3).map(b"".join)


@st.composite
def chunked_streams(draw, extension=extensions):
    """Draw a valid chunked body, and its data."""
    raw, body = b"", draw(st.lists(pieces, max_size=6))
    for piece in body:
        size = b"%x" % len(piece) if draw(st.booleans()) else b"%03X" % len(piece)
        raw += size + draw(extension) + b"\r\n" + piece + b"\r\n"
    return raw + b"0" + draw(extension) + b"\r\n" + draw(trailers) + b"\r\n", b"".join(body)


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    """Cut ``data`` at some places; empty pieces are left out, as a socket never gives one."""
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(edges) if a < b]


def read(reader, parts: list[bytes]) -> tuple[bytes, bytes, bool] | None:
    """Feed parts one after another; None when the reader refuses."""
    body, rest = b"", b""
    try:
        for part in parts:
            got, behind = reader.feed(part)
            body += got
            rest += behind
    except Malformed:
        return None
    return body, rest, reader.is_complete


@given(chunked_streams(), followers, cut_points)
def test_chunked_body_is_the_same_in_any_split(drawn, behind, cuts):
    """Data, what lies behind, and completeness do not depend on where the network cut."""
    raw, body = drawn

    assert read(ChunkedBody(Malformed), split(raw + behind, cuts)) == (body, behind, True)


@given(chunked_streams(), st.data(), cut_points)
def test_chunked_body_cut_short_is_never_complete(drawn, data, cuts):
    """Any beginning of a body gives a beginning of its data, and is not the whole."""
    raw, body = drawn
    end = data.draw(st.integers(0, len(raw) - 1))

    got = read(ChunkedBody(Malformed), split(raw[:end], cuts))

    assert got is not None
    assert body.startswith(got[0])
    assert got[1:] == (b"", False)


@given(st.integers(0, 60), st.binary(max_size=80), cut_points)
def test_length_body_is_the_same_in_any_split(length, data, cuts):
    """The stated number of bytes and no more."""
    assert read(LengthBody(length), split(data, cuts)) == (data[:length], data[length:], len(data) >= length)


@given(st.binary(max_size=80), cut_points)
def test_other_bodies_are_the_same_in_any_split(data, cuts):
    """No body gives everything back; a body up to the end of the connection takes everything."""
    parts = split(data, cuts)

    assert read(NoBody(), parts) == (b"", data, True)
    assert read(CloseBody(), parts) == (data, b"", False)


@given(st.lists(pieces, max_size=6), cut_points)
def test_chunks_built_are_read_back(body, cuts):
    """Whatever is framed by build_chunk comes out of a reader as it went in."""
    raw = b"".join(map(build_chunk, body)) + LAST_CHUNK

    assert read(ChunkedBody(Malformed), split(raw, cuts)) == (b"".join(body), b"", True)


class Protocol:
    """Notes what httptools calls back with."""

    def __init__(self):
        """Begin with nothing."""
        self.body = b""
        self.is_complete = False

    def on_body(self, data):
        """Take a part of the body."""
        if not self.is_complete:
            self.body += data

    def on_message_complete(self):
        """Take the end of the message."""
        self.is_complete = True


def read_httptools(raw: bytes) -> bytes | None:
    """Read a chunked body with httptools; None when it refuses, or has not seen the end."""
    protocol = Protocol()
    with contextlib.suppress(httptools.HttpParserError):  # perhaps about what lies behind the end
        httptools.HttpRequestParser(protocol).feed_data(HEAD + raw)
    return protocol.body if protocol.is_complete else None


@pytest.fixture(scope="module")
def read_aiohttp():
    """Give a reader with aiohttp's C parser; None when it refuses, or has not seen the end."""
    loop = asyncio.new_event_loop()

    def read(raw: bytes) -> bytes | None:
        parser = HttpRequestParser(BaseProtocol(loop), loop, 65536, auto_decompress=False)
        try:
            messages, _, _ = parser.feed_data(HEAD + raw)
        except BadHttpMessage:
            return None
        payload = messages[0][1]
        return b"".join(payload._buffer) if payload.is_eof() and payload.exception() is None else None

    yield read
    loop.close()


@given(chunked_streams(st.sampled_from([b"", b";a", b";a=b"])))
def test_valid_chunked_body_is_read_alike_by_all(read_aiohttp, drawn):
    """A valid body means the same to aiohttp's parser, to httptools and to us."""
    raw, body = drawn

    assert read_httptools(raw) == body
    assert read_aiohttp(raw) == body
    assert ChunkedBody(Malformed).feed(raw) == (body, b"")


SPICE = st.sampled_from(
    [b"\r", b"\n", b"\r\n", b" ", b"\t", b"\0", b";", b"0", b"1", b"a", b"_", b"+", b"-", b"0x", b"\x80", b"0\r\n\r\n"]
)


@st.composite
def mutants(draw):
    """Draw a valid body with a few bytes put in, taken out or written over."""
    raw = bytearray(draw(chunked_streams())[0])
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(raw)))
        raw[start : start + draw(st.integers(0, 2))] = draw(SPICE)
    return bytes(raw)


@given(mutants())
@example(b"2;\n\r\nab\r\n0\r\n\r\n")
@example(b"2\r\nab\n0\r\n\r\n")
def test_accepted_mutant_is_read_alike_or_refused_by_others(read_aiohttp, raw):
    """A body that we accept has the same data for whoever else accepts it."""
    ours = read(ChunkedBody(Malformed), [raw])
    others = [other for other in (read_aiohttp(raw), read_httptools(raw)) if other is not None]
    accepted = ours is not None and ours[2]
    event(f"ours {'accepts' if accepted else 'refuses'}, {len(others)} others accept")

    assert not accepted or all(other == ours[0] for other in others)


@given(mutants() | st.binary(max_size=60), cut_points)
def test_hostile_bytes_are_read_alike_in_any_split(data, cuts):
    """What a stream is taken for, refused or not, does not depend on where the network cut."""
    ended = data + b"\r\n\r\n"
    whole = read(ChunkedBody(Malformed), [ended])
    event("refused" if whole is None else "complete" if whole[2] else "unfinished")

    assert read(ChunkedBody(Malformed), split(ended, cuts)) == whole

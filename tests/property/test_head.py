"""Heads: what is built from the grammar is read back, and nothing is read otherwise than other parsers read it."""

import asyncio
from dataclasses import dataclass

import httptools
import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import BadHttpMessage
from aiohttp.http_parser import HttpRequestParser
from hypothesis import event, example, given
from hypothesis import strategies as st

from proxy.errors import ClientError, UpstreamProtocol
from proxy.http.head import HEAD_END, parse_request_head, parse_response_head

TCHAR = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
VCHAR = "".join(map(chr, range(0x21, 0x7F)))
OBS_TEXT = "".join(map(chr, range(0x80, 0x100)))

tokens = st.text(TCHAR, min_size=1, max_size=20)
targets = st.text(VCHAR, min_size=1, max_size=60)
values = st.text(VCHAR + OBS_TEXT + " \t", max_size=40).map(lambda text: text.strip(" \t"))
white = st.text(" \t", max_size=3)

KNOWN_METHODS = st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
"""llhttp refuses a method that it has not heard of."""
paths = st.text([c for c in VCHAR if c != "#"], max_size=60).map(lambda text: f"/{text}")
"""llhttp and yarl refuse some targets that are neither path nor URL; a fragment is refused later (targets.py)."""
names = tokens.filter(
    lambda name: name.lower() not in {"host", "connection", "upgrade", "content-length", "transfer-encoding"}
).map(lambda name: f"x{name}")
"""Not those whose values the other parsers check or act on."""


@dataclass(frozen=True)
class Reading:
    """What a parser makes of a head."""

    method: bytes
    target: bytes
    version: str
    fields: tuple[tuple[bytes, bytes], ...]


def read_ours(data: bytes) -> Reading | None:
    """Read with our parser; None when it refuses."""
    try:
        head = parse_request_head(data)
    except ClientError:
        return None
    fields = tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in head.fields)
    return Reading(head.method.encode(), head.target.encode(), f"1.{head.minor}", fields)


class Protocol:
    """Notes what httptools calls back with."""

    def __init__(self):
        """Begin with nothing."""
        self.target = b""
        self.fields: list[tuple[bytes, bytes]] = []
        self.reading: Reading | None = None
        self.parser = httptools.HttpRequestParser(self)

    def on_url(self, url):
        """Take a part of the target."""
        self.target += url

    def on_header(self, name, value):
        """Take one field line."""
        self.fields.append((name, value.rstrip(b" \t")))  # llhttp leaves white space behind a value to its user

    def on_headers_complete(self):
        """Take the end of the head."""
        parser = self.parser
        self.reading = Reading(parser.get_method(), self.target, parser.get_http_version(), tuple(self.fields))


def read_httptools(data: bytes) -> Reading | None:
    """Read with httptools; None when it refuses, or has not seen a whole head."""
    protocol = Protocol()
    try:
        protocol.parser.feed_data(data)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        if protocol.reading is None:
            return None
    return protocol.reading


@pytest.fixture(scope="module")
def read_aiohttp():
    """Give a reader with aiohttp's C parser; None when it refuses."""
    loop = asyncio.new_event_loop()

    def read(data: bytes) -> Reading | None:
        limits = {"max_line_size": 65536, "max_headers": 1000, "max_field_size": 65536}
        parser = HttpRequestParser(BaseProtocol(loop), loop, 65536, auto_decompress=False, **limits)
        try:
            messages, _, _ = parser.feed_data(data)
        except BadHttpMessage:
            return None
        if not messages:
            return None
        message = messages[0][0]
        version = f"{message.version.major}.{message.version.minor}"
        target = message.path.encode("utf-8", "surrogateescape")
        return Reading(message.method.encode(), target, version, message.raw_headers)

    yield read
    loop.close()


@st.composite
def field_lines(draw, name=tokens):
    """Draw field lines with any white space that the grammar allows around a value, and what they mean."""
    lines, fields = b"", []
    for key, value in draw(st.lists(st.tuples(name, values), max_size=8)):
        lines += f"{key}:{draw(white)}{value}{draw(white)}\r\n".encode("latin-1")
        fields.append((key, value))
    return lines, fields


@given(tokens, targets, st.sampled_from([0, 1]), field_lines())
def test_request_of_the_grammar_is_read_back(method, target, minor, drawn):
    """Whatever RFC 9112 lets a client send is read as it was meant."""
    lines, fields = drawn
    raw = f"{method} {target} HTTP/1.{minor}\r\n".encode() + lines + b"\r\n"

    head = parse_request_head(raw)

    assert (head.method, head.target, head.minor) == (method, target, minor)
    assert head.fields == fields
    assert head.names == [name.lower() for name, _ in fields]
    assert head.size == len(raw)


@given(st.integers(100, 599), st.text(VCHAR + OBS_TEXT + " \t", max_size=20), st.sampled_from([0, 1]), field_lines())
def test_response_of_the_grammar_is_read_back(status, reason, minor, drawn):
    """Whatever RFC 9112 lets an upstream send is read as it was meant."""
    lines, fields = drawn
    raw = f"HTTP/1.{minor} {status} {reason}\r\n".encode("latin-1") + lines + b"\r\n"

    head = parse_response_head(raw)

    assert (head.status, head.reason, head.minor) == (status, reason, minor)
    assert head.fields == fields


@given(KNOWN_METHODS, paths, st.sampled_from(["1.0", "1.1"]), field_lines(names))
def test_ordinary_request_is_read_alike_by_all(read_aiohttp, method, path, version, drawn):
    """A request that each parser takes means the same to each: method, target, version and every field."""
    raw = f"{method} {path} HTTP/{version}\r\nHost: a\r\n".encode() + drawn[0] + b"\r\n"

    ours = read_ours(raw)

    assert ours is not None
    assert read_httptools(raw) == ours
    assert read_aiohttp(raw) == ours


CONTROLS = [
    b"\r",
    b"\n",
    b"\r\n",
    b"\n\n",
    b"\r\r\n",
    b"\0",
    b"\x0b",
    b"\x0c",
    b"\x1f",
    b"\x7f",
    b"\x80",
    b"\x85",
    b"\xff",
]
WHITE = [b" ", b"\t", b"\xa0", b"\r\n ", b"\r\n\t", b" :", b"\r\n:", b"\r\n\r"]
MARKS = [b":", b",", b";", b"#", b"/", b"?", b"%", b"HTTP/1.1", b"Host", b"Host: b\r\n"]
LENGTHS = [b"Content-Length: 5", b"\r\nContent-Length: 1", b"\r\nTransfer-Encoding: chunked"]
SPICE = st.sampled_from([*CONTROLS, *WHITE, *MARKS, *LENGTHS])
SEEDS = st.sampled_from(
    [
        b"GET / HTTP/1.1\r\nHost: a",
        b"POST /ingress/v1?x=1 HTTP/1.1\r\nHost: a.example:8080\r\nContent-Length: 0\r\nX: y",
        b"GET http://a.example/x HTTP/1.0\r\nHost: a\r\nAccept: */*\r\nAccept: text/html",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked",
        b"OPTIONS * HTTP/1.1\r\nHost: a",
    ]
)


@st.composite
def mutants(draw):
    """Draw a good head with a few bytes put in, taken out or written over."""
    data = bytearray(draw(SEEDS))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(data)))
        data[start : start + draw(st.integers(0, 2))] = draw(SPICE)
    # Whoever finds the end of a head stops at the first; before it there is no empty line (parse_request_head).
    return bytes(data).partition(HEAD_END)[0].lstrip(b"\r\n") + HEAD_END


@given(mutants())
@example(b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rY: b" + HEAD_END)
@example(b"GET / HTTP/1.1\r\nHost: a\r\nX:\r\n \r\n Y: b" + HEAD_END)
@example(b"GET / HTTP/1.1\r\nHost: a\nContent-Length: 5" + HEAD_END)
def test_accepted_mutant_is_read_alike_or_refused_by_others(read_aiohttp, raw):
    """What we accept, nobody who accepts it as well reads in another way; so nothing can be smuggled past us."""
    ours = read_ours(raw)
    others = [other for other in (read_aiohttp(raw), read_httptools(raw)) if other is not None]
    event(f"ours {'accepts' if ours else 'refuses'}, {len(others)} others accept")

    assert ours is None or all(other == ours for other in others)


@given(st.binary(max_size=200))
def test_any_bytes_end_in_a_head_or_a_named_error(data):
    """A parser fails in its own way alone: no other exception for whatever bytes come."""
    try:
        parse_request_head(data + HEAD_END)
    except ClientError as error:
        event(type(error).__name__)
    try:
        parse_response_head(data + HEAD_END)
    except UpstreamProtocol as error:
        event(type(error).__name__)

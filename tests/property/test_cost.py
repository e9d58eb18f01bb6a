"""What reading and masking cost is linear in what came: twice the bytes, no more than about twice the steps.

Steps are counted, not timed: calls of functions, Python's and C's, and the bytes that each search looks at.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from fuzz.passage import LIMITS
from fuzz.redaction import CAP, SECRETS, build_exchange

from proxy.config.secret import Secret
from proxy.errors import Malformed
from proxy.http.framing import ChunkedBody
from proxy.http.head import parse_request_head
from proxy.http.placement import place_in_query
from proxy.http.scan import HeadScanner
from proxy.routing.paths import normal_form
from proxy.tokens.answers import TokenAnswer, parse_token_answer
from proxy.traffic.record import EXCHANGE_CLOSED, RecordBuilder
from proxy.traffic.render import Renderer

if TYPE_CHECKING:
    from collections.abc import Callable

SIZE = 4096
SLACK = 2.2
"""Twice, and what does not hang on the size."""


def count_calls(work: Callable[[], object]) -> int:
    """Return how many functions were called."""
    calls = 0

    def note(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return calls


class Looked(bytes):
    """Bytes that count how many of them a search could look at."""

    looked = 0

    def find(self, wanted: bytes, start: int = 0, end: int | None = None) -> int:
        """Search, and count."""
        stop = len(self) if end is None else min(end, len(self))
        Looked.looked += max(0, stop - start)
        return super().find(wanted, start, stop)


def scan_slowly(size: int) -> int:
    """Return how many bytes are looked at for the end of a head that comes byte by byte."""
    scanner, data = HeadScanner(LIMITS), b"GET / HTTP/1.1\r\n" + b"X" * (size - 20)
    Looked.looked = 0
    for end in range(1, len(data) + 1):
        assert scanner.find_end(Looked(data[:end])) == -1
    return Looked.looked


def test_no_byte_of_a_head_is_looked_at_again_and_again():
    """However small the pieces are: four at the most, since the end that is looked for has four."""
    size = LIMITS.head // 2

    assert scan_slowly(size) <= 4 * size


def feed_slowly(raw: bytes) -> None:
    """Feed a body byte by byte."""
    reader = ChunkedBody(Malformed)
    for at in range(len(raw)):
        reader.feed(raw[at : at + 1])


READINGS: dict[str, Callable[[int], object]] = {
    "chunks of a byte": lambda size: ChunkedBody(Malformed).feed(b"1\r\nx\r\n" * size),
    "chunks byte by byte": lambda size: feed_slowly(b"1\r\nx\r\n" * (size // 8)),
    "a head of many fields": lambda size: parse_request_head(
        b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % number for number in range(size)) + b"\r\n"
    ),
    "a query of many parameters": lambda size: place_in_query("/?" + "a=b&token=c;" * size, "token", "t"),
    "a path of many segments": lambda size: normal_form("/a/../%2e%2e;x//" * size),
    "a token answer of many members": lambda size: parse_token_answer(
        TokenAnswer(200, b'{"access_token":"a",' + b'"x":[1,2],' * size + b'"expires_in":60}'), 0.0
    ),
}


@pytest.mark.parametrize("name", READINGS)
def test_reading_is_linear(name):
    """Twice as much takes about twice the calls."""
    read = READINGS[name]
    read(8)  # what is worked out once

    once, twice = count_calls(lambda: read(SIZE)), count_calls(lambda: read(2 * SIZE))

    assert twice <= SLACK * once + 50


DOCUMENTS = {
    "plain": b"a",
    "URL's escapes": b"%41",
    "escapes in escapes": b"%25252541",
    "JSON's escapes": b"\\u0041",
    "backslashes": b"\\",
    "XML's escapes": b"&amp;",
    "references": b"&#65;",
    "JSON in JSON": b'{\\"a\\":\\"b%20c&amp;\\"},',
    "secret members": b'"token":"',
    "secret arrays": b'"token":[',
    "secret elements": b"<token></token>",
    "secret pairs": b"&token=a",
    "escaped names": b"&t%6fken=a",
    "secrets": SECRETS[0].encode(),
    "beginnings of secrets": SECRETS[0][:5].encode(),
    "latin-1": b"\xe9token=",
}


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("name", DOCUMENTS)
def test_masking_is_linear(name, cut):
    """Whatever a body repeats; a body with too much of it is not shown at all, which costs less."""
    renderer = Renderer(
        RecordBuilder(cap=CAP if cut else 1 << 20, shows_tokens=True),
        [Secret(value, "test") for value in SECRETS],
        lambda: 0.0,
        shows_tokens=True,
    )

    def count(size: int) -> int:
        body = (DOCUMENTS[name] * size)[:size]
        exchange = build_exchange("body", body)
        return count_calls(lambda: renderer(None, "put", {"event": EXCHANGE_CLOSED, "subject": exchange}))

    count(8)

    assert count(2 * SIZE) <= SLACK * count(SIZE) + 200

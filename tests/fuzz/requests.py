"""What a client sends, in any pieces, and what of it an upstream reads.

What must hold: each request that went on is one request to every other parser that takes it, the one that we read, and
what follows it on the connection is where we think it is; pieces make no difference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fuzz.passage import AUTHORIZATION, PSEUDONYM, UPSTREAM_HOST, pass_requests
from fuzz.peers import read_requests
from fuzz.supply import Supply, split
from proxy.http.framing import request_body
from proxy.http.head import HEAD_END, parse_request_head

if TYPE_CHECKING:
    from fuzz.passage import Passed
    from fuzz.peers import Message

NEXT = b"GET /sentinel HTTP/1.1\r\nHost: sentinel\r\n\r\n"
"""Sent behind each request: a parser that takes its end for elsewhere does not read this one."""
STEPS = (0, 1, 2, 3, 7, 16)
NEVER_SENT = frozenset({b"connection", b"content_length", b"proxy-authorization", b"te", b"trailer", b"upgrade"})
ORDINARY = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""llhttp refuses a method that it has not heard of."""

_HOST = b"Host: cad\r\n"
SEEDS = (
    b"\x00GET / HTTP/1.1\r\n" + _HOST + b"\r\n",
    b"\x01POST /ingress/v1?x=1 HTTP/1.1\r\n" + _HOST + b"Content-Length: 5\r\n\r\nhelloGET /b HTTP/1.1\r\n",
    b"\x03POST / HTTP/1.1\r\n" + _HOST + b"Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n",
    b"\x02GET http://api.example/x HTTP/1.0\r\nConnection: keep-alive, x-a\r\nX-A: 1\r\nCookie: a\r\n\r\n",
    b"\x01GET / HTTP/1.1\r\n" + _HOST + b"Accept: */*\r\nAuthorization: Basic QQ==\r\n\r\n",
    b"\x04OPTIONS * HTTP/1.1\r\n" + _HOST + b"Max-Forwards: 7\r\nVia: 1.1 other (a)\r\n\r\n",
    b"\x02" + b"\r\n" * 9 + b"GET / HTTP/1.1\r\n" + _HOST + b"\r\n",
    b"\x05\r\nGET /a HTTP/1.1\r\n" + _HOST + b"\r\nGET /b HTTP/1.1\r\n" + _HOST + b"\r\n",
    b"\x00PUT /ingress HTTP/1.1\r\n" + _HOST + b"Expect: 100-continue\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\nabc",
    b"\x00PUT / HTTP/1.1\r\n" + _HOST + b"TE: trailers\r\nContent_Length: 9\r\nX-Forwarded-For: ::1\r\n\r\n",
)


def fuzz_one(data: bytes) -> None:
    """Take a first byte that says how the rest is cut, and the bytes of a client's connection."""
    supply = Supply(data)
    step = supply.choose(STEPS)
    stream = supply.take_rest()
    whole, cut = pass_requests([stream]), pass_requests(split(stream, step))

    assert (whole.error is None) == (cut.error is None), (whole.error, cut.error)
    check_alike(whole.passed, cut.passed, failed=whole.error is not None)
    for passed in cut.passed:
        check_passed(passed)


def check_alike(whole: list[Passed], cut: list[Passed], *, failed: bool) -> None:
    """Assert that the same requests went on; of one that was broken, more may have where it came in pieces."""
    assert len(whole) == len(cut)
    for one, other in zip(whole, cut, strict=True):
        assert (one.head.method, one.path, one.head.fields) == (other.head.method, other.path, other.head.fields)
        assert one.is_whole == other.is_whole
        assert one.body == other.body or (failed and not one.is_whole and other.body.startswith(one.body))


def check_passed(passed: Passed) -> None:
    """Assert that all read what went on as we do, and that what only we may say is said once."""
    sent = passed.sent + NEXT if passed.is_whole else passed.sent
    readings = read_requests(sent)

    assert readings["h11"] is not None, sent
    assert readings["httptools"] is not None or passed.head.method not in ORDINARY, sent
    for name, messages in readings.items():
        if messages is not None:
            check_reading(name, messages, passed)
    check_ours(passed)
    head, _, framed = passed.sent.partition(HEAD_END)
    again = parse_request_head(head + HEAD_END)
    assert (again.method, again.target) == (passed.head.method, passed.path)
    assert request_body(again).feed(framed) == (passed.body, b"")


def check_ours(passed: Passed) -> None:
    """Assert that what only the proxy may say is said by it alone, and once."""
    head = passed.sent.partition(HEAD_END)[0]
    fields = [line.partition(b": ")[::2] for line in head.lower().split(b"\r\n")[1:]]
    names = [name for name, _ in fields]
    assert [value for name, value in fields if name == b"host"] == [UPSTREAM_HOST.encode()]
    assert [value for name, value in fields if name == b"authorization"] == [AUTHORIZATION.lower().encode()]
    assert [value for name, value in fields if name == b"via"][-1].endswith(PSEUDONYM.encode())
    assert names.count(b"content-length") + names.count(b"transfer-encoding") <= 1
    assert not NEVER_SENT.intersection(names)


def check_reading(name: str, messages: list[Message], passed: Passed) -> None:
    """Assert that one other parser reads this request and no other, and that it ends where we say."""
    head = passed.head
    first, *others = messages
    assert first.first == (head.method.encode(), passed.path.encode("latin-1")), (name, first)
    assert first.is_whole == passed.is_whole, (name, first)
    if passed.is_whole or name != "aiohttp":
        assert first.body == passed.body, (name, first)
    if not passed.is_whole:
        assert not others, (name, others)
    elif name == "h11":
        assert [message.first for message in others] == [(NEXT,)], (name, others)
    else:
        assert [message.first for message in others] == [(b"GET", b"/sentinel")], (name, others)
        assert others[0].is_whole, (name, others)

"""Heads of requests and answers: any bytes are a head or a named error, and no other parser reads them otherwise."""

from __future__ import annotations

from contextlib import suppress

from fuzz.peers import read_requests
from proxy.config.models import Limits
from proxy.errors import ClientError, UpstreamProtocol
from proxy.http.head import HEAD_END, RequestHead, check_unfinished_answer, parse_request_head, parse_response_head
from proxy.http.headers import connection_options, wants_keep_alive, without_field
from proxy.http.scan import HeadScanner

LIMITS = Limits(head=2048, line=1024)
SEEDS = (
    b"GET / HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\nAccept: */*",
    b"HTTP/1.1 200 OK\r\nX:  \ty \r\nSet-Cookie: a=b; c",
    b"HTTP/1.0 404\r\nX: \xe9",
    b"\r\nM-SEARCH * HTTP/1.0\r\nX-Y_Z: 1\r\nConnection: keep-alive",
    b"\x16\x03\x01\x02\x00",
    b"GET / HTTP/2.0\r\nA:b",
    b"GET / HTTP/1.1\r\nA: b\nC: d\r\n e",
)


def fuzz_one(data: bytes) -> None:
    """Take the bytes of a head without the empty line that ends it."""
    whole = data.partition(HEAD_END)[0] + HEAD_END
    scan(data)
    with suppress(UpstreamProtocol):
        check_unfinished_answer(data.partition(HEAD_END)[0], 0)
    with suppress(UpstreamProtocol):
        head = parse_response_head(whole)
        assert rebuild(f"HTTP/1.{head.minor} {head.status} {head.reason}".rstrip(" "), head.fields) == plain(whole)
    with suppress(ClientError):
        check_request(whole, parse_request_head(whole))


def scan(data: bytes) -> None:
    """Assert that a head is found at the same place whether its bytes come at once or one by one."""
    try:
        data = HeadScanner(LIMITS).skip_empty_lines(data)
        expected = HeadScanner(LIMITS).find_end(data)
    except ClientError:
        return
    assert scan_slowly(data) == expected or (expected >= 0 and not is_request(data[:expected]))


def scan_slowly(data: bytes) -> int | None:
    """Return where a head ends that comes byte by byte; None where it is refused."""
    scanner = HeadScanner(LIMITS)
    for size in range(1, len(data) + 1):
        try:
            found = scanner.find_end(data[:size])
        except ClientError:
            return None
        if found >= 0:
            return found
    return -1


def is_request(data: bytes) -> bool:
    """Return whether a head, which is whole, is one."""
    try:
        parse_request_head(data)
    except ClientError:
        return False
    return True


def check_request(raw: bytes, head: RequestHead) -> None:
    """Assert that a request's head says what its bytes say, to us and to the others."""
    assert rebuild(f"{head.method} {head.target} HTTP/1.{head.minor}", head.fields) == plain(raw)
    assert head.size == len(raw)
    assert wants_keep_alive(head) <= ("close" not in connection_options(head.section))
    for name in head.names:
        assert name not in without_field(head, name).names
    for peer, messages in read_requests(raw).items():
        if messages:
            method, target = messages[0].first[:2]
            assert (method, target) == (head.method.encode(), head.target.encode()), peer
            fields = [(name.lower().encode(), value.encode("latin-1")) for name, value in head.fields]
            # h11 reads no Content-Length beside a Transfer-Encoding, and moves Host to the front.
            assert [field for field in messages[0].fields if field not in fields] == [], peer


def plain(raw: bytes) -> list[bytes]:
    """Return the lines of a head without the white space that means nothing."""
    first, *lines = raw.removesuffix(HEAD_END).split(b"\r\n")
    return [first.rstrip(b" "), *(name + b":" + value.strip(b" \t") for name, _, value in map(part, lines))]


def part(line: bytes) -> tuple[bytes, bytes, bytes]:
    """Part a field line at its colon."""
    return line.partition(b":")


def rebuild(first: str, fields: list[tuple[str, str]]) -> list[bytes]:
    """Return the lines that were read."""
    return [text.encode("latin-1") for text in (first, *(f"{name}:{value}" for name, value in fields))]

"""Heads: what the grammar of RFC 9112 has is read as it stands, everything else is refused."""

import pytest

from proxy.errors import Malformed, UpstreamProtocol, VersionNotSupported
from proxy.http.head import (
    KNOWN_LONGEST,
    _parse_known_status_line,
    check_unfinished_answer,
    parse_request_head,
    parse_response_head,
)


def request(*fields: bytes, line: bytes = b"GET / HTTP/1.1") -> bytes:
    """Build a request head of raw lines."""
    return b"\r\n".join([line, *fields]) + b"\r\n\r\n"


def response(*fields: bytes, line: bytes = b"HTTP/1.1 200 OK") -> bytes:
    """Build an answer's head of raw lines."""
    return request(*fields, line=line)


def test_request_is_read_as_received():
    """Order, case and duplicates of fields stay; only white space around a value goes."""
    raw = request(b"Host: a", b"x-b:1", b"X-B: \t 2 \t", b"Empty:", line=b"PaTcH /a%2Fb?x=1&x=2 HTTP/1.0")

    head = parse_request_head(raw)

    assert (head.method, head.target, head.minor, head.size) == ("PaTcH", "/a%2Fb?x=1&x=2", 0, len(raw))
    assert head.fields == [("Host", "a"), ("x-b", "1"), ("X-B", "2"), ("Empty", "")]
    assert head.names == ["host", "x-b", "x-b", "empty"]
    assert head.all("x-b") == ["1", "2"]
    assert head.all("absent") == []


def test_response_is_read_as_received():
    """The status, the reason, and every Set-Cookie by itself."""
    head = parse_response_head(response(b"Set-Cookie: a=1", b"Set-Cookie: b=2", line=b"HTTP/1.0 404 Not  Found"))

    assert (head.status, head.reason, head.minor) == (404, "Not  Found", 0)
    assert head.all("set-cookie") == ["a=1", "b=2"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param(b"HTTP/1.1 200 ", (200, ""), id="9112-4 reason-phrase is optional"),
        pytest.param(b"HTTP/1.1 200", (200, ""), id="a server that leaves the last SP out"),
        pytest.param(b"HTTP/1.1 299 caf\xe9\t!", (299, "caf\xe9\t!"), id="9112-4 reason-phrase = HTAB / SP / obs-text"),
        pytest.param(b"HTTP/1.1 599 x", (599, "x"), id="9110-15 a status is 100 to 599"),
    ],
)
def test_status_line_is_read(line, expected):
    """Each status line that the grammar has, and the one that many servers send, is read."""
    head = parse_response_head(response(line=line))

    assert (head.status, head.reason) == expected


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"caf\xe9 \xff\x80", id="9110-5.5 obs-text = %x80-FF"),
        pytest.param(b"a\tb  c", id="9110-5.5 SP / HTAB within a value"),
        pytest.param(b"\xa0a\x85", id="only SP and HTAB are white space; NBSP and NEL are data"),
        pytest.param(b'"a:b", (c) ; d="\\""', id="9110-5.6 delimiters"),
    ],
)
def test_value_is_kept_byte_for_byte(value):
    """A value comes out with the bytes it went in with."""
    head = parse_request_head(request(b"X: " + value))

    assert head.all("x")[0].encode("latin-1") == value


def test_field_name_can_have_every_token_character():
    """RFC 9110, section 5.6.2: all of tchar."""
    name = "!#$%&'*+-.^_`|~019azAZ"

    head = parse_request_head(request(f"{name}: 1".encode()))

    assert head.fields == [(name, "1")]
    assert head.names == [name.lower()]


BAD_REQUEST_LINES = {
    "9112-3 two SP before the target": b"GET  / HTTP/1.1",
    "9112-3 two SP before the version": b"GET /  HTTP/1.1",
    "9112-3 HTAB for SP": b"GET\t/ HTTP/1.1",
    "9112-3 VT for SP": b"GET\x0b/ HTTP/1.1",
    "9112-3 FF within": b"GET /\x0c HTTP/1.1",
    "9112-2.2 leading white space": b" GET / HTTP/1.1",
    "9112-3 trailing SP": b"GET / HTTP/1.1 ",
    "9112-3 SP within the target": b"GET /a b HTTP/1.1",
    "9112-2.2 bare CR within": b"GET /\rX: y HTTP/1.1",
    "9112-2.2 bare CR at the end": b"GET / HTTP/1.1\r",
    "9112-2.2 bare LF within": b"GET / HTTP/1.1\nX: y",
    "NUL in the target": b"GET /\0 HTTP/1.1",
    "DEL in the target": b"GET /\x7f HTTP/1.1",
    "obs-text in the target": b"GET /caf\xe9 HTTP/1.1",
    "NBSP in the target": b"GET /\xa0 HTTP/1.1",
    "9110-9.1 method = token": b"GE(T / HTTP/1.1",
    "method with a colon": b"GET: / HTTP/1.1",
    "no method": b"/ HTTP/1.1",
    "HTTP/0.9": b"GET /",
    "method alone": b"GET",
    "no target": b"GET HTTP/1.1",
    "empty line": b"",
    "9112-2.3 HTTP-name is case-sensitive": b"GET / http/1.1",
    "another protocol": b"GET / ICY/1.1",
    "one digit only": b"GET / HTTP/1",
    "two digits": b"GET / HTTP/1.10",
    "no number": b"GET / HTTP/1.x",
    "signed": b"GET / HTTP/+1.1",
    "zero-padded": b"GET / HTTP/01.1",
    "comma": b"GET / HTTP/1,1",
    "SP within the version": b"GET / HTTP/ 1.1",
    "digit outside ASCII": b"GET / HTTP/1.\xb9",
    "an answer": b"HTTP/1.1 200 OK",
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "two targets": b"GET /a HTTP/1.1 /b HTTP/1.1",
}


@pytest.mark.parametrize("line", [pytest.param(line, id=name) for name, line in BAD_REQUEST_LINES.items()])
def test_request_line_off_the_grammar_is_refused(line):
    """RFC 9112, section 3: invalid request lines are 400, never repaired."""
    with pytest.raises(Malformed):
        parse_request_head(request(b"Host: a", line=line))


@pytest.mark.parametrize("version", ["0.9", "1.2", "1.9", "2.0", "3.0"])
def test_other_version_is_505(version):
    """A well-formed version that is not spoken here is named in the answer."""
    with pytest.raises(VersionNotSupported, match=version):
        parse_request_head(request(line=f"GET / HTTP/{version}".encode()))


BAD_FIELDS = {
    "9112-5.1 SP before the colon": (b"Host : a",),
    "9112-5.1 HTAB before the colon": (b"Host\t: a",),
    "SP before the colon of Content-Length": (b"Content-Length : 5",),
    "SP before the colon of Transfer-Encoding": (b"Transfer-Encoding : chunked",),
    "9112-5.2 obs-fold with SP": (b"X: a", b" b"),
    "9112-5.2 obs-fold with HTAB": (b"X: a", b"\tb"),
    "obs-fold that looks like a field": (b"X: a", b" Host: b"),
    "obs-fold of white space alone": (b"X: a", b" "),
    "9112-2.2 white space before the first field": (b" Host: a",),
    "bare CR in a value": (b"X: a\rY: b",),
    "bare CR at the end of a value": (b"X: a\r",),
    "bare LF in a value": (b"X: a\nY: b",),
    "bare LF at the start of a line": (b"\nX: a",),
    "LF CR": (b"X: a\n\rY: b",),
    "CR CR LF": (b"X: a\r\r", b"Y: b"),
    "NUL in a value": (b"X: a\0b",),
    "NUL at the end of a value": (b"X: a\0",),
    "NUL in a name": (b"X\0: a",),
    "VT in a value": (b"X: a\x0bb",),
    "FF before a value": (b"X:\x0ca",),
    "BEL in a value": (b"X: \x07",),
    "ESC in a value": (b"X: \x1b[31m",),
    "DEL in a value": (b"X: \x7f",),
    "no colon": (b"Host a",),
    "no colon, a valid name": (b"Host",),
    "no name": (b": a",),
    "a colon alone": (b":",),
    "SP alone": (b" ",),
    "SP within a name": (b"Transfer Encoding: chunked",),
    "a separator in a name": (b"Content(Length: 5",),
    "a quote in a name": (b'"Host": a',),
    "a comma in a name": (b"A,B: 1",),
    "a slash in a name": (b"A/B: 1",),
    "brackets in a name": (b"[Host]: a",),
    "obs-text in a name": (b"H\xf6st: a",),
    "NBSP at the end of a name": (b"Content-Length\xa0: 5",),
    "VT at the end of a name": (b"Content-Length\x0b: 5",),
    "KELVIN SIGN in a name": ("Coo\u212aie: a".encode(),),
    "BOM before a name": (b"\xef\xbb\xbfHost: a",),
    "an empty line, then another request": (b"", b"GET /admin HTTP/1.1"),
}


@pytest.mark.parametrize("fields", [pytest.param(fields, id=name) for name, fields in BAD_FIELDS.items()])
def test_field_line_off_the_grammar_is_refused(fields):
    """Whatever two parsers could read as different fields is 400 from a client and 502 from an upstream."""
    for rest in ((), (b"Z: 1",)):
        with pytest.raises(Malformed):
            parse_request_head(request(*fields, *rest))
        with pytest.raises(UpstreamProtocol):
            parse_response_head(response(*fields, *rest))


BAD_STATUS_LINES = {
    "another major": b"HTTP/2.0 200 OK",
    "another minor": b"HTTP/1.2 200 OK",
    "HTTP-name in lower case": b"http/1.1 200 OK",
    "another protocol": b"ICY 200 OK",
    "two digits": b"HTTP/1.1 20 OK",
    "four digits": b"HTTP/1.1 2000 OK",
    "below 100": b"HTTP/1.1 099 OK",
    "above 599": b"HTTP/1.1 600 OK",
    "signed": b"HTTP/1.1 +20 OK",
    "no number": b"HTTP/1.1 abc OK",
    "digits outside ASCII": b"HTTP/1.1 20\xb2 OK",
    "two SP": b"HTTP/1.1  200 OK",
    "HTAB for SP": b"HTTP/1.1\t200 OK",
    "leading SP": b" HTTP/1.1 200 OK",
    "NUL in the reason": b"HTTP/1.1 200 O\0K",
    "bare CR in the reason": b"HTTP/1.1 200 OK\rX: y",
    "bare LF in the reason": b"HTTP/1.1 200 OK\nX: y",
    "no status": b"HTTP/1.1",
    "reason glued to the status": b"HTTP/1.1 200OK",
    "a request": b"GET / HTTP/1.1",
    "an empty line": b"",
}


@pytest.mark.parametrize("line", [pytest.param(line, id=name) for name, line in BAD_STATUS_LINES.items()])
def test_status_line_off_the_grammar_is_refused(line):
    """An upstream's first line that is not RFC 9112, section 4, is the upstream's fault."""
    with pytest.raises(UpstreamProtocol):
        parse_response_head(response(b"X: y", line=line))


def test_detail_does_not_quote_the_head():
    """An error names the rule and not the bytes: they may hold a secret, or an attack on whoever reads the log."""
    with pytest.raises(Malformed) as caught:
        parse_request_head(request(b"Authorization: Basic c2VjcmV0\0"))

    assert "c2VjcmV0" not in caught.value.detail


def test_line_seen_before_is_read_as_the_first_time():
    """The memory changes nothing but the time it takes: no case, white space or value of another line shows."""
    lines = (b"x-a:1", b"X-A: 1", b"X-A: \t1", b"X-A:1 ", b"X-A: 2")
    fields = [parse_request_head(request(*lines)).fields for _ in range(2)]

    assert fields[0] == [("x-a", "1"), ("X-A", "1"), ("X-A", "1"), ("X-A", "1"), ("X-A", "2")]
    assert fields[0] == fields[1]


def test_status_lines_remembered_have_a_bound():
    """A long reason is read and forgotten: 256 of 64 KB would be 16 MB."""
    _parse_known_status_line.cache_clear()
    for number in range(300):
        reason = f"{number} {'y' * 60_000}"
        assert parse_response_head(f"HTTP/1.1 200 {reason}\r\n\r\n".encode()).reason == reason
        parse_response_head(f"HTTP/1.1 200 {number}\r\n\r\n".encode())

    info = _parse_known_status_line.cache_info()
    assert info.currsize * (2 * KNOWN_LONGEST + 250) < 150_000
    assert info.misses == 300


@pytest.mark.parametrize(
    ("data", "searched"),
    [
        (b"SSH-2.0\r\n", 0),
        (b"\r\n", 0),
        (b"h", 0),
        (b"HTTP/2", 0),
        (b"HTTP/1.1 200 OK\n", 0),
        (b"HTTP/1.1 2\r\na: b\n", 14),
    ],
)
def test_an_answer_that_can_never_be_one_is_known_early(data: bytes, searched: int) -> None:
    """Nobody waits for a time limit to be told that it was something else that answered."""
    with pytest.raises(UpstreamProtocol, match="the answer cannot be read: "):
        check_unfinished_answer(data, searched)


@pytest.mark.parametrize("searched", [0, 12, 13, 14])
def test_an_answer_under_way_may_go_on(searched: int) -> None:
    """Wherever the pieces end, also within its first word or a CRLF."""
    data = b"HTTP/1.1 204\r\nA: b\r"
    for end in range(1, len(data) + 1):
        check_unfinished_answer(data[:end], min(searched, end))

    check_unfinished_answer(b"", 0)

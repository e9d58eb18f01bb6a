"""What upstreams send: relayed where it can be read in one way, 502 where it cannot (RFC 9112, sections 4 to 6)."""

from __future__ import annotations

from conformance.cases import DATE, AnswerCase

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
FIVE = b"Content-Length: 5\r\n"
SECOND = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"


def _sends(fields: bytes, body: bytes = b"", line: bytes = OK) -> bytes:
    return line + DATE + fields + b"\r\n" + body


def _refuse(group: str, answers: dict[bytes, bytes] | dict[str, bytes]) -> list[AnswerCase]:
    """Make cases of answers of which not a byte reaches the client, on connections that are closed."""
    return [AnswerCase(group, str(name), answer, reuses=False) for name, answer in answers.items()]


def _relay(group: str, answers: dict[str, bytes], *, line: bytes = OK) -> list[AnswerCase]:
    """Make cases of fields that reach the client as they came."""
    return [
        AnswerCase(group, name, _sends(fields + FIVE, b"hello", line), head=line + DATE + fields + FIVE, body=b"hello")
        for name, fields in answers.items()
    ]


def _bare(status: bytes, name: str, fields: bytes, kept: bytes, *, reuses: bool, method: bytes = b"GET") -> AnswerCase:
    line = b"HTTP/1.1 " + status + b" X\r\n"
    return AnswerCase(
        "answer-without-body", name, _sends(fields, line=line), method=method, head=line + DATE + kept, reuses=reuses
    )


ANSWERS = [
    *_refuse(
        "answer-length",
        {
            "with-coding": _sends(FIVE + CHUNKED, b"5\r\nhello\r\n0\r\n\r\n"),
            "twice-equal": _sends(FIVE + FIVE, b"hello"),
            "twice-differing": _sends(FIVE + b"Content-Length: 6\r\n", b"hello!"),
            "list-equal": _sends(b"Content-Length: 5, 5\r\n", b"hello"),
            "list-differing": _sends(b"Content-Length: 5, 6\r\n", b"hello!"),
            "plus": _sends(b"Content-Length: +5\r\n", b"hello"),
            "minus": _sends(b"Content-Length: -5\r\n", b"hello"),
            "hex": _sends(b"Content-Length: 0x5\r\n", b"hello"),
            "word": _sends(b"Content-Length: five\r\n", b"hello"),
            "empty": _sends(b"Content-Length:\r\n", b"hello"),
            "endless": _sends(b"Content-Length: " + b"9" * 100 + b"\r\n", b"hello"),
        },
    ),
    *_refuse(
        "answer-coding",
        {
            "gzip": _sends(b"Transfer-Encoding: gzip\r\n", b"hello"),
            "gzip-then-chunked": _sends(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"),
            "chunked-then-gzip": _sends(b"Transfer-Encoding: chunked, gzip\r\n", b"0\r\n\r\n"),
            "chunked-twice": _sends(b"Transfer-Encoding: chunked, chunked\r\n", b"0\r\n\r\n"),
            "two-lines": _sends(CHUNKED + CHUNKED, b"0\r\n\r\n"),
            "identity": _sends(b"Transfer-Encoding: identity\r\n", b"hello"),
            "empty": _sends(b"Transfer-Encoding:\r\n", b"hello"),
            "odd": _sends(b"Transfer-Encoding: \x0bchunked\r\n", b"0\r\n\r\n"),
            "in-1.0": _sends(CHUNKED, b"5\r\nhello\r\n0\r\n\r\n", b"HTTP/1.0 200 OK\r\n"),
        },
    ),
    *_refuse(
        "answer-head",
        {
            "space-before-colon": _sends(b"A : b\r\n" + FIVE, b"hello"),
            "folded": _sends(b"A: b\r\n c\r\n" + FIVE, b"hello"),
            "space-before-fields": OK + b" A: b\r\n" + FIVE + b"\r\nhello",
            "cr-in-value": _sends(b"A: b\rSet-Cookie: c\r\n" + FIVE, b"hello"),
            "lf-in-value": _sends(b"A: b\nSet-Cookie: c\r\n" + FIVE, b"hello"),
            "nul-in-value": _sends(b"A: b\0c\r\n" + FIVE, b"hello"),
            "control-in-value": _sends(b"A: b\x07c\r\n" + FIVE, b"hello"),
            "empty-name": _sends(b": b\r\n" + FIVE, b"hello"),
            "no-colon": _sends(b"AB\r\n" + FIVE, b"hello"),
            "bad-name": _sends(b"A(B: c\r\n" + FIVE, b"hello"),
            "cr-in-reason": _sends(FIVE, b"hello", b"HTTP/1.1 200 O\rK\r\n"),
            "nul-in-reason": _sends(FIVE, b"hello", b"HTTP/1.1 200 O\0K\r\n"),
            "version-2": _sends(FIVE, b"hello", b"HTTP/2.0 200 OK\r\n"),
            "version-1.2": _sends(FIVE, b"hello", b"HTTP/1.2 200 OK\r\n"),
            "version-lower-case": _sends(FIVE, b"hello", b"http/1.1 200 OK\r\n"),
            "not-http": _sends(FIVE, b"hello", b"ICY 200 OK\r\n"),
            "two-spaces": _sends(FIVE, b"hello", b"HTTP/1.1  200 OK\r\n"),
            "status-short": _sends(FIVE, b"hello", b"HTTP/1.1 20 OK\r\n"),
            "status-long": _sends(FIVE, b"hello", b"HTTP/1.1 2000 OK\r\n"),
            "status-600": _sends(FIVE, b"hello", b"HTTP/1.1 600 X\r\n"),
            "status-099": _sends(FIVE, b"hello", b"HTTP/1.1 099 X\r\n"),
            "status-word": _sends(FIVE, b"hello", b"HTTP/1.1 OK\r\n"),
            "field-too-large": _sends(b"A: " + b"a" * 70_000 + b"\r\n" + FIVE, b"hello"),
            "too-many-fields": _sends(b"A: b\r\n" * 101 + FIVE, b"hello"),
        },
    ),
    *_refuse(
        "answer-chunks",
        {
            "0x": _sends(CHUNKED, b"0x5\r\nhello\r\n0\r\n\r\n"),
            "minus": _sends(CHUNKED, b"-5\r\nhello\r\n0\r\n\r\n"),
            "overflow": _sends(CHUNKED, b"10000000000000005\r\nhello\r\n0\r\n\r\n"),
            "lf": _sends(CHUNKED, b"5\nhello\n0\n\n"),
            "no-hex": _sends(CHUNKED, b"hello\r\n"),
            "extension-huge": _sends(CHUNKED, b"5;" + b"a" * 9000 + b"\r\nhello\r\n0\r\n\r\n"),
        },
    ),
    *[
        AnswerCase(
            "answer-status",
            f"{status}".replace(" ", "-").lower(),
            _sends(FIVE, b"hello", b"HTTP/1.1 " + line),
            head=b"HTTP/1.1 " + kept + DATE + FIVE,
            body=b"hello",
        )
        for status, line, kept in (
            ("201", b"201 Created\r\n", b"201 Created\r\n"),
            ("206", b"206 Partial Content\r\n", b"206 Partial Content\r\n"),
            ("299 unknown", b"299 Unheard Of\r\n", b"299 Unheard Of\r\n"),
            (
                "302 not followed",
                b"302 Found\r\nLocation: http://evil.example/\r\n",
                b"302 Found\r\nLocation: http://evil.example/\r\n",
            ),
            ("403", b"403 Forbidden\r\n", b"403 Forbidden\r\n"),
            ("421", b"421 Misdirected Request\r\n", b"421 Misdirected Request\r\n"),
            ("500", b"500 X\r\n", b"500 X\r\n"),
            ("503 retry later", b"503 X\r\nRetry-After: 5\r\n", b"503 X\r\nRetry-After: 5\r\n"),
            ("599 unknown", b"599 X\r\n", b"599 X\r\n"),
            ("reason empty", b"200 \r\n", b"200 \r\n"),
            ("reason missing", b"200\r\n", b"200 \r\n"),
            ("reason obs text", b"200 D\xe9j\xe0 vu\r\n", b"200 D\xe9j\xe0 vu\r\n"),
        )
    ],
    *_relay(
        "answer-fields",
        {
            "unknown-and-order": b"X-B: 1\r\nx-a: 2\r\nX-B: 3\r\n",
            "set-cookie-twice": b"Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n",
            "www-authenticate": b'WWW-Authenticate: Bearer realm="a", error="b"\r\nWWW-Authenticate: Basic\r\n',
            "authentication-info": b"Authentication-Info: a=b\r\n",
            "allow": b"Allow: GET, TRACE\r\n",
            "server": b"Server: RapidSOS/1 (x)\r\n",
            "coded": b"Content-Encoding: gzip\r\nCache-Control: no-transform\r\n",
            "etag": b'ETag: W/"a"\r\nLast-Modified: Tue, 24 Nov 2026 12:00:00 GMT\r\nVary: *\r\n',
            "range": b"Content-Range: bytes 0-4/5\r\nAccept-Ranges: bytes\r\n",
            "empty-value": b"A: \r\n",
            "obs-text": b"A: caf\xe9\r\n",
            "via": b"Via: 1.1 elsewhere\r\n",
            "proxy-status": b"Proxy-Status: elsewhere; error=connection_timeout\r\n",
            "problem": b"Content-Type: application/problem+json\r\n",
        },
    ),
    *[
        AnswerCase(
            "answer-hop-by-hop",
            name,
            _sends(fields + FIVE, b"hello"),
            head=OK + DATE + kept + FIVE,
            body=b"hello",
            reuses=reuses,
        )
        for name, fields, kept, reuses in (
            ("connection-named", b"Connection: X-Hop\r\nX-Hop: a\r\nX-End: b\r\n", b"X-End: b\r\n", True),
            ("length-named", b"Connection: Content-Length\r\n", b"", True),
            ("keep-alive", b"Connection: keep-alive\r\nKeep-Alive: timeout=5\r\n", b"", True),
            ("close", b"Connection: close\r\n", b"", False),
            ("upgrade", b"Connection: upgrade\r\nUpgrade: h2c\r\n", b"", True),
            ("proxy-authenticate", b"Proxy-Authenticate: Basic realm=a\r\nProxy-Connection: close\r\n", b"", True),
            ("trailer", b"Trailer: X-Sum\r\nTE: trailers\r\n", b"", True),
        )
    ],
    _bare(b"200", "head-with-length", b"Content-Length: 5\r\n", b"Content-Length: 5\r\n", reuses=False, method=b"HEAD"),
    _bare(b"200", "head-without-length", b"", b"", reuses=True, method=b"HEAD"),
    _bare(b"200", "head-chunked", CHUNKED, b"", reuses=False, method=b"HEAD"),
    _bare(b"204", "204", b"", b"", reuses=True),
    _bare(b"204", "204-with-length", b"Content-Length: 0\r\n", b"", reuses=True),
    _bare(b"204", "204-with-lying-length", b"Content-Length: 5\r\n", b"", reuses=False),
    _bare(b"204", "204-chunked", CHUNKED, b"", reuses=False),
    _bare(b"304", "304", b'ETag: "a"\r\n', b'ETag: "a"\r\n', reuses=True),
    _bare(b"304", "304-with-length", b"Content-Length: 5\r\n", b"Content-Length: 5\r\n", reuses=False),
    _bare(b"205", "205", b"Content-Length: 0\r\n", b"Content-Length: 0\r\n", reuses=True),
    AnswerCase(
        "answer-chunked",
        "plain",
        _sends(CHUNKED, b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"),
        head=OK + DATE,
        body=b"hello",
        framing=CHUNKED,
    ),
    AnswerCase(
        "answer-chunked",
        "extension-and-trailer",
        _sends(CHUNKED, b'5;a="b"\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n'),
        head=OK + DATE,
        body=b"hello",
        framing=CHUNKED,
    ),
    AnswerCase(
        "answer-chunked",
        "trailer-is-no-field",
        _sends(CHUNKED, b"0\r\nSet-Cookie: a\r\nContent-Length: 9\r\n\r\n"),
        head=OK + DATE,
        framing=CHUNKED,
    ),
    AnswerCase(
        "answer-to-1.0",
        "chunked",
        _sends(CHUNKED, b"5\r\nhello\r\n0\r\n\r\n"),
        version=b"1.0",
        head=OK + DATE,
        body=b"hello",
        framing=b"Connection: close\r\n",
        is_whole=False,
        keeps=False,
    ),
    AnswerCase(
        "answer-to-1.0",
        "length",
        _sends(FIVE, b"hello"),
        version=b"1.0",
        head=OK + DATE + FIVE,
        body=b"hello",
        framing=b"Connection: close\r\n",
        keeps=False,
    ),
    AnswerCase(
        "answer-to-1.0",
        "no-interim",
        b"HTTP/1.1 100 Continue\r\n\r\n" + _sends(FIVE, b"hello"),
        version=b"1.0",
        head=OK + DATE + FIVE,
        body=b"hello",
        framing=b"Connection: close\r\n",
        keeps=False,
    ),
    AnswerCase(
        "answer-until-close",
        "plain",
        _sends(b"", b"hello"),
        closes=True,
        head=OK + DATE,
        body=b"hello",
        framing=CHUNKED,
        reuses=False,
    ),
    AnswerCase(
        "answer-until-close",
        "1.0",
        _sends(b"", b"hello", b"HTTP/1.0 200 OK\r\n"),
        closes=True,
        head=OK + DATE,
        body=b"hello",
        framing=CHUNKED,
        via=b"1.0",
        reuses=False,
    ),
    AnswerCase(
        "answer-until-close",
        "second-answer-is-body",
        _sends(b"", b"hello" + SECOND),
        closes=True,
        head=OK + DATE,
        body=b"hello" + SECOND,
        framing=CHUNKED,
        reuses=False,
    ),
    AnswerCase(
        "answer-version",
        "1.0-with-length",
        _sends(FIVE, b"hello", b"HTTP/1.0 200 OK\r\n"),
        head=OK + DATE + FIVE,
        body=b"hello",
        via=b"1.0",
        reuses=False,
    ),
    AnswerCase(
        "answer-version",
        "1.0-keep-alive",
        _sends(b"Connection: keep-alive\r\n" + FIVE, b"hello", b"HTTP/1.0 200 OK\r\n"),
        head=OK + DATE + FIVE,
        body=b"hello",
        via=b"1.0",
        reuses=False,
    ),
    AnswerCase(
        "answer-cut",
        "length",
        _sends(b"Content-Length: 50\r\n", b"hello"),
        closes=True,
        head=OK + DATE + b"Content-Length: 50\r\n",
        body=b"hello",
        is_whole=False,
        keeps=False,
        reuses=False,
    ),
    AnswerCase(
        "answer-cut",
        "in-a-chunk",
        _sends(CHUNKED, b"9\r\nhello"),
        closes=True,
        head=OK + DATE,
        body=b"hello",
        framing=CHUNKED,
        is_whole=False,
        keeps=False,
        reuses=False,
    ),
    AnswerCase(
        "answer-cut",
        "before-the-last-chunk",
        _sends(CHUNKED, b"5\r\nhello\r\n"),
        closes=True,
        head=OK + DATE,
        body=b"hello",
        framing=CHUNKED,
        is_whole=False,
        keeps=False,
        reuses=False,
    ),
    AnswerCase(
        "answer-cut",
        "bad-second-chunk",
        _sends(CHUNKED, b"5\r\nhello\r\n"),
        closes=True,
        head=OK + DATE,
        body=b"hello",
        framing=CHUNKED,
        is_whole=False,
        keeps=False,
        reuses=False,
    ),
    AnswerCase(
        "answer-extra",
        "second-answer",
        _sends(FIVE, b"hello" + SECOND),
        head=OK + DATE + FIVE,
        body=b"hello",
        reuses=False,
    ),
    AnswerCase(
        "answer-extra",
        "behind-chunks",
        _sends(CHUNKED, b"5\r\nhello\r\n0\r\n\r\n" + SECOND),
        head=OK + DATE,
        body=b"hello",
        framing=CHUNKED,
        reuses=False,
    ),
    AnswerCase("answer-extra", "crlf", _sends(FIVE, b"hello\r\n"), head=OK + DATE + FIVE, body=b"hello", reuses=False),
    AnswerCase(
        "answer-extra",
        "behind-204",
        _sends(b"", SECOND, b"HTTP/1.1 204 X\r\n"),
        head=b"HTTP/1.1 204 X\r\n" + DATE,
        reuses=False,
    ),
    AnswerCase(
        "answer-interim",
        "100",
        b"HTTP/1.1 100 Continue\r\n\r\n" + _sends(FIVE, b"hello"),
        head=OK + DATE + FIVE,
        body=b"hello",
        interim=(b"HTTP/1.1 100 Continue\r\n\r\n",),
    ),
    AnswerCase(
        "answer-interim",
        "103",
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + _sends(FIVE, b"hello"),
        head=OK + DATE + FIVE,
        body=b"hello",
        interim=(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",),
    ),
    AnswerCase(
        "answer-interim",
        "several",
        b"HTTP/1.1 102 X\r\n\r\n" * 3 + _sends(FIVE, b"hello"),
        head=OK + DATE + FIVE,
        body=b"hello",
        interim=(b"HTTP/1.1 102 X\r\n\r\n",) * 3,
    ),
    AnswerCase(
        "answer-interim",
        "with-framing",
        b"HTTP/1.1 103 X\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n"
        b"Connection: close\r\n\r\n" + _sends(FIVE, b"hello"),
        head=OK + DATE + FIVE,
        body=b"hello",
        interim=(b"HTTP/1.1 103 X\r\n\r\n",),
    ),
    *_refuse(
        "answer-101",
        {
            "unasked": b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
            "behind-103": b"HTTP/1.1 103 X\r\n\r\nHTTP/1.1 101 Switching Protocols\r\n\r\n",
        },
    ),
]

"""What goes through, what is taken out, what is answered here (RFC 9110, sections 7 to 11)."""

from __future__ import annotations

from conformance.cases import HOST, RequestCase, get, post, refuse

GET = b"GET /x HTTP/1.1\r\n"
OPTIONS = b"OPTIONS /x HTTP/1.1"


def _passes(group: str, fields: dict[str, bytes]) -> list[RequestCase]:
    """Make cases of fields that reach the upstream as they came."""
    return [RequestCase(group, name, get(lines), lines=GET + lines) for name, lines in fields.items()]


def _drops(group: str, fields: dict[str, bytes], *, keeps: bool = True) -> list[RequestCase]:
    """Make cases of fields of which ``Kept: 1`` alone reaches the upstream."""
    kept = b"Kept: 1\r\n"
    return [
        RequestCase(group, name, get(lines + kept), lines=GET + kept, keeps=keeps) for name, lines in fields.items()
    ]


PASSAGE = [
    *_passes(
        "field-forwarded",
        {
            "unknown": b"X-Unknown-To-Everybody: a, b\r\n",
            "order-and-case": b"b: 1\r\nA: 2\r\nB: 3\r\na: 4\r\n",
            "repeated": b"Accept: a\r\nAccept: b\r\nX: y\r\nAccept: a\r\n",
            "user-agent": b'User-Agent: CAD/1.0 (old; "very")\r\n',
            "referer": b"Referer: http://localhost/page\r\n",
            "cookie": b"Cookie: a=b; c=d\r\n",
            "conditional": b'If-None-Match: "a", W/"b"\r\nIf-Modified-Since: a\r\nIf-Match: *\r\n',
            "range": b'Range: bytes=0-4\r\nIf-Range: "a"\r\n',
            "range-of-another-unit": b"Range: lines=1-2\r\n",
            "cache-control": b"Cache-Control: no-cache, no-transform\r\nPragma: no-cache\r\n",
            "accept-encoding": b"Accept-Encoding: gzip;q=0\r\n",
            "method-override": b"X-HTTP-Method-Override: DELETE\r\n",
            "idempotency-key": b"Idempotency-Key: k\r\n",
        },
    ),
    *_drops(
        "connection-named",
        {
            "one": b"Connection: X-Hop\r\nX-Hop: a\r\n",
            "several": b"Connection: X-Hop, Y-Hop\r\nX-Hop: a\r\nY-Hop: b\r\nX-Hop: c\r\n",
            "two-lines": b"Connection: X-Hop\r\nX-Hop: a\r\nConnection: Y-Hop\r\nY-Hop: b\r\n",
            "other-case": b"Connection: X-HOP\r\nx-hop: a\r\n",
            "empty-members": b"Connection: , ,X-Hop,, \r\nX-Hop: a\r\n",
            "tabs": b"Connection:\tX-Hop\t,\tY-Hop\r\nX-Hop: a\r\nY-Hop: b\r\n",
            "absent": b"Connection: X-Hop\r\n",
            "itself": b"Connection: Connection\r\n",
            "user-agent": b"Connection: User-Agent\r\nUser-Agent: a\r\n",
            "quoted-is-none": b'Connection: "X-Hop"\r\n',
        },
    ),
    *_drops(
        "connection-named-ours",
        {
            "host": b"Connection: Host\r\n",
            "authorization": b"Connection: Authorization\r\nAuthorization: Bearer a\r\n",
            "via": b"Connection: Via\r\nVia: 1.1 elsewhere\r\n",
            "all": b"Connection: Host, Authorization, Via, Content-Length, Transfer-Encoding\r\n",
            "keep-alive": b"Connection: keep-alive, Authorization\r\nKeep-Alive: timeout=5\r\n",
        },
    ),
    *_drops(
        "hop-by-hop",
        {
            "connection": b"Connection: keep-alive\r\n",
            "keep-alive": b"Keep-Alive: timeout=5, max=100\r\n",
            "proxy-connection": b"Proxy-Connection: keep-alive\r\n",
            "te-trailers": b"Connection: TE\r\nTE: trailers\r\n",
            "te-unnamed": b"TE: trailers, deflate;q=0.5\r\n",
            "te-chunked": b"Connection: TE\r\nTE: chunked\r\n",
            "trailer": b"Trailer: X-Sum\r\n",
            "proxy-authorization": b"Proxy-Authorization: Basic YTpi\r\n",
            "proxy-authenticate": b"Proxy-Authenticate: Basic realm=a\r\n",
        },
    ),
    *_drops(
        "upgrade",
        {
            "h2c": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
            "h2c-settings-unnamed": b"Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
            "unnamed": b"Upgrade: websocket\r\n",
            "several": b"Connection: upgrade\r\nUpgrade: HTTP/3.0, IRC/6.9\r\n",
            "tls": b"Connection: Upgrade\r\nUpgrade: TLS/1.2\r\n",
        },
    ),
    RequestCase(
        "upgrade",
        "1.0",
        b"GET /x HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        lines=GET,
        version=b"1.0",
        keeps=False,
    ),
    *_drops(
        "client-not-believed",
        {
            "authorization": b"Authorization: Bearer stolen\r\n",
            "authorization-twice": b"Authorization: Bearer a\r\nauthorization: Basic b\r\n",
            "forwarded": b"Forwarded: for=10.0.0.1;host=evil.example\r\n",
            "x-forwarded": b"X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Host: b\r\nX-Forwarded-Proto: https\r\n",
            "x-original-url": b"X-Original-URL: /admin\r\nX-Rewrite-URL: /admin\r\n",
            "x-host": b"X-Host: evil.example\r\n",
            "underscores": b"X_Forwarded_For: 10.0.0.1\r\nProxy_Authorization: a\r\nContent_Length: 5\r\n",
        },
    ),
    *_drops(
        "close",
        {
            "close": b"Connection: close\r\n",
            "other-case": b"Connection: CLOSE\r\n",
            "among-others": b"Connection: X-Hop, close\r\n",
            "with-keep-alive": b"Connection: keep-alive, close\r\n",
            "on-a-second-line": b"Connection: keep-alive\r\nConnection: close\r\n",
        },
        keeps=False,
    ),
    *_passes(
        "via-kept",
        {
            "one": b"Via: 1.1 elsewhere\r\n",
            "several": b"Via: 1.0 fred, 1.1 p.example (Apache/1.1)\r\nVia: 1.1 other\r\n",
            "other-protocol": b"Via: HTTPS/2 elsewhere:8080\r\n",
        },
    ),
    *[
        RequestCase(
            "max-forwards",
            name,
            get(b"Max-Forwards: " + value + b"\r\n", line),
            lines=line + b"\r\nMax-Forwards: " + kept + b"\r\n",
        )
        for name, line, value, kept in (
            ("options-one", OPTIONS, b"1", b"0"),
            ("options-ten", OPTIONS, b"10", b"9"),
            ("options-leading-zeros", OPTIONS, b"0010", b"9"),
            ("get-zero", b"GET /x HTTP/1.1", b"0", b"0"),
            ("get-ten", b"GET /x HTTP/1.1", b"10", b"10"),
            ("options-no-number", OPTIONS, b"many", b"many"),
        )
    ],
    RequestCase("max-forwards", "none-is-added", get(line=OPTIONS), lines=OPTIONS + b"\r\n"),
    RequestCase("options-here", "zero", get(b"Max-Forwards: 0\r\n", OPTIONS)),
    RequestCase("options-here", "zeros", get(b"Max-Forwards: 000\r\n", OPTIONS)),
    RequestCase("options-here", "asterisk", get(line=b"OPTIONS * HTTP/1.1")),
    RequestCase("options-here", "asterisk-with-body", get(b"Content-Length: 5\r\n", b"OPTIONS * HTTP/1.1") + b"hello"),
    RequestCase(
        "options-whole-server",
        "absolute",
        b"OPTIONS http://api.example HTTP/1.1\r\n" + HOST + b"\r\n",
        lines=b"OPTIONS * HTTP/1.1\r\n",
    ),
    RequestCase(
        "options-whole-server",
        "absolute-with-slash",
        b"OPTIONS http://api.example/ HTTP/1.1\r\n" + HOST + b"\r\n",
        lines=b"OPTIONS / HTTP/1.1\r\n",
    ),
    RequestCase(
        "options-whole-server",
        "absolute-with-query",
        b"OPTIONS http://api.example?a HTTP/1.1\r\n" + HOST + b"\r\n",
        lines=b"OPTIONS /?a HTTP/1.1\r\n",
    ),
    *refuse(
        "trace",
        {
            "plain": get(line=b"TRACE /x HTTP/1.1"),
            "max-forwards-zero": get(b"Max-Forwards: 0\r\n", b"TRACE /x HTTP/1.1"),
            "max-forwards-ten": get(b"Max-Forwards: 10\r\n", b"TRACE /x HTTP/1.1"),
            "absolute": get(line=b"TRACE http://api.example/x HTTP/1.1"),
        },
        status=405,
        slug="method_not_allowed",
        keeps=True,
    ),
    *refuse(
        "connect",
        {
            "authority": get(line=b"CONNECT api.example:443 HTTP/1.1"),
            "foreign": get(line=b"CONNECT evil.example:443 HTTP/1.1"),
            "no-port": get(line=b"CONNECT api.example HTTP/1.1"),
            "empty-port": get(line=b"CONNECT api.example: HTTP/1.1"),
            "path": get(line=b"CONNECT /x HTTP/1.1"),
            "absolute": get(line=b"CONNECT http://api.example/ HTTP/1.1"),
        },
        status=405,
        slug="method_not_allowed",
        keeps=True,
    ),
    RequestCase(
        "expect",
        "forwarded",
        post(b"Expect: 100-continue\r\nContent-Length: 5\r\n", b"hello"),
        lines=b"POST /x HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n",
        body=b"hello",
    ),
    RequestCase(
        "expect",
        "other-case",
        post(b"Expect: 100-Continue\r\nContent-Length: 5\r\n", b"hello"),
        lines=b"POST /x HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: 5\r\n",
        body=b"hello",
    ),
    RequestCase("expect", "without-body", get(b"Expect: 100-continue\r\n"), lines=GET + b"Expect: 100-continue\r\n"),
    RequestCase("expect", "unknown", get(b"Expect: a-miracle\r\n"), lines=GET + b"Expect: a-miracle\r\n"),
    RequestCase(
        "expect-in-1.0",
        "ignored",
        post(b"Expect: 100-continue\r\nContent-Length: 5\r\n", b"hello", b"1.0"),
        lines=b"POST /x HTTP/1.1\r\nContent-Length: 5\r\n",
        body=b"hello",
        version=b"1.0",
        keeps=False,
    ),
    *refuse(
        "cross-site",
        {
            "origin": get(b"Origin: http://evil.example\r\n"),
            "null": get(b"Origin: null\r\n"),
            "sec-fetch-site": get(b"Sec-Fetch-Site: cross-site\r\n"),
        },
        status=403,
        slug="cross_site",
        keeps=True,
    ),
]

"""Request lines, Host, and fields: what is a head, and what only looks like one (RFC 9112, sections 2, 3 and 5)."""

from __future__ import annotations

from conformance.cases import HOST, RequestCase, get, post, refuse

GET = b"GET /x HTTP/1.1\r\n"
MOST_LINE, MOST_HEAD, MOST_FIELDS = 16_384, 65_536, 100
"""limits.line, limits.head and limits.fields of the proxy that the cases run against."""
CONTROLS = [bytes([byte]) for byte in (*range(9), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F)]
NO_TOKEN_CHARACTERS = [bytes([byte]) for byte in b'"(),/:;<=>?@[\\]{}']
TOKEN_CHARACTERS = b"!#$%&'*+-.^_`|~09azAZ"


def line(request_line: bytes) -> bytes:
    """Build a request of this first line."""
    return get(line=request_line)


def at(target: bytes, method: bytes = b"GET") -> bytes:
    """Build a request for this target."""
    return line(b"%b %b HTTP/1.1" % (method, target))


def hosted(host_lines: bytes, request_line: bytes = b"GET /x HTTP/1.1") -> bytes:
    """Build a request with these lines in place of Host."""
    return request_line + b"\r\n" + host_lines + b"\r\n"


def _size_line(size: int) -> bytes:
    frame = b"GET / HTTP/1.1"
    return b"GET /" + b"a" * (size - len(frame)) + b" HTTP/1.1"


def _size_head(size: int) -> bytes:
    frame = get(b"X: \r\n")[:-4]
    return get(b"X: " + b"a" * (size - len(frame)) + b"\r\n")


HEADS = [
    *[RequestCase("empty-lines", f"{count}-before", b"\r\n" * count + get(), lines=GET) for count in (1, 2, 8)],
    *refuse("empty-lines-too-many", {"nine": b"\r\n" * 9 + get(), "a-thousand": b"\r\n" * 1000 + get()}),
    *refuse(
        "line-end",
        {
            "request-line-lf": b"GET /x HTTP/1.1\n" + HOST + b"\r\n",
            "all-lf": get().replace(b"\r\n", b"\n"),
            "field-lf": get(b"A: b\nC: d\r\n"),
            "last-line-lf": b"GET /x HTTP/1.1\r\nHost: localhost\n\r\n",
            "end-lf": b"GET /x HTTP/1.1\r\nHost: localhost\r\n\n",
            "lf-lf": b"GET /x HTTP/1.1\r\nHost: localhost\n\n",
            "lf-before": b"\n" + get(),
            "cr-before": b"\r" + get(),
            "lf-in-method": line(b"GE\nT /x HTTP/1.1"),
            "lf-in-target": at(b"/a\nb"),
            "lf-in-version": line(b"GET /x HTTP/1.\n1"),
            "cr-in-method": line(b"GE\rT /x HTTP/1.1"),
            "cr-in-target": at(b"/a\rb"),
            "cr-for-space": line(b"GET\r/x HTTP/1.1"),
            "cr-behind-version": line(b"GET /x HTTP/1.1\r"),
            "cr-in-name": get(b"A\rB: c\r\n"),
            "cr-in-value": get(b"A: b\rc\r\n"),
            "cr-hides-a-field": get(b"A: b\rTransfer-Encoding: chunked\r\n"),
            "cr-at-value-start": get(b"A:\rb\r\n"),
            "cr-behind-value": get(b"A: b\r\r\n"),
            "cr-cr-lf-end": b"GET /x HTTP/1.1\r\nHost: localhost\r\r\n\r\n",
        },
    ),
    *refuse(
        "line-folded",
        {
            "space": get(b"A: b\r\n c\r\n"),
            "tab": get(b"A: b\r\n\tc\r\n"),
            "empty": get(b"A: b\r\n \r\n"),
            "hides-a-field": get(b"A: b\r\n Transfer-Encoding: chunked\r\n"),
            "host": hosted(b"Host:\r\n localhost\r\n"),
            "length": post(b"Content-Length:\r\n 5\r\n", b"hello"),
        },
    ),
    *refuse(
        "space-before-fields",
        {
            "space": b"GET /x HTTP/1.1\r\n Host: localhost\r\n\r\n",
            "tab": b"GET /x HTTP/1.1\r\n\tHost: localhost\r\n\r\n",
            "only-space": b"GET /x HTTP/1.1\r\n \r\n" + HOST + b"\r\n",
            "hides-a-field": b"GET /x HTTP/1.1\r\n Transfer-Encoding: chunked\r\n" + HOST + b"\r\n",
        },
    ),
    *refuse(
        "space-before-colon",
        {
            "space": get(b"A : b\r\n"),
            "tab": get(b"A\t: b\r\n"),
            "host": hosted(b"Host : localhost\r\n"),
            "length": post(b"Content-Length : 5\r\n", b"hello"),
            "coding": post(b"Transfer-Encoding : chunked\r\n", b"0\r\n\r\n"),
        },
    ),
    *refuse(
        "field-name",
        {
            "empty": get(b": b\r\n"),
            "no-colon": get(b"AB\r\n"),
            "space-in": get(b"A B: c\r\n"),
            "above-ascii": get("Ä: b\r\n".encode()),
            "obs-text": get(b"A\xff: b\r\n"),
            **{
                f"delimiter-{character.hex()}": get(b"A" + character + b"B: c\r\n")
                for character in NO_TOKEN_CHARACTERS
                if character != b":"
            },
            **{f"control-{control.hex()}": get(b"A" + control + b"B: c\r\n") for control in CONTROLS},
        },
    ),
    RequestCase(
        "field-name-good",
        "every-character",
        get(TOKEN_CHARACTERS + b": b\r\n"),
        lines=GET + TOKEN_CHARACTERS + b": b\r\n",
    ),
    *refuse(
        "field-value",
        {
            **{f"control-{control.hex()}": get(b"A: b" + control + b"c\r\n") for control in CONTROLS},
            "nul-at-end": get(b"A: b\0\r\n"),
            "nul-in-host": hosted(b"Host: local\0host\r\n"),
        },
    ),
    *[
        RequestCase("field-value-good", name, get(b"A:" + sent + b"\r\n"), lines=GET + b"A: " + kept + b"\r\n")
        for name, sent, kept in (
            ("empty", b"", b""),
            ("only-space", b" \t ", b""),
            ("space-around", b" \tb\t ", b"b"),
            ("tab-in", b" b\tc", b"b\tc"),
            ("spaces-in", b" b   c", b"b   c"),
            ("colon", b" b:c", b"b:c"),
            ("latin-1", b" caf\xe9", b"caf\xe9"),
            ("utf-8", " café".encode(), "café".encode()),
            (
                "every-octet",
                b" " + bytes([*range(0x21, 0x7F), *range(0x80, 0x100)]),
                bytes([*range(0x21, 0x7F), *range(0x80, 0x100)]),
            ),
            ("looks-like-a-field", b" Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
        )
    ],
    *refuse(
        "method",
        {
            "empty": line(b" /x HTTP/1.1"),
            "space-before": line(b" GET /x HTTP/1.1"),
            "above-ascii": line("GËT /x HTTP/1.1".encode()),
            **{
                f"delimiter-{character.hex()}": line(b"GE" + character + b"T /x HTTP/1.1")
                for character in NO_TOKEN_CHARACTERS
            },
            **{f"control-{control.hex()}": line(b"GE" + control + b"T /x HTTP/1.1") for control in CONTROLS},
        },
    ),
    *[
        RequestCase("method-good", method.decode(), at(b"/x", method), lines=method + b" /x HTTP/1.1\r\n")
        for method in (
            b"GET",
            b"HEAD",
            b"POST",
            b"PUT",
            b"PATCH",
            b"DELETE",
            b"PROPFIND",
            b"get",
            b"Get",
            b"M-SEARCH",
            b"trace",
            b"connect",
            TOKEN_CHARACTERS,
        )
    ],
    *refuse(
        "request-line",
        {
            "two-spaces-before-target": line(b"GET  /x HTTP/1.1"),
            "two-spaces-behind-target": line(b"GET /x  HTTP/1.1"),
            "space-behind-version": line(b"GET /x HTTP/1.1 "),
            "tab-before-target": line(b"GET\t/x HTTP/1.1"),
            "tab-behind-target": line(b"GET /x\tHTTP/1.1"),
            "space-in-target": at(b"/a b"),
            "no-target": line(b"GET HTTP/1.1"),
            "empty-target": line(b"GET  HTTP/1.1"),
            "four-words": line(b"GET /x y HTTP/1.1"),
            "only-method": line(b"GET"),
            "text": line(b"hello"),
        },
    ),
    *refuse(
        "version-malformed",
        {
            "0.9-without-version": line(b"GET /x"),
            "0.9-bare": b"GET /x\r\n\r\n",
            "lower-case": line(b"GET /x http/1.1"),
            "mixed-case": line(b"GET /x Http/1.1"),
            "no-number": line(b"GET /x HTTP/"),
            "no-minor": line(b"GET /x HTTP/1"),
            "empty-minor": line(b"GET /x HTTP/1."),
            "leading-zero": line(b"GET /x HTTP/01.1"),
            "two-digits": line(b"GET /x HTTP/1.10"),
            "comma": line(b"GET /x HTTP/1,1"),
            "other-name": line(b"GET /x ICY/1.1"),
            "prefix": line(b"GET /x XHTTP/1.1"),
            "space-in": line(b"GET /x HTTP /1.1"),
            "plus": line(b"GET /x HTTP/+1.1"),
            "unicode-digit": line("GET /x HTTP/1.\u0661".encode()),
        },
    ),
    *refuse(
        "version-unknown",
        {
            "0.9": line(b"GET /x HTTP/0.9"),
            "1.2": line(b"GET /x HTTP/1.2"),
            "1.9": line(b"GET /x HTTP/1.9"),
            "2.0": line(b"GET /x HTTP/2.0"),
            "3.0": line(b"GET /x HTTP/3.0"),
            "9.9": line(b"GET /x HTTP/9.9"),
            "2-preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        },
        status=505,
        slug="version",
    ),
    *refuse(
        "target-malformed",
        {
            "fragment": at(b"/x#y"),
            "fragment-alone": at(b"#y"),
            "fragment-in-query": at(b"/x?a#b"),
            "fragment-in-absolute": at(b"http://api.example/x#y"),
            "relative": at(b"x"),
            "dot": at(b"./x"),
            "query-alone": at(b"?x"),
            "asterisk-for-get": at(b"*"),
            "asterisk-and-path": at(b"*/x", b"OPTIONS"),
            "authority-for-get": at(b"localhost:80"),
            "backslash-first": at(b"\\x"),
        },
        keeps=True,
    ),
    *refuse(
        "target-no-uri",
        {
            "above-ascii": at("/é".encode()),
            "latin-1": at(b"/\xe9"),
            **{f"control-{control.hex()}": at(b"/a" + control + b"b") for control in CONTROLS},
        },
    ),
    *refuse(
        "absolute-malformed",
        {
            "no-authority": at(b"http:///x"),
            "one-slash": at(b"http:/x"),
            "no-slash": at(b"http:x"),
            "userinfo": at(b"http://user@api.example/x"),
            "userinfo-and-password": at(b"http://user:pass@api.example/x"),
            "userinfo-is-a-routed-host": at(b"http://api.example@evil.example/x"),
            "userinfo-encoded": at(b"http://api.example%40evil.example/x"),
            "backslash-behind-host": at(b"http://api.example\\@evil.example/x"),
            "port-zero": at(b"http://api.example:0/x"),
            "port-too-large": at(b"http://api.example:65536/x"),
            "port-no-number": at(b"http://api.example:http/x"),
            "port-signed": at(b"http://api.example:+80/x"),
            "two-ports": at(b"http://api.example:80:80/x"),
            "ftp": at(b"ftp://api.example/x"),
            "ws": at(b"ws://api.example/x"),
            "file": at(b"file:///etc/passwd"),
            "no-scheme": at(b"://api.example/x"),
            "ipv6-unclosed": at(b"http://[::1/x"),
            "ipv6-no-address": at(b"http://[x]/x"),
        },
        keeps=True,
    ),
    *[
        RequestCase("target-origin", name, at(target), lines=b"GET " + target + b" HTTP/1.1\r\n")
        for name, target in (
            ("slash", b"/"),
            ("query", b"/x?a=b&a=c"),
            ("empty-query", b"/x?"),
            ("two-question-marks", b"/x??a"),
            ("escapes", b"/%41%2f%2F%20?%41+%2B"),
            ("bad-escape", b"/x?%zz%"),
            ("semicolon", b"/x;a=b"),
            ("at-sign", b"/user@host"),
            ("scheme-in-path", b"/http://evil.example/"),
            ("no-uri-characters", b'/x?{|}^`"<>'),
            ("empty-segments-behind", b"/x//y//"),
            ("every-sub-delim", b"/!$&'()*+,;=:@-._~"),
            ("8000-octets", b"/" + b"a" * 7999),
        )
    ],
    *[
        RequestCase(
            "target-absolute",
            name,
            hosted(host, b"GET " + target + b" HTTP/1.1"),
            lines=b"GET " + kept + b" HTTP/1.1\r\n",
        )
        for name, target, host, kept in (
            ("same-host", b"http://api.example/x", b"Host: api.example\r\n", b"/x"),
            ("other-host-in-host", b"http://api.example/x", b"Host: evil.example\r\n", b"/x"),
            ("local-host-in-host", b"http://api.example/x", b"Host: localhost\r\n", b"/x"),
            ("no-path", b"http://api.example", b"Host: api.example\r\n", b"/"),
            ("no-path-but-query", b"http://api.example?a", b"Host: api.example\r\n", b"/?a"),
            ("query", b"http://api.example/x?a=http://b/", b"Host: api.example\r\n", b"/x?a=http://b/"),
            ("port", b"http://api.example:8080/x", b"Host: api.example:8080\r\n", b"/x"),
            ("empty-port", b"http://api.example:/x", b"Host: api.example\r\n", b"/x"),
            ("upper-case", b"HTTP://API.EXAMPLE/x", b"Host: API.EXAMPLE\r\n", b"/x"),
            ("final-dot", b"http://api.example./x", b"Host: api.example.\r\n", b"/x"),
            ("https", b"https://api.example/x", b"Host: api.example\r\n", b"/x"),
        )
    ],
    *refuse(
        "target-foreign",
        {
            "absolute": at(b"http://evil.example/x"),
            "absolute-host-routed": hosted(b"Host: api.example\r\n", b"GET http://evil.example/x HTTP/1.1"),
            "subdomain": at(b"http://api.example.evil.example/x"),
            "address": at(b"http://169.254.169.254/latest/meta-data/"),
            "loopback": at(b"http://127.0.0.1:9090/"),
            "ipv6": at(b"http://[::1]/x"),
            "octal-address": at(b"http://0177.0.0.1/x"),
        },
        status=403,
        slug="target_not_allowed",
        keeps=True,
    ),
    *refuse(
        "host-missing",
        {
            "1.1": hosted(b""),
            "absolute-form": hosted(b"", b"GET http://api.example/x HTTP/1.1"),
            "underscore": hosted(b"Ho_st: localhost\r\n"),
            "options": hosted(b"", b"OPTIONS * HTTP/1.1"),
        },
        keeps=True,
    ),
    *refuse(
        "host-twice",
        {
            "same": hosted(HOST + HOST),
            "differing": hosted(HOST + b"Host: evil.example\r\n"),
            "other-case": hosted(HOST + b"HOST: localhost\r\n"),
            "one-empty": hosted(HOST + b"Host:\r\n"),
            "apart": hosted(HOST + b"A: b\r\nHost: localhost\r\n"),
            "absolute-form": hosted(HOST + HOST, b"GET http://api.example/x HTTP/1.1"),
        },
        keeps=True,
    ),
    RequestCase("host-twice", "1.0", hosted(HOST + HOST, b"GET /x HTTP/1.0"), 400, "malformed", keeps=False),
    *refuse(
        "host-invalid",
        {
            name: hosted(b"Host: " + value + b"\r\n")
            for name, value in {
                "empty": b"",
                "list": b"localhost, localhost",
                "list-differing": b"localhost,evil.example",
                "path": b"localhost/x",
                "query": b"localhost?x",
                "fragment": b"localhost#x",
                "scheme": b"http://localhost",
                "userinfo": b"user@localhost",
                "space": b"local host",
                "tab": b"local\thost",
                "backslash": b"localhost\\x",
                "port-no-number": b"localhost:x",
                "port-zero": b"localhost:0",
                "port-too-large": b"localhost:65536",
                "port-signed": b"localhost:+80",
                "port-negative": b"localhost:-1",
                "two-ports": b"localhost:80:80",
                "port-alone": b":80",
                "above-ascii": "löcalhost".encode(),
                "percent-encoded": b"local%68ost",
                "ipv6-bare": b"::1",
                "ipv6-unclosed": b"[::1",
                "ipv6-zone": b"[fe80::1%25eth0]",
                "ipv6-and-text": b"[::1]x",
                "bracketed-name": b"[localhost]",
                "empty-label": b"a..b",
                "label-of-64": b"a" * 64,
                "name-of-254": b".".join([b"a" * 63] * 4)[:254],
                "quote": b'"localhost"',
                "semicolon": b"localhost;x",
                "angle": b"<localhost>",
                "dot": b".",
            }.items()
        },
        keeps=True,
    ),
    *[
        RequestCase("host-good", name, hosted(b"Host: " + value + b"\r\n"), lines=GET)
        for name, value in (
            ("name", b"localhost"),
            ("port", b"localhost:8080"),
            ("empty-port", b"localhost:"),
            ("upper-case", b"LOCALHOST"),
            ("final-dot", b"localhost."),
            ("ipv4", b"127.0.0.1"),
            ("ipv4-and-port", b"10.1.2.3:80"),
            ("ipv6", b"[::1]"),
            ("ipv6-and-port", b"[2001:db8::1]:8080"),
            ("underscore", b"cad_server"),
            ("local", b"cad.local"),
            ("routed", b"api.example"),
            ("tab-around", b"\tlocalhost\t"),
            ("port-65535", b"localhost:65535"),
        )
    ],
    *refuse(
        "host-foreign",
        {
            "name": hosted(b"Host: evil.example\r\n"),
            "rebound": hosted(b"Host: 127.0.0.1.evil.example\r\n"),
            "with-port": hosted(b"Host: evil.example:8080\r\n"),
        },
        status=421,
        slug="wrong_host",
        keeps=True,
    ),
    RequestCase("http-1.0", "without-host", b"GET /x HTTP/1.0\r\n\r\n", lines=GET, version=b"1.0", keeps=False),
    RequestCase("http-1.0", "with-host", hosted(HOST, b"GET /x HTTP/1.0"), lines=GET, version=b"1.0", keeps=False),
    RequestCase(
        "http-1.0",
        "close",
        hosted(HOST + b"Connection: close\r\n", b"GET /x HTTP/1.0"),
        lines=GET,
        version=b"1.0",
        keeps=False,
    ),
    RequestCase(
        "http-1.0",
        "length",
        post(b"Content-Length: 5\r\n", b"hello", b"1.0"),
        lines=b"POST /x HTTP/1.1\r\nContent-Length: 5\r\n",
        body=b"hello",
        version=b"1.0",
        keeps=False,
    ),
    RequestCase(
        "http-1.0-keep-alive",
        "keep-alive",
        hosted(HOST + b"Connection: Keep-Alive\r\n", b"GET /x HTTP/1.0"),
        lines=GET,
        version=b"1.0",
    ),
    RequestCase(
        "http-1.0-keep-alive",
        "proxy-connection",
        hosted(HOST + b"Proxy-Connection: keep-alive\r\n", b"GET /x HTTP/1.0"),
        lines=GET,
        version=b"1.0",
        keeps=False,
    ),
    RequestCase("line-limit", "at-the-limit", line(_size_line(MOST_LINE)), lines=_size_line(MOST_LINE) + b"\r\n"),
    *refuse(
        "line-limit",
        {
            "one-more": line(_size_line(MOST_LINE + 1)),
            "endless": b"GET /" + b"a" * (2 * MOST_LINE),
            "endless-method": b"A" * (2 * MOST_LINE),
        },
        status=414,
        slug="target_too_long",
    ),
    RequestCase(
        "head-limit", "at-the-limit", _size_head(MOST_HEAD), lines=GET + _size_head(MOST_HEAD)[:-2].split(HOST)[1]
    ),
    RequestCase(
        "head-limit",
        "fields-at-the-limit",
        get(b"A: b\r\n" * (MOST_FIELDS - 1)),
        lines=GET + b"A: b\r\n" * (MOST_FIELDS - 1),
    ),
    *refuse(
        "head-limit",
        {
            "one-more": _size_head(MOST_HEAD + 1),
            "endless-field": get()[:-2] + b"A: " + b"a" * MOST_HEAD,
            "endless-fields": get()[:-2] + b"A: b\r\n" * (MOST_HEAD // 6),
            "one-field-more": get(b"A: b\r\n" * MOST_FIELDS),
        },
        status=431,
        slug="head_too_large",
    ),
    *refuse(
        "not-http",
        {
            "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 32,
            "ssh": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
            "smtp": b"EHLO localhost\r\n\r\n",
            "binary": bytes(range(0x80, 0x100)) + b"\r\n\r\n",
            "response": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        },
    ),
]

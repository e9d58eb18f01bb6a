"""Requests whose length is told well, badly, or twice (RFC 9112, sections 6 and 7)."""

from __future__ import annotations

from conformance.cases import RequestCase, chunked, post, refuse

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
ONE_CHUNK = b"5\r\nhello\r\n0\r\n\r\n"
POST = b"POST /x HTTP/1.1\r\n"
MOST_BODY = 65_536
"""limits.body of the proxy that the cases run against."""

ODD_BYTES = bytes.fromhex("01 04 08 09 0a 0b 0c 0d 1f 20 7f a0 ff")
ODD_PLACES = {
    "before-name": b"%bTransfer-Encoding: chunked\r\n",
    "in-name": b"Transfer%bEncoding: chunked\r\n",
    "before-colon": b"Transfer-Encoding%b: chunked\r\n",
    "for-space": b"Transfer-Encoding:%bchunked\r\n",
    "behind-space": b"Transfer-Encoding: %bchunked\r\n",
    "in-value": b"Transfer-Encoding: chun%bked\r\n",
    "behind-value": b"Transfer-Encoding: chunked%b\r\n",
    "in-other-value": b"X: X%bTransfer-Encoding: chunked\r\n",
    "behind-cr": b"X: X\r%bTransfer-Encoding: chunked\r\n",
    "before-lf": b"X: X%b\nTransfer-Encoding: chunked\r\n",
}
"""Where defparam's smuggler puts an odd byte, so that one of two servers overlooks the coding."""
HARMLESS = b"\t \xa0\xff"
"""In another field's value these are part of that value."""


def _mutate() -> list[RequestCase]:
    cases = []
    for place, template in ODD_PLACES.items():
        for byte in ODD_BYTES:
            fields = template % bytes([byte])
            sent = post(b"Content-Length: 5\r\n" + fields, b"hello")
            name = f"{place}-{byte:02x}"
            if place == "in-other-value" and byte in HARMLESS:
                lines = POST + b"Content-Length: 5\r\n" + fields
                cases.append(RequestCase("coding-hidden", name, sent, lines=lines, body=b"hello"))
            else:
                cases.append(RequestCase("coding-hidden", name, sent, 400, "malformed", keeps=False))
    return cases


LENGTHS = {
    "plus": b"+5",
    "minus": b"-5",
    "minus-zero": b"-0",
    "hex": b"0x5",
    "octal": b"0o5",
    "underscore": b"1_0",
    "point": b"5.0",
    "exponent": b"5e0",
    "inner-space": b"1 0",
    "empty": b"",
    "word": b"five",
    "quoted": b'"5"',
    "unicode-digit": "\u0665".encode(),
    "superscript": b"\xb2",
    "unit": b"5bytes",
    "parameter": b"5;x",
    "19-digits": b"1" + b"0" * 18,
    "64-bit-overflow": b"18446744073709551621",
    "32-bit-overflow-as-hex": b"100000005h",
    "endless": b"9" * 4000,
    "list-equal": b"5,5",
    "list-equal-space": b"5, 5",
    "list-differing": b"5, 6",
    "list-empty-member": b"5,",
    "comma": b",",
}
BAD_CHUNKS = {
    "no-size": b"\r\nhello\r\n0\r\n\r\n",
    "not-hex": b"g\r\nhello\r\n0\r\n\r\n",
    "0x": b"0x5\r\nhello\r\n0\r\n\r\n",
    "plus": b"+5\r\nhello\r\n0\r\n\r\n",
    "minus": b"-5\r\nhello\r\n0\r\n\r\n",
    "minus-zero": b"-0\r\n\r\n",
    "underscore": b"0_5\r\nhello\r\n0\r\n\r\n",
    "space-before": b" 5\r\nhello\r\n0\r\n\r\n",
    "tab-before": b"\t5\r\nhello\r\n0\r\n\r\n",
    "space-behind": b"5 \r\nhello\r\n0\r\n\r\n",
    "inner-space": b"0 5\r\nhello\r\n0\r\n\r\n",
    "point": b"5.0\r\nhello\r\n0\r\n\r\n",
    "quoted": b'"5"\r\nhello\r\n0\r\n\r\n',
    "unicode-digit": "\u0665\r\nhello\r\n0\r\n\r\n".encode(),
    "nul": b"5\0\r\nhello\r\n0\r\n\r\n",
    "vertical-tab": b"\x0b5\r\nhello\r\n0\r\n\r\n",
    "16-digits": b"0000000000000005\r\nhello\r\n0\r\n\r\n",
    "64-bit-overflow": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    "32-digits": b"f" * 32 + b"\r\nhello\r\n0\r\n\r\n",
    "size-lf": b"5\nhello\r\n0\r\n\r\n",
    "size-cr": b"5\rhello\r\n0\r\n\r\n",
    "size-crcrlf": b"5\r\r\nhello\r\n0\r\n\r\n",
    "data-lf": b"5\r\nhello\n0\r\n\r\n",
    "data-cr": b"5\r\nhello\r0\r\n\r\n",
    "data-too-long": b"5\r\nhello!\r\n0\r\n\r\n",
    "data-no-end": b"5\r\nhello0\r\n\r\n",
    "last-lf": b"5\r\nhello\r\n0\n\r\n",
    "last-lf-lf": b"5\r\nhello\r\n0\n\n",
    "end-lf": b"5\r\nhello\r\n0\r\n\n",
    "extension-lf": b"5;a\nhello\r\n0\r\n\r\n",
    "extension-lf-in-quotes": b'5;a="\n"\r\nhello\r\n0\r\n\r\n',
    "extension-cr": b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    "extension-nul": b"5;a=\0\r\nhello\r\n0\r\n\r\n",
    "extension-without-semicolon": b"5 a=b\r\nhello\r\n0\r\n\r\n",
    "extension-huge": b"5;a=" + b"b" * 9000 + b"\r\nhello\r\n0\r\n\r\n",
    "line-257-bytes": b"5;" + b"a" * 255 + b"\r\nhello\r\n0\r\n\r\n",
    "trailer-no-colon": b"5\r\nhello\r\n0\r\nX\r\n\r\n",
    "trailer-space-before-colon": b"5\r\nhello\r\n0\r\nX : y\r\n\r\n",
    "trailer-folded": b"5\r\nhello\r\n0\r\nX: y\r\n z\r\n\r\n",
    "trailer-empty-name": b"5\r\nhello\r\n0\r\n: y\r\n\r\n",
    "trailer-lf": b"5\r\nhello\r\n0\r\nX: y\n\r\n",
    "trailer-cr": b"5\r\nhello\r\n0\r\nX: a\rb\r\n\r\n",
    "trailer-nul": b"5\r\nhello\r\n0\r\nX: a\0b\r\n\r\n",
    "trailer-huge": b"5\r\nhello\r\n0\r\nX: " + b"y" * 9000 + b"\r\n\r\n",
    "trailers-too-many": b"5\r\nhello\r\n0\r\n" + b"X: y\r\n" * 3000 + b"\r\n",
}
"""Bodies that no one can say the end of; sent with the head, and once more behind it."""
GOOD_CHUNKS = {
    "one": (ONE_CHUNK, b"hello"),
    "two": (b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", b"hello"),
    "empty": (b"0\r\n\r\n", b""),
    "zeros-for-last": (b"5\r\nhello\r\n000\r\n\r\n", b"hello"),
    "leading-zeros": (b"00000005\r\nhello\r\n0\r\n\r\n", b"hello"),
    "15-digits": (b"000000000000005\r\nhello\r\n0\r\n\r\n", b"hello"),
    "upper-case-hex": (b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
    "lower-case-hex": (b"a\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
    "looks-like-a-request": (b"%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED), SMUGGLED),
    "looks-like-the-last-chunk": (b"5\r\n0\r\n\r\n\r\n0\r\n\r\n", b"0\r\n\r\n"),
    "every-octet": (b"100\r\n" + bytes(range(256)) + b"\r\n0\r\n\r\n", bytes(range(256))),
}
EXTENSIONS = {
    "name": b"5;a\r\nhello\r\n0\r\n\r\n",
    "name-and-value": b"5;a=b\r\nhello\r\n0\r\n\r\n",
    "quoted": b'5;a="b c;d"\r\nhello\r\n0\r\n\r\n',
    "quoted-pair": b'5;a="\\""\r\nhello\r\n0\r\n\r\n',
    "several": b"5;a=b;c;d=e\r\nhello\r\n0\r\n\r\n",
    "space-around": b"5 ; a = b\r\nhello\r\n0\r\n\r\n",
    "on-the-last": b"5\r\nhello\r\n0;a=b\r\n\r\n",
    "looks-like-a-size": b"5;0\r\nhello\r\n0\r\n\r\n",
    "256-bytes": b"5;" + b"a" * 254 + b"\r\nhello\r\n0\r\n\r\n",
}
TRAILERS = {
    "one": b"X-Sum: 1\r\n",
    "several": b"X-Sum: 1\r\nX-Sum: 2\r\nX-Other:\r\n",
    "content-length": b"Content-Length: 999\r\n",
    "transfer-encoding": b"Transfer-Encoding: chunked\r\n",
    "host": b"Host: evil.example\r\n",
    "authorization": b"Authorization: Bearer stolen\r\n",
    "connection": b"Connection: close\r\n",
    "via": b"Via: 1.1 elsewhere\r\n",
}
CODINGS = {
    "identity": b"identity",
    "gzip": b"gzip",
    "gzip-then-chunked": b"gzip, chunked",
    "chunked-then-gzip": b"chunked, gzip",
    "chunked-twice": b"chunked, chunked",
    "chunked-then-identity": b"chunked, identity",
    "identity-then-chunked": b"identity, chunked",
    "empty": b"",
    "comma-behind": b"chunked,",
    "comma-before": b",chunked",
    "parameter": b"chunked;q=1",
    "quoted": b'"chunked"',
    "prefix": b"xchunked",
    "suffix": b"chunkedx",
    "short": b"chunk",
    "dotless-i": "\u0131dentity".encode(),
    "kelvin-sign": "chun\u212aed".encode(),
    "nul-behind": b"chunked\0",
}

FRAMING = [
    *refuse(
        "length-and-coding",
        {
            "length-first": post(b"Content-Length: 5\r\n" + CHUNKED, ONE_CHUNK),
            "coding-first": post(CHUNKED + b"Content-Length: 5\r\n", ONE_CHUNK),
            "length-zero": post(b"Content-Length: 0\r\n" + CHUNKED, ONE_CHUNK),
            "length-of-chunks": post(b"Content-Length: %d\r\n" % len(ONE_CHUNK) + CHUNKED, ONE_CHUNK),
            "length-invalid": post(b"Content-Length: x\r\n" + CHUNKED, ONE_CHUNK),
            "coding-identity": post(b"Content-Length: 5\r\nTransfer-Encoding: identity\r\n", b"hello"),
            "coding-empty": post(b"Content-Length: 5\r\nTransfer-Encoding:\r\n", b"hello"),
            "smuggled-behind-chunks": post(b"Content-Length: 60\r\n" + CHUNKED, b"0\r\n\r\n" + SMUGGLED),
            "smuggled-behind-length": post(b"Content-Length: 5\r\n" + CHUNKED, b"0\r\n\r\n" + SMUGGLED),
            "named-in-connection": post(b"Connection: Content-Length\r\nContent-Length: 5\r\n" + CHUNKED, ONE_CHUNK),
        },
    ),
    *refuse(
        "length-invalid",
        {name: post(b"Content-Length: " + value + b"\r\n", b"hello") for name, value in LENGTHS.items()},
    ),
    *refuse(
        "length-twice",
        {
            "equal": post(b"Content-Length: 5\r\nContent-Length: 5\r\n", b"hello"),
            "differing": post(b"Content-Length: 5\r\nContent-Length: 6\r\n", b"hello!"),
            "apart": post(b"Content-Length: 5\r\nX: y\r\nContent-Length: 0\r\n", b"hello"),
            "other-case": post(b"Content-Length: 5\r\ncontent-length: 6\r\n", b"hello!"),
            "one-empty": post(b"Content-Length: 5\r\nContent-Length:\r\n", b"hello"),
        },
    ),
    *[
        RequestCase("length-good", name, post(fields, body), lines=POST + kept, body=body)
        for name, fields, kept, body in (
            ("five", b"Content-Length: 5\r\n", b"Content-Length: 5\r\n", b"hello"),
            ("zero", b"Content-Length: 0\r\n", b"Content-Length: 0\r\n", b""),
            ("space-around", b"Content-Length: \t 5 \t\r\n", b"Content-Length: 5\r\n", b"hello"),
            ("no-space", b"Content-Length:5\r\n", b"Content-Length: 5\r\n", b"hello"),
            ("leading-zeros", b"Content-Length: 0005\r\n", b"Content-Length: 0005\r\n", b"hello"),
            ("no-length", b"", b"", b""),
            (
                "named-in-connection",
                b"Connection: Content-Length\r\nContent-Length: 5\r\n",
                b"Content-Length: 5\r\n",
                b"hello",
            ),
            (
                "request-in-it",
                b"Content-Length: %d\r\n" % len(SMUGGLED),
                b"Content-Length: %d\r\n" % len(SMUGGLED),
                SMUGGLED,
            ),
            (
                "underscore-is-no-length",
                b"Content_Length: 3\r\nContent-Length: 5\r\n",
                b"Content-Length: 5\r\n",
                b"hello",
            ),
        )
    ],
    *refuse(
        "coding-unknown",
        {name: post(b"Transfer-Encoding: " + value + b"\r\n", ONE_CHUNK) for name, value in CODINGS.items()},
    ),
    *refuse(
        "coding-twice",
        {
            "chunked-twice": post(CHUNKED + CHUNKED, ONE_CHUNK),
            "identity-then-chunked": post(b"Transfer-Encoding: identity\r\n" + CHUNKED, ONE_CHUNK),
            "chunked-then-identity": post(CHUNKED + b"Transfer-Encoding: identity\r\n", ONE_CHUNK),
            "chunked-then-unknown": post(CHUNKED + b"Transfer-Encoding: cow\r\n", ONE_CHUNK),
            "chunked-then-empty": post(CHUNKED + b"Transfer-Encoding:\r\n", ONE_CHUNK),
        },
    ),
    *_mutate(),
    *refuse(
        "coding-in-1.0",
        {
            "chunked": post(CHUNKED, ONE_CHUNK, b"1.0"),
            "keep-alive": post(b"Connection: keep-alive\r\n" + CHUNKED, ONE_CHUNK, b"1.0"),
        },
        status=411,
        slug="length_required",
    ),
    *refuse(
        "coding-in-1.0",
        {"and-length": post(b"Connection: keep-alive\r\nContent-Length: 5\r\n" + CHUNKED, ONE_CHUNK, b"1.0")},
    ),
    *[
        RequestCase("coding-good", name, post(fields, ONE_CHUNK), lines=POST + kept, body=b"hello", is_chunked=True)
        for name, fields, kept in (
            ("plain", CHUNKED, b""),
            ("upper-case", b"TRANSFER-ENCODING: CHUNKED\r\n", b""),
            ("no-space", b"Transfer-Encoding:chunked\r\n", b""),
            ("tabs-around", b"Transfer-Encoding: \tchunked\t \r\n", b""),
            ("named-in-connection", b"Connection: Transfer-Encoding\r\n" + CHUNKED, b""),
            ("underscore-is-no-coding", b"Transfer_Encoding: gzip\r\n" + CHUNKED, b""),
            ("trailer-announced", b"Trailer: X-Sum\r\n" + CHUNKED, b""),
        )
    ],
    *refuse("chunk-bad", {name: chunked(body) for name, body in BAD_CHUNKS.items()}),
    *[
        RequestCase("chunk-good", name, chunked(sent), lines=POST, body=body, is_chunked=True)
        for name, (sent, body) in GOOD_CHUNKS.items()
    ],
    *[
        RequestCase("chunk-extension", name, chunked(sent), lines=POST, body=b"hello", is_chunked=True)
        for name, sent in EXTENSIONS.items()
    ],
    *[
        RequestCase(
            "trailer",
            name,
            chunked(b"5\r\nhello\r\n0\r\n" + lines + b"\r\n"),
            lines=POST,
            body=b"hello",
            is_chunked=True,
        )
        for name, lines in TRAILERS.items()
    ],
    *[
        RequestCase(
            "body-of-any-method",
            method.decode(),
            method + b" /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello",
            lines=method + b" /x HTTP/1.1\r\nContent-Length: 5\r\n",
            body=b"hello",
        )
        for method in (b"GET", b"HEAD", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"REPORT")
    ],
    *[
        RequestCase(
            "body-limit", f"{name}-at-the-limit", sent, lines=POST + kept, body=bytes(MOST_BODY), is_chunked=not kept
        )
        for name, sent, kept in (
            (
                "length",
                post(b"Content-Length: %d\r\n" % MOST_BODY, bytes(MOST_BODY)),
                b"Content-Length: %d\r\n" % MOST_BODY,
            ),
            ("chunks", chunked(b"%x\r\n%b\r\n0\r\n\r\n" % (MOST_BODY, bytes(MOST_BODY))), b""),
        )
    ],
    *refuse(
        "body-limit",
        {
            "length-one-more": post(b"Content-Length: %d\r\n" % (MOST_BODY + 1)),
            "length-18-digits": post(b"Content-Length: " + b"9" * 18 + b"\r\n"),
        },
        status=413,
        slug="body_too_large",
    ),
]

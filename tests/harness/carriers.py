"""Requests that carry secrets where a client should not put them, in every place and encoding that comes to mind."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus, urlencode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.canaries import Canary

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"


def build_request(path: str, *fields: bytes, method: str = "GET", body: bytes = b"") -> bytes:
    """Build a request that is the last on its connection."""
    lines = [f"{method} {path} HTTP/1.1".encode(), b"Host: localhost", b"Connection: close", *fields]
    if body:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join([*lines, b"", b""]) + body


def carry_in_heads(path: str, canaries: Sequence[Canary]) -> Iterator[bytes]:
    """Yield requests without a body; ``path`` leads to something that answers."""
    for canary in canaries:
        value = canary.value
        raw = value.encode()
        login = base64.b64encode(b"user:" + raw)
        yield build_request(path, b"Authorization: Basic " + login)
        yield build_request(path, b"Authorization: basic   " + base64.b64encode(raw))
        yield build_request(path, b"Authorization: Digest username=user, response=" + quote(value).encode())
        yield build_request(path, b"Authorization: " + login)
        yield build_request(path, b"Proxy-Authorization: Basic " + login)
        yield build_request(path, b"Cookie: session=" + raw, b"X-Api-Key: " + raw)
        yield build_request(path, b"X-Remark: " + raw, b"User-Agent: cad/" + quote(value).encode())
        yield build_request(path, b"X-Remark: " + value.encode("latin-1", "replace"))
        yield build_request(path, b"X-Remark: " + json.dumps({"remark": value}).encode())
        yield build_request(path, b"X-Remark: " + login, b"X-More: " + raw.hex().encode())
        yield build_request(path, b"Referer: http://user:%s@cad/?x=%s" % ((quote(value, safe="").encode(),) * 2))
        yield build_request(f"{path}?client_secret={quote(value, safe='')}&password={quote_plus(value)}&page=2")
        yield build_request(f"{path}?remark={quote(value)}#".removesuffix("#"))
        yield build_request(f"{path}?remark={quote_plus(quote_plus(value))}")
        yield build_request(f"{path}?remark={''.join(f'%{byte:02x}' for byte in raw)}")
        yield build_request(f"{path}/{quote(value, safe='')}")
        yield build_request(f"{path}?remark={quote(base64.b64encode(raw).decode(), safe='')}")
        yield build_request(f"{path}?remark={base64.urlsafe_b64encode(b'a' + raw).decode()}")


def carry_in_bodies(path: str, canaries: Sequence[Canary]) -> Iterator[bytes]:
    """Yield requests with a body."""
    for canary in canaries:
        for content_type, body in _build_bodies(canary.value):
            yield build_request(path, f"Content-Type: {content_type}".encode(), method="POST", body=body)
        plain = json.dumps({"remark": canary.value}).encode()
        packed = (("gzip", gzip.compress(plain)), ("deflate", zlib.compress(plain)), ("br", plain), ("gzip", plain))
        for coding, body in packed:
            yield build_request(path, f"Content-Encoding: {coding}".encode(), method="POST", body=body)
        yield _build_chunked(path, canary.value.encode(), size=3)


def carry_across_the_cap(path: str, canaries: Sequence[Canary], cap: int) -> Iterator[bytes]:
    """Yield requests whose body is cut by the traffic log in the middle of a secret."""
    for canary in canaries:
        raw = canary.value.encode()
        forms = (
            raw,
            quote(canary.value, safe="").encode(),
            json.dumps(canary.value)[1:-1].encode(),
            base64.b64encode(b"user:" + raw),
            raw.hex().encode(),
        )
        for form in forms:
            for part in (5, 12, len(form) // 2, len(form) - 1):
                yield build_request(path, method="POST", body=b"." * (cap - part) + form + b"." * 10)
                yield build_request(path, method="POST", body=b"\xff" * (cap - part) + form + b"\xff" * 10)
        packed = gzip.compress(b"." * (cap - 12) + raw + b"." * 10)
        yield build_request(path, b"Content-Encoding: gzip", method="POST", body=packed)


def carry_in_malformed(path: str, canaries: Sequence[Canary]) -> Iterator[bytes]:
    """Yield requests that are refused, whatever the route."""
    for canary in canaries:
        raw = canary.value.encode()
        yield from _build_bad_fields(f"GET {path} HTTP/1.1\r\nHost: proxy\r\n".encode(), raw)
        yield from _build_bad_lines(path.encode(), raw, quote(canary.value, safe="").encode())


def _build_bad_fields(start: bytes, raw: bytes) -> Iterator[bytes]:
    for field in (
        b"X-Remark : " + raw,
        b"X-Remark: a\r\n " + raw,
        b"X-Remark: " + raw + b"\0",
        b"X-Remark: " + raw + b"\nX-More: " + raw,
        raw,
        b"Host: " + raw,
        b"Content-Length: " + raw,
        b"Transfer-Encoding: " + raw,
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\nX-Remark: " + raw,
        b"X-Remark: " + raw + b"x" * 70_000,
        b"\r\n".join([b"X-Remark: " + raw] * 200),
    ):
        yield start + field + b"\r\n\r\n"
    yield start + b"X-Remark: " + raw  # and then the end of the connection
    yield start + b"Transfer-Encoding: chunked\r\n\r\n" + raw + b"\r\n"
    yield start.replace(b"GET", b"POST") + b"Content-Length: 999\r\n\r\n" + raw


def _build_bad_lines(path: bytes, raw: bytes, quoted: bytes) -> Iterator[bytes]:
    for line in (
        b"GET " + raw + b" HTTP/1.1",
        b"GET " + path + b" HTTP/" + raw,
        b"GET " + path + b" HTTP/2.0\r\nX-Remark: " + raw,
        raw + b" " + path + b" HTTP/1.1",
        b"GET /nowhere/" + quoted + b" HTTP/1.1",
        b"GET /nowhere/" + quoted + b"x" * 20_000 + b" HTTP/1.1",
        b"GET http://user:" + quoted + b"@proxy/ HTTP/1.1",
        b"GET http://foreign.example/" + quoted + b" HTTP/1.1",
        b"GET " + path + b"/../" + quoted + b" HTTP/1.1",
        b"CONNECT proxy:443 HTTP/1.1\r\nProxy-Authorization: Basic " + raw,
        b"TRACE " + path + b" HTTP/1.1\r\nX-Remark: " + raw,
        b"OPTIONS * HTTP/1.1\r\nX-Remark: " + raw,
    ):
        yield line + b"\r\nHost: proxy\r\n\r\n"
    yield b"GET " + path + b" HTTP/1.1\r\nHost: " + raw + b"\r\n\r\n"


def _build_bodies(value: str) -> Iterator[tuple[str, bytes]]:
    raw = value.encode()
    yield FORM, urlencode({"grant_type": "password", "client_secret": value, "password": value}).encode()
    yield FORM, urlencode({"remark": value}).encode()
    yield FORM, b"remark=" + quote(value).encode()
    yield FORM, b"grant_type=password&client_secret=" + raw + b"&page=2"
    yield JSON, json.dumps({"client_secret": value, "token": value, "remark": value}).encode()
    yield JSON, json.dumps({"remark": [value, {value: value}]}, ensure_ascii=False).encode()
    yield JSON, json.dumps({"remark": json.dumps({"password": value, "x": [value]})}).encode()
    yield JSON, json.dumps({"remark": value}).replace("/", "\\/").encode()
    yield JSON, b'{"client_secret": "' + raw + b'", "broken'
    yield JSON, json.dumps({"remark": base64.b64encode(raw).decode(), "hex": raw.hex()}).encode()
    yield "text/plain", raw
    yield "text/plain", value.encode("latin-1", "replace")
    yield "text/xml", b"<password>" + raw.replace(b"&", b"&amp;").replace(b'"', b"&quot;") + b"</password>"
    yield "application/octet-stream", b"\xff\0\xfe" + raw + b"\0\xff"
    yield (
        "multipart/form-data; boundary=b",
        b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n' + raw + b"\r\n--b--",
    )


def _build_chunked(path: str, body: bytes, size: int) -> bytes:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    chunks = b"".join(b"%x;%s\r\n%s\r\n" % (len(piece), b"x=y", piece) for piece in pieces)
    head = f"POST {path} HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head.encode() + chunks + b"0\r\nX-Trailer: " + body + b"\r\n\r\n"

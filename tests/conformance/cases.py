"""What a case is: the bytes that are sent, and what must come of them on both sides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

HOST = b"Host: localhost\r\n"
PROBE = b"GET /probe HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
"""Sent behind each case: answered only where the gateway could tell where the case ended, and goes on."""
DATE = b"Date: Tue, 24 Nov 2026 12:00:00 GMT\r\n"


@dataclass(frozen=True)
class RequestCase:
    """A request, sent at one go.

    Attributes:
        group: By which the table names it.
        name: Within the group.
        sent: Every byte.
        status: Of the answer to it; None where the connection is closed without one.
        slug: Which refusal it is; empty for a request that is answered.
        lines: Request line and fields that reach the upstream, Host, Via and Authorization aside; None if nothing does.
        body: What reaches the upstream of the body, framing removed.
        is_chunked: Whether it goes on in chunks.
        version: In Via.
        keeps: Whether the client's connection carries the next request.
    """

    group: str
    name: str
    sent: bytes
    status: int = 200
    slug: str = ""
    lines: bytes | None = None
    body: bytes = b""
    is_chunked: bool = False
    version: bytes = b"1.1"
    keeps: bool = True

    @property
    def id(self) -> str:
        """Return group and name."""
        return f"{self.group}/{self.name}"

    @property
    def method(self) -> bytes:
        """Return the method as sent."""
        return self.sent.lstrip(b"\r\n").partition(b" ")[0]

    def build_head(self, host: bytes, pseudonym: bytes, authorization: bytes) -> bytes:
        """Build the head that the upstream must get, byte for byte."""
        assert self.lines is not None
        line, _, fields = self.lines.partition(b"\r\n")
        coding = b"Transfer-Encoding: chunked\r\n" if self.is_chunked else b""
        return b"%b\r\nHost: %b\r\n%b%bVia: %b %b\r\nAuthorization: %b\r\n\r\n" % (
            line,
            host,
            fields,
            coding,
            self.version,
            pseudonym,
            authorization,
        )


@dataclass(frozen=True)
class AnswerCase:
    """An upstream's answer to a request for ``/x``.

    Attributes:
        group: By which the table names it.
        name: Within the group.
        answer: Every byte that the upstream sends.
        closes: Whether it closes behind them.
        method: Of the request.
        version: Of the client.
        head: Status line and fields that reach the client, Via and framing aside; None if it gets 502.
        body: What reaches it of the body, framing removed.
        framing: Lines that the proxy adds at the end of the head.
        is_whole: Whether the client sees the body come to its end.
        keeps: Whether the client's connection carries the next request.
        reuses: Whether the upstream's does.
        interim: Heads of 1xx that reach the client before.
    """

    group: str
    name: str
    answer: bytes
    closes: bool = False
    method: bytes = b"GET"
    version: bytes = b"1.1"
    head: bytes | None = None
    body: bytes = b""
    framing: bytes = b""
    via: bytes = b"1.1"
    is_whole: bool = True
    keeps: bool = True
    reuses: bool = True
    interim: tuple[bytes, ...] = ()

    @property
    def id(self) -> str:
        """Return group and name."""
        return f"{self.group}/{self.name}"


def get(fields: bytes = b"", line: bytes = b"GET /x HTTP/1.1") -> bytes:
    """Build a request without a body; ``fields`` stand behind Host."""
    return line + b"\r\n" + HOST + fields + b"\r\n"


def post(fields: bytes, body: bytes = b"", version: bytes = b"1.1") -> bytes:
    """Build a POST; ``fields`` frame the body, or try to."""
    return get(fields, b"POST /x HTTP/" + version) + body


def chunked(body: bytes) -> bytes:
    """Build a POST with a body in chunks, written as it is."""
    return post(b"Transfer-Encoding: chunked\r\n", body)


def refuse(
    group: str, cases: Mapping[str, bytes], *, status: int = 400, slug: str = "malformed", keeps: bool = False
) -> Iterable[RequestCase]:
    """Make cases that are answered by the proxy, reach no upstream, and end the connection unless it ``keeps``."""
    return [RequestCase(group, name, sent, status, slug, keeps=keeps) for name, sent in cases.items()]

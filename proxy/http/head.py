"""Heads of HTTP/1 messages: bytes to a head, strictly (RFC 9112, sections 2 to 5).

The rule of this file: what two parsers could read differently is not read at all.  The parser is our own because
the traffic record wants every name and value as text, as received, which a callback parser has to be asked for
field by field: measured, the two cost the same, and here each rule stands beside its section.

A head arrives whole: whoever calls has found the empty line that ends it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple, NoReturn

from proxy.errors import Malformed, UpstreamProtocol, VersionNotSupported

HEAD_END = b"\r\n\r\n"

TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""RFC 9110, section 5.6.2."""
FIELD_VALUE = re.compile(r"[\t -~\x80-\xff]*")
"""RFC 9110, section 5.5: visible ASCII, SP, HTAB and obs-text; no other control."""
REQUEST_VERSION = re.compile(r"HTTP/[0-9]\.[0-9]")
STATUS_LINE = re.compile(r"HTTP/1\.([01]) ([1-5][0-9]{2})(?: ([\t -~\x80-\xff]*))?")
"""RFC 9112, section 4.  The last SP may be missing: many servers leave it out with an empty reason."""

Fields = list[tuple[str, str]]
"""Name and value of each field line, in the order and case received; bytes above 0x7F as latin-1."""


@dataclass(slots=True)
class RequestHead:
    """A request's head as received.

    Attributes:
        method: Case as received; methods are case-sensitive (RFC 9110, section 9.1).
        target: The request target as received, byte for byte: visible ASCII.  RFC 3986 allows less; legacy clients
            send ``|`` and ``{`` as well, and they pass as they are.
        minor: 1 for HTTP/1.1, 0 for HTTP/1.0.
        fields: Every field line.
        names: The lower-case name of each field line, in the same order.
        wires: Each field line as it leaves again, in the same order.
        size: Bytes, the empty line included.
    """

    method: str
    target: str
    minor: int
    fields: Fields
    names: list[str]
    wires: list[str]
    size: int

    def all(self, name: str) -> list[str]:
        """Return the values of every field line called ``name`` (in lower case)."""
        return [field[1] for field, lower in zip(self.fields, self.names, strict=True) if lower == name]


@dataclass(slots=True)
class ResponseHead:
    """An answer's head as received, or as the proxy built it.

    Attributes:
        status: 100 to 599.
        reason: May be empty.
        minor: 1 for HTTP/1.1, 0 for HTTP/1.0.
        fields: Every field line.
        names: The lower-case name of each field line, in the same order.
        wires: Each field line as it leaves again, in the same order.
        size: Bytes, the empty line included.
    """

    status: int
    reason: str
    minor: int
    fields: Fields
    names: list[str]
    wires: list[str]
    size: int

    def all(self, name: str) -> list[str]:
        """Return the values of every field line called ``name`` (in lower case)."""
        return [field[1] for field, lower in zip(self.fields, self.names, strict=True) if lower == name]


class FieldLine(NamedTuple):
    """One field line, checked.

    Attributes:
        pair: Name and value as received, the white space around the value taken off.
        name: In lower case.
        wire: ``name: value``, as it leaves again.
    """

    pair: tuple[str, str]
    name: str
    wire: str


class _FieldLines(dict[str, FieldLine]):
    """Field lines seen of late, each checked once.

    A client sends the same ``User-Agent`` with every request, an upstream the same ``Content-Type`` with every answer;
    to look a line up costs a tenth of taking it apart.  What may hold a secret is never remembered.
    """

    MOST = 2048
    """Past this all are forgotten, and those in use learnt anew: lines that differ each time push nothing useful out
    for long, and no line has to be counted."""
    LONGEST = 256
    SECRET = frozenset({"authorization", "cookie", "proxy-authorization", "set-cookie"})

    def __missing__(self, line: str) -> FieldLine:
        """Check a line (RFC 9112, section 5).

        Raises:
            ValueError: If it is none; the message says why.
        """
        name, colon, value = line.partition(":")
        if not colon:
            message = "a field line has no colon"
            raise ValueError(message)
        if TOKEN.fullmatch(name) is None:
            message = "a field name is not a token (white space before the colon, or a folded line)"
            raise ValueError(message)
        # isprintable() is one pass in C and true of nearly every line; the pattern decides about the rest.
        if not line.isprintable() and FIELD_VALUE.fullmatch(value) is None:
            raise ValueError(CONTROL_CHARACTER)
        value = value.strip(" \t")
        lower = name.lower()
        parsed = FieldLine((name, value), lower, f"{name}: {value}")
        if len(line) <= self.LONGEST and lower not in self.SECRET:
            if len(self) >= self.MOST:
                self.clear()
            self[line] = parsed
        return parsed


CONTROL_CHARACTER = "the head has a control character, or a line that does not end in CRLF"
"""A CR or LF that is not part of a CRLF stays inside a line and is found there (RFC 9112, section 2.2)."""

_field_lines = _FieldLines()


def parse_request_head(data: bytes) -> RequestHead:
    """Parse a request's head.

    Args:
        data: From the request line to the empty line, both included; no empty lines before it.

    Raises:
        Malformed: If any octet is not where the grammar has it.
        VersionNotSupported: If it is HTTP, and not 1.0 or 1.1.
    """
    lines = data[:-4].decode("latin-1").split("\r\n")
    method, _, rest = lines[0].partition(" ")
    target, _, version = rest.partition(" ")
    if version not in {"HTTP/1.1", "HTTP/1.0"}:
        _refuse_version(version)
    if TOKEN.fullmatch(method) is None:
        _refuse(Malformed, "the method is not a token")
    if not (target and target.isascii() and target.isprintable()):
        _refuse(Malformed, "the request target has a character that a URI cannot have")
    parsed = _parse_fields(lines, Malformed)
    return RequestHead(
        method,
        target,
        1 if version == "HTTP/1.1" else 0,
        [line.pair for line in parsed],
        [line.name for line in parsed],
        [line.wire for line in parsed],
        len(data),
    )


def parse_response_head(data: bytes) -> ResponseHead:
    """Parse an answer's head.

    Args:
        data: From the status line to the empty line, both included.

    Raises:
        UpstreamProtocol: If any octet is not where the grammar has it.
    """
    lines = data[:-4].decode("latin-1").split("\r\n")
    match = STATUS_LINE.fullmatch(lines[0])
    if match is None:
        _refuse(UpstreamProtocol, "the status line is malformed")
    minor, status, reason = match.groups()
    parsed = _parse_fields(lines, UpstreamProtocol)
    return ResponseHead(
        int(status),
        reason or "",
        int(minor),
        [line.pair for line in parsed],
        [line.name for line in parsed],
        [line.wire for line in parsed],
        len(data),
    )


def _parse_fields(lines: list[str], error: type[Malformed | UpstreamProtocol]) -> list[FieldLine]:
    """Parse the field lines after the first line."""
    try:
        return [_field_lines[line] for line in lines[1:]]
    except ValueError as invalid:
        raise error(str(invalid)) from None


def _refuse_version(version: str) -> NoReturn:
    if REQUEST_VERSION.fullmatch(version):
        detail = f"{version} is not spoken here; use HTTP/1.1"
        raise VersionNotSupported(detail)
    _refuse(Malformed, "the request line is not METHOD SP TARGET SP HTTP/1.1")


def _refuse(error: type[Malformed | UpstreamProtocol], detail: str) -> NoReturn:
    raise error(detail)

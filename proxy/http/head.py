"""Heads of HTTP/1 messages: bytes to a head, strictly (RFC 9112, sections 2 to 4; the fields are fields.py's).

The rule of this file: what two parsers could read differently is not read at all.  The parser is our own because
the traffic record wants every name and value as text, as received, which a callback parser has to be asked for
field by field: measured, the two cost the same, and here each rule stands beside its section.

A head arrives whole: whoever calls has found the empty line that ends it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NoReturn

from proxy.errors import Malformed, UpstreamProtocol, VersionNotSupported
from proxy.http.fields import TOKEN, FieldSection, parse_section

if TYPE_CHECKING:
    from proxy.http.fields import Fields

USUAL_METHODS = frozenset({"GET", "POST"})
"""Need not be looked at letter by letter."""
KNOWN_LONGEST = 128
"""Bytes of a status line that is remembered: 256 of them are 100 KB at the most."""
HEAD_END = b"\r\n\r\n"
BARE_LF = re.compile(rb"(?<!\r)\n")
ANSWER_BEGINS = b"HTTP/1."
REQUEST_VERSION = re.compile(r"HTTP/[0-9]\.[0-9]")
STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: ([\t -~\x80-\xff]*))?")
"""RFC 9112, section 4.  The last SP may be missing: many servers leave it out with an empty reason."""


@dataclass(slots=True, init=False)  # of the heads below: what dataclass writes is not compiled; see exchange.py
class _Head:
    """What requests and answers have in common.

    Attributes:
        minor: 1 for HTTP/1.1, 0 for HTTP/1.0.
        section: The field lines.
        size: Bytes, the empty line included.
    """

    minor: int
    section: FieldSection
    size: int

    @property
    def fields(self) -> Fields:
        """Name and value of each field line, as received."""
        return self.section.fields

    @property
    def names(self) -> list[str]:
        """The lower-case name of each field line, in the same order."""
        return self.section.names

    def all(self, name: str) -> list[str]:
        """Return the values of every field line called ``name`` (in lower case)."""
        return self.section.all(name)


@dataclass(slots=True, init=False)
class RequestHead(_Head):
    """A request's head as received.

    Attributes:
        method: Case as received; methods are case-sensitive (RFC 9110, section 9.1).
        target: The request target as received, byte for byte: visible ASCII.  RFC 3986 allows less; legacy clients
            send ``|`` and ``{`` as well, and they pass as they are.
    """

    method: str
    target: str

    def __init__(self, minor: int, section: FieldSection, size: int, method: str, target: str) -> None:
        """Take what was read."""
        self.minor = minor
        self.section = section
        self.size = size
        self.method = method
        self.target = target

    def with_section(self, section: FieldSection) -> RequestHead:
        """Return one with other fields."""
        return RequestHead(self.minor, section, self.size, self.method, self.target)


@dataclass(slots=True, init=False)
class ResponseHead(_Head):
    """An answer's head as received, or as the proxy built it.

    Attributes:
        status: 100 to 599.
        reason: May be empty.
    """

    status: int
    reason: str

    def __init__(self, minor: int, section: FieldSection, size: int, status: int, reason: str) -> None:
        """Take what was read, or is to be sent."""
        self.minor = minor
        self.section = section
        self.size = size
        self.status = status
        self.reason = reason


def parse_request_head(data: bytes) -> RequestHead:
    """Parse a request's head.

    Args:
        data: From the request line to the empty line, both included; no empty lines before it.

    Raises:
        Malformed: If any octet is not where the grammar has it.
        VersionNotSupported: If it is HTTP, and not 1.0 or 1.1.
    """
    end = data.index(b"\r\n")
    method, _, rest = data[:end].decode("latin-1").partition(" ")
    target, _, version = rest.partition(" ")
    if version not in {"HTTP/1.1", "HTTP/1.0"}:
        _refuse_version(version)
    if method not in USUAL_METHODS and TOKEN.fullmatch(method) is None:
        _refuse("the method is not a token")
    if not (target and target.isascii() and target.isprintable()):
        _refuse("the request target has a character that a URI cannot have")
    try:
        section = parse_section(data[end + 2 : -2])
    except ValueError as error:
        detail = f"{error}; {Malformed.step}"
        raise Malformed(detail) from None
    return RequestHead(1 if version == "HTTP/1.1" else 0, section, len(data), method, target)


def parse_response_head(data: bytes) -> ResponseHead:
    """Parse an answer's head.

    Args:
        data: From the status line to the empty line, both included.

    Raises:
        UpstreamProtocol: If any octet is not where the grammar has it.
    """
    end = data.index(b"\r\n")
    try:
        parse = _parse_known_status_line if end <= KNOWN_LONGEST else _parse_status_line
        minor, status, reason = parse(data[:end])
        section = parse_section(data[end + 2 : -2])
    except ValueError as error:
        detail = f"the answer cannot be read: {error}; {UpstreamProtocol.step}"
        raise UpstreamProtocol(detail) from None
    return ResponseHead(minor, section, len(data), status, reason)


def check_unfinished_answer(data: bytes, searched: int) -> None:
    """Check what has come of an answer's head, so that nobody waits for the end of what can never be one.

    Args:
        data: All that has come of it, without the empty line that ends it.
        searched: How much of ``data`` was checked before.

    Raises:
        UpstreamProtocol: If it does not begin as an answer does, or a line of it does not end in CRLF.
    """
    if not (data.startswith(ANSWER_BEGINS) or ANSWER_BEGINS.startswith(data)):
        what = "it does not begin as an HTTP/1 answer does"
    elif BARE_LF.search(data, searched):
        what = "a line of its head does not end in CRLF"
    else:
        return
    detail = f"the answer cannot be read: {what}; {UpstreamProtocol.step}"
    raise UpstreamProtocol(detail)


def _parse_status_line(line: bytes) -> tuple[int, int, str]:
    """Parse a status line into minor version, status and reason."""
    match = STATUS_LINE.fullmatch(line)
    if match is None:
        message = "the status line is malformed"
        raise ValueError(message)
    return int(match[1]), int(match[2]), (match[3] or b"").decode("latin-1")


_parse_known_status_line = lru_cache(maxsize=256)(_parse_status_line)
"""A handful of them make up all traffic."""


def _refuse_version(version: str) -> NoReturn:
    if REQUEST_VERSION.fullmatch(version):
        detail = f"{version} is not spoken here; set the client to HTTP/1.1"
        raise VersionNotSupported(detail)
    _refuse("the request line is not METHOD SP TARGET SP HTTP/1.1")


def _refuse(what: str) -> NoReturn:
    detail = f"{what}; {Malformed.step}"
    raise Malformed(detail)

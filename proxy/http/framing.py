"""Where a message's body ends (RFC 9112, sections 6 and 7).

The rule of this file: one reading only.  Content-Length beside Transfer-Encoding, lists of lengths, codings other
than chunked, a chunk size that is not plain hex: each is an error of whoever sent it, and the connection with it.

A reader is fed what arrived and gives back the body's bytes and what lies behind its end.  ``error`` is the class to
raise: ``Malformed`` for a client, ``UpstreamProtocol`` for an upstream.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NoReturn, Protocol

from proxy.errors import LengthRequired, Malformed, UpstreamProtocol
from proxy.http.fields import FIELD_VALUE, TOKEN

if TYPE_CHECKING:
    from proxy.http.fields import FieldSection
    from proxy.http.head import RequestHead, ResponseHead

LENGTH = re.compile(r"[0-9]{1,18}")
"""RFC 9110, section 8.6; 18 digits stay far from any overflow (RFC 9112, section 6.3)."""
CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[\t -~\x80-\xff]*)?")
"""RFC 9112, section 7.1; what an extension says is ignored (7.1.1)."""
LONGEST_CHUNK_LINE = 256
"""Bytes; nothing needs more, and an endless extension is an attack."""
MOST_CHUNK_EXCESS = 16_384
"""Bytes that the lines of chunks may be longer, all in all, than their data accounts for: a byte of body for a line of
extensions each is an attack on whoever pays for the bytes, and the client that reads sees next to nothing of it.  The
rule is that of Go's net/http: each chunk may have 16 bytes, and twice its size."""
LONGEST_TRAILER = 8192
"""Bytes of the whole trailer section."""

CHUNKED: Final = -1
"""Stands for a length that the chunks will tell."""
NO_CONTENT_STATUSES = frozenset({204, 304})
"""RFC 9110, sections 15.3.5 and 15.4.5; every 1xx as well."""


class BodyReader(Protocol):
    """Finds the end of one body.

    Attributes:
        is_complete: Whether the end has been seen.
    """

    is_complete: bool

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Take what arrived; return the body's bytes in it, and what lies behind its end."""
        ...

    def feed_eof(self) -> None:
        """Take the end of the connection; the body is complete only where that is what ends it."""
        ...


class NoBody:
    """A message without a body."""

    __slots__ = ("is_complete",)

    def __init__(self) -> None:
        """Expect nothing."""
        self.is_complete = True

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Return everything as what lies behind."""
        return b"", data

    def feed_eof(self) -> None:
        """Nothing was missing."""


class LengthBody:
    """A body of a stated number of bytes (RFC 9112, section 6.2)."""

    __slots__ = ("is_complete", "remaining")

    def __init__(self, length: int) -> None:
        """Expect ``length`` bytes."""
        self.remaining = length
        self.is_complete = length == 0

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Take up to the bytes that remain."""
        size = len(data)
        if size < self.remaining:
            self.remaining -= size
            return data, b""
        rest = data[self.remaining :] if size > self.remaining else b""
        body = data[: self.remaining] if rest else data
        self.remaining = 0
        self.is_complete = True
        return body, rest

    def feed_eof(self) -> None:
        """Too early: the body stays incomplete."""


class CloseBody:
    """A body that the end of the connection ends (RFC 9112, section 6.3, rule 8); answers only."""

    __slots__ = ("is_complete",)

    def __init__(self) -> None:
        """Expect anything."""
        self.is_complete = False

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Take everything."""
        return data, b""

    def feed_eof(self) -> None:
        """Take it as the end that it is."""
        self.is_complete = True


class ChunkedBody:
    """A body in chunks (RFC 9112, section 7.1).

    What it returns is the data alone: whoever sends it on frames it anew, so that no chunk line of one side ever
    reaches the other.  Trailers are checked and dropped, which section 7.1.2 leaves to a recipient.
    """

    __slots__ = ("_error", "_excess", "_line", "_remaining", "_trailer_size", "is_complete")

    _SIZE_LINE = -1
    _DATA_END = -2
    _TRAILER = -3
    _END = -4

    def __init__(self, error: type[Malformed | UpstreamProtocol]) -> None:
        """Expect a chunk-size line."""
        self._error = error
        self._line = b""
        self._remaining = self._SIZE_LINE
        self._excess = 0
        self._trailer_size = 0
        self.is_complete = False

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Take as many chunks, and parts of chunks, as there are.

        Raises:
            Malformed, UpstreamProtocol: As told at the start, if the framing is not to the letter.
        """
        if self._remaining == self._END:
            return b"", data
        if self._line:
            data = self._line + data
            self._line = b""
        pieces: list[bytes] = []
        position, size = 0, len(data)
        while position < size:
            if self._remaining > 0:
                end = min(position + self._remaining, size)
                pieces.append(data[position:end])
                self._remaining -= end - position
                position = end
                if self._remaining == 0:
                    self._remaining = self._DATA_END
                continue
            end = data.find(b"\r\n", position)
            if end < 0:
                self._keep(data[position:])
                break
            self._take_line(data[position:end])
            position = end + 2
            if self.is_complete:
                break
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        return body, data[position:] if self.is_complete else b""

    def feed_eof(self) -> None:
        """Too early: the last chunk has not been seen."""

    def _keep(self, line: bytes) -> None:
        """Keep an unfinished line until more of it arrives, unless it cannot become a good one."""
        longest = 0 if self._remaining == self._DATA_END else LONGEST_CHUNK_LINE
        if self._remaining == self._TRAILER:
            longest = LONGEST_TRAILER
        if len(line) > longest + 1:  # the CR of its end may be here already
            self._refuse("a chunk's line is too long")
        if b"\n" in line:
            self._refuse("a chunk's line does not end in CRLF")
        self._line = line

    def _take_line(self, line: bytes) -> None:
        """Take one line, without its CRLF, that is not data."""
        if self._remaining == self._SIZE_LINE:
            match = CHUNK_LINE.fullmatch(line)
            if match is None or len(line) > LONGEST_CHUNK_LINE:
                self._refuse("a chunk size is malformed")
            size = int(match[1], 16)
            self._excess = max(0, self._excess + len(line) - 16 - 2 * size)
            if self._excess > MOST_CHUNK_EXCESS:
                self._refuse("the lines of the chunks are much longer than their data")
            self._remaining = size or self._TRAILER
        elif self._remaining == self._DATA_END:
            if line:
                self._refuse("a chunk is longer than its size")
            self._remaining = self._SIZE_LINE
        elif line:
            self._take_trailer(line)
        else:
            self._remaining = self._END
            self.is_complete = True

    def _take_trailer(self, line: bytes) -> None:
        self._trailer_size += len(line)
        name, colon, value = line.decode("latin-1").partition(":")
        if self._trailer_size > LONGEST_TRAILER:
            self._refuse("the trailers are too long")
        if not colon or TOKEN.fullmatch(name) is None or FIELD_VALUE.fullmatch(value) is None:
            self._refuse("a trailer is malformed")

    def _refuse(self, detail: str) -> NoReturn:
        raise _build_error(self._error, detail)


NO_BODY: Final = NoBody()


def request_body(head: RequestHead) -> BodyReader:
    """Choose the reader of a request's body (RFC 9112, section 6.3).

    Raises:
        Malformed: If its length could be read two ways.
        LengthRequired: If it has a coding and is HTTP/1.0, where chunked cannot end it.
    """
    length = head.section.derive(_request_length)
    if length != CHUNKED:
        return LengthBody(length) if length else NO_BODY
    if head.minor == 0:
        detail = "HTTP/1.0 has no Transfer-Encoding; have the client send a Content-Length, or HTTP/1.1"
        raise LengthRequired(detail)
    return ChunkedBody(Malformed)


def response_body(method: str, head: ResponseHead) -> BodyReader:
    """Choose the reader of an answer's body (RFC 9112, section 6.3).

    Args:
        method: Of the request that it answers: HEAD has no body, whatever the fields say.
        head: The answer's head, not a 1xx.

    Raises:
        UpstreamProtocol: If its length could be read two ways.
    """
    length = head.section.derive(_response_length)
    if length == CHUNKED and head.minor == 0:
        raise _build_error(UpstreamProtocol, "the answer is HTTP/1.0 with a Transfer-Encoding")
    if method == "HEAD" or head.status in NO_CONTENT_STATUSES:
        return NO_BODY
    if length == CHUNKED:
        return ChunkedBody(UpstreamProtocol)
    if length is None:
        return CloseBody()
    return LengthBody(length) if length else NO_BODY


def announces_what_must_not_come(method: str, head: ResponseHead) -> bool:
    """Return whether an answer without a body announces one all the same.

    To HEAD, and in a 304, it may (RFC 9110, section 8.6).  A faulty server sends it, too, and what comes late would be
    read as the beginning of the next answer: such a connection carries no other request.
    """
    if method != "HEAD" and head.status not in NO_CONTENT_STATUSES:
        return False
    return any(length.strip("0") for length in head.all("content-length")) or bool(head.all("transfer-encoding"))


def build_chunk(data: bytes) -> bytes:
    """Frame ``data``, which is not empty, as one chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"


def _request_length(section: FieldSection) -> int | None:
    return _read_length(section, Malformed)


def _response_length(section: FieldSection) -> int | None:
    return _read_length(section, UpstreamProtocol)


def _read_length(section: FieldSection, error: type[Malformed | UpstreamProtocol]) -> int | None:
    """Tell how long a body is: a number of bytes, ``CHUNKED``, or None where no field says.

    Content-Length beside Transfer-Encoding is refused, a list of lengths, though it be of equal numbers, and any
    coding but chunked, once: another one could not be taken off.
    """
    if "transfer-encoding" in section.names:
        if "content-length" in section.names:
            what = "Content-Length and Transfer-Encoding exclude each other (RFC 9112, section 6.1)"
            raise _build_error(error, what)
        if [value.lower() for value in section.all("transfer-encoding")] != ["chunked"]:
            raise _build_error(error, "the only Transfer-Encoding understood is chunked, once")
        return CHUNKED
    if "content-length" not in section.names:
        return None
    values = section.all("content-length")
    if len(values) != 1 or LENGTH.fullmatch(values[0]) is None:
        raise _build_error(error, "Content-Length must be one plain number")
    return int(values[0])


def _build_error(error: type[Malformed | UpstreamProtocol], what: str) -> Malformed | UpstreamProtocol:
    return error(f"{what}; {error.step}")

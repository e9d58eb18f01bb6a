"""Where a request's head ends, found while it arrives in pieces.

The rule of this file: what can never become a head is refused at once, so that nobody waits for a time limit to be
told; and no byte is looked at twice, however small the pieces.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.errors import HeadTooLarge, Malformed, TargetTooLong
from proxy.http.head import BARE_LF, HEAD_END

if TYPE_CHECKING:
    from proxy.config.models import Limits

TLS_HANDSHAKE = b"\x16\x03"
"""How every TLS ClientHello begins (RFC 8446, section 5.1)."""


MOST_EMPTY_LINES = 8
"""Before a request; some old clients send one after a body."""
CRLF = b"\r\n"


class HeadScanner:
    """Looks for the empty line that ends a head.

    Attributes:
        limits: Of line and head; others may take their place at any time.
    """

    __slots__ = ("_empty", "_searched", "limits")

    def __init__(self, limits: Limits) -> None:
        """Keep to ``limits`` of line and head."""
        self.limits = limits
        self._searched = 0
        self._empty = 0

    def skip_empty_lines(self, data: bytes) -> bytes:
        """Return ``data`` without the empty lines that a client may send before a request (RFC 9112, section 2.2).

        Raises:
            Malformed: If there are more than any client sends, at once or one by one; whoever sends nothing else would
                have them read for ever.
        """
        start = 0
        while data.startswith(CRLF, start):
            start += len(CRLF)
            self._empty += 1
            if self._empty > MOST_EMPTY_LINES:
                detail = f"empty lines came where a request should begin; {Malformed.step}"
                raise Malformed(detail)
        return data[start:] if start else data

    def find_end(self, data: bytes) -> int:
        """Return where the head ends, its empty line included; -1 if it is not whole yet.

        Args:
            data: All that has come of it so far.

        Raises:
            Malformed: If it can never become whole.
            HeadTooLarge, TargetTooLong: If a limit is passed.
        """
        end = data.find(HEAD_END, self._searched)
        self._check_size(data, end if end >= 0 else len(data))
        if end >= 0:
            self._searched = self._empty = 0
            return end + len(HEAD_END)
        self._check_beginning(data)
        self._searched = max(0, len(data) - len(HEAD_END) + 1)
        return -1

    def _check_size(self, data: bytes, size: int) -> None:
        limits = self.limits
        if size > limits.line and data.find(b"\r\n", 0, limits.line + 2) < 0:
            detail = (
                f"the request line is longer than {limits.line} bytes; shorten the client's URL, or raise limits.line"
            )
            raise TargetTooLong(detail)
        if size > limits.head:
            detail = f"the head is longer than {limits.head} bytes; have the client send less, or raise limits.head"
            raise HeadTooLarge(detail)

    def _check_beginning(self, data: bytes) -> None:
        """Refuse what has begun in a way that no head goes on."""
        if data.startswith(TLS_HANDSHAKE):
            detail = "a TLS handshake came to a listener of plain HTTP; change https:// to http:// in the client's URLs"
            raise Malformed(detail)
        if BARE_LF.search(data, max(0, self._searched - 1)):
            detail = f"a line of the head does not end in CRLF; {Malformed.step}"
            raise Malformed(detail)

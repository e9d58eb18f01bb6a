"""TLS records out of what was read: whole ones, and no more than one turn of the loop may take.

A record of a few bytes costs OpenSSL nearly as much as one of 16 KiB, a KeyUpdate more than that (new keys, and an
answer), and a read holds ten thousand of them.  The lengths stand in clear (RFC 8446, section 5.1), so that they can be
counted before OpenSSL sees them.

The rule of this file: it looks at five bytes of each record, and changes none.
"""

from __future__ import annotations

HEADER = 5
"""Bytes of a record's header; the last two are the length of what follows."""
COST = 4_096
"""What a record costs beside its bytes, in bytes that cost as much: a KeyUpdate takes 25 us, 4 KiB of a body less."""
MOST_AT_ONCE = 344_064
"""Cost of what is taken in one turn: a whole read (256 KiB at most) in large records, 84 of the smallest."""


class Records:
    """What has been read from one client, and not yet been taken."""

    __slots__ = ("_data", "_left")

    def __init__(self) -> None:
        """Begin with nothing."""
        self._data = b""
        self._left = 0

    def __repr__(self) -> str:
        """Return how much waits."""
        return f"<Records {len(self._data)} bytes>"

    def add(self, data: bytes) -> None:
        """Take what was read."""
        self._data = self._data + data if self._data else data

    def take(self, most: int = MOST_AT_ONCE) -> tuple[bytes, int]:
        """Return records until they cost ``most``, and how many begin in them.

        The first is returned whatever it costs; the last need not be whole, its rest comes first the next time.
        """
        data, end, count = self._data, self._left, 0
        size = len(data)
        most -= end
        while most > 0 and end + HEADER <= size:
            length = HEADER + (data[end + 3] << 8 | data[end + 4])
            end += length
            most -= length + COST
            count += 1
        if end >= size:
            self._data, self._left = b"", end - size
            return data, count
        self._data, self._left = data[end:], 0
        return data[:end], count

    @property
    def has_more(self) -> bool:
        """Whether there is something to take."""
        return len(self._data) >= HEADER or (self._left > 0 and len(self._data) > 0)

    def drop(self) -> int:
        """Throw away what waits; return how many bytes that were."""
        size, self._data = len(self._data), b""
        return size

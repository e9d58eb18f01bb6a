"""TLS records out of what was read: whole ones, and no more than one turn of the loop may take.

A record of a few bytes costs OpenSSL nearly as much as one of 16 KiB, a KeyUpdate more than that (new keys, and an
answer), and a read holds ten thousand of them.  The lengths stand in clear (RFC 8446, section 5.1), so that they can be
counted before OpenSSL sees them.

The rule of this file: it looks at five bytes of each record, and changes none.
"""

from __future__ import annotations

HEADER = 5
"""Bytes of a record's header; the last two are the length of what follows."""
LONGEST = 16_384 + 2_048
"""Bytes in a record at most (RFC 5246, section 6.2.3); what is said to be longer, OpenSSL refuses at the header."""
COST = 4_096
"""What a record costs beside its bytes, in bytes that cost as much: a KeyUpdate takes 25 us, 4 KiB of a body less."""
MOST_AT_ONCE = 262_144
"""Cost of what is taken in one turn: some 200 KiB in large records, 64 of the smallest."""


class Records:
    """What has been read from one client, and not yet been taken."""

    __slots__ = ("_data",)

    def __init__(self) -> None:
        """Begin with nothing."""
        self._data = b""

    def __repr__(self) -> str:
        """Return how much waits."""
        return f"<Records {len(self._data)} bytes>"

    def add(self, data: bytes) -> None:
        """Take what was read."""
        self._data = self._data + data if self._data else data

    def take(self, most: int = MOST_AT_ONCE) -> tuple[bytes, int]:
        """Return whole records until they cost ``most``, one at least if there is one, and how many they are."""
        data, end, count = self._data, 0, 0
        while most > 0 and (size := self._measure(end)):
            end += size
            count += 1
            most -= size + COST
        if not count:
            return b"", 0
        self._data = data[end:]
        return data[:end], count

    @property
    def has_whole(self) -> bool:
        """Whether there is still one to take."""
        return self._measure(0) > 0

    def drop(self) -> int:
        """Throw away what waits; return how many bytes that were."""
        size, self._data = len(self._data), b""
        return size

    def _measure(self, start: int) -> int:
        """Return the size of the record that begins at ``start``; 0 if it is not whole yet."""
        data = self._data
        left = len(data) - start
        if left < HEADER:
            return 0
        length = data[start + 3] << 8 | data[start + 4]
        if length > LONGEST:
            return left
        return HEADER + length if left >= HEADER + length else 0

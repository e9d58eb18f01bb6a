"""The traffic log of a proxy that was measured, read back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CLOSED = b'"event":"exchange.closed"'


class TrafficFile:
    """A log file and those put aside for it.

    Attributes:
        exchanges: Records of exchanges counted so far.
    """

    def __init__(self, path: Path) -> None:
        """Look at ``path``, which need not be there yet."""
        self.path = path
        self.exchanges = 0

    def clear_rotated(self) -> None:
        """Count what is in files put aside, and remove them: a long race writes gigabytes."""
        for aside in self._find_rotated():
            self.exchanges += count_exchanges(aside)
            aside.unlink()

    def count_rest(self) -> None:
        """Count what is left, when nothing writes any more."""
        self.clear_rotated()
        self.exchanges += count_exchanges(self.path)

    def read_records(self) -> Iterator[dict[str, Any]]:
        """Yield every record, oldest first."""
        for path in (*self._find_rotated(), self.path):
            with path.open("rb") as file:
                yield from map(orjson.loads, file)

    def count_rotated(self) -> int:
        """Return how many files are put aside."""
        return len(self._find_rotated())

    def take_rotated(self) -> Iterator[dict[str, Any]]:
        """Yield every record of the files put aside, oldest first, and remove each file that is read."""
        for aside in self._find_rotated():
            with aside.open("rb") as file:
                yield from map(orjson.loads, file)
            aside.unlink()

    def _find_rotated(self) -> list[Path]:
        return sorted(self.path.parent.glob(f"{self.path.name}.*Z"))


def count_exchanges(path: Path) -> int:
    """Count the records of closed exchanges in one file; a quoted body cannot look like one."""
    with path.open("rb") as file:
        return sum(_CLOSED in line for line in file)

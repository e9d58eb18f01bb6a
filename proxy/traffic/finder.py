"""Searching for many strings at once.

The rule of this file: one question, asked about every record: does any of these stand in it?  Measured on a record
of 3 KB and the 18 forms of three secrets: ``in`` once for each 10 µs, one compiled pattern 27 µs, ahocorasick-rs
0.4 µs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ahocorasick_rs import BytesAhoCorasick, Implementation, MatchKind

if TYPE_CHECKING:
    from collections.abc import Sequence

GROUP = 60
"""Up to 64 patterns are searched with SIMD instructions; one more, and a search takes ten times as long."""

PIECE = 4096
"""Bytes searched at once where one match is enough: each becomes a tuple, and the writer of a body chooses how many."""


class Finder:
    """Finds any of a set of byte strings."""

    __slots__ = ("_groups", "_longest", "_piece")

    def __init__(self, patterns: Sequence[bytes]) -> None:
        """Prepare for ``patterns``, none of them empty; where two begin at one place, the earlier one wins."""
        self._longest = max(map(len, patterns), default=0)
        self._piece = max(PIECE, 4 * self._longest)
        # The SIMD search exists for leftmost matches alone.  This automaton is built in a sixth of the time that the
        # default one takes, and is as fast where the SIMD search comes first, which is in groups of this size.
        self._groups = [
            BytesAhoCorasick(
                patterns[start : start + GROUP], MatchKind.LeftmostFirst, implementation=Implementation.ContiguousNFA
            ).find_matches_as_indexes
            for start in range(0, len(patterns), GROUP)
        ]

    def is_in(self, data: bytes) -> bool:
        """Return whether any of the patterns stands in ``data``."""
        if len(data) > self._piece:
            pieces = range(0, len(data), self._piece - self._longest)
            return any(self.is_in(data[start : start + self._piece]) for start in pieces)
        for find in self._groups:  # noqa: SIM110 (any() with a generator costs half as much again as the search)
            if find(data):
                return True
        return False

    def find_ends(self, data: bytes) -> list[int]:
        """Return where patterns end that stand in ``data``, in order."""
        ends: list[int] = []
        for search in self._groups:
            if found := search(data):
                ends += [end for _index, _start, end in found]
        return sorted(set(ends)) if len(self._groups) > 1 else ends

    def find(self, data: bytes) -> set[int]:
        """Return the places, in the sequence given, of patterns that stand in ``data``; overlapped ones may lack."""
        return {
            group * GROUP + index for group, search in enumerate(self._groups) for index, _start, _end in search(data)
        }

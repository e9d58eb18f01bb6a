"""Bytes spent on choices, so that a fuzzer that changes a byte changes one choice."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")


class Supply:
    """Bytes that are used up from the front; zeros follow when there are none left."""

    def __init__(self, data: bytes) -> None:
        """Spend ``data``."""
        self._data = data
        self._at = 0

    def take_number(self) -> int:
        """Spend one byte on a number from 0 to 255."""
        at = self._at
        self._at += 1
        return self._data[at] if at < len(self._data) else 0

    def choose(self, things: Sequence[T]) -> T:
        """Spend one byte on one of at most 256 things."""
        return things[self.take_number() % len(things)]

    def take_rest(self) -> bytes:
        """Spend all that is left."""
        rest = self._data[self._at :]
        self._at = len(self._data)
        return rest


def split(data: bytes, step: int) -> list[bytes]:
    """Cut ``data`` into pieces as a network might: whole for 0, byte by byte for 1, uneven ones for more."""
    if not step:
        return [data] if data else []
    pieces, at, size = [], 0, step
    while at < len(data):
        pieces.append(data[at : at + size])
        at += size
        size = size * 7 % 61 or step if step > 1 else 1
    return pieces

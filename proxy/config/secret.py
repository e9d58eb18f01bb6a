"""A long-lived secret that cannot be printed by accident."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_FORMER = 256
"""Secrets that are no longer used and are still masked: years of changes.  A source that gives another value whenever
it is read must not fill the memory."""


class Place(Protocol):
    """Where a secret comes from; hashable, so that the keys that share one can be found by it."""

    def read(self) -> Secret:
        """Read it, again each time.

        Raises:
            SourceError: If there is no usable secret; see places.py.
        """
        ...


class Secret:
    """A secret value and where it came from.

    ``str``, ``repr`` and formatting all give ``***``; only ``reveal`` gives the value, so every use can be found
    by searching for that one word.

    Attributes:
        origin: For people: ``env RAPIDSOS_CLIENT_SECRET`` or ``file /run/secrets/x``.
        place: Where it can be read again; None for what is written in the file, or was made here.
    """

    __slots__ = ("_value", "origin", "place")

    def __init__(self, value: str, origin: str, place: Place | None = None) -> None:
        """Keep the value; whoever read it has already stripped one trailing newline."""
        self._value = value
        self.origin = origin
        self.place = place

    def reveal(self) -> str:
        """Return the value itself."""
        return self._value

    def __repr__(self) -> str:
        """Return ``***``."""
        return "***"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        """Return ``***``, whatever the format asks for."""
        return "***"

    def __eq__(self, other: object) -> bool:
        """Compare values."""
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        """Hash the value, so that frozen models can be hashed."""
        return hash(self._value)

    def __reduce__(self) -> str:
        """Refuse to be pickled: a copy on disk is a leak."""
        message = "a Secret cannot be pickled"
        raise TypeError(message)


def join_secrets(known: Iterable[Secret], new: Iterable[Secret]) -> tuple[Secret, ...]:
    """Return all that must be masked once ``new`` are used: these first, and of those known before the latest."""
    joined = dict.fromkeys(new)
    used = len(joined)
    joined |= dict.fromkeys(known)
    return tuple(joined)[: used + MOST_FORMER]

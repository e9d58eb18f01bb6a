"""Who is in at a door, and who has to go so that a newcomer can come in.

The rule of this file: whoever has sent a request is being answered, and stays; whoever has not makes room, the oldest
first.  So a probe, which asks at once, comes in however many connections others hold.
"""

from __future__ import annotations

from collections import Counter
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final, Protocol

from proxy.http.authority import find_share

if TYPE_CHECKING:
    from collections.abc import Hashable

MOST_CONNECTIONS: Final = 32
"""At once; a browser opens six, a probe one."""
MOST_OF_ONE: Final = 8
"""Of them from one address of another machine: a probe and a metrics server, each with a second one, and room."""


class Guest(Protocol):
    """A connection.

    Attributes:
        origin: See ``find_origin``.
        has_asked: Whether a whole head has come from it.
    """

    origin: Hashable
    has_asked: bool

    def leave(self) -> None:
        """Close at once."""
        ...


class Crowd:
    """All connections of one door, the oldest first."""

    def __init__(self) -> None:
        """Begin with none."""
        self._guests: dict[Guest, None] = {}
        self._count_of: Counter[Hashable] = Counter()

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._guests)

    def admit(self, newcomer: Guest) -> bool:
        """Let a connection in, if need be in the place of another; return whether there was a place."""
        origin = newcomer.origin
        is_share_taken = origin is not None and self._count_of[origin] >= MOST_OF_ONE
        if is_share_taken or len(self._guests) >= MOST_CONNECTIONS:
            idle = (guest for guest in self._guests if not guest.has_asked)
            oldest = next((guest for guest in idle if not is_share_taken or guest.origin == origin), None)
            if oldest is None:
                return False
            self.dismiss(oldest)
            oldest.leave()
        self._guests[newcomer] = None
        self._count_of[origin] += 1
        return True

    def dismiss(self, guest: Guest) -> None:
        """Count a connection no more, if it was counted."""
        if guest in self._guests:
            del self._guests[guest]
            self._count_of[guest.origin] -= 1
            self._count_of += Counter()  # without those of whom none is left: addresses are many


def find_origin(host: str) -> Hashable:
    """Return what is counted as one client; None for this machine, whose users no address tells apart."""
    return None if ip_address(host).is_loopback else find_share(host)

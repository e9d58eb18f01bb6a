"""So many at a time of each client: calls for logins that nobody has proved yet.

Whoever can reach the listener can make up a thousand logins.  Each would cost the authorization server a call, and the
dispatcher at the next desk his place: so they go through one gate for each client, and those of others have their own.
A shift that begins behind one address is a hundred right logins at once, so a gate is wide.  Each login that is refused
halves it, down to a few, and each that is right doubles it again: one mistyped password is no attack, a row of them is.

The rule of this file: who gives up, before the gate or in it, leaves no place taken.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from cachetools import TTLCache

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

MOST_NARROW: Final = 4096
"""Clients whose gates are remembered as narrow; of more, the oldest is wide again."""


class Turnstile:
    """One gate for each client."""

    def __init__(self, widest: int, narrowest: int, narrow_s: float, now: Callable[[], float]) -> None:
        """Begin with every gate wide.

        Args:
            widest: Calls of one client together, while its logins are right.
            narrowest: The same, while they are being refused.
            narrow_s: How long after the last refusal a gate is wide again.
            now: The clock.
        """
        self._widest = widest
        self._narrowest = narrowest
        self._narrow: TTLCache[str, int] = TTLCache(MOST_NARROW, narrow_s, timer=now)
        self._gates: dict[str, _Gate] = {}

    def __len__(self) -> int:
        """Return how many clients have somebody in their gate, or before it."""
        return len(self._gates)

    def width(self, client: str) -> int:
        """Return how many of a client go through together."""
        return self._narrow.get(client, self._widest)

    def narrow(self, client: str) -> None:
        """A login of this client was refused."""
        self._narrow[client] = max(self._narrowest, self.width(client) // 2)

    def widen(self, client: str) -> None:
        """A login of this client was right."""
        width = 2 * self.width(client)
        if width < self._widest:
            self._narrow[client] = width
        else:
            self._narrow.pop(client, None)

    @asynccontextmanager
    async def turn(self, client: str) -> AsyncIterator[None]:
        """Wait for a client's turn, and have it for the length of the block."""
        gate = self._gates.setdefault(client, _Gate())
        place = asyncio.get_running_loop().create_future()
        gate.queue[place] = None
        self._let_in(client, gate)
        try:
            await place
            yield
        finally:
            if place.cancelled():
                gate.queue.pop(place, None)
            else:
                gate.inside -= 1
            self._let_in(client, gate)
            if not (gate.inside or gate.queue):
                del self._gates[client]

    def _let_in(self, client: str, gate: _Gate) -> None:
        width = self.width(client)
        for place in list(gate.queue)[: max(0, width - gate.inside)]:
            if not place.cancelled():  # else its holder has been stopped, and is about to find out
                del gate.queue[place]
                place.set_result(None)
                gate.inside += 1


class _Gate:
    """Of one client; forgotten when nobody is in it, or before it."""

    __slots__ = ("inside", "queue")

    def __init__(self) -> None:
        self.queue: dict[asyncio.Future[None], None] = {}
        self.inside = 0

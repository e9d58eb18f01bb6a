"""A few at a time of each client: calls for logins that nobody has proved yet.

Whoever can reach the listener can make up a thousand logins.  Each would cost the authorization server a call, and the
dispatcher at the next desk his place: so they go through one gate for each client, and those of others have their own.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Turnstile:
    """One gate for each client."""

    def __init__(self, at_once: int) -> None:
        """Let ``at_once`` of each client through together."""
        self._at_once = at_once
        self._gates: dict[str, _Gate] = {}

    def __len__(self) -> int:
        """Return how many clients have somebody in their gate, or before it."""
        return len(self._gates)

    @asynccontextmanager
    async def turn(self, client: str) -> AsyncIterator[None]:
        """Wait for a client's turn, and have it for the length of the block."""
        gate = self._gates.setdefault(client, _Gate(self._at_once))
        gate.users += 1
        try:
            async with gate.free:
                yield
        finally:
            gate.users -= 1
            if not gate.users:
                del self._gates[client]


class _Gate:
    """Of one client; forgotten when nobody is in it."""

    __slots__ = ("free", "users")

    def __init__(self, at_once: int) -> None:
        self.free = asyncio.Semaphore(at_once)
        self.users = 0

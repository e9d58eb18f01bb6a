"""The requests that wait for a token.

The rule of this file: each waits on a future of its own, so that one that is cancelled, or whose time is up, changes
nothing for the others nor for the call that all of them wait for.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.tokens.clock import Clock
    from proxy.tokens.token import Token


class Waiters:
    """The requests that wait for the next token, each up to a time limit of its own."""

    def __init__(self, clock: Clock) -> None:
        """Begin with none."""
        self._clock = clock
        self._futures: set[asyncio.Future[Token | None]] = set()

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._futures)

    async def join(self, timeout_s: float) -> Token | None:
        """Wait for what ``release`` gives; None as well when the time is up."""
        future: asyncio.Future[Token | None] = asyncio.get_running_loop().create_future()
        timer = self._clock.call_later(timeout_s, lambda: _settle(future, None))
        self._futures.add(future)
        try:
            return await future
        finally:
            timer.cancel()
            self._futures.discard(future)

    def release(self, token: Token | None) -> None:
        """Give all who wait the token, or tell them that none comes."""
        for future in self._futures:
            _settle(future, token)


def _settle(future: asyncio.Future[Token | None], token: Token | None) -> None:
    if not future.done():
        future.set_result(token)

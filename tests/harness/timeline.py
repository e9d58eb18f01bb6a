"""A timeline that a test moves by hand: the clock of the tokens, with timers that fire only when told to."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

TURNS = 8
"""Turns of the event loop in which every task gets as far as it can without time passing."""


class PlannedCall:
    """A timer of the timeline."""

    def __init__(self, callback: Callable[[], object]) -> None:
        """Plan ``callback``."""
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        """Do not make the call."""
        self.callback = None


class Timeline:
    """A ``Clock`` whose time passes only when the test says so.

    Attributes:
        slept_s: How much of the time that has passed the timers stood still.
    """

    def __init__(self) -> None:
        """Begin at a time that is not zero."""
        self.slept_s = 0.0
        self._now = 1000.0
        self._order = itertools.count()
        self._planned: list[tuple[float, int, PlannedCall]] = []

    @property
    def next_at(self) -> float | None:
        """When the next timer fires; None if none is planned."""
        return min((when for when, _, call in self._planned if call.callback is not None), default=None)

    def now(self) -> float:
        """See ``Clock``."""
        return self._now

    def call_later(self, delay_s: float, callback: Callable[[], object]) -> PlannedCall:
        """See ``Clock``."""
        call = PlannedCall(callback)
        heapq.heappush(self._planned, (self._now + delay_s, next(self._order), call))
        return call

    async def settle(self) -> None:
        """Let every task get as far as it can without time passing."""
        for _ in range(TURNS):
            await asyncio.sleep(0)

    async def sleep(self, seconds: float) -> None:
        """Return when so much time has passed."""
        over = asyncio.Event()
        timer = self.call_later(seconds, over.set)
        try:
            await over.wait()
        finally:
            timer.cancel()

    async def advance(self, seconds: float) -> None:
        """Let time pass, timer by timer."""
        await self.settle()
        await self.advance_to(self._now + seconds)

    async def advance_to(self, end: float) -> None:
        """Let time pass until ``end``, timer by timer, where everything has settled."""
        while self._planned and self._planned[0][0] <= end:
            when, _, call = heapq.heappop(self._planned)
            self._now = max(self._now, when)
            if call.callback is not None:
                call.callback()
                await self.settle()
        self._now = end

    def suspend(self, seconds: float) -> None:
        """Let the clock run on while timers stand still, as when the machine sleeps."""
        self._now += seconds
        self.slept_s += seconds
        self._planned = [(when + seconds, order, call) for when, order, call in self._planned]

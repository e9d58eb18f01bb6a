"""When requests to an upstream are refused at once, since it can be told that they would only wait and fail: PURE.

Two things are counted, and never together.  That no connection comes about is nothing a request can cause, so it speaks
for every client.  That a request got no answer may be the request's own doing, so it speaks for its client alone: no
client's requests have another one's refused.

The rule of this file: it opens only on failures in a row, spread over some time, with nothing answered to anybody since
the first of them was begun; and whatever is answered closes it.  While it is open, one request goes through whenever a
pause is over (half-open); the pauses stay short, since the next request may be the one that matters.  It does not wait
for what became of that request: one whose client stalls keeps nobody else from being the next.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.config.models import Breaker as Settings

State = Literal["closed", "open", "half_open"]

EVERYONE: Final = ""
"""Stands where others have a client's share: what concerns each client."""
LEAST_SPAN_S = 2.0
"""From the beginning of the first failure to the end of the last: a burst that meets one restart of the upstream's, or
one lost packet, is a single observation, however many requests were in it."""
FIRST_PAUSE_S = 1.0
"""Doubling from here up to ``breaker.pause``."""
SHORTEST_PAUSE_S = 0.25
"""Whatever the dice say."""
MOST_CLIENTS = 1024
"""Counted at once; the requests of more than these are never refused."""
LONGEST_EXPONENT = 16
"""Two to this power is beyond every pause, and far from an overflow."""


@dataclass(slots=True)
class _Streak:
    """Failures in a row.

    Attributes:
        begun: When the first of them was begun, in seconds.
        count: How many of them there were.
        pauses: How many there were since the breaker opened.
        opened_at: None while they are too few.
        tried_at: When the last request was let through, or the breaker opened; what was begun before tells nothing new.
        retry_at: When the next one is.
        is_tried: Whether the last one let through is under way, as far as is known.
    """

    begun: float
    count: int = 0
    pauses: int = 0
    opened_at: float | None = None
    tried_at: float = -math.inf
    retry_at: float = -math.inf
    is_tried: bool = False


@dataclass(frozen=True, slots=True)
class BreakerStatus:
    """A breaker at one moment.

    Attributes:
        state: Whether requests that need a new connection are refused; ``half_open`` lets the next one through, or
            waits for what becomes of it.
        failures: Connections in a row that could not be had.
        clients: Clients of which requests are refused since theirs got no answer.
    """

    state: State = "closed"
    failures: int = 0
    clients: int = 0


class Breaker:
    """What is known of one upstream's failures.

    Attributes:
        answered_at: When it last gave an answer that counts, in seconds of the caller's clock.  Whoever gets one
            writes it here, and no more: it is all that an exchange that goes well pays.
    """

    __slots__ = ("_dice", "_limits", "_pause_s", "_statuses", "_streaks", "answered_at")

    def __init__(self, settings: Settings, dice: Callable[[], float]) -> None:
        """Begin closed; ``dice`` give a number from 0 up to 1."""
        self._limits = (settings.connections, settings.unanswered) if settings.enabled else (0, 0)
        self._pause_s = settings.pause
        self._statuses = frozenset(settings.statuses)
        self._dice = dice
        self._streaks: dict[str, _Streak] = {}
        self.answered_at = -math.inf

    def __repr__(self) -> str:
        """Return what is counted."""
        return f"<Breaker {self._streaks}>"

    def is_failure(self, status: int) -> bool:
        """Return whether an answer counts as none."""
        return status in self._statuses

    def enter(self, now: float, client: str) -> float:
        """Let a request through, or not.

        Args:
            now: Seconds.
            client: Its share; see ``find_share``.

        Returns:
            Seconds after which another try is worth while; 0.0 when this one is let through.
        """
        concerned = [one for key in (EVERYONE, client) if (one := self._find_open(key)) is not None]
        wait_s = max((_tell_wait(streak, now) for streak in concerned), default=0.0)
        if wait_s > 0.0:
            return wait_s
        for streak in concerned:
            streak.tried_at = now
            streak.retry_at = now + self._pause_s
            streak.is_tried = True
        return 0.0

    def fail(self, now: float, begun: float, client: str = EVERYONE) -> bool:
        """Count a connection that could not be had, or, of one client, a request without an answer.

        Args:
            now: Seconds.
            begun: When it was begun: what was answered since then, to whomever, outweighs it.
            client: Its share, EVERYONE for a connection.

        Returns:
            Whether this opened the breaker, which then stays open until ``settle`` says otherwise.
        """
        self.settle()
        limit = self._limits[client is not EVERYONE]
        if not limit or begun <= self.answered_at:
            return False
        streak = self._streaks.get(client)
        if streak is None:
            if len(self._streaks) > MOST_CLIENTS:
                return False
            streak = self._streaks[client] = _Streak(begun)
        streak.count += 1
        streak.begun = min(streak.begun, begun)
        if streak.opened_at is not None:
            if begun >= streak.tried_at:
                self._pause(streak, now)
            return False
        if streak.count < limit or now - streak.begun < LEAST_SPAN_S:
            return False
        streak.opened_at = streak.tried_at = now
        self._pause(streak, now)
        return True

    def connect(self) -> float | None:
        """Take note of a connection that came about: every client may have one again.

        Returns:
            What ``settle`` does.
        """
        streak = self._streaks.pop(EVERYONE, None)
        return None if streak is None else streak.opened_at

    def settle(self) -> float | None:
        """Forget failures that were begun before something was answered.

        Returns:
            Since when it had been open, if this closed it for everybody or for a client; else None.
        """
        if not self._streaks:
            return None
        refuted = [key for key, streak in self._streaks.items() if streak.begun <= self.answered_at]
        opened = (self._streaks.pop(key).opened_at for key in refuted)
        return min((at for at in opened if at is not None), default=None)

    def status(self, now: float) -> BreakerStatus:
        """Return the state."""
        self.settle()
        clients = sum(streak.opened_at is not None for key, streak in self._streaks.items() if key is not EVERYONE)
        streak = self._streaks.get(EVERYONE)
        if streak is None:
            return BreakerStatus(clients=clients)
        return BreakerStatus(_tell_state(streak, now), streak.count, clients)

    def _find_open(self, key: str) -> _Streak | None:
        streak = self._streaks.get(key)
        is_open = streak is not None and streak.opened_at is not None and streak.begun > self.answered_at
        return streak if is_open else None

    def _pause(self, streak: _Streak, now: float) -> None:
        """Let nobody through for a while: full jitter, since replicas that were refused together must not call so."""
        longest_s = min(self._pause_s, FIRST_PAUSE_S * 2.0 ** min(streak.pauses, LONGEST_EXPONENT))
        streak.pauses += 1
        streak.retry_at = now + max(SHORTEST_PAUSE_S, longest_s * self._dice())
        streak.is_tried = False


def _tell_wait(streak: _Streak, now: float) -> float:
    """Return how long to wait; while one is under way it may be well any moment."""
    left_s = streak.retry_at - now
    return min(left_s, FIRST_PAUSE_S) if streak.is_tried else left_s


def _tell_state(streak: _Streak, now: float) -> State:
    if streak.opened_at is None:
        return "closed"
    return "half_open" if streak.is_tried or now >= streak.retry_at else "open"

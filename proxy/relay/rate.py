"""How often one client may ask: PURE, the clock is an argument.

A token bucket, kept as one number for each client: the time at which its bucket will be full again (the generic cell
rate algorithm).  A client whose bucket is full needs no number, so nothing is kept of those who ask seldom.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cachetools import TLRUCache

from proxy.errors import ClientLimit
from proxy.http.authority import find_share

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.config.models import Limits

MOST_CLIENTS = 65_536
"""Numbers kept, 10 MB at most.  Beyond that the client that asked longest ago begins anew, with a full bucket."""

EXACT_S = 1e-6
"""Sums of seconds are not exact, and the last request of a burst must not fall victim to the last bit."""


class ClientRate:
    """The requests of each client."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float]) -> None:
        """Let each client ask ``rate`` times a second, and ``burst`` times at once when it has not asked for long."""
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._full_at: TLRUCache[str, float] = TLRUCache(MOST_CLIENTS, lambda _share, full_at, _now: full_at, clock)

    def __repr__(self) -> str:
        """Return how many clients have no full bucket."""
        return f"<ClientRate clients={len(self._full_at)}>"

    def check(self, client: str) -> None:
        """Let a request through; one that is refused counts for nothing.

        Args:
            client: Its address; an IPv6 network counts as one client.

        Raises:
            ClientLimit: If it comes too soon after the others.
        """
        share, now = find_share(client), self._clock()
        full_at = max(now, self._full_at.get(share, now)) + 1.0 / self._rate
        early_s = full_at - now - self._burst / self._rate
        if early_s > EXACT_S:
            detail = (
                f"{client} sends more than {self._rate:g} requests a second, and more than {self._burst} at once; "
                "mend it, or raise limits.client_rate or limits.client_burst"
            )
            raise ClientLimit(detail, retry_after_s=max(1, math.ceil(early_s)))
        self._full_at[share] = full_at


def build_client_rate(limits: Limits, clock: Callable[[], float]) -> ClientRate | None:
    """Build what the configuration asks for; None where it sets no limit."""
    return None if limits.client_rate is None else ClientRate(limits.client_rate, limits.client_burst, clock)

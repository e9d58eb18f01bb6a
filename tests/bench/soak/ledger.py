"""What the upstreams did, by the number of the request that they did it to.

The rule of this file: pure.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field


@dataclass(slots=True)
class Deeds:
    """What was done to one request.

    Attributes:
        arrived: How often its head came.
        broken: How often the connection was broken off before its answer was whole.
        rejected: How often it got 401, for a dead token.
    """

    arrived: int = 0
    broken: int = 0
    rejected: int = 0


@dataclass(slots=True)
class Ledger:
    """What was done to all of them.

    Attributes:
        deeds: By number.
        drops: When connections without a request were closed, in monotonic seconds, in order.
        outages: From when until when the plain upstream took no connection; the latest may not have ended.
        dead: Requests that bore a token that was not alive, by what had become of it.
    """

    deeds: defaultdict[int, Deeds] = field(default_factory=lambda: defaultdict(Deeds))
    drops: list[float] = field(default_factory=list)
    outages: list[tuple[float, float]] = field(default_factory=list)
    dead: Counter[str] = field(default_factory=Counter)

"""Which parts there are, by the names that ``make bench ONLY=`` takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.parts import bodies, crowd, latency, memory, refresh, throughput, workers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bench.track import Track

PARTS: dict[str, Callable[[Track], Awaitable[None]]] = {
    "plain": throughput.race_plain,
    "tls": throughput.race_tls,
    "latency": latency.race,
    "crowd": crowd.race,
    "memory": memory.race,
    "bodies": bodies.race,
    "refresh": refresh.race,
    "workers": workers.race,
}

"""CPU time of an exchange when 2,000 clients ask at once, against 32."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.peers.table import ENVOY_PEER
from bench.track import CONNECTIONS, Entry, Heat
from bench.work import GET

if TYPE_CHECKING:
    from bench.track import Track

MANY = 2000
_SETTLE_S = 1.5
"""2,000 connections to and from the proxy are open by then."""


def name_heat(connections: int) -> str:
    """Return what the table calls it."""
    return f"GET, {connections:,} connections"


async def race(track: Track) -> None:
    """Race."""
    seconds = track.options.seconds + 2
    heats = [Heat(name_heat(count), GET, seconds, count, _SETTLE_S) for count in (CONNECTIONS, MANY)]
    async with track.running_all("crowd", [ENVOY_PEER]) as racers:
        await track.run([Entry(heat, racer) for heat in heats for racer in racers])

"""What a proxy adds to the time of a request, where nobody else waits: one connection, against none between."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.peers.peer import fetch_token
from bench.peers.table import ENVOY_PEER
from bench.proxies import RunningProxy
from bench.track import Entry, Heat
from bench.work import GET

if TYPE_CHECKING:
    from bench.track import Track

HEAT = "GET, one connection"
DIRECT = "no proxy"


async def race(track: Track) -> None:
    """Race."""
    heat = Heat(HEAT, GET, track.options.seconds, connections=1)
    async with track.running_all("latency", [ENVOY_PEER]) as racers:
        token = await fetch_token(track.authority)
        upstream = track.upstream
        fields = {"Authorization": f"Bearer {token}"}
        direct = RunningProxy(DIRECT, "no log", upstream.process, upstream.port, fields=fields)
        await track.run([Entry(heat, racer) for racer in (*racers, direct)])

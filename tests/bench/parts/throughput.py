"""Requests per second on one core, at 32 connections: every proxy, GET and POST."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.peers.table import PEERS
from bench.track import Entry, Heat
from bench.work import WORKS

if TYPE_CHECKING:
    from bench.load import Work
    from bench.track import Track

PLAIN, TLS = "plain", "TLS"


def name_heat(work: Work, upstream: str) -> str:
    """Return what the table calls it."""
    return f"{work.name}, {upstream} upstream"


async def race_plain(track: Track) -> None:
    """Race towards an upstream over plain HTTP."""
    await _race(track, PLAIN, track.upstream.url)


async def race_tls(track: Track) -> None:
    """Race towards an upstream over TLS."""
    await _race(track, TLS, track.upstream.tls_url)


async def _race(track: Track, name: str, upstream: str) -> None:
    async with track.running_all(name, PEERS, upstream) as racers:
        for work in WORKS:
            heat = Heat(name_heat(work, name), work, track.options.seconds)
            track.result.full_heats.append(heat.name)
            await track.run([Entry(heat, racer) for racer in racers])

"""What a second process brings.  There is none yet: the proxy is one process; its part of the race comes with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.track import Track

PART = "workers"


async def race(track: Track) -> None:
    """Say that there is nothing to race."""
    track.result.unbuilt[PART] = "`workers = 2` is not built yet"

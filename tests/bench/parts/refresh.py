"""Whether clients notice that tokens are renewed: p99 with tokens that die soon, against two runs with such that don't.

Tokens of a minute are pressed together: they live ten seconds here, and are renewed at half of that.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from bench.process import BenchError
from bench.track import Entry, Heat
from bench.work import GET
from proxy.simulator.server import Simulator
from proxy.simulator.settings import SimulatorSettings

if TYPE_CHECKING:
    from bench.track import Track

WITHOUT, AGAIN, WITH = "GET, tokens of an hour", "GET, tokens of an hour again", "GET, tokens of 10 s"
_LIFE_S, _QUICK_LIFE_S = 10.0, 4.0


async def race(track: Track) -> None:
    """Race ours against itself.

    Raises:
        BenchError: If no token was renewed.
    """
    life_s = _QUICK_LIFE_S if track.options.quick else _LIFE_S
    async with AsyncExitStack() as stack:
        short = Simulator(SimulatorSettings(token_life_s=life_s))
        await short.start()
        stack.push_async_callback(short.stop)
        entries: list[Entry] = []
        for name, authority in ((WITHOUT, track.authority), (WITH, short), (AGAIN, track.authority)):
            setting = track.setting(f"refresh {len(entries)}", authority=authority)
            own = await stack.enter_async_context(track.running_own(name, setting))
            entries.append(Entry(Heat(name, GET, int(life_s)), own))
        calls = len(short.token_requests)
        await track.run(entries)
        if len(short.token_requests) < calls + track.options.rounds:
            message = "no token was renewed in some rounds that are about it"
            raise BenchError(message)

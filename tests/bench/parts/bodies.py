"""Bodies of 100 MiB, down to the client and up to the upstream: megabytes a second, and what they take of memory."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from bench.bodies import MEBIBYTE, measured_growth
from bench.peers.peer import running_peer
from bench.peers.table import ENVOY_PEER, NGINX_PEER
from bench.process import BenchError, bound_to_this_process, end, find_free_port, pinned, running
from bench.proxies import RunningProxy, running_own
from bench.result import Bulk
from bench.track import say, verify_token

if TYPE_CHECKING:
    from bench.track import Track

DOWN, UP = "down", "up"
SIZE = 100 * MEBIBYTE
_PATIENCE_S = 90.0


async def race(track: Track) -> None:
    """Race."""
    async with AsyncExitStack() as stack:
        port = find_free_port()
        setting = track.setting("bodies", f"http://127.0.0.1:{port}")
        command = [sys.executable, "-m", "bench.bulk", "upstream", str(port)]
        upstream = await stack.enter_async_context(
            running("bulk-upstream", command, setting.directory, core=track.cores.others)
        )
        await upstream.wait_listening(port)
        racers: list[RunningProxy] = [await stack.enter_async_context(running_own(setting))]
        racers += [
            await stack.enter_async_context(running_peer(peer, setting))
            for peer in track.select([NGINX_PEER, ENVOY_PEER])
        ]
        for racer in racers:
            await verify_token(racer, track.authority)
        for direction in (DOWN, UP):
            await _race_one_way(track, direction, racers)


async def _race_one_way(track: Track, direction: str, racers: list[RunningProxy]) -> None:
    rows = [Bulk(direction, racer.name) for racer in racers]
    for racer, row in zip(racers, rows, strict=True):
        with measured_growth(racer.process) as growth:
            await _transfer(track, direction, racer, check=True)
        row.growths.append(growth.bytes)
    turns = list(zip(racers, rows, strict=True))
    for number in range(track.options.rounds):
        for racer, row in turns if number % 2 == 0 else reversed(turns):
            with measured_growth(racer.process) as growth:
                waited_s = racer.process.waited_s()
                seconds = await _transfer(track, direction, racer)
                row.waits.append((racer.process.waited_s() - waited_s) / seconds)
            row.rates.append(SIZE / seconds / 1e6)
            row.growths.append(growth.bytes)
            say(
                f"100 MiB {direction}, round {number + 1}: {racer.name} {row.rates[-1]:,.0f} MB/s, "
                f"memory grew by {growth.bytes / MEBIBYTE:.1f} MiB"
            )
    track.result.bulk += rows


async def _transfer(track: Track, direction: str, racer: RunningProxy, *, check: bool = False) -> float:
    command = [sys.executable, "-m", "bench.bulk", "client", direction, str(racer.port), str(SIZE)]
    with pinned(track.cores.others):
        child = await asyncio.create_subprocess_exec(
            *bound_to_this_process([*command, *(["--check"] if check else [])]),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    try:
        async with asyncio.timeout(_PATIENCE_S):
            said, problem = await child.communicate()
    except TimeoutError:
        said, problem = b"", b"it did not end"
    finally:
        await end(child)
    racer.process.check_running()
    if not said:
        message = f"100 MiB {direction} through {racer.name}: {problem.decode().strip()}"
        raise BenchError(message)
    return float(said)

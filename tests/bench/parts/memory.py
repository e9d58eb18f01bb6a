"""Resident memory of a proxy that has just started, and of each client that keeps a connection open without a request.

What the kernel keeps for the sockets themselves is not resident in the process, and so is in no figure.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from bench.peers import haproxy
from bench.peers.peer import running_peer
from bench.peers.table import ENVOY_PEER, HAPROXY_PEER, NGINX_PEER
from bench.process import BenchError
from bench.result import Memory
from bench.track import say, verify
from bench.work import GET

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bench.proxies import RunningProxy
    from bench.track import Track

_MOST = 10_000
_QUICK = 1_000
_ROOM = 1_000
"""Descriptors that a proxy and this process have other uses for."""
_AT_ONCE = 32
"""Clients that ask at the same time; and all that ask before the first measurement."""
_QUIET_S, _QUICK_QUIET_S = 2.0, 0.3
"""By then logs are written, and what they took is free."""


async def race(track: Track) -> None:
    """Measure each proxy once: nothing here varies between rounds."""
    async with track.running_all("memory", []) as racers:
        await _measure(track, racers[0])
    for peer in track.select([ENVOY_PEER, NGINX_PEER, HAPROXY_PEER]):
        async with running_peer(peer, track.setting(f"memory-{peer.name}")) as racer:
            await verify(racer, track.upstream, track.authority)
            await _measure(track, racer)


async def _measure(track: Track, racer: RunningProxy) -> None:
    count = min(_QUICK if track.options.quick else _MOST, track.descriptors - _ROOM)
    if racer.name == HAPROXY_PEER.name:
        count = min(count, haproxy.find_most_clients() - _AT_ONCE)
    quiet_s = _QUICK_QUIET_S if track.options.quick else _QUIET_S
    await asyncio.sleep(quiet_s)
    idle = racer.process.memory().resident
    async with _clients(racer, _AT_ONCE):
        await asyncio.sleep(quiet_s)
        before = racer.process.memory().resident
        async with _clients(racer, count):
            await asyncio.sleep(quiet_s)
            each = (racer.process.memory().resident - before) / count
    track.result.memory[racer.name] = Memory(idle, count, each)
    say(f"memory: {racer.name} {idle / 2**20:.1f} MiB idle, {each / 1024:.2f} KiB for each of {count:,} clients")


@asynccontextmanager
async def _clients(racer: RunningProxy, count: int) -> AsyncIterator[None]:
    """Have so many clients ask once each, and keep their connections open for the length of a block."""
    async with AsyncExitStack() as stack:
        left = count
        while left:
            batch = min(left, _AT_ONCE)
            writers = await asyncio.gather(*(_ask(racer) for _ in range(batch)))
            for writer in writers:
                stack.callback(writer.close)
            left -= batch
        yield


async def _ask(racer: RunningProxy) -> asyncio.StreamWriter:
    reader, writer = await asyncio.open_connection("127.0.0.1", racer.port)
    fields = "".join(f"{name}: {value}\r\n" for name, value in GET.build_fields().items())
    writer.write(f"GET {GET.path} HTTP/1.1\r\nHost: 127.0.0.1:{racer.port}\r\n{fields}\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if not head.startswith(b"http/1.1 200 "):
        message = f"{racer.name} answered one of many clients: {head!r}"
        raise BenchError(message)
    length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
    await reader.readexactly(length)
    return writer

"""Where a race is run: what all its parts share, who takes part, and how one round of one proxy is measured."""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from aiohttp import ClientError, ClientSession

from bench.peers.peer import running_peer
from bench.process import START_S, STOP_S, BenchError
from bench.proxies import OwnProxy, RunningProxy, Setting, running_own
from bench.result import LogCheck, Round
from bench.work import WHOAMI, WORKS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from bench.load import Measured, Work, Wrk
    from bench.machine import Cores
    from bench.peers.peer import Peer
    from bench.result import Result
    from bench.upstream import Upstream
    from proxy.simulator.server import Simulator

CONNECTIONS = 32
WARM_UP_S = 1.0
_BEFORE_END_S = 0.5
"""How long before the load ends CPU time is no more counted, where closing connections would be much of it."""
LIMITS = """\
connections = 20000
client_connections = 20000
in_flight = 4000
client_in_flight = 4000"""
"""Of ours: all clients of a race share one address, and 2,000 of them never rest."""


@dataclass(frozen=True, slots=True)
class Options:
    """How long to race, and what.

    Attributes:
        rounds: Of each proxy at each kind of work.
        seconds: Of each round.
        quick: Only to see that everything runs: nothing is judged.
        save: Keep the result under a name of its own.
        results: Where it is written.
        parts: Their names.
        against: Names of the peers that take part, in lower case; empty: all.
    """

    rounds: int
    seconds: int
    quick: bool
    save: bool
    results: Path
    parts: tuple[str, ...]
    against: frozenset[str]


@dataclass(frozen=True, slots=True)
class Heat:
    """What a proxy is set to in a round.

    Attributes:
        name: What the table calls it.
        seconds: How long.
        settle_s: How much of that passes before CPU time is counted, where opening connections would be much of it.
    """

    name: str
    work: Work
    seconds: int
    connections: int = CONNECTIONS
    settle_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Entry:
    """A proxy in a heat."""

    heat: Heat
    racer: RunningProxy


@dataclass(frozen=True, slots=True)
class Track:
    """What all parts of a race share.

    Attributes:
        directory: For everything that is written.
        descriptors: How many files a process may open.
        authority: Hands out tokens that outlast the race.
    """

    options: Options
    cores: Cores
    directory: Path
    descriptors: int
    load: Wrk
    authority: Simulator
    upstream: Upstream
    result: Result

    def setting(self, part: str, upstream: str | None = None, authority: Simulator | None = None) -> Setting:
        """Return what every proxy of a part of the race is given.

        Args:
            part: The directory's name.
            upstream: The plain one when None.
            authority: The race's when None.
        """
        directory = self.directory / part.replace(" ", "-")
        directory.mkdir()
        upstream = upstream or self.upstream.url
        ca = self.upstream.ca if upstream.startswith("https:") else None
        return Setting(upstream, authority or self.authority, directory, self.cores.proxy, ca)

    def select(self, peers: Sequence[Peer]) -> list[Peer]:
        """Return those that take part and can be had."""
        return [peer for peer in peers if peer.name not in self.result.absent.keys() | self.result.left_out]

    @asynccontextmanager
    async def running_own(self, part: str, setting: Setting) -> AsyncIterator[OwnProxy]:
        """Run ours for the length of a block; when that goes well, see that all of it is in the log."""
        async with running_own(setting, limits=LIMITS) as own:
            await verify(own, self.upstream, setting.authority)
            yield own
            self.result.logs[part] = await check_log(own)

    @asynccontextmanager
    async def running_all(
        self, part: str, peers: Sequence[Peer], upstream: str | None = None
    ) -> AsyncIterator[list[RunningProxy]]:
        """Run ours and those peers that can be had, each seen to do what it is there for."""
        setting = self.setting(part, upstream)
        async with AsyncExitStack() as stack:
            racers: list[RunningProxy] = [await stack.enter_async_context(self.running_own(part, setting))]
            for peer in self.select(peers):
                racer = await stack.enter_async_context(running_peer(peer, setting))
                await verify(racer, self.upstream, self.authority)
                racers.append(racer)
            yield racers

    async def run(self, entries: Sequence[Entry]) -> None:
        """Run every round of them, turn about, so that each is first as often as last."""
        if not self.options.quick:
            for entry in entries:
                await self._drive(entry, WARM_UP_S)
        for number in range(self.options.rounds):
            for entry in entries if number % 2 == 0 else reversed(entries):
                heat, racer = entry.heat, entry.racer
                each = await self._run_round(entry)
                self.result.add(heat.name, racer.name, racer.log, each)
                say(
                    f"{heat.name}, round {number + 1}: {racer.name} {each.requests_per_s:,.0f} requests/s, "
                    f"{each.cpu_us_per_request:.1f} µs"
                )

    async def _run_round(self, entry: Entry) -> Round:
        """Measure one proxy once."""
        heat, racer = entry.heat, entry.racer
        before, waited_before = racer.process.cpu_s(), racer.process.waited_s()
        if heat.settle_s:
            each = await self._run_settled(entry)
        else:
            load = await self._drive(entry, heat.seconds)
            each = Round(load, racer.process.cpu_s() - before, load.requests, load.seconds, 0.0)
        each = replace(each, waited_s=racer.process.waited_s() - waited_before)
        racer.process.check_running()
        racer.tidy()
        return each

    async def _run_settled(self, entry: Entry) -> Round:
        """Count CPU time only while all connections are open: by what the upstream has seen meanwhile."""
        heat, process = entry.heat, entry.racer.process
        load = asyncio.create_task(self._drive(entry, heat.seconds))
        try:
            await asyncio.sleep(heat.settle_s)
            cpu_s, seen, started = process.cpu_s(), await self.upstream.count_requests(), time.monotonic()
            await asyncio.sleep(heat.seconds - heat.settle_s - _BEFORE_END_S)
            cpu_s, seen = process.cpu_s() - cpu_s, await self.upstream.count_requests() - seen
            passed_s = time.monotonic() - started
            return Round(await load, cpu_s, seen, passed_s, 0.0)
        finally:
            load.cancel()

    async def _drive(self, entry: Entry, seconds: float) -> Measured:
        heat, racer = entry.heat, entry.racer
        return await self.load.drive(racer.port, heat.work, heat.connections, seconds, racer.fields)


async def verify(racer: RunningProxy, upstream: Upstream, authority: Simulator) -> None:
    """See that a proxy relays the upstream's bytes, with a token that the authority issued.

    Raises:
        BenchError: If not.
    """
    async with ClientSession() as session, upstream.open_session() as direct:
        presented = await verify_token(racer, authority)
        for work in WORKS:
            expected = await _fetch(direct, upstream.url, work, {"Authorization": presented})
            if await _fetch(session, racer.url, work) != expected:
                message = f"{racer.name} answers {work.name} with other bytes than the upstream"
                raise BenchError(message)


async def verify_token(racer: RunningProxy, authority: Simulator) -> str:
    """See that a proxy sends a token that the authority issued; return the Authorization field.

    Raises:
        BenchError: If not.
    """
    async with ClientSession() as session:
        presented = await _wait_for_token(racer, session)
    if presented not in {f"Bearer {token.value}" for token in authority.tokens}:
        message = f"{racer.name} sends no token that was issued"
        raise BenchError(message)
    return presented


async def check_log(own: OwnProxy) -> LogCheck:
    """Stop our proxy, and compare what it counted with what is in its log.

    Exchanges that the load generator left behind at a round's end close within moments, and are counted too.
    """
    metrics = await own.read_metrics()
    async with asyncio.timeout(STOP_S):
        while metrics["rapidsos_proxy_exchanges_in_flight"]:
            await asyncio.sleep(0.05)
            metrics = await own.read_metrics()
    await own.process.stop()
    own.traffic.count_rest()
    return LogCheck(
        exchanges=int(metrics["rapidsos_proxy_requests_total"]),
        records=own.traffic.exchanges,
        dropped=int(metrics["rapidsos_proxy_log_records_dropped_total"]),
    )


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


async def _wait_for_token(racer: RunningProxy, session: ClientSession) -> str:
    """Return the Authorization field that a proxy sends, as soon as it has one: Envoy listens before."""
    error: Exception | None = None
    try:
        async with asyncio.timeout(START_S):
            while True:
                try:
                    if presented := (await _fetch(session, racer.url, WHOAMI)).decode():
                        return presented
                except ClientError as problem:
                    error = problem
                racer.process.check_running()
                await asyncio.sleep(0.05)
    except TimeoutError:
        message = f"{racer.name} sends no token" + (f": {error}" if error else "")
        raise BenchError(message) from error


async def _fetch(session: ClientSession, origin: str, work: Work, fields: dict[str, str] | None = None) -> bytes:
    headers = {**work.build_fields(), **(fields or {})}
    async with session.request(work.method, origin + work.path, data=work.body or None, headers=headers) as answer:
        answer.raise_for_status()
        return await answer.read()

"""What all exchanges share: routes, token sources, pools, limits, clocks, and who is told at the end.

The rule of this file: it owns, counts and sweeps; how one exchange goes is transfer.py's.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from proxy.errors import ClientNotAllowed, Draining
from proxy.exchange import Exchange
from proxy.relay.echoes import Echoes
from proxy.relay.occupancy import STRANGERS, Occupancy
from proxy.relay.rate import build_client_rate
from proxy.tasks import Tasks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from proxy.http.problem import Answer
    from proxy.relay.client import ClientConnection
    from proxy.relay.dial import Destination
    from proxy.relay.entrance import Entrance
    from proxy.relay.gate import Admitted
    from proxy.relay.plan import Ground, Plan
    from proxy.relay.pool import Pool, PoolSnapshot
    from proxy.relay.tunnel import Tunnel
    from proxy.tokens.token import Token

log = structlog.get_logger(__name__)

DRAIN_LOOK_S = 0.05
"""Between two looks at whether every client has its answer; only while the proxy stops."""
SWEEP_S = 1.0
"""One look at every connection a second costs less than a timer for each exchange, and no limit needs to be finer."""


@dataclass(frozen=True, slots=True)
class Clocks:
    """The three times that the relay needs, each in seconds.

    Attributes:
        monotonic: For durations and limits.
        wall: Since the epoch, for the record.
        token: The token sources' clock, which runs on while the machine is suspended.
    """

    monotonic: Callable[[], float]
    wall: Callable[[], float]
    token: Callable[[], float]


class Relay:
    """The data path's shared state; one for each process.

    Attributes:
        ground: What a plan is built on.
        limits: From the configuration.
        timeouts: From the configuration, in seconds.
        clock: Monotonic seconds.
        wall_clock: Seconds since the epoch.
        pseudonym: Our name in Via.
        log_bytes: How much of a body the traffic log wants.
        tasks: Owner of the tasks of exchanges that wait.
        turn: The present turn of the event loop.
        occupancy: Who is here.
        echoes: Keeps tokens in queries from coming back.
        is_draining: Whether the process is stopping.
    """

    def __init__(self, plan: Plan, ground: Ground, clocks: Clocks) -> None:
        """Start with nothing under way."""
        config = plan.config
        self._clocks = clocks
        self.ground = ground
        self._plan = plan
        self._gate = plan.gate
        self._former: dict[Pool, float] = {}
        self.limits = config.limits
        self.timeouts = config.timeouts
        self.clock = clocks.monotonic
        self.wall_clock = clocks.wall
        self.pseudonym = ground.pseudonym
        self.log_bytes = config.traffic_log.bodies
        self.tasks = Tasks()
        self.turn = ground.turn
        self.occupancy = Occupancy(config.limits)
        self.echoes = Echoes(clocks.monotonic)
        self._rate = build_client_rate(config.limits, clocks.monotonic)
        self.is_draining = False
        self._clients: dict[ClientConnection, str] = {}
        self._idle = asyncio.Event()
        self._idle.set()
        self._id_prefix = secrets.token_hex(4)
        self._opened = 0

    # What connections and transfers call.

    def arrive(self, client: ClientConnection, listener: str, address: str) -> bool:
        """Take note of a connection; False if it is to be closed at once, without an answer.

        Raises:
            ClientNotAllowed: If this client may not use the listener.
            Overloaded, ClientLimit: If there are too many connections; this one is to be told so.
        """
        try:
            self._gate.check_client(listener, address)
        except ClientNotAllowed:
            if not self._count_arrival(client, address, STRANGERS):
                return False
            raise
        if not self._count_arrival(client, address, address):
            return False
        self.occupancy.check_connections(address)
        return True

    def _count_arrival(self, client: ClientConnection, address: str, counted_as: str) -> bool:
        if not self.occupancy.arrive(counted_as):
            # Each power of two: who does this does it thousands of times.
            if self.occupancy.turned_away.bit_count() == 1:
                log.warning("client.turned_away", client=address, so_far=self.occupancy.turned_away)
            return False
        self._clients[client] = counted_as
        return True

    def leave(self, client: ClientConnection) -> None:
        """Forget a closed connection."""
        counted_as = self._clients.pop(client, None)
        if counted_as is not None:
            self.occupancy.leave(counted_as)

    def open_exchange(self, listener: str, client: str, started: float) -> Exchange:
        """Open an exchange whose first byte came at ``started``."""
        self._opened += 1
        self.occupancy.begin(client)
        self._idle.clear()
        started_at = self.wall_clock() - (self.clock() - started)
        return Exchange(f"{self._id_prefix}-{self._opened:x}", started_at, started, listener, client)

    def admit(self, exchange: Exchange) -> Admitted | Answer | Tunnel:
        """Let an exchange in, or say why not.

        Returns:
            The answer when it asks for the proxy itself, or the tunnel when it asks for one.

        Raises:
            ExchangeError: The reason.
        """
        if self.is_draining:
            raise Draining(Draining.stopping, retry_after_s=1)
        self.occupancy.check_exchanges(exchange.client)
        if self._rate is not None:
            self._rate.check(exchange.client)
        admitted = self._gate.admit(exchange)
        exchange.queue_s = self.clock() - exchange.started
        return admitted

    def exchange_closed(self, exchange: Exchange, token: Token | None) -> None:
        """Take an exchange that has its outcome, and tell the observers."""
        self.occupancy.end(exchange.client)
        if not self.occupancy.in_flight:
            self._idle.set()
        if exchange.request_body.total:
            exchange.bytes_in += exchange.request_body.total
        if token is not None:
            exchange.token_expires_in_s = token.expires_at - self._clocks.token()
        self.turn.add_closed(exchange)

    # What the service calls.

    async def sweep(self) -> None:
        """Look at every connection once a second, for ever."""
        while True:
            await asyncio.sleep(SWEEP_S)
            self._look(self.clock())

    def _look(self, now: float) -> None:
        for client in list(self._clients):
            try:
                client.check(now)
            except Exception:  # no time limit of anybody's would hold any more
                log.exception("sweep.failed", client=repr(client))
        for pool in self._pools():
            pool.sweep(now)
        former = self._former.items()
        self._former = {pool: at for pool, at in former if not pool.is_empty or self._has_older(at)}

    def _has_older(self, moment: float) -> bool:
        """Return whether an exchange is under way that began before a moment of the clock."""
        return any(client.has_begun_before(moment) for client in self._clients)

    def _pools(self) -> list[Pool]:
        return [*self._plan.pools.values(), *self._former]

    def pools(self) -> Mapping[Destination, Pool]:
        """Return the pools by where they lead, for the next plan."""
        return self._plan.pools

    def use(self, plan: Plan) -> None:
        """Let requests in by another plan from now on, all of it at once; what is under way goes on as it began.

        Connections to destinations that are in both plans stay; the others are closed when they are idle.
        """
        before, self._plan = self._plan, plan
        limits = plan.config.limits
        if (limits.client_rate, limits.client_burst) != (self.limits.client_rate, self.limits.client_burst):
            self._rate = build_client_rate(limits, self.clock)
        self._gate = plan.gate
        self.limits = self.occupancy.limits = limits
        self.timeouts = plan.config.timeouts
        self.log_bytes = plan.config.traffic_log.bodies
        for client in self._clients:
            client.use(limits)
        kept = set(plan.pools.values())
        for pool in before.pools.values():
            if pool not in kept:
                pool.retire()
                self._former[pool] = self.clock()
        for pool in kept:
            pool.use(plan.dialer, plan.config)

    def close_entrance(self, entrance: Entrance) -> None:
        """Let no exchange begin any more on the connections that came in by it; those under way are finished."""
        entrance.is_open = False
        for client in list(self._clients):
            client.leave_with(entrance)

    async def finish_older(self, limit_s: float) -> None:
        """Wait until every exchange that is under way now has closed, but for no longer than the limit."""
        moment = self.clock()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                while self._has_older(moment):  # noqa: ASYNC110 (as in drain)
                    await asyncio.sleep(SWEEP_S)

    async def drain(self) -> None:
        """Finish what is under way, within the drain limit; then cut the rest."""
        self.is_draining = True
        for client in list(self._clients):
            client.drain()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.timeouts.drain):
                await self._idle.wait()
                # An exchange closes when its answer is handed over; a slow client has yet to take it.
                while any(client.has_unsent for client in self._clients):  # noqa: ASYNC110 (no event tells of the last)
                    await asyncio.sleep(DRAIN_LOOK_S)

    async def close(self) -> None:
        """End every connection and task."""
        for client in list(self._clients):
            client.abort(Draining(Draining.cut_off))
        await self.tasks.stop()
        self.turn.end()
        for pool in self._pools():
            pool.close()

    def pool_snapshots(self) -> list[PoolSnapshot]:
        """Return each pool's counts."""
        return [pool.snapshot() for pool in self._plan.pools.values()]

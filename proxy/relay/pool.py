"""Connections to one destination: the idle ones kept, new ones dialled.

The rule of this file: the connection used last is used next, so that a burst's extra ones grow old and are closed;
and nothing waits here: how many exchanges may be in flight is limited at the door.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.relay.upstream import UpstreamConnection

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.config.models import Config
    from proxy.relay.dial import Destination, Dialer, Phases
    from proxy.relay.turn import Turn


@dataclass(frozen=True, slots=True)
class PoolSnapshot:
    """The connections to one upstream, at one moment.

    Attributes:
        upstream: Its origin, for example ``https://api.rapidsos.com:443``.
        idle: Connections open and waiting for an exchange.
        busy: Connections that carry one, those being opened included.
    """

    upstream: str
    idle: int
    busy: int


class Pool:
    """The connections to one destination."""

    def __init__(
        self, destination: Destination, dialer: Dialer, turn: Turn, config: Config, clock: Callable[[], float]
    ) -> None:
        """Start empty."""
        self._destination = destination
        self._dialer = dialer
        self._turn = turn
        self._limits = config.limits
        self._idle_s = config.timeouts.pool_idle
        self._clock = clock
        self._idle: list[UpstreamConnection] = []
        self._open: set[UpstreamConnection] = set()
        self._dials = 0

    def take(self) -> UpstreamConnection | None:
        """Take an idle connection, None when there is none; those that the peer has closed are left out."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_closed:
                continue
            if connection.is_quiet:
                return connection
            connection.close()
        return None

    async def dial(self, phases: Phases) -> UpstreamConnection:
        """Open a new connection.

        Raises:
            UpstreamError: As ``Dialer.dial`` does.
        """
        self._dials += 1
        try:
            connection = await self._dialer.dial(self._destination, self._build_connection, phases)
        finally:
            self._dials -= 1
        self._open.add(connection)
        return connection

    def put_back(self, connection: UpstreamConnection) -> None:
        """Keep a connection for the next exchange."""
        connection.idle_since = self._clock()
        self._idle.append(connection)

    def forget(self, connection: UpstreamConnection) -> None:
        """Let go of a closed connection."""
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def sweep(self, now: float) -> None:
        """Close what has been idle for too long: before the upstream does, so that no request meets its close."""
        oldest = now - self._idle_s
        while self._idle and self._idle[0].idle_since < oldest:
            self._idle.pop(0).close()

    def close(self) -> None:
        """Close every connection, those in use included."""
        self._idle.clear()
        for connection in list(self._open):
            connection.close()

    def snapshot(self) -> PoolSnapshot:
        """Return the counts."""
        origin = self._destination.origin
        idle = len(self._idle)
        return PoolSnapshot(
            upstream=f"{origin.scheme}://{origin.host}:{origin.port}",
            idle=idle,
            busy=len(self._open) - idle + self._dials,
        )

    def _build_connection(self) -> UpstreamConnection:
        return UpstreamConnection(self, self._turn, self._limits.head, self._limits.fields)

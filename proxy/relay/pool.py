"""Connections to one destination: the idle ones kept, new ones dialled.

The rule of this file: the connection used last is used next, so that a burst's extra ones grow old and are closed;
and nothing waits here: how many exchanges may be in flight is limited at the door.

Whether an idle connection is still good, the event loop tells, and it asks the kernel once a turn for all of them.  So
one that came back in an earlier turn needs no look of its own: what the loop finds before the request has left
(upstream.py) still sends it elsewhere.  One that came back in this turn is asked for first; the close of a server that
closes after each answer is in the kernel by then, and the loop has not been there since.
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
        self._returned: list[UpstreamConnection] = []
        self._returned_in = 0
        self._open: set[UpstreamConnection] = set()
        self._dials = 0

    def take(self, *, at_once: bool = False) -> UpstreamConnection | None:
        """Take an idle connection, None when there is none; those that the peer has closed are left out.

        Args:
            at_once: Whether the request may leave before the turn ends, so that the loop tells nothing in between.
        """
        self._settle()
        idle = self._idle
        while idle:
            connection = idle.pop()
            if not connection.is_closed and (not at_once or _is_quiet(connection)):
                return connection
        while self._returned:
            connection = self._returned.pop()
            if not connection.is_closed and _is_quiet(connection):
                return connection
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
        self._settle()
        self._returned.append(connection)

    def forget(self, connection: UpstreamConnection) -> None:
        """Let go of a closed connection."""
        self._open.discard(connection)
        for idle in (self._idle, self._returned):
            if connection in idle:
                idle.remove(connection)

    def sweep(self, now: float) -> None:
        """Close what has been idle for too long: before the upstream does, so that no request meets its close."""
        self._settle()
        oldest = now - self._idle_s
        while self._idle and self._idle[0].idle_since < oldest:
            self._idle.pop(0).close()

    def close(self) -> None:
        """Close every connection, those in use included."""
        self._idle.clear()
        self._returned.clear()
        for connection in list(self._open):
            connection.close()

    def snapshot(self) -> PoolSnapshot:
        """Return the counts."""
        origin = self._destination.origin
        idle = len(self._idle) + len(self._returned)
        return PoolSnapshot(
            upstream=f"{origin.scheme}://{origin.host}:{origin.port}",
            idle=idle,
            busy=len(self._open) - idle + self._dials,
        )

    def _settle(self) -> None:
        """Let the connections that came back in an earlier turn be idle like the others."""
        if self._returned_in != self._turn.number:
            self._returned_in = self._turn.number
            if self._returned:
                self._idle += self._returned
                self._returned.clear()

    def _build_connection(self) -> UpstreamConnection:
        return UpstreamConnection(self, self._turn, self._limits.head, self._limits.fields)


def _is_quiet(connection: UpstreamConnection) -> bool:
    """Return whether the kernel holds nothing for a connection; if it does, the connection is closed."""
    if connection.is_quiet:
        return True
    connection.close()
    return False

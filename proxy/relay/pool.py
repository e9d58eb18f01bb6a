"""Connections to one destination: the idle ones kept, new ones dialled.

The rule of this file: the connection used last is used next, so that a burst's extra ones grow old and are closed;
and nothing waits here: how many exchanges may be in flight is limited at the door.  An idle connection is always
given, whatever the breaker says: that it is still there is better news than any that the breaker has.

Whether an idle connection is still good, the event loop tells, and it asks the kernel once a turn for all of them.  So
one that came back in an earlier turn needs no look of its own: what the loop finds before the request has left
(upstream.py) still sends it elsewhere.  One that came back in this turn is asked for first; the close of a server that
closes after each answer is in the kernel by then, and the loop has not been there since.
"""

from __future__ import annotations

import asyncio
import errno
import math
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from proxy.errors import BreakerOpen, UpstreamError
from proxy.http.authority import find_share
from proxy.relay.breaker import EVERYONE, Breaker, BreakerStatus
from proxy.relay.upstream import UpstreamConnection
from proxy.tasks import Tasks

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.config.models import Config
    from proxy.relay.dial import Destination, Dialer, Phases
    from proxy.relay.turn import Turn

    Dial = asyncio.Task[UpstreamConnection | UpstreamError]

log = structlog.get_logger(__name__)

MOST_ALONE = 8
"""Dials to one destination that go on without anybody who waits for them."""

OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})
"""What this machine has run out of: clients can bring that about, and it says nothing of the upstream."""

TURNS_TO_SPEAK = 2
"""Of the event loop, for which a new connection is listened to: in the first the loop asks the kernel, in the second it
tells.  What is heard then answers no request, and ends the connection before one is sent (upstream.py)."""


@dataclass(frozen=True, slots=True)
class PoolSnapshot:
    """The connections to one upstream, at one moment.

    Attributes:
        upstream: Its origin, for example ``https://api.rapidsos.com:443``.
        idle: Connections open and waiting for an exchange.
        busy: Connections that carry one, those being opened included.
        breaker: Whether new ones are tried.
    """

    upstream: str
    idle: int
    busy: int
    breaker: BreakerStatus = field(default_factory=BreakerStatus)


class Pool:
    """The connections to one destination.

    Attributes:
        breaker: Whether the destination can be reached, and answers.
    """

    def __init__(
        self,
        destination: Destination,
        dialer: Dialer,
        turn: Turn,
        config: Config,
        clock: Callable[[], float],
        *,
        dice: Callable[[], float] = random.random,
    ) -> None:
        """Start empty; ``dice`` give a number from 0 up to 1."""
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
        self._tasks = Tasks()
        self._alone: set[Dial] = set()
        self._is_closed = False
        self._dice = dice
        self._settings = config.breaker
        self.breaker = Breaker(config.breaker, dice)

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

        Whoever stops waiting does not stop it: what comes of it tells whether the destination can be reached, and the
        next exchange can use it.

        Raises:
            UpstreamError: As ``Dialer.dial`` does.
        """
        dial: Dial = self._tasks.start(self._dial(phases), name="upstream.dial")
        try:
            outcome = await asyncio.shield(dial)
        except asyncio.CancelledError:
            phases.stop()
            self._go_on_alone(dial)
            raise
        if isinstance(outcome, UpstreamError):
            raise outcome
        return outcome

    async def _dial(self, phases: Phases) -> UpstreamConnection | UpstreamError:
        self._dials += 1
        begun = self._clock()
        try:
            connection = await self._dialer.dial(self._destination, self._build_connection, phases)
        except UpstreamError as error:
            if not _is_ours(error):
                self._note_failure(begun, error.slug)
            return error
        finally:
            self._dials -= 1
        self._open.add(connection)
        try:
            for _ in range(TURNS_TO_SPEAK):
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            connection.close()
            raise
        self._note_closed(self.breaker.connect())
        return connection

    def _go_on_alone(self, dial: Dial) -> None:
        """Let a dial for which nobody waits come to its end; few at a time, since clients leave as they like."""
        if self._is_closed or len(self._alone) >= MOST_ALONE:
            dial.cancel()
        else:
            self._alone.add(dial)
        dial.add_done_callback(self._take_alone)

    def _take_alone(self, dial: Dial) -> None:
        self._alone.discard(dial)
        if dial.cancelled() or dial.exception() is not None:
            return
        connection = dial.result()
        if isinstance(connection, UpstreamError) or connection.is_closed:
            return
        if self._is_closed:
            connection.close()
        else:
            self.put_back(connection)

    def check_breaker(self, client: str) -> None:
        """Let a client's request have a new connection.

        Raises:
            BreakerOpen: If none is tried now.
        """
        self._note_closed(self.breaker.settle())
        wait_s = self.breaker.enter(self._clock(), find_share(client))
        if wait_s > 0.0:
            detail = (
                f"{self.name} could not be reached, or gave no answer, several times in a row, so it is left alone for "
                f"{wait_s:.1f} s, and this request was not sent; send it again, or look for upstream.opened in the "
                "proxy's messages"
            )
            raise BreakerOpen(detail, retry_after_s=math.ceil(wait_s))

    def note_unanswered(self, client: str, begun: float, slug: str) -> None:
        """Take note of a request, sent whole at ``begun``, that got no answer."""
        self._note_failure(begun, slug, find_share(client))

    def note_answer(self, client: str, begun: float, status: int) -> None:
        """Take note of an answer that says that the upstream, or what stands before it, has failed."""
        if self.breaker.is_failure(status):
            self._note_failure(begun, str(status), find_share(client))
        else:
            self.breaker.answered_at = self._clock()

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
        """Close what has been idle for too long: before the upstream does, so that no request meets its close.

        It is called once a second, so the end of the breaker's work is told that late at most.
        """
        self._settle()
        self._note_closed(self.breaker.settle())
        oldest = now - self._idle_s
        while self._idle and self._idle[0].idle_since < oldest:
            self._idle.pop(0).close()

    def use(self, dialer: Dialer, config: Config) -> None:
        """Go on with another configuration; connections that are open stay."""
        self._dialer = dialer
        self._limits = config.limits
        self._idle_s = config.timeouts.pool_idle
        if config.breaker != self._settings:
            self._settings = config.breaker
            self.breaker = Breaker(config.breaker, self._dice)

    def retire(self) -> None:
        """Serve those who hold it, and close each connection at the first sweep that finds it idle."""
        self._idle_s = -math.inf

    @property
    def is_empty(self) -> bool:
        """Whether it has no connection, and none is being opened."""
        return not (self._open or self._dials)

    def close(self) -> None:
        """Close every connection, those in use included."""
        self._is_closed = True
        for dial in self._alone:
            dial.cancel()
        self._idle.clear()
        self._returned.clear()
        for connection in list(self._open):
            connection.close()

    @property
    def name(self) -> str:
        """The destination's origin, its port written out."""
        origin = self._destination.origin
        return f"{origin.scheme}://{origin.host}:{origin.port}"

    def snapshot(self) -> PoolSnapshot:
        """Return the counts."""
        idle = len(self._idle) + len(self._returned)
        busy = len(self._open) - idle + self._dials
        self._note_closed(self.breaker.settle())
        return PoolSnapshot(self.name, idle, busy, self.breaker.status(self._clock()))

    def _note_failure(self, begun: float, reason: str, client: str = EVERYONE) -> None:
        self._note_closed(self.breaker.settle())
        if self.breaker.fail(self._clock(), begun, client):
            log.warning(
                "upstream.opened",
                upstream=self.name,
                last=reason,
                **({"client": client} if client else {}),
                fix="`rapidsos-proxy doctor` tells which link is broken; until it holds, few requests are let through",
            )

    def _note_closed(self, opened_at: float | None) -> None:
        if opened_at is not None:
            log.info("upstream.closed", upstream=self.name, open_s=round(self._clock() - opened_at, 1))

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


def _is_ours(error: BaseException) -> bool:
    """Return whether it was this machine that lacked something."""
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno in OURS

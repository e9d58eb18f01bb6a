"""One exchange under way: the client's request out, the upstream's answer back, and every way it can end.

Read it top to bottom: start, token, connection, request, answer, end.  Nothing here awaits unless it has to: with a
valid token and an idle connection the whole way from the client's bytes to the upstream's socket, and back, is plain
calls, without a task, a future or a timer.  A task exists only while a token or a connection is waited for.

The rule of this file: ``finish`` runs exactly once for each transfer, and nothing happens after it.
"""

from __future__ import annotations

import asyncio
import math
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import structlog

from proxy.errors import (
    BodyTooLarge,
    ClientTimeout,
    Draining,
    ExchangeError,
    InternalError,
    NoToken,
    TokenError,
    UpstreamClosed,
    UpstreamError,
    UpstreamTimeout,
)
from proxy.exchange import (
    ABORTED,
    ANSWERED_HERE,
    CLIENT_LEFT,
    REFUSED,
    TOKEN_FAILED,
    UPSTREAM_FAILED,
    Attempt,
    Exchange,
)
from proxy.http.headers import build_upstream_head, without_field
from proxy.http.placement import place_in_query
from proxy.http.problem import Answer, build_connect_answer, build_problem
from proxy.relay.answering import Answering
from proxy.relay.asking import Asking
from proxy.relay.dial import Phases
from proxy.relay.gate import Admitted
from proxy.tokens.rejection import BodyLook
from proxy.tokens.token import Token
from proxy.traffic.names import MASK

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from proxy.http.framing import BodyReader
    from proxy.http.head import RequestHead, ResponseHead
    from proxy.relay.answering import ClientSide
    from proxy.relay.relay import Relay
    from proxy.relay.tunnel import Tunnel
    from proxy.relay.upstream import UpstreamConnection

log = structlog.get_logger(__name__)

LEAST_RATE = 100
"""Bytes a second that a client must send or take while we wait for it: one that sends a byte within each time limit
would otherwise hold its place, and a connection to RapidSOS, for ever."""
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS"})
"""Sent again when a connection dies before the answer.  RFC 9110, section 9.2.2 would allow PUT and DELETE; what they
do at RapidSOS is not documented, so they are left to the client."""
SERVER_ERROR = 500
"""RFC 9110, section 15.6: from here on."""
NO_TOKEN = Token("", None, -math.inf, -math.inf, -math.inf, 0.0)
"""Stands for the token of an exchange that has none yet."""


class Transfer:
    """Joins one client's request to an upstream connection.

    Attributes:
        exchange: What is known of it so far.
    """

    __slots__ = (
        "_admitted",
        "_answering",
        "_asking",
        "_attempt",
        "_client",
        "_client_stalled",
        "_held",
        "_is_over",
        "_last_active",
        "_look",
        "_passed_before",
        "_relay",
        "_request",
        "_resent",
        "_task",
        "_timeouts",
        "_token",
        "_token_replaced",
        "_upstream",
        "_waits_since",
        "exchange",
    )

    def __init__(self, relay: Relay, client: ClientSide, exchange: Exchange, body: BodyReader) -> None:
        """Prepare; ``body`` tells how the request's body is framed."""
        self._relay = relay
        self._timeouts = relay.timeouts  # those that it began with, whatever is reloaded
        self._client = client
        self._asking = Asking(relay, client, exchange, body)
        self._answering = Answering(relay, client, exchange)
        self.exchange = exchange
        self._request: RequestHead  # this and the next: none, where the transfer ends before it has begun
        self._admitted: Admitted
        self._token = NO_TOKEN
        self._upstream: UpstreamConnection | None = None
        self._held: UpstreamConnection | None = None
        self._attempt: Attempt  # none, while the exchange has none
        self._task: asyncio.Task[None] | None = None
        self._look: BodyLook | None = None
        self._resent = False
        self._token_replaced = False
        self._client_stalled = False
        self._is_over = False
        self._last_active = self._waits_since = exchange.started
        self._passed_before = 0

    def __repr__(self) -> str:
        """Return the exchange's id and how far it has come."""
        state = (
            "over"
            if self._is_over
            else "answering"
            if self._answering.has_begun
            else "sent"
            if self._upstream
            else "waiting"
        )
        return f"<Transfer {self.exchange.id} {state}>"

    # Start, token, connection.

    def start(self, *, done: bool) -> Tunnel | None:
        """Begin; ``done`` if the request's body, as far as there is one, is all in the exchange.

        Returns:
            What was asked for by CONNECT, and is granted: the exchange is over then, and what follows is TLS.
        """
        self._asking.is_done = done
        try:
            admitted = self._relay.admit(self.exchange)
        except ExchangeError as error:
            self.fail(error)
            return None
        if not isinstance(admitted, Admitted):
            return self._end_here(admitted)
        self._admitted = admitted
        request = cast("RequestHead", self.exchange.request)  # without one nothing is let in
        self._request = request if admitted.kept_back is None else without_field(request, admitted.kept_back)
        if not admitted.route.replay:
            self._asking.forgo_replay()
        token = self._admitted.source.current()
        if token is None:
            self._start_task(self._wait_for_token, "exchange.token")
        else:
            self._connect(token)
        return None

    def _end_here(self, admitted: Answer | Tunnel) -> Tunnel | None:
        """End with an answer that nobody but the proxy can give."""
        self.exchange.outcome = ANSWERED_HERE
        if isinstance(admitted, Answer):
            self._answer_here(admitted)
            return None
        self._answering.send_connected(build_connect_answer(now=self._relay.wall_clock()))
        self._finish(keep_alive=True)
        return admitted

    async def _wait_for_token(self) -> None:
        """Wait for the credential's flight: only before there was a token, or after an outage outlived it."""
        started = self._relay.clock()
        try:
            token = await self._admitted.source.wait()
        finally:
            self.exchange.token_wait_s += self._relay.clock() - started
        self._connect(token)

    def _connect(self, token: Token, *, fresh: bool = False) -> None:
        """Take an idle connection, or start dialling one; ``fresh`` never takes an idle one."""
        self._token = token
        pool = self._admitted.pool
        connection = None if fresh else pool.take(at_once=not self._asking.is_done)
        if connection is None:
            self._start_task(self._dial, "exchange.dial")
        else:
            self._begin_attempt(reused=True)
            self._send(connection)

    async def _dial(self) -> None:
        """Open a new connection, which may take longer than what was left of the token's life."""
        if not self.exchange.attempts:  # what is on its way already is not refused half-way
            self._admitted.pool.check_breaker(self.exchange.client)
        attempt = self._begin_attempt(reused=False)
        phases = Phases()
        try:
            connection = await self._admitted.pool.dial(phases)
        finally:
            attempt.dns_s, attempt.connect_s, attempt.tls_s = phases.dns_s, phases.connect_s, phases.tls_s
        if self._admitted.source.current() is not self._token:
            await self._renew_token(connection)
            attempt.fingerprint = self._token.fingerprint
        if connection.is_closed:
            self.answer_failed(UpstreamClosed("the upstream closed the connection before the request was sent"))
        else:
            self._send(connection)

    async def _renew_token(self, connection: UpstreamConnection) -> None:
        """Take the token of now; one without a life serves whoever waited for it, and cannot be had again."""
        if self._token.life_s <= 0:
            return
        if (token := self._admitted.source.current()) is not None:
            self._token = token
            return
        started = self._relay.clock()
        try:
            self._token = await self._admitted.source.wait()
        except BaseException:
            connection.close()
            raise
        finally:
            self.exchange.token_wait_s += self._relay.clock() - started

    def _begin_attempt(self, *, reused: bool) -> Attempt:
        route = self._admitted.route
        path = self._admitted.path
        if route.token_parameter is not None:
            path = place_in_query(path, route.token_parameter, MASK)
        url = f"{route.upstream.scheme}://{route.host_field}{path}"
        attempt = Attempt(url, reused=reused, fingerprint=self._token.fingerprint)
        self.exchange.attempts.append(attempt)
        self._attempt = attempt
        return attempt

    # The request.

    def _send(self, connection: UpstreamConnection) -> None:
        """Send the head and what there is of the body."""
        exchange, token, route, asking = self.exchange, self._token, self._admitted.route, self._asking
        path, authorization = self._admitted.path, token.authorization if route.token_parameter is None else None
        if route.token_parameter is not None:
            path = place_in_query(path, route.token_parameter, token.value)
            exchange.query_tokens += (token.value,)
            self._relay.echoes.expect(token)
        via, chunked = self._relay.pseudonym, asking.is_chunked
        head = build_upstream_head(self._request, path, route.host_field, authorization, via, chunked=chunked)
        now = self._last_active = self._relay.clock()
        exchange.sent_authorization = authorization
        attempt = self._attempt
        attempt.address = connection.address
        attempt.sent_at = now
        if asking.is_done:
            attempt.request_done_at = now
        self._upstream = connection
        asking.begin(connection, self, self._request.method, head)

    def take_request(self, data: bytes, *, done: bool) -> None:
        """Take more of the request's body, framing removed; ``done`` with the last of it."""
        self._last_active = self._relay.clock()
        if done and self._asking.is_under_way:
            self._attempt.request_done_at = self._last_active
        try:
            self._asking.take(data, done=done)
        except BodyTooLarge as error:
            self.fail(error)

    def upstream_writable(self, *, writable: bool) -> None:
        """Hold the client back while the upstream cannot take more."""
        self._last_active = self._relay.clock()
        self._asking.writable(writable=writable)

    # The answer.

    def answer_interim(self, head: ResponseHead) -> None:
        """Relay a 1xx."""
        self._last_active = self._relay.clock()
        self._answering.take_interim(self._hide_token(head))

    def answer_head(self, head: ResponseHead, body: BodyReader) -> None:
        """Relay the head, unless it says that the token is dead and another try can be made."""
        now = self._last_active = self._relay.clock()
        attempt = self._attempt
        attempt.status = head.status
        attempt.first_byte_at = now
        if head.status < SERVER_ERROR:
            self._admitted.pool.breaker.answered_at = now
        else:
            self._admitted.pool.note_answer(self.exchange.client, attempt.sent_at or now, head.status)
        rejections = self._admitted.route.rejections
        if head.status not in rejections.statuses or self._token.fingerprint is None:
            self._accept(head, body)
        elif rejections.is_dead_token(head):
            self._reject(head, body)
        elif words := rejections.find_words(head):
            self._look = BodyLook(head, body, words)
        else:
            self._accept(head, body)

    def _accept(self, head: ResponseHead, body: BodyReader, seen: bytes = b"") -> None:
        """Relay an answer that does not reject the token; ``seen`` is what was held back of its body."""
        if head.status < SERVER_ERROR:  # a 5xx tells nothing of the token
            self._admitted.source.prove(self._token)
        self._begin_answer(head, body, seen)

    def _reject(self, head: ResponseHead, body: BodyReader, seen: bytes = b"") -> None:
        """Try again after an answer that says that the token is dead; relay it, if that cannot be."""
        if self._may_send_again():
            self._hold_answer()
            self._start_task(partial(self._replace_token, head, body, seen), "exchange.replace")
        else:
            self._admitted.source.suspect(self._token)
            self._begin_answer(head, body, seen)

    def _begin_answer(self, head: ResponseHead, body: BodyReader, seen: bytes) -> None:
        self._answering.take_head(self._hide_token(head), body, request_done=self._asking.is_done)
        if seen:
            self._answering.take_body(seen)

    def _hide_token(self, head: ResponseHead) -> ResponseHead:
        """Return the head without the token, if that went into the query: a redirect may repeat it."""
        return self._relay.echoes.hide(head) if self.exchange.query_tokens else head

    def _may_send_again(self) -> bool:
        """Return whether a 401 may lead to a second try: one an exchange, and only with the whole body at hand."""
        return not self._token_replaced and self._admitted.route.replay and self._asking.is_at_hand

    def _hold_answer(self) -> None:
        """Keep the 401 unread, and the rest of the request's body for whoever gets the whole of it.

        From here on this connection gets no more of the body, even if its answer is relayed in the end: what came
        in the meantime would be missing in the middle.
        """
        self._held, self._upstream = self._upstream, None
        self._asking.let_go()
        cast("UpstreamConnection", self._held).hold()

    async def _replace_token(self, head: ResponseHead, body: BodyReader, seen: bytes) -> None:
        """Send once more with a new token; without one the answer held is the answer."""
        self._token_replaced = True
        started = self._relay.clock()
        try:
            token = await self._admitted.source.replace(self._token)
        finally:
            self.exchange.token_wait_s += self._relay.clock() - started
        held, self._held = self._held, None
        if token is not None:
            self._attempt.ended_at = self._relay.clock()
            if held is not None:
                held.discard_answer()
            self._connect(token)
        elif held is not None:
            self._upstream = held
            self._begin_answer(head, body, seen)
            held.release_answer()
        else:
            detail = "RapidSOS refused the token and no new one could be had; see `rapidsos-proxy token status`"
            raise UpstreamClosed(detail)

    def answer_body(self, data: bytes) -> None:
        """Relay body bytes, unless they must be looked at first."""
        self._last_active = self._relay.clock()
        look = self._look
        if look is None:
            self._answering.take_body(data)
        elif look.take(data):
            self._look = None
            (self._reject if look.finds_it else self._accept)(look.head, look.body, look.seen)

    def answer_done(self) -> None:
        """The upstream's part is over."""
        self._upstream = None
        look, self._look = self._look, None
        if look is not None:  # the end of the connection was the end of the body: nothing is left to hold
            if look.finds_it:
                self._admitted.source.suspect(self._token)
            self._begin_answer(look.head, look.body, look.seen)
        self._answering.end()
        self._finish(keep_alive=self._answering.keeps_alive(request_done=self._asking.is_done))

    def close_after(self) -> None:
        """Let this be the connection's last exchange."""
        self._answering.close_after()

    def client_writable(self, *, writable: bool) -> None:
        """Hold the upstream back while the client cannot take more."""
        self._client_stalled = not writable
        self._last_active = self._relay.clock()
        if not writable:  # until now it was the upstream that we waited for
            self._waits_since, self._passed_before = self._last_active, self._count_passed()
        if self._upstream is None:
            return
        if writable:
            self._upstream.resume_reading()
        else:
            self._upstream.pause_reading()

    # The ends.

    def answer_failed(self, error: ExchangeError) -> None:
        """Try again where that cannot do harm; otherwise the exchange fails."""
        if self._held is not None:
            self._held = None
            return
        upstream, self._upstream = self._upstream, None
        if upstream is not None and not upstream.has_left:
            self._attempt.sent_at = self._attempt.request_done_at = None
        self._asking.let_go()
        self._attempt.error = error.slug
        self._attempt.ended_at = self._relay.clock()
        answered = upstream is not None and upstream.has_answered
        may_repeat = self._request.method in IDEMPOTENT or self._attempt.sent_at is None
        if not isinstance(error, UpstreamClosed):
            self.fail(error)
            return
        is_early = not (answered or self._answering.has_begun)
        if is_early and may_repeat and self._asking.is_at_hand and not self._resent:
            self._resent = True
            self._connect(self._token, fresh=True)
            return
        if is_early:
            self._note_unanswered(error)
        tries = self._tell_tries(may_repeat=may_repeat) if is_early else ""
        self.fail(UpstreamClosed(f"{error.detail}{tries}; {UpstreamClosed.step}"))

    def _tell_tries(self, *, may_repeat: bool) -> str:
        """Say how often a request was sent that had no answer; a part of a sentence."""
        if not may_repeat:
            return ", and whether it acted on the request is unknown, so it was not repeated"
        return ", twice" if self._resent else ""

    def abort(self, error: ExchangeError) -> None:
        """End now, since the time for draining is over."""
        self.fail(error, outcome=ABORTED)

    def fail(self, error: ExchangeError, *, outcome: str | None = None) -> None:
        """End with an answer of our own, or, where the upstream's is on its way, by cutting it short."""
        if self._is_over:
            return
        exchange = self.exchange
        # Without its traceback, whose frames would keep the client's bytes for as long as the record waits.
        error.__context__ = error.__cause__ = None
        exchange.error = error.with_traceback(None)
        exchange.outcome = outcome or _outcome_of(error)
        self._abandon_upstream(error)
        if isinstance(error, Draining):  # whoever is to connect again has nothing more to say here
            self._answering.close_after()
        if self._answering.is_under_way:
            # Who took the answer too slowly would take for ever over what has been sent and not taken.
            self._answering.cut(reset=isinstance(error, ClientTimeout))
            self._finish(keep_alive=False)
        else:
            self._answer_here(build_problem(error, exchange.id, now=self._relay.wall_clock()))

    def _answer_here(self, answer: Answer) -> None:
        """End with an answer of our own."""
        self._answering.send_own(answer, request_done=self._asking.is_done)
        self._finish(keep_alive=self._answering.keeps_alive(request_done=self._asking.is_done))

    def client_lost(self) -> None:
        """The client has closed: stop the upstream as well."""
        if self._is_over:
            return
        self.exchange.outcome = CLIENT_LEFT
        self._abandon_upstream(None)
        self._finish(keep_alive=False)

    def check(self, now: float) -> None:
        """End the exchange if whoever it waits for has been silent, or a mere trickle, for too long.

        Called once a second.  A task that waits for a token or a connection has limits of its own; the route's
        deadline is above all of them.
        """
        if self._is_over:
            return
        deadline_s = self._admitted.route.deadline_s
        if deadline_s is not None and now - self.exchange.started > deadline_s:
            self._end_late(deadline_s)
            return
        if self._task is not None:
            return
        if self._client_stalled and self._client.took_some():
            self._last_active = now
        limit_s, error, what = self._awaited()
        if now - self._last_active > limit_s:
            if error is UpstreamTimeout:
                self._note_unanswered(error)
            self.fail(error(f"{what} within {limit_s:g} s; {error.step}"))
        elif error is ClientTimeout and now - self._waits_since > limit_s + self._count_since() / LEAST_RATE:
            self.fail(error(f"the client sent or took less than {LEAST_RATE} bytes a second; {error.step}"))

    def _note_unanswered(self, error: ExchangeError | type[ExchangeError]) -> None:
        """Tell the breaker of a request that got no answer, unless a part of it is still with its client."""
        attempt = self._attempt
        has_answered = self._upstream is not None and self._upstream.has_answered
        if not has_answered and attempt.request_done_at is not None and attempt.sent_at is not None:
            self._admitted.pool.note_unanswered(self.exchange.client, attempt.sent_at, error.slug)

    def _end_late(self, deadline_s: float) -> None:
        """End an exchange whose route's deadline has passed; whose fault it was is told by what it waited for."""
        limit = f"within the route's deadline of {deadline_s:g} s"
        if self._held is not None or self._token is NO_TOKEN:
            detail = f"no token was to be had {limit}; see `rapidsos-proxy token status`"
            self.fail(NoToken(detail, retry_after_s=1))
        elif self._task is not None:
            self.fail(UpstreamTimeout(f"no connection came about {limit}; {UpstreamTimeout.step}"))
        else:
            _, error, _ = self._awaited()
            what = "the answer was not whole" if self._answering.has_begun else "the upstream gave no answer"
            if error is UpstreamTimeout:
                self._note_unanswered(error)
            elif not self._client_stalled:
                what = "the client's request was not whole"
            self.fail(error(f"{what} {limit}; {error.step}"))

    def _count_since(self) -> int:
        """Return the bytes that the client has sent, or taken, since we wait for it."""
        return self._count_passed() - self._passed_before

    def _count_passed(self) -> int:
        """Return the bytes of this exchange that have passed between the client and us, either way."""
        return self.exchange.request_body.total + max(0, self.exchange.bytes_out - self._client.count_waiting())

    def _awaited(self) -> tuple[float, type[ClientTimeout | UpstreamTimeout], str]:
        """Tell what the exchange waits for: the longest silence in seconds, whose fault it is, and in words."""
        timeouts = self._timeouts
        if self._client_stalled:
            return timeouts.silence, ClientTimeout, "the client took nothing of the answer"
        if self._answering.has_begun:
            return timeouts.silence, UpstreamTimeout, "the upstream sent nothing more of its answer"
        if not self._asking.is_done and not self._asking.is_stalled:
            return timeouts.body, ClientTimeout, "the client sent nothing more of its request"
        return timeouts.first_byte, UpstreamTimeout, "the upstream gave no answer"

    def _abandon_upstream(self, error: ExchangeError | None) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None
        for connection in (self._upstream, self._held):
            if connection is not None:
                connection.abandon()
        self._upstream = self._held = None
        if self.exchange.attempts and self._attempt.ended_at is None:
            self._attempt.ended_at = self._relay.clock()
            if isinstance(error, UpstreamError):
                self._attempt.error = error.slug

    def _finish(self, *, keep_alive: bool) -> None:
        self._is_over = True
        exchange = self.exchange
        now = exchange.ended = self._relay.clock()
        if exchange.attempts and self._attempt.ended_at is None:
            self._attempt.ended_at = now
        self._relay.exchange_closed(exchange, None if self._token is NO_TOKEN else self._token)
        self._client.exchange_over(keep_alive=keep_alive)

    def _start_task(self, work: Callable[[], Awaitable[None]], name: str) -> None:
        self._task = self._relay.tasks.start(self._run(work), name=name)

    async def _run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run what has to wait; whatever goes wrong there ends the exchange and is never lost."""
        task = asyncio.current_task()
        try:
            await work()
        except ExchangeError as error:
            self._end_task(task)
            self.fail(error)
        except Exception:
            log.exception("exchange.failed", exchange=self.exchange.id)
            self._end_task(task)
            self.fail(InternalError())
        else:
            self._end_task(task)

    def _end_task(self, task: asyncio.Task[Any] | None) -> None:
        """Forget the task that has ended, unless it started the next one."""
        if self._task is task:
            self._task = None


def _outcome_of(error: ExchangeError) -> str:
    match error:
        case TokenError():
            return TOKEN_FAILED
        case UpstreamError():
            return UPSTREAM_FAILED
        case InternalError():
            return ABORTED
        case _:
            return REFUSED

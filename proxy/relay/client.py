"""One client's connection: requests in, one after another, each handed to a transfer; answers out.

The rule of this file: it knows HTTP framing and its own socket, no route, no token and no upstream.  What follows a
complete request stays outside the parser until that request is answered (RFC 9112, section 9.3.2), and whatever is
ambiguous ends the connection: nobody can tell where the next request would begin.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from typing import TYPE_CHECKING, cast

import structlog

from proxy.errors import (
    BodyTooLarge,
    ClientError,
    ClientTimeout,
    Draining,
    ExchangeError,
    HeadTooLarge,
    InternalError,
    Malformed,
)
from proxy.exchange import ABORTED, CLIENT_LEFT, REFUSED
from proxy.http.framing import NO_BODY, LengthBody, request_body
from proxy.http.head import HEAD_END, parse_request_head
from proxy.http.scan import HeadScanner
from proxy.relay.secure import SecureConnection
from proxy.relay.transfer import LEAST_RATE, Transfer
from proxy.relay.wire import Wire

if TYPE_CHECKING:
    from proxy.config.models import Limits
    from proxy.exchange import Connect, Exchange
    from proxy.http.framing import BodyReader
    from proxy.relay.entrance import Entrance
    from proxy.relay.relay import Relay

log = structlog.get_logger(__name__)

MOST_AHEAD = 65_536
"""Bytes of pipelined requests kept while one is answered; then the client's socket is left unread."""
MOST_AT_ONCE = 16
"""Pipelined requests taken in one turn of the loop; a buffer holds thousands of those that are refused on the spot."""
LINGER_S = 2.0
"""Silence after which a client that has had its last answer is no longer waited for."""
LONGEST_LINGER_S = 30.0
"""How long what it still sends is read and thrown away: as long as nginx does it for an upload that was refused."""


class ClientConnection:
    """One connection from a client; an ``asyncio.Protocol`` by its methods, as upstream.py says why."""

    __slots__ = (
        "_address",
        "_body",
        "_buffer",
        "_certificate",
        "_connect",
        "_deadline",
        "_entrance",
        "_eof",
        "_has_begun",
        "_is_lingering",
        "_is_parsing",
        "_is_stalled",
        "_last_active",
        "_listener",
        "_relay",
        "_scanner",
        "_started",
        "_taken_by",
        "_takes_later",
        "_transfer",
        "_transport",
        "_wire",
    )

    def __init__(self, relay: Relay, entrance: Entrance) -> None:
        """Serve ``relay`` to whoever came in by ``entrance``."""
        self._relay = relay
        self._entrance = entrance
        self._listener = entrance.listener
        self._transport: asyncio.Transport  # this and the next: from connection_made on
        self._wire: Wire
        self._address = ""
        self._certificate: str | None = None
        self._connect: Connect | None = None
        self._buffer = b""
        self._scanner = HeadScanner(relay.limits)
        self._body: BodyReader = NO_BODY
        self._transfer: Transfer | None = None
        self._started = 0.0
        self._deadline = 0.0
        self._last_active = 0.0
        self._eof = False
        self._has_begun = False
        self._is_lingering = False
        self._is_parsing = False
        self._is_stalled = False
        self._takes_later = False
        self._taken_by = 0.0

    def __repr__(self) -> str:
        """Return the client's address and what the connection is doing."""
        state = repr(self._transfer) if self._transfer else "lingering" if self._is_lingering else "idle"
        return f"<ClientConnection {self._address} {state}>"

    @property
    def address(self) -> str:
        """The client's, without its port; empty before there is one."""
        return self._address

    # What asyncio calls, or TLS in its place.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a new connection; one that may not be here, or is one too many, is refused before a byte is read."""
        self._transport = cast("asyncio.Transport", transport)
        self._wire = Wire(self._transport, self._relay.turn)
        peer = transport.get_extra_info("peername")
        if peer is None or not self._entrance.is_open:  # it has gone again, or the listener has
            self._transport.abort()
            return
        self._address = peer[0]
        self._started = self._relay.clock()
        is_secure = transport.get_extra_info("sslcontext") is not None
        self._deadline = math.inf if is_secure else self._started + self._relay.timeouts.head
        try:
            if not self._relay.arrive(self, self._listener, self._address):
                self._transport.abort()
        except ExchangeError as error:
            if is_secure:
                self._turn_away(error)
            else:
                self._refuse(error)

    def secured(self, certificate: str | None) -> None:
        """Begin to wait for requests: the handshake below is done, and was its own time limit's.

        Args:
            certificate: Whose the client's is; None where it has shown none.
        """
        self._certificate = certificate
        self._started = self._relay.clock()
        self._deadline = self._started + self._relay.timeouts.head

    def move_to(self, transport: asyncio.Transport) -> None:
        """Go on over another transport: TLS begins in the one that a tunnel was asked for on."""
        self._wire.resume_reading()
        self._wire.flush()
        self._transport = transport
        self._wire = Wire(transport, self._relay.turn)
        self._deadline = math.inf

    def refuse_plain_http(self, received: int) -> None:
        """Refuse a request without TLS where there has to be some, in plain text, after so many bytes of it."""
        exchange = self._open_exchange()
        exchange.bytes_in = received
        where = "to a listener of TLS" if self._connect is None else "in a tunnel (CONNECT), which is for https alone"
        detail = f"plain HTTP came {where}; change http:// to https:// in the client's URLs"
        self._refuse(Malformed(detail), exchange)

    def data_received(self, data: bytes) -> None:
        """Take bytes of a request."""
        if self._is_lingering:
            self._last_active = self._relay.clock()
        elif self._transfer is not None and not self._body.is_complete:
            self._guarded_take(data)
        elif self._transfer is not None or self._is_stalled or self._takes_later:
            self._buffer += data
            if len(self._buffer) > MOST_AHEAD:
                self._wire.pause_reading()
        else:
            data, self._buffer = self._buffer + data if self._buffer else data, b""
            self._guarded_take(data)

    def eof_received(self) -> bool:
        """Go on answering a client that has only closed its sending side, as far as its requests are whole."""
        self._eof = True
        self._wire.flush()
        if self._transfer is not None:
            return self._body.is_complete
        return bool(self._buffer) and (self._is_stalled or self._takes_later)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (how it ended makes no difference)
        """Tell the transfer under way."""
        self._relay.leave(self)
        transfer, self._transfer = self._transfer, None
        waiting, self._buffer = self._buffer, b""
        if transfer is not None:
            transfer.client_lost()
        self._record_what_waited(waiting, CLIENT_LEFT)

    def pause_writing(self) -> None:
        """Hold the upstream back, and what is pipelined: the client reads more slowly than it is sent to."""
        self._is_stalled = True
        self._taken_by = 0.0
        if self._transfer is not None:
            self._transfer.client_writable(writable=False)

    def resume_writing(self) -> None:
        """Go on."""
        self._is_stalled = False
        if self._transfer is not None:
            self._transfer.client_writable(writable=True)
        else:
            self._take_what_waits()

    # The request, in the order in which it arrives.

    def _guarded_take(self, data: bytes) -> None:
        """Let requests be taken from ``data``; a defect of ours ends the exchange and is logged."""
        self._is_parsing = True
        try:
            self._take(data)
        except Exception:
            log.exception("request.failed", client=self._address)
            if self._transfer is not None:
                self._transfer.fail(InternalError())
            else:
                self._transport.abort()
        finally:
            self._is_parsing = False

    def _take(self, data: bytes) -> None:
        """Take what there is: the body under way, or as many requests as are answered on the spot."""
        if self._transfer is not None:
            data = self._take_body(self._transfer, data)
        taken = 0
        while data and self._transfer is None and not (self._is_lingering or self._is_stalled):
            if taken == MOST_AT_ONCE:
                self._take_later(data)
                return
            taken += 1
            data, is_whole = self._take_request(data)
            if not is_whole:
                break
        if self._is_lingering:
            self._record_what_waited(data, ABORTED)
            return
        self._buffer = data
        if self._eof and self._transfer is None and not self._is_stalled:
            self._end_of_requests()

    def _take_later(self, data: bytes) -> None:
        """Leave the rest for the next turn: one client's pipeline must not hold up the others."""
        self._buffer = data
        self._takes_later = True
        if len(data) > MOST_AHEAD:
            self._wire.pause_reading()
        asyncio.get_running_loop().call_soon(self._take_what_was_left)

    def _take_what_was_left(self) -> None:
        self._takes_later = False
        self._take_what_waits()

    def _take_body(self, transfer: Transfer, data: bytes) -> bytes:
        """Take body bytes; return what lies behind the request."""
        body = self._body
        try:
            payload, rest = body.feed(data)
        except ExchangeError as error:
            transfer.fail(error)
            return b""
        transfer.take_request(payload, done=body.is_complete)
        return rest

    def _take_request(self, data: bytes) -> tuple[bytes, bool]:
        """Take one head and what there is of its body; return what is left, and whether the head was whole."""
        exchange: Exchange | None = None
        try:
            data = self._scanner.skip_empty_lines(data)
            self._note_beginning(data)
            end = self._scanner.find_end(data)
            if end < 0:
                return data, False
            exchange = self._open_exchange()
            body = self._read_head(exchange, data[:end])
            payload, rest = body.feed(data[end:])
            self._check_size(len(payload))
        except ClientError as error:
            self._refuse(error, exchange)
            return b"", True
        if payload:
            exchange.request_body.add(payload)
        self._body = body
        self._transfer = transfer = Transfer(self._relay, self, exchange, body)
        tunnel = transfer.start(done=body.is_complete)
        if tunnel is not None:
            self._connect = tunnel.connect
            secure = SecureConnection(self, tunnel.context, tunnel.handshakes, self._relay.timeouts.head)
            secure.take_over(self._transport, rest)
            return b"", True
        return rest, True

    def _open_exchange(self) -> Exchange:
        exchange = self._relay.open_exchange(self._listener, self._address, self._started)
        exchange.client_cert = self._certificate
        exchange.connect = self._connect
        return exchange

    def _note_beginning(self, data: bytes) -> None:
        """From a request's first byte on its head has a time limit; empty lines are none of it."""
        if data and not self._has_begun:
            self._has_begun = True
            self._started = self._relay.clock()
            self._deadline = self._started + self._relay.timeouts.head

    def _read_head(self, exchange: Exchange, data: bytes) -> BodyReader:
        """Parse the head into the exchange; return the reader of its body."""
        limits = self._relay.limits
        exchange.bytes_in = len(data)
        head = exchange.request = parse_request_head(data)
        if len(head.fields) > limits.fields:
            detail = (
                f"the head has more than {limits.fields} fields; have the client send fewer, or raise limits.fields"
            )
            raise HeadTooLarge(detail)
        body = request_body(head)
        if isinstance(body, LengthBody):
            self._check_size(body.remaining)
        return body

    def _check_size(self, body_bytes: int) -> None:
        most = self._relay.limits.body
        if body_bytes > most:
            detail = f"the body is larger than {most} bytes; have the client send less, or raise limits.body"
            raise BodyTooLarge(detail)

    def _end_of_requests(self) -> None:
        """Close after the last answer to a client that sends no more; half a head leaves a record."""
        self._record_what_waited(self._buffer, CLIENT_LEFT)
        self._close()

    # What a transfer calls.

    def send(self, data: bytes) -> None:
        """Send bytes to the client."""
        if self._transfer is not None:
            self._transfer.exchange.bytes_out += len(data)
        self._wire.write(data)

    def pause_reading(self) -> None:
        """Let the request's body wait in the kernel."""
        self._wire.pause_reading()

    def resume_reading(self) -> None:
        """Go on with the request's body."""
        self._wire.resume_reading()

    def count_waiting(self) -> int:
        """Return how many bytes the client has been sent and has not taken."""
        return self._wire.count_waiting()

    def took_some(self) -> bool:
        """Return whether the client has taken any of its answer since this was last asked."""
        return self._wire.took_some()

    def exchange_over(self, *, keep_alive: bool) -> None:
        """Serve the next request, or close."""
        self._transfer = None
        self._has_begun = False
        self._body = NO_BODY
        if not keep_alive:
            self._close()
            return
        self._started = self._relay.clock()
        self._deadline = self._started + self._relay.timeouts.idle
        if not self._is_parsing:
            self._take_what_waits()

    def _take_what_waits(self) -> None:
        """Go on with pipelined requests, unless the client has not yet taken the answers it was sent."""
        if self._is_lingering or self._transfer is not None or self._transport.is_closing():
            return
        if self._buffer and not self._is_stalled:
            self._wire.resume_reading()
            data, self._buffer = self._buffer, b""
            self._guarded_take(data)
        elif self._buffer or self._takes_later:
            return
        elif self._eof:
            self._close()
        elif not self._is_stalled:
            self._wire.resume_reading()

    def cut(self, *, reset: bool) -> None:
        """Close in the middle of an answer: what has no length would look complete after a mere close."""
        if reset:
            self._wire.reset()
        else:
            self._wire.flush()
            self._transport.close()

    # What the relay calls.

    def check(self, now: float) -> None:
        """End what takes too long; called once a second."""
        if self._transfer is not None:
            self._transfer.check(now)
        elif self._is_lingering:
            self._check_lingering(now)
        elif self._is_stalled:
            self._check_taking(now)
        elif now > self._deadline:
            if self._buffer:
                what = f"the head was not whole within {self._relay.timeouts.head:g} s"
                self._refuse(ClientTimeout(f"{what}; {ClientTimeout.step}"))
            else:
                self._close()

    def _check_taking(self, now: float) -> None:
        """End a client that does not take the last of its answers: silent, or slower than any that is well."""
        silence_s = self._relay.timeouts.silence
        if not self._taken_by:
            self._taken_by = now + silence_s + self._wire.count_waiting() / LEAST_RATE
            self._last_active = now
        if self._wire.took_some():
            self._last_active = now
        if now > self._last_active + silence_s or now > self._taken_by:
            self._wire.reset()

    @property
    def has_unsent(self) -> bool:
        """Whether the client has not yet been sent all of its answers."""
        return self._wire.has_unsent

    def drain(self, reason: str = Draining.stopping) -> None:
        """Close if nothing is under way; whoever has begun a request is told the reason."""
        if self._transfer is not None or self._is_lingering:
            return
        if self._buffer and not self._is_stalled:
            self._refuse(Draining(reason, retry_after_s=1))
        else:
            self._close()

    def use(self, limits: Limits) -> None:
        """Keep to other limits from the next request on."""
        self._scanner.limits = limits

    def leave_with(self, entrance: Entrance) -> None:
        """Close, once the exchange under way has its answer, if it came in by what is closed now."""
        if self._entrance is not entrance:
            return
        if self._transfer is not None:
            self._transfer.close_after()
        else:
            self.drain(Draining.removed)

    def has_begun_before(self, moment: float) -> bool:
        """Return whether an exchange is under way that is older than a moment of the relay's clock."""
        return self._transfer is not None and self._transfer.exchange.started < moment

    def abort(self, error: ExchangeError) -> None:
        """End what is under way with ``error``: the time for draining is over."""
        if self._transfer is not None:
            self._transfer.abort(error)
        self._wire.flush()
        self._transport.close()

    def _refuse(self, error: ExchangeError, exchange: Exchange | None = None) -> None:
        """Answer what cannot become a transfer, and close."""
        if exchange is None:
            exchange = self._open_exchange()
        self._buffer = b""
        self._transfer = transfer = Transfer(self._relay, self, exchange, NO_BODY)
        transfer.fail(error)

    def _turn_away(self, error: ExchangeError) -> None:
        """Close without a word, which could only be said after a handshake; the record has it."""
        exchange = self._open_exchange()
        error.__context__ = error.__cause__ = None
        exchange.error = error.with_traceback(None)
        exchange.outcome = REFUSED
        exchange.ended = self._relay.clock()
        self._relay.exchange_closed(exchange, None)
        self._transport.abort()

    def _record_what_waited(self, waiting: bytes, outcome: str) -> None:
        """Leave a record of a connection that ended before a head on it was whole, or a request's turn had come.

        Of several requests that waited it names the first, and counts the bytes of all; empty lines are none.
        """
        self._buffer = b""
        if not waiting.strip(b"\r\n"):
            return
        exchange = self._open_exchange()
        exchange.bytes_in = len(waiting)
        end = waiting.find(HEAD_END) + len(HEAD_END)
        if end >= len(HEAD_END):
            with contextlib.suppress(ClientError):
                exchange.request = parse_request_head(waiting[:end])
        exchange.outcome = outcome
        if outcome == ABORTED and (self._relay.is_draining or not self._entrance.is_open):
            exchange.error = Draining(Draining.stopping if self._relay.is_draining else Draining.removed)
        exchange.ended = self._relay.clock()
        self._relay.exchange_closed(exchange, None)

    def _close(self) -> None:
        """Send what is left, then wait a little for the client to close first.

        A socket that is closed with unread bytes in it resets, and a reset can overtake the answer; so ours is closed
        for sending only, and what still comes is thrown away (RFC 9112, section 9.6).
        """
        self._record_what_waited(self._buffer, ABORTED)
        self._wire.flush()
        self._is_lingering = True
        self._started = self._last_active = self._relay.clock()
        if self._eof or self._transport.is_closing() or not self._transport.can_write_eof():
            self._transport.close()
            return
        self._transport.write_eof()
        self._wire.resume_reading()

    def _check_lingering(self, now: float) -> None:
        """Give the client its time to take what is left of the answer, and to end what it was sending."""
        if self._wire.took_some():
            self._last_active = now
        if self._wire.has_unsent:
            is_over = now > self._last_active + self._relay.timeouts.silence
        else:
            is_over = now > self._last_active + LINGER_S or now > self._started + LONGEST_LINGER_S
        if is_over:
            self._transport.abort()

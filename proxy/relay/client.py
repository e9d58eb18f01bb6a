"""One client's connection: requests in, one after another, each handed to a transfer; answers out.

The rule of this file: it knows HTTP framing and its own socket, no route, no token and no upstream.  What follows a
complete request stays outside the parser until that request is answered (RFC 9112, section 9.3.2), and whatever is
ambiguous ends the connection: nobody can tell where the next request would begin.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
from typing import TYPE_CHECKING, cast

import structlog

from proxy.errors import (
    BodyTooLarge,
    ClientError,
    ClientTimeout,
    ExchangeError,
    HeadTooLarge,
    InternalError,
    Malformed,
    Overloaded,
    TargetTooLong,
)
from proxy.exchange import CLIENT_LEFT
from proxy.http.framing import NO_BODY, LengthBody, request_body
from proxy.http.head import HEAD_END, parse_request_head
from proxy.relay.transfer import Transfer
from proxy.relay.turn import Outlet

if TYPE_CHECKING:
    from proxy.exchange import Exchange
    from proxy.http.framing import BodyReader
    from proxy.relay.relay import Relay

log = structlog.get_logger(__name__)

EMPTY_LINES = re.compile(rb"(?:\r\n)+")
BARE_LF = re.compile(rb"(?<!\r)\n")
TLS_HANDSHAKE = b"\x16\x03"
"""How every TLS ClientHello begins (RFC 8446, section 5.1)."""
MOST_AHEAD = 65_536
"""Bytes of pipelined requests kept while one is answered; then the client's socket is left unread."""
MOST_AT_ONCE = 16
"""Pipelined requests taken in one turn of the loop; a buffer holds thousands of those that are refused on the spot."""
LINGER_S = 2.0
"""How long bytes of a refused request are read and thrown away, so that a reset does not overtake the answer."""


class ClientConnection(asyncio.Protocol):
    """One connection from a client."""

    __slots__ = (
        "_address",
        "_body",
        "_buffer",
        "_deadline",
        "_eof",
        "_has_begun",
        "_is_lingering",
        "_is_parsing",
        "_is_paused",
        "_is_stalled",
        "_listener",
        "_outlet",
        "_relay",
        "_searched",
        "_started",
        "_transfer",
        "_transport",
    )

    def __init__(self, relay: Relay, listener: str) -> None:
        """Serve ``relay`` on the listener of this name."""
        self._relay = relay
        self._listener = listener
        self._transport = cast("asyncio.Transport", None)
        self._outlet = cast("Outlet", None)
        self._address = ""
        self._buffer = b""
        self._searched = 0
        self._body: BodyReader = NO_BODY
        self._transfer: Transfer | None = None
        self._started = 0.0
        self._deadline = 0.0
        self._eof = False
        self._has_begun = False
        self._is_lingering = False
        self._is_parsing = False
        self._is_paused = False
        self._is_stalled = False

    def __repr__(self) -> str:
        """Return the client's address and what the connection is doing."""
        state = repr(self._transfer) if self._transfer else "lingering" if self._is_lingering else "idle"
        return f"<ClientConnection {self._address} {state}>"

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a new connection, or refuse it at once if there are too many."""
        self._transport = cast("asyncio.Transport", transport)
        self._outlet = Outlet(self._transport, self._relay.turn)
        peer = transport.get_extra_info("peername")
        self._address = peer[0] if peer else ""
        now = self._relay.clock()
        self._started = now
        self._deadline = now + self._relay.timeouts.head
        if not self._relay.add_client(self):
            self._refuse(Overloaded("too many connections (limits.connections)", retry_after_s=1))

    def data_received(self, data: bytes) -> None:
        """Take bytes of a request."""
        if self._is_lingering:
            return
        if self._transfer is not None and not self._body.is_complete:
            self._guarded_take(data)
        elif self._transfer is not None or self._is_stalled:
            self._buffer += data
            if len(self._buffer) > MOST_AHEAD:
                self.pause_reading()
        else:
            data, self._buffer = self._buffer + data if self._buffer else data, b""
            self._guarded_take(data)

    def eof_received(self) -> bool:
        """Go on answering a client that has only closed its sending side, once its request is whole."""
        self._eof = True
        self._outlet.flush()
        transfer = self._transfer
        return transfer is not None and self._body.is_complete

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (how it ended makes no difference)
        """Tell the transfer under way."""
        self._relay.remove_client(self)
        transfer, self._transfer = self._transfer, None
        if transfer is not None:
            transfer.client_lost()
        elif self._buffer and not self._is_lingering:
            self._record_half_a_head()

    def pause_writing(self) -> None:
        """Hold the upstream back, and what is pipelined: the client reads more slowly than it is sent to."""
        self._is_stalled = True
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
            rest = self._take_request(data)
            if rest is None:
                return
            data = rest
        if not self._is_lingering:
            self._buffer = data

    def _take_later(self, data: bytes) -> None:
        """Leave the rest for the next turn: one client's pipeline must not hold up the others."""
        self._buffer = data
        if len(data) > MOST_AHEAD:
            self.pause_reading()
        asyncio.get_running_loop().call_soon(self._take_what_waits)

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

    def _take_request(self, data: bytes) -> bytes | None:
        """Take one head and what there is of its body; None if the head is not whole yet."""
        if empty := EMPTY_LINES.match(data):  # RFC 9112, section 2.2
            data = data[empty.end() :]
        if data and not self._has_begun:
            self._has_begun = True
            self._started = self._relay.clock()
            self._deadline = self._started + self._relay.timeouts.head
        exchange: Exchange | None = None
        try:
            end = self._find_head_end(data)
            if end < 0:
                self._buffer = data
                return None
            exchange = self._relay.open_exchange(self._listener, self._address, self._started)
            body = self._read_head(exchange, data[: end + 4])
            payload, rest = body.feed(data[end + 4 :])
            self._check_size(len(payload))
        except ClientError as error:
            self._refuse(error, exchange)
            return b""
        if payload:
            exchange.request_body.add(payload)
        self._body = body
        self._searched = 0
        self._transfer = transfer = Transfer(self._relay, self, exchange, body)
        transfer.start(done=body.is_complete)
        return rest

    def _read_head(self, exchange: Exchange, data: bytes) -> BodyReader:
        """Parse the head into the exchange; return the reader of its body."""
        limits = self._relay.limits
        exchange.bytes_in = len(data)
        head = exchange.request = parse_request_head(data)
        if len(head.fields) > limits.fields:
            detail = f"more than {limits.fields} fields (limits.fields)"
            raise HeadTooLarge(detail)
        body = request_body(head)
        if isinstance(body, LengthBody):
            self._check_size(body.remaining)
        return body

    def _check_size(self, body_bytes: int) -> None:
        most = self._relay.limits.body
        if body_bytes > most:
            detail = f"the body is larger than {most} bytes (limits.body)"
            raise BodyTooLarge(detail)

    def _find_head_end(self, data: bytes) -> int:
        """Find the empty line, -1 if it is not there yet.

        Raises:
            Malformed: If it can never come, so that nobody waits for the time limit to be told.
            HeadTooLarge, TargetTooLong: If a limit is passed.
        """
        limits = self._relay.limits
        end = data.find(HEAD_END, self._searched)
        size = end if end >= 0 else len(data)
        if size > limits.line and data.find(b"\r\n", 0, limits.line + 2) < 0:
            detail = f"the request line is longer than {limits.line} bytes (limits.line)"
            raise TargetTooLong(detail)
        if size > limits.head:
            detail = f"the head is longer than {limits.head} bytes (limits.head)"
            raise HeadTooLarge(detail)
        if end < 0:
            if data.startswith(TLS_HANDSHAKE):
                detail = "this listener speaks plain HTTP, and a TLS handshake arrived; use http:// in the client"
                raise Malformed(detail)
            if BARE_LF.search(data, max(0, self._searched - 1)):
                detail = "a line of the head does not end in CRLF"
                raise Malformed(detail)
            self._searched = max(0, len(data) - 3)
        return end

    # What a transfer calls.

    def send(self, data: bytes) -> None:
        """Send bytes to the client."""
        if self._transfer is not None:
            self._transfer.exchange.bytes_out += len(data)
        self._outlet.write(data)

    def pause_reading(self) -> None:
        """Leave further bytes in the kernel."""
        if not self._is_paused and not self._transport.is_closing():
            self._is_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        if self._is_paused:
            self._is_paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def exchange_over(self, *, keep_alive: bool) -> None:
        """Serve the next request, or close."""
        self._transfer = None
        self._has_begun = False
        self._body = NO_BODY
        if not keep_alive or self._eof:
            self._close()
            return
        self._started = self._relay.clock()
        self._deadline = self._started + self._relay.timeouts.idle
        if not self._is_parsing:
            self._take_what_waits()

    def _take_what_waits(self) -> None:
        """Go on with pipelined requests, unless the client has not yet taken the answers it was sent."""
        if self._is_stalled or self._is_lingering or self._transfer is not None or self._transport.is_closing():
            return
        self.resume_reading()
        if self._buffer:
            data, self._buffer = self._buffer, b""
            self._guarded_take(data)

    def cut(self, *, reset: bool) -> None:
        """Close in the middle of an answer: what has no length would look complete after a mere close."""
        if reset:
            sock = self._transport.get_extra_info("socket")
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()
        else:
            self._outlet.flush()
            self._transport.close()

    # What the relay calls.

    def check(self, now: float) -> None:
        """End what takes too long; called once a second."""
        if self._transfer is not None:
            self._transfer.check(now)
        elif now > self._deadline:
            if self._is_lingering:
                self._check_lingering(now)
            elif self._is_stalled:
                self._transport.abort()
            elif self._buffer:
                self._refuse(ClientTimeout(f"the head was not whole within {self._relay.timeouts.head:g} s"))
            else:
                self._close()

    @property
    def has_unsent(self) -> bool:
        """Whether the client has not yet been sent all of its answers."""
        return self._outlet.has_unsent

    def drain(self) -> None:
        """Close if nothing is under way."""
        if self._transfer is None and not self._is_lingering:
            self._close()

    def abort(self, error: ExchangeError) -> None:
        """End what is under way with ``error``: the time for draining is over."""
        if self._transfer is not None:
            self._transfer.abort(error)
        self._outlet.flush()
        self._transport.close()

    def _refuse(self, error: ExchangeError, exchange: Exchange | None = None) -> None:
        """Answer what cannot become a transfer, and close."""
        if exchange is None:
            exchange = self._relay.open_exchange(self._listener, self._address, self._started)
        self._buffer = b""
        self._transfer = transfer = Transfer(self._relay, self, exchange, NO_BODY)
        transfer.fail(error)

    def _record_half_a_head(self) -> None:
        """Leave a record of a client that closed before its head was whole."""
        exchange = self._relay.open_exchange(self._listener, self._address, self._started)
        exchange.bytes_in = len(self._buffer)
        exchange.outcome = CLIENT_LEFT
        exchange.ended = self._relay.clock()
        self._buffer = b""
        self._relay.exchange_closed(exchange, None)

    def _close(self) -> None:
        """Send what is left, then wait a little for the client to close first.

        A socket that is closed with unread bytes in it resets, and a reset can overtake the answer; so ours is closed
        for sending only, and what still comes is thrown away (RFC 9112, section 9.6).
        """
        self._buffer = b""
        self._outlet.flush()
        self._is_lingering = True
        self._started = self._relay.clock()
        self._deadline = self._started + LINGER_S
        if self._eof or self._transport.is_closing() or not self._transport.can_write_eof():
            self._transport.close()
            return
        self._transport.write_eof()
        self.resume_reading()

    def _check_lingering(self, now: float) -> None:
        """Give the client its time to take what is left of the answer, and not more."""
        unsent = self._transport.get_write_buffer_size()
        if not unsent or now > self._started + self._relay.timeouts.silence:
            self._transport.abort()

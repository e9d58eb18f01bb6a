"""One connection to an upstream: a request out, its answer in, and whether another may follow.

The rule of this file: it knows HTTP framing and its own socket, and tells the transfer that uses it what arrived.
It knows no route, no token and no client.  An answer that could be read two ways ends the connection, and whatever
arrives without having been asked for does too (RFC 9112, section 9.2): it can never become the next client's answer.
"""

from __future__ import annotations

import select
import ssl
from typing import TYPE_CHECKING, Protocol, cast

from proxy.errors import ExchangeError, UpstreamClosed, UpstreamProtocol
from proxy.http.framing import announces_what_must_not_come, response_body
from proxy.http.head import HEAD_END, ResponseHead, check_unfinished_answer, parse_response_head
from proxy.http.headers import allows_reuse
from proxy.relay.wire import Wire

if TYPE_CHECKING:
    import asyncio

    from proxy.http.framing import BodyReader
    from proxy.relay.turn import Turn

FIRST_FINAL_STATUS = 200


class AnswerTaker(Protocol):
    """Whoever sent a request on the connection."""

    def answer_interim(self, head: ResponseHead) -> None:
        """Take a 1xx."""
        ...

    def answer_head(self, head: ResponseHead, body: BodyReader) -> None:
        """Take the final head; may call ``hold``."""
        ...

    def answer_body(self, data: bytes) -> None:
        """Take body bytes, framing removed; may be empty."""
        ...

    def answer_done(self) -> None:
        """The answer is whole."""
        ...

    def answer_failed(self, error: ExchangeError) -> None:
        """The connection is gone before the answer was whole."""
        ...

    def upstream_writable(self, *, writable: bool) -> None:
        """The connection's send buffer has filled, or has room again."""
        ...


class ConnectionKeeper(Protocol):
    """The pool that a connection belongs to."""

    def put_back(self, connection: UpstreamConnection) -> None:
        """Take a connection that may carry another request."""
        ...

    def forget(self, connection: UpstreamConnection) -> None:
        """Take note that a connection is closed."""
        ...


class UpstreamConnection:
    """One connection; idle in its pool or in use by one transfer.

    It is an ``asyncio.Protocol`` by its methods: a compiled class cannot inherit from one that is not.

    Attributes:
        address: ``ip:port`` of the peer.
        idle_since: Seconds of the relay's clock, set by the pool.
        has_answered: Whether a byte of the present answer has arrived.
    """

    __slots__ = (
        "_before",
        "_body",
        "_buffer",
        "_held",
        "_keeper",
        "_may_reuse",
        "_method",
        "_most_fields",
        "_most_head",
        "_poll",
        "_request_done",
        "_saw_eof",
        "_taker",
        "_transport",
        "_turn",
        "_wire",
        "address",
        "has_answered",
        "idle_since",
    )

    def __init__(self, keeper: ConnectionKeeper, turn: Turn, most_head: int, most_fields: int) -> None:
        """Belong to ``keeper``; take no more than ``most_head`` bytes and ``most_fields`` fields of one head."""
        self._keeper = keeper
        self._turn = turn
        self._most_head = most_head
        self._most_fields = most_fields
        self._transport: asyncio.Transport  # this and the next: from connection_made on
        self._wire: Wire
        self._taker: AnswerTaker | None = None
        self._body: BodyReader | None = None
        self._before = 0
        self._buffer = b""
        self._held = False
        self._method = ""
        self._may_reuse = False
        self._request_done = False
        self._saw_eof = False
        self._poll: select.poll | None = None
        self.address = ""
        self.idle_since = 0.0
        self.has_answered = False

    def __repr__(self) -> str:
        """Return the address and what the connection is doing."""
        state = "closed" if self.is_closed else "idle" if self._taker is None else "in use"
        return f"<UpstreamConnection {self.address} {state}>"

    @property
    def is_closed(self) -> bool:
        """Whether it is closed, or closing."""
        return self._transport.is_closing()

    @property
    def is_quiet(self) -> bool:
        """Whether the kernel has nothing to read from it.

        An idle connection that can be read has been closed by the peer, or holds what nobody asked for, though the
        loop may not have got to it yet.
        """
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not self._poll.poll(0)

    @property
    def has_left(self) -> bool:
        """Whether a byte of the present request may have left; until the turn ends, none has."""
        return self._wire.written != self._before

    def begin(self, taker: AnswerTaker, method: str, data: bytes, *, done: bool) -> None:
        """Send a request's head, and what there is of its body, for ``taker``."""
        self._taker = taker
        self._method = method
        self._body = None
        self._may_reuse = False
        self._request_done = done
        self.has_answered = False
        self._before = self._wire.written
        self._wire.write(data)

    def send(self, data: bytes, *, done: bool) -> None:
        """Send more of the request's body, framed; ``done`` with the last of it."""
        self._request_done = done
        if data:
            self._wire.write(data)

    def pause_reading(self) -> None:
        """Let the answer wait in the kernel: the client is slower."""
        self._wire.pause_reading()

    def resume_reading(self) -> None:
        """Go on with the answer."""
        if not self._held:
            self._wire.resume_reading()

    def hold(self) -> None:
        """Keep the answer whose head was just told for later: it may be replaced by a better one."""
        self._held = True
        self.pause_reading()

    def release_answer(self) -> None:
        """Go on with the answer held, as if it had just arrived."""
        self._held = False
        self.resume_reading()
        data, self._buffer = self._buffer, b""
        if self._taker is not None:
            self._guarded_take(self._taker, data)

    def discard_answer(self) -> None:
        """Throw the answer held away; the connection lives on only if all of the answer is here."""
        self._held = False
        self._taker = None
        body, data = self._body, self._buffer
        self._buffer = b""
        try:
            rest = body.feed(data)[1] if body is not None else data
        except UpstreamProtocol:
            rest = b"?"
        if body is None or not body.is_complete or rest:
            self._may_reuse = False
        self._let_go()

    def abandon(self) -> None:
        """Close at once: nobody waits for the answer any more."""
        self._taker = None
        self._transport.abort()

    def close(self) -> None:
        """Close an idle connection."""
        self._taker = None
        self._transport.close()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)
        self._wire = Wire(self._transport, self._turn)

    def data_received(self, data: bytes) -> None:
        """Take bytes of the answer; bytes that nobody asked for end the connection."""
        taker = self._taker
        if taker is None:
            self._transport.abort()
            return
        if self._wire.written == self._before:
            self._refuse_unasked(taker)
            return
        self.has_answered = True
        if self._held:
            self._buffer += data
        else:
            self._guarded_take(taker, data)

    def eof_received(self) -> None:
        """Note a clean end, which over TLS is a close_notify: a bare FIN may be an attacker's cut (RFC 8446, 6.1).

        asyncio calls this for both, so the TLS object is asked: after close_notify it reads as ended, else as empty.
        """
        tls = self._transport.get_extra_info("ssl_object")
        try:
            self._saw_eof = tls is None or not tls.read(1)
        except ssl.SSLError:
            self._saw_eof = False

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the pool, and whoever waits for the answer."""
        self._keeper.forget(self)
        taker, self._taker = self._taker, None
        if taker is None:
            return
        if self._body is not None and self._saw_eof and exc is None and not self._held:
            self._body.feed_eof()
            if self._body.is_complete:
                taker.answer_done()
                return
        taker.answer_failed(UpstreamClosed(self._describe_loss(exc)))

    def pause_writing(self) -> None:
        """Tell the transfer that the send buffer is full."""
        if self._taker is not None:
            self._taker.upstream_writable(writable=False)

    def resume_writing(self) -> None:
        """Tell the transfer that the send buffer has room."""
        if self._taker is not None:
            self._taker.upstream_writable(writable=True)

    # The answer, in the order in which it arrives.

    def _take_head(self, taker: AnswerTaker, data: bytes) -> None:
        """Take heads up to and with the final one."""
        start = max(0, len(self._buffer) - 3)
        data = self._buffer + data if self._buffer else data
        while self._body is None:
            end = data.find(HEAD_END, start)
            if end > self._most_head or (end < 0 and len(data) > self._most_head):
                detail = f"the answer's head is longer than {self._most_head} bytes; raise limits.head if that is right"
                raise UpstreamProtocol(detail)
            if end < 0:
                check_unfinished_answer(data, start)
                self._buffer = data
                return
            self._take_whole_head(taker, data[: end + 4])
            data = data[end + 4 :]
            start = 0
            if self._taker is None:
                return
        self._buffer = b""
        if self._held:
            self._buffer = data
        else:
            self._take_body(taker, data)

    def _take_whole_head(self, taker: AnswerTaker, data: bytes) -> None:
        head = parse_response_head(data)
        if len(head.fields) > self._most_fields:
            detail = f"the answer has more than {self._most_fields} fields; raise limits.fields if that is right"
            raise UpstreamProtocol(detail)
        if head.status < FIRST_FINAL_STATUS:
            taker.answer_interim(head)
            return
        body = self._body = response_body(self._method, head)
        self._may_reuse = allows_reuse(head) and not announces_what_must_not_come(self._method, head)
        taker.answer_head(head, body)

    def _take_body(self, taker: AnswerTaker, data: bytes) -> None:
        body = self._body
        if body is None:  # never so: the head comes first
            return
        payload, rest = body.feed(data)
        if rest:
            self._may_reuse = False
        taker.answer_body(payload)
        if body.is_complete and self._taker is not None and not self._held:
            self._taker = None
            self._let_go()
            taker.answer_done()

    def _let_go(self) -> None:
        """Go back to the pool, or close, once the answer is whole or thrown away."""
        self._body = None
        self._wire.resume_reading()
        has_unsent = self._wire.has_unsent
        if self._may_reuse and self._request_done and not has_unsent and not self._transport.is_closing():
            self._keeper.put_back(self)
        elif has_unsent:
            # An orderly close would wait, without a limit, for a peer that has answered and reads no more.
            self._transport.abort()
        else:
            self._transport.close()

    def _refuse_unasked(self, taker: AnswerTaker) -> None:
        """End a connection on which bytes came before the request has left; they answer some other one."""
        self._taker = None
        self._transport.abort()
        taker.answer_failed(UpstreamClosed("the upstream sent something before it was asked"))

    def _guarded_take(self, taker: AnswerTaker, data: bytes) -> None:
        """Take ``data``; what is found wrong in it ends the connection and the transfer."""
        try:
            if self._body is None:
                self._take_head(taker, data)
            else:
                self._take_body(taker, data)
        except ExchangeError as error:
            self._taker = None
            self._transport.abort()
            taker.answer_failed(error)

    def _describe_loss(self, exc: Exception | None) -> str:
        match exc:
            case None:
                how = "closed the connection"
            case ConnectionResetError():
                how = "reset the connection"
            case OSError(strerror=str(reason)):
                how = f"broke the connection ({reason})"
            case _:
                how = "broke the connection"
        if not self.has_left:
            when = "before the request was sent"
        else:
            when = "before its answer" if self._body is None else "in the middle of its answer"
        return f"the upstream {how} {when}"

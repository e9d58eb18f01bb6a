"""TLS between a socket and a client's connection, which speaks as if there were none.

Not asyncio's own: its TLS cannot close one direction, so that a refusal sent while an upload still comes would be lost
to a reset; it hides the first bytes, so that plain HTTP could not be told what to change; and a stranger would have a
handshake.  OpenSSL works on memory here, as it does there.

The rule of this file: bytes go through in the turn in which they come, in both directions, so that pausing, counting
and resetting are the socket's own.  Only what would hold the loop up waits for the next turn, with the socket unread,
and who sends what is for nobody is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import ssl
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, cast

from proxy.certificates import name_client, wrap_server
from proxy.relay.handshakes import (
    AFTER_END,
    EMPTY_RECORDS,
    LEFT,
    NOT_TLS,
    TOO_LONG,
    TOO_SLOW,
    UNREAD_ANSWERS,
    explain_failure,
)
from proxy.relay.records import MOST_AT_ONCE, Records

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.relay.client import ClientConnection
    from proxy.relay.handshakes import Failure, Handshakes

TLS_HANDSHAKE = 0x16
"""First byte of every TLS ClientHello (RFC 8446, section 5.1)."""
RECORD = 16_384
"""Bytes asked of OpenSSL at a time: what one record brings at most (RFC 8446, section 5.1)."""
LONGEST_HANDSHAKE = 16_384
"""Bytes a client may send before its handshake is done: a chain of 50 certificates, which take 7 ms to read."""
MOST_EMPTY = 32
"""Records in a row that bring no bytes: OpenSSL's own limit for empty ones; a KeyUpdate comes once in gigabytes."""
MOST_ANSWERS = 4_096
"""Bytes that OpenSSL answers, to KeyUpdates, while the client takes nothing."""
MOST_IGNORED = 16_384
"""Bytes that are read and thrown away after the client's own end."""
LINGER_S = 2.0
"""How long a client has to take the alert that says why its handshake failed."""

Bytes = bytes | bytearray | memoryview


class State(Enum):
    """How far a connection is."""

    NEW = auto()
    """Nothing has come yet."""
    SHAKING = auto()
    OPEN = auto()
    PLAIN = auto()
    """HTTP without TLS has come, and is told so in kind."""
    FAILED = auto()


class SecureTransport(asyncio.Transport):
    """What a client's connection writes to; the socket's transport in all that is not bytes.

    Attributes:
        state: How far it is.
        answered: Bytes that OpenSSL itself has answered since the handshake.
        has_ended: Whether our end has been sent, after which nothing that comes is looked at.
    """

    __slots__ = (
        "_context",
        "_incoming",
        "_is_held",
        "_is_paused",
        "_outgoing",
        "_raw",
        "_tls",
        "answered",
        "has_ended",
        "state",
    )

    def __init__(self, raw: asyncio.Transport, context: ssl.SSLContext) -> None:
        """Speak over ``raw``, once something has come."""
        super().__init__()
        self.state = State.NEW
        self._raw = raw
        self._context = context
        self._incoming = cast("ssl.MemoryBIO", None)
        self._outgoing = cast("ssl.MemoryBIO", None)
        self._tls = cast("ssl.SSLObject", None)
        self._is_held = False
        self._is_paused = False
        self.answered = 0
        self.has_ended = False

    def __repr__(self) -> str:
        """Return how far it is."""
        return f"<SecureTransport {self.state.name.lower()}{' ended' if self.has_ended else ''}>"

    # What is received.

    def begin(self) -> None:
        """Begin a handshake, as the server."""
        self.state = State.SHAKING
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = wrap_server(self._context, self._incoming, self._outgoing)

    def shake(self, data: Bytes) -> bool:
        """Go on with the handshake; return whether it is done.

        Raises:
            ssl.SSLError: If it has failed; the alert is on its way.
        """
        self._incoming.write(data)
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        finally:
            self._send()
        self.state = State.OPEN
        return True

    def decrypt(self, records: Bytes, parts: list[bytes]) -> bool:
        """Put what records bring behind ``parts``; return whether the client has said that nothing follows.

        Raises:
            ssl.SSLError: If a record is not what the client has sent; ``parts`` has what those before it brought.
        """
        self._incoming.write(records)
        try:
            while part := self._tls.read(RECORD):
                parts.append(part)
        except ssl.SSLWantReadError:
            return False
        finally:
            if answer := self._outgoing.pending:  # to KeyUpdate, or an alert
                self.answered += answer
                self._send()
        return True

    def find_client(self) -> str | None:
        """Return whose the client's certificate is; None without one."""
        der = self._tls.getpeercert(binary_form=True)
        return None if der is None else name_client(der)

    def forget(self) -> None:
        """Let go of OpenSSL's state: nothing can be sent any more."""
        self.state = State.FAILED
        self._tls = cast("ssl.SSLObject", None)

    # What is sent.

    def write(self, data: Bytes) -> None:
        """Send bytes."""
        if self.state is State.PLAIN:
            self._raw.write(data)
        elif self.state is State.OPEN and not self.has_ended:
            rest = memoryview(data)
            while rest:
                rest = rest[self._tls.write(rest) :]
            self._send()

    def writelines(self, list_of_data: Iterable[Bytes]) -> None:
        """Send several, in as few records as hold them."""
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        """Return True: close_notify ends one direction (RFC 8446, section 6.1)."""
        return True

    def write_eof(self) -> None:
        """Send no more, and go on reading; before a handshake is done there is nothing to end, but the connection."""
        if self.state in {State.OPEN, State.PLAIN}:
            self._end()
            self._raw.write_eof()
        else:
            self._raw.abort()

    def close(self) -> None:
        """Close when what was written has gone."""
        self._end()
        self._raw.close()

    def abort(self) -> None:
        """Close at once, and without close_notify: the client must not take what it has for the whole."""
        self._raw.abort()

    def _end(self) -> None:
        """Send close_notify; the client's own is not waited for."""
        if self.state is not State.OPEN or self.has_ended:
            return
        self.has_ended = True
        with contextlib.suppress(ssl.SSLError):  # the client's own has not come, or data has in its place
            self._tls.unwrap()
        self._send()

    def _send(self) -> None:
        if self._outgoing.pending:
            self._raw.write(self._outgoing.read())

    # What is the socket's.

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 (as asyncio has it)
        """Return what is asked of TLS, or of the socket."""
        if name == "sslcontext":
            return self._context
        return self._tls if name == "ssl_object" else self._raw.get_extra_info(name, default)

    def is_closing(self) -> bool:
        """Return whether the socket closes."""
        return self._raw.is_closing()

    def is_reading(self) -> bool:
        """Return whether the socket is read from."""
        return self._raw.is_reading()

    def pause_reading(self) -> None:
        """Leave further bytes in the kernel."""
        self._is_paused = True
        self._raw.pause_reading()

    def resume_reading(self) -> None:
        """Read again, when what has been read is taken."""
        self._is_paused = False
        if not self._is_held:
            self._raw.resume_reading()

    def hold(self) -> None:
        """Leave further bytes in the kernel, whatever the client's connection says, until ``release``."""
        self._is_held = True
        self._raw.pause_reading()

    def release(self) -> None:
        """Read again, unless the client's connection has paused that."""
        self._is_held = False
        if not self._is_paused and not self._raw.is_closing():
            self._raw.resume_reading()

    def get_write_buffer_size(self) -> int:
        """Return the encrypted bytes that wait."""
        return self._raw.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return the socket's."""
        return self._raw.get_write_buffer_limits()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the socket's."""
        self._raw.set_write_buffer_limits(high, low)


class SecureConnection(asyncio.Protocol):
    """What the socket's transport calls."""

    __slots__ = (
        "_allowed_answers",
        "_client",
        "_context",
        "_empty",
        "_handshakes",
        "_has_ended",
        "_ignored",
        "_is_waiting",
        "_limit_s",
        "_raw",
        "_records",
        "_shaken",
        "_timer",
        "_transport",
    )

    def __init__(
        self,
        client: ClientConnection,
        context: ssl.SSLContext,
        handshakes: Handshakes,
        limit_s: float,
    ) -> None:
        """Prepare.

        Args:
            client: What speaks behind the TLS.
            context: The listener's, as it is now.
            handshakes: Is told of one that fails.
            limit_s: Seconds a handshake may take.
        """
        self._client = client
        self._context = context
        self._handshakes = handshakes
        self._limit_s = limit_s
        self._raw = cast("asyncio.Transport", None)
        self._transport = cast("SecureTransport", None)
        self._records = Records()
        self._timer: asyncio.TimerHandle | None = None
        self._has_ended = False
        self._is_waiting = False
        self._shaken = 0
        self._empty = 0
        self._ignored = 0
        self._allowed_answers = math.inf

    def __repr__(self) -> str:
        """Return the client, and how far it is."""
        return f"<SecureConnection {self._transport!r} {self._client!r}>"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a new connection; the client's turns away whoever may not be here, before a byte is read."""
        self._raw = cast("asyncio.Transport", transport)
        self._transport = SecureTransport(self._raw, self._context)
        self._client.connection_made(self._transport)
        self._start_timer()

    def take_over(self, transport: asyncio.Transport, data: bytes) -> None:
        """Begin on a connection on which the client has asked for a tunnel; ``data`` is what it has sent since."""
        self._raw = transport
        self._transport = SecureTransport(transport, self._context)
        self._client.move_to(self._transport)
        transport.set_protocol(self)
        self._start_timer()
        if data:
            self.data_received(data)

    def data_received(self, data: bytes) -> None:
        """Take bytes of the handshake, or records."""
        match self._transport.state:
            case State.OPEN if self._has_ended:
                self._ignore(len(data))
            case State.NEW if data[0] != TLS_HANDSHAKE:
                self._take_plain(data)
            case State.NEW | State.SHAKING | State.OPEN:
                self._records.add(data)
                if not self._is_waiting:
                    self._take_records()
            case State.PLAIN:
                self._client.data_received(data)
            case State.FAILED:
                pass

    def eof_received(self) -> bool:
        """Let the client's connection decide, once, whether there is still something to send.

        A bare FIN is as good as close_notify here: where a request ends, its own framing says.
        """
        match self._transport.state:
            case State.SHAKING:
                self._fail(LEFT)
            case State.OPEN:
                self._take_end()
                return not self._raw.is_closing()
            case State.PLAIN:
                return self._client.eof_received()
            case State.NEW | State.FAILED:
                pass
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the client's connection."""
        if exc is not None and self._transport.state is State.SHAKING:
            self._fail(LEFT)
        self._stop_timer()
        self._client.connection_lost(exc)

    def pause_writing(self) -> None:
        """The client reads more slowly than it is sent to."""
        self._allowed_answers = self._transport.answered + MOST_ANSWERS
        self._client.pause_writing()

    def resume_writing(self) -> None:
        """Go on."""
        self._allowed_answers = math.inf
        self._client.resume_writing()

    def _take_records(self) -> None:
        """Take as many records as one turn may; the next takes the rest."""
        if self._transport.state is not State.OPEN:
            self._shake()
        if self._transport.state is State.OPEN:  # a request may have come with the client's last message
            self._deliver()
        if self._records.has_more and not self._raw.is_closing():
            self._is_waiting = True
            self._transport.hold()
            asyncio.get_running_loop().call_soon(self._take_the_rest)

    def _take_the_rest(self) -> None:
        self._is_waiting = False
        if self._raw.is_closing():
            return
        self._take_records()
        if not self._is_waiting:
            self._transport.release()

    def _shake(self) -> None:
        """Take records of the handshake, one by one: what comes behind it is not its own."""
        if self._transport.state is State.NEW:
            self._transport.begin()
        while self._handshakes.has_time():
            record, _count = self._records.take(1)
            if not record:
                return
            self._shaken += len(record)
            if self._shaken > LONGEST_HANDSHAKE:
                self._fail(TOO_LONG)
                return
            try:
                is_done = self._transport.shake(record)
            except ssl.SSLError as error:
                self._fail(explain_failure(error))
                return
            if is_done:
                self._begin()
                return

    def _begin(self) -> None:
        """Let the client's connection have what follows the handshake."""
        self._stop_timer()
        self._client.secured(self._transport.find_client())

    def _deliver(self) -> None:
        """Take records that bring bytes, or the client's end; those that bring nothing in measure."""
        has_time = self._handshakes.has_time()
        records, count = self._records.take(MOST_AT_ONCE if has_time else 1)  # most requests are one record
        if not records:
            return
        if self._transport.has_ended:
            self._client.data_received(b"")  # which says that it still sends
            return
        parts: list[bytes] = []
        try:
            has_ended = self._transport.decrypt(records, parts)
        except ssl.SSLError as error:
            self._transport.forget()  # nothing can be sent any more
            self._hand_on(parts)
            self._give_up(explain_failure(error))
            return
        self._empty = 0 if parts else self._empty + count
        self._hand_on(parts)
        if has_ended:
            self._take_end()
        elif self._empty > MOST_EMPTY:
            self._give_up(EMPTY_RECORDS)
        elif self._transport.answered > self._allowed_answers:
            self._give_up(UNREAD_ANSWERS)

    def _hand_on(self, parts: list[bytes]) -> None:
        if parts:
            self._client.data_received(parts[0] if len(parts) == 1 else b"".join(parts))

    def _ignore(self, size: int) -> None:
        """Throw away what comes after the client's own end (RFC 8446, section 6.1), which is not much."""
        self._ignored += size
        if self._ignored > MOST_IGNORED and not self._raw.is_closing():
            self._give_up(AFTER_END)

    def _give_up(self, failure: Failure) -> None:
        """End the connection at once, and tell of it."""
        self._records.drop()
        self._handshakes.fail(self._client.address, failure, is_over=True)
        self._transport.forget()
        self._raw.abort()

    def _take_end(self) -> None:
        """Nothing follows from the client: close, unless an answer is on its way to it."""
        if self._has_ended:
            return
        self._has_ended = True
        self._ignore(self._records.drop())
        if not self._client.eof_received():
            self._transport.close()

    def _take_plain(self, data: bytes) -> None:
        """Answer HTTP in its own way; what is not that either gets nothing."""
        if data[:1].isalpha():
            self._stop_timer()
            self._transport.state = State.PLAIN
            self._client.refuse_plain_http(len(data))
        else:
            self._fail(NOT_TLS)

    def _time_out(self) -> None:
        self._timer = None
        self._fail(TOO_SLOW)

    def _fail(self, failure: Failure) -> None:
        """Tell of it, and end the connection so that an alert can still arrive."""
        self._stop_timer()
        self._records.drop()
        self._transport.state = State.FAILED
        self._handshakes.fail(self._client.address, failure)
        if not self._raw.is_closing():
            self._raw.write_eof()
            self._timer = asyncio.get_running_loop().call_later(LINGER_S, self._raw.abort)

    def _start_timer(self) -> None:
        if not self._raw.is_closing():
            self._timer = asyncio.get_running_loop().call_later(self._limit_s, self._time_out)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

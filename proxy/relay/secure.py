"""TLS between a socket and a client's connection, which speaks as if there were none.

Not asyncio's own: its TLS cannot close one direction, so that a refusal sent while an upload still comes would be lost
to a reset; it hides the first bytes, so that plain HTTP could not be told what to change; and a stranger would have a
handshake.  OpenSSL works on memory here, as it does there.

The rule of this file: bytes go through in the turn in which they come, nothing is kept back in either direction, so
that pausing, counting and resetting are the socket's own.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, cast

from proxy.certificates import name_client
from proxy.relay.handshakes import LEFT, NOT_TLS, TOO_SLOW, explain_failure

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.relay.client import ClientConnection
    from proxy.relay.handshakes import Failure, Handshakes

TLS_HANDSHAKE = 0x16
"""First byte of every TLS ClientHello (RFC 8446, section 5.1)."""
MOST_AT_ONCE = 262_144
"""Bytes asked of OpenSSL at a time; it gives a record's, 16 KiB at most."""
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
    """What a client's connection writes to; the socket's transport in all that is not bytes."""

    __slots__ = ("_context", "_has_ended", "_incoming", "_outgoing", "_raw", "_tls", "state")

    def __init__(self, raw: asyncio.Transport, context: ssl.SSLContext) -> None:
        """Speak over ``raw``, once something has come."""
        super().__init__()
        self.state = State.NEW
        self._raw = raw
        self._context = context
        self._incoming = cast("ssl.MemoryBIO", None)
        self._outgoing = cast("ssl.MemoryBIO", None)
        self._tls = cast("ssl.SSLObject", None)
        self._has_ended = False

    def __repr__(self) -> str:
        """Return how far it is."""
        return f"<SecureTransport {self.state.name.lower()}{' ended' if self._has_ended else ''}>"

    # What is received.

    def begin(self) -> None:
        """Begin a handshake, as the server."""
        self.state = State.SHAKING
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = self._context.wrap_bio(self._incoming, self._outgoing, server_side=True)

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

    def decrypt(self, data: Bytes) -> tuple[bytes, bool]:
        """Return what records bring, and whether the client has said that nothing follows.

        What comes after our own end is not looked at.

        Raises:
            ssl.SSLError: If it is not what the client has sent.
        """
        if self._has_ended:
            return b"", False
        if data:
            self._incoming.write(data)
        parts: list[bytes] = []
        try:
            while part := self._tls.read(MOST_AT_ONCE):
                parts.append(part)
        except ssl.SSLWantReadError:
            return b"".join(parts), False
        finally:
            self._send()  # an answer to KeyUpdate, or an alert
        return b"".join(parts), True

    def find_client(self) -> str | None:
        """Return whose the client's certificate is; None without one."""
        der = self._tls.getpeercert(binary_form=True)
        return None if der is None else name_client(der)

    # What is sent.

    def write(self, data: Bytes) -> None:
        """Send bytes."""
        if self.state is State.PLAIN:
            self._raw.write(data)
        elif self.state is State.OPEN and not self._has_ended:
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
        if self.state is not State.OPEN or self._has_ended:
            return
        self._has_ended = True
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
        self._raw.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
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

    __slots__ = ("_client", "_context", "_handshakes", "_has_ended", "_limit_s", "_raw", "_timer", "_transport")

    def __init__(
        self, client: ClientConnection, context: ssl.SSLContext, handshakes: Handshakes, limit_s: float
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
        self._timer: asyncio.TimerHandle | None = None
        self._has_ended = False

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
            case State.OPEN:
                self._deliver(data)
            case State.NEW if data[0] != TLS_HANDSHAKE:
                self._take_plain(data)
            case State.NEW | State.SHAKING:
                self._shake(data)
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
        self._client.pause_writing()

    def resume_writing(self) -> None:
        """Go on."""
        self._client.resume_writing()

    def _shake(self, data: bytes) -> None:
        if self._transport.state is State.NEW:
            self._transport.begin()
        try:
            if not self._transport.shake(data):
                return
        except ssl.SSLError as error:
            self._fail(explain_failure(error))
            return
        self._stop_timer()
        self._client.secured(self._transport.find_client())
        self._deliver(b"")  # a request may have come with the client's last message

    def _deliver(self, data: bytes) -> None:
        try:
            plain, has_ended = self._transport.decrypt(data)
        except ssl.SSLError as error:
            self._handshakes.fail(self._client.address, explain_failure(error))
            self._raw.abort()
            return
        if plain or data:
            self._client.data_received(plain)
        if has_ended:
            self._take_end()

    def _take_end(self) -> None:
        """Nothing follows from the client: close, unless an answer is on its way to it."""
        if self._has_ended:
            return
        self._has_ended = True
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

"""The exchange: one request, its answer, its attempts and times, and exactly one outcome.

The rule of this file: only data that the relay fills in and the traffic record reads.  It knows no socket, no
clock and no configuration.  Times are seconds of one monotonic clock; ``started_at`` alone is wall time.

An exchange and an attempt are no dataclasses: they begin with what their class says.  One of each is made for every
request, and a method that ``dataclass`` writes stays interpreted where all else is compiled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.errors import ExchangeError
    from proxy.http.head import RequestHead, ResponseHead

OK = "ok"
"""The answer was relayed whole (its status may be an error of RapidSOS's own)."""
CLIENT_LEFT = "client_left"
"""The client closed before it had the whole answer; 499 in the record alone."""
REFUSED = "refused"
"""The proxy answered by itself; ``error`` says why."""
ANSWERED_HERE = "answered_here"
"""OPTIONS that asked for the proxy itself (RFC 9110, sections 7.6.2 and 9.3.7), or a CONNECT that it ends itself."""
TOKEN_FAILED = "token_failed"  # noqa: S105 (an outcome, not a password) # nosec B105
"""No token could be had."""
UPSTREAM_FAILED = "upstream_failed"
"""The upstream could not be reached, or its answer was not whole."""
ABORTED = "aborted"
"""Cut by the end of the drain, by a defect of ours, or by the end of its connection before its turn had come."""

CLIENT_LEFT_STATUS = 499


class Body:
    """What was seen of one body: every byte counted, a beginning kept.

    The request's keeps enough to send the body again; the answer's only what the traffic log wants.
    """

    __slots__ = ("kept", "parts", "total")

    def __init__(self) -> None:
        """Start empty."""
        self.parts: list[bytes] = []
        self.kept = 0
        self.total = 0

    @property
    def is_whole(self) -> bool:
        """Whether every byte seen is still here, so that the body can be sent again."""
        return self.kept == self.total

    def add(self, data: bytes) -> None:
        """Count and keep ``data``."""
        self.parts.append(data)
        size = len(data)
        self.kept += size
        self.total += size

    def add_up_to(self, data: bytes, limit: int) -> None:
        """Count ``data``, and keep of it what fits under ``limit`` bytes."""
        self.total += len(data)
        room = limit - self.kept
        if room > 0:
            piece = data if len(data) <= room else data[:room]
            self.parts.append(piece)
            self.kept += len(piece)

    def trim(self, limit: int) -> None:
        """Keep no more than the first ``limit`` bytes."""
        if self.kept > limit:
            self.parts = [b"".join(self.parts)[:limit]]
            self.kept = limit

    def joined(self) -> bytes:
        """Return the bytes kept."""
        return self.parts[0] if len(self.parts) == 1 else b"".join(self.parts)


@dataclass(frozen=True, slots=True)
class Connect:
    """The CONNECT that a connection's later requests came through.

    Attributes:
        id: Of its exchange.
        host: That it asked for: lower case, without brackets.
    """

    id: str
    host: str


class Attempt:
    """One try at the upstream.

    Attributes:
        url: What was asked for; a token of ours in its query is masked.
        address: ``ip:port`` of the peer, None when none was reached.
        reused: Whether the connection came from the pool.
        fingerprint: Of the token sent, None for a credential without one.
        status: Of the answer, None when there was none.
        error: Slug of what ended it, None when it was answered.
        dns_s, connect_s, tls_s: Phases of a new connection; None on a reused one.
        sent_at: When the head was written.
        first_byte_at: When the answer's head was whole.
        ended_at: When the attempt was over.
    """

    address: str | None = None
    status: int | None = None
    error: str | None = None
    dns_s: float | None = None
    connect_s: float | None = None
    tls_s: float | None = None
    sent_at: float | None = None
    request_done_at: float | None = None
    first_byte_at: float | None = None
    ended_at: float | None = None

    def __init__(self, url: str, *, reused: bool, fingerprint: str | None) -> None:
        """Begin one."""
        self.url = url
        self.reused = reused
        self.fingerprint = fingerprint

    def __repr__(self) -> str:
        """Return where it went, and what came of it."""
        return f"<Attempt {self.address} {self.status or self.error or 'under way'}>"


class Exchange:
    """One request from its first byte to its record.

    Attributes:
        id: Unique; told to the client in every problem document.
        started_at: Wall time of the first byte, in seconds since the epoch.
        started: The same moment on the monotonic clock.
        client: The client's address without its port.
        client_cert: Whose certificate the client has shown; None without one.
        connect: The tunnel that it came through; None for a request that came in the open.
        request: None when the head could not be parsed.
        response: The head sent to the client, the proxy's own answers included; None when none was.
        sent_authorization: The Authorization value of the last attempt; None before there was one, and where the
            token went into the query.
        query_tokens: The tokens that went into the query; the record shows none of them.
        named_by: The client's field, in lower case, that ``user`` is from; None without a user.
        token_wait_s: How long the exchange waited for a token; 0.0 in normal running.
        queue_s: From the first byte to the end of the head's checks.
        bytes_in: Received from the client for this exchange, head included.
        bytes_out: Sent to the client, head included.
    """

    request: RequestHead | None = None
    route: str | None = None
    credential: str | None = None
    user: str | None = None
    named_by: str | None = None
    response: ResponseHead | None = None
    sent_authorization: str | None = None
    token_expires_in_s: float | None = None
    token_wait_s: float = 0.0
    queue_s: float = 0.0
    error: ExchangeError | None = None
    ended: float = 0.0
    bytes_in: int = 0
    bytes_out: int = 0
    client_cert: str | None = None
    connect: Connect | None = None

    def __init__(self, id: str, started_at: float, started: float, listener: str, client: str) -> None:  # noqa: A002
        """Begin one, of which nothing is known but where it came from."""
        self.id = id
        self.started_at = started_at
        self.started = started
        self.listener = listener
        self.client = client
        self.request_body = Body()
        self.response_body = Body()
        self.attempts: list[Attempt] = []
        self.query_tokens: tuple[str, ...] = ()
        self.outcome = OK

    def __repr__(self) -> str:
        """Return its id and its outcome; its heads hold secrets."""
        return f"<Exchange {self.id} {self.outcome}>"

"""Counts and histograms of every exchange and every token call, cheap enough to keep on the data path.

The rule of this file: an exchange costs about a microsecond, so it is counted with plain ints and lists; what they
are called, and how they are shown, is the reader's concern.  prometheus-client's own counters cost several times as
much, because each of their values has a lock and a look-up by labels.  Every key is bounded: routes and credentials
come from the configuration, outcomes and slugs from this package, statuses from the three digits that the head
parser allows, and a method that is not in ``METHODS`` counts as ``other``.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from typing import TYPE_CHECKING

from proxy.tokens.token import ADOPTED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.exchange import Attempt, Exchange
    from proxy.tokens.token import TokenFetch

_BOUNDS_MS = (0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 20_000, 30_000)
BOUNDS_S: tuple[float, ...] = tuple(milliseconds / 1000 for milliseconds in _BOUNDS_MS)
"""Upper bounds in seconds, inclusive: from what the proxy itself adds to the acceptance window of an alert.  Of a tuple
whose length is in its type, compiled code would make a new one at each use."""

METHODS = {name: name for name in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")}
OTHER = "other"
"""Stands for every method that is not in ``METHODS``; a client may invent any number of them."""
NONE = "-"
"""Stands for a route or a method that never came to be known; no route can have this name."""

RequestKey = tuple[str, int, str]
"""Method, status sent to the client (0 when none was), outcome."""


class Histogram:
    """How often a duration fell between two bounds.

    Attributes:
        counts: One int for each of ``BOUNDS_S`` and one for what is longer; not cumulative.
        total_s: Sum of all durations, in seconds.
    """

    __slots__ = ("counts", "total_s")

    def __init__(self) -> None:
        """Start with nothing seen."""
        self.counts = [0] * (len(BOUNDS_S) + 1)
        self.total_s = 0.0

    def __repr__(self) -> str:
        """Show how many durations were seen, and their sum."""
        return f"<Histogram of {sum(self.counts)}, {self.total_s:.6f} s>"

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self.counts[bisect_left(BOUNDS_S, seconds)] += 1
        self.total_s += seconds


class RouteTally:
    """What one route has carried.

    Attributes:
        requests: Exchanges closed, by method, status and outcome.
        errors: Exchanges that the proxy had to answer or cut itself, by slug.
        retries: Attempts at the upstream beyond an exchange's first.
        bytes_in: Received from clients, heads included.
        bytes_out: Sent to clients, heads included.
        queue: From the first byte to the end of the head's checks.
        token: Waits for a token; only exchanges that had to wait are in it.
        connect: DNS, TCP and TLS of new upstream connections; a reused one is not in it.
        first_byte: From the head sent upstream to the answer's head, one for each attempt that was answered.
        total: From the first byte to the close of the exchange.
    """

    __slots__ = (
        "bytes_in",
        "bytes_out",
        "connect",
        "errors",
        "first_byte",
        "queue",
        "requests",
        "retries",
        "token",
        "total",
    )

    def __init__(self) -> None:
        """Start at zero."""
        self.requests: defaultdict[RequestKey, int] = defaultdict(int)
        self.errors: defaultdict[str, int] = defaultdict(int)
        self.retries = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.queue = Histogram()
        self.token = Histogram()
        self.connect = Histogram()
        self.first_byte = Histogram()
        self.total = Histogram()

    def connection_made(self, attempt: Attempt) -> None:
        """Count what it took to connect for an attempt; nothing, if it did not come that far."""
        phases = [phase for phase in (attempt.dns_s, attempt.connect_s, attempt.tls_s) if phase is not None]
        if phases:
            self.connect.observe(sum(phases))

    def trouble_seen(self, exchange: Exchange) -> None:
        """Count what normal running does not have."""
        if exchange.token_wait_s:
            self.token.observe(exchange.token_wait_s)
        if exchange.error is not None:
            self.errors[exchange.error.slug] += 1
        self.retries += max(0, len(exchange.attempts) - 1)


class CredentialTally:
    """What the token calls of one credential came to.

    Attributes:
        fetches: Calls, by reason and outcome.
        seconds: How long they took.
        fingerprint: Of the token got last, None before there was one.
        life_s: That token's life when it was asked for, in seconds.
    """

    __slots__ = ("fetches", "fingerprint", "life_s", "seconds")

    def __init__(self) -> None:
        """Start at zero."""
        self.fetches: defaultdict[tuple[str, str], int] = defaultdict(int)
        self.fingerprint: str | None = None
        self.life_s: float | None = None
        self.seconds = Histogram()


class Tally:
    """All counts since the start; an Observer.

    Not safe for threads: the event loop both counts and reads.
    """

    def __init__(self) -> None:
        """Start at zero."""
        self._routes: defaultdict[str, RouteTally] = defaultdict(RouteTally)
        self._credentials: defaultdict[str, CredentialTally] = defaultdict(CredentialTally)

    def __repr__(self) -> str:
        """Show how much has been counted."""
        return f"<Tally of {sum(sum(route.requests.values()) for route in self._routes.values())} exchanges>"

    @property
    def routes(self) -> Mapping[str, RouteTally]:
        """The counts by route; ``NONE`` is the route of exchanges that matched none."""
        return self._routes

    @property
    def credentials(self) -> Mapping[str, CredentialTally]:
        """The counts by credential."""
        return self._credentials

    def exchange_closed(self, exchange: Exchange) -> None:
        """Count one exchange."""
        route = self._routes[exchange.route or NONE]
        request, response = exchange.request, exchange.response
        method = NONE if request is None else METHODS.get(request.method, OTHER)
        route.requests[method, 0 if response is None else response.status, exchange.outcome] += 1
        route.bytes_in += exchange.bytes_in
        route.bytes_out += exchange.bytes_out
        route.queue.observe(exchange.queue_s)
        route.total.observe(exchange.ended - exchange.started)
        attempts = exchange.attempts
        for attempt in attempts:
            if attempt.first_byte_at is not None and attempt.sent_at is not None:
                route.first_byte.observe(attempt.first_byte_at - attempt.sent_at)
            if not attempt.reused:
                route.connection_made(attempt)
        if exchange.token_wait_s or exchange.error is not None or len(attempts) > 1:
            route.trouble_seen(exchange)

    def token_fetched(self, fetch: TokenFetch) -> None:
        """Count one token call."""
        credential = self._credentials[fetch.credential]
        credential.fetches[fetch.reason, fetch.outcome] += 1
        if fetch.reason != ADOPTED:
            credential.seconds.observe(fetch.seconds)
        if fetch.fingerprint is not None:
            credential.fingerprint, credential.life_s = fetch.fingerprint, fetch.life_s

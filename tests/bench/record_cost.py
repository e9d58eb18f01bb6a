"""What one traffic record costs the event loop: built, redacted, rendered and queued.

Run it by itself: ``python tests/bench/record_cost.py``.  The sink takes everything at once and writes nothing, so
that what is measured is the event loop's part: processor time, the least disturbed of many rounds.
"""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING

from proxy.config.models import TrafficLog as Settings
from proxy.config.secret import Secret
from proxy.exchange import Attempt, Exchange
from proxy.http.head import parse_request_head, parse_response_head
from proxy.traffic.log import TrafficLog

if TYPE_CHECKING:
    from collections.abc import Callable

SECRETS = ("0oa1b2c3d4e5f6g7h8i9", "kD93jf02mmXq81LLa0Zq-9Qw2", "correct-horse-battery")
TOKEN = "Bearer " + "eyJhbGciOiJIUzI1NiJ9." * 2 + "x9Qk2" * 60
BODY = json.dumps(
    {"alert_id": "alert-7f3a91", "location": {"latitude": 37.1, "longitude": -122.3, "uncertainty": 12},
     "remarks": ["caller reports smoke on the third floor of the building"] * 14}
)[:1024].encode()  # fmt: skip
REQUEST = (
    b"%s HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: CAD/7.2\r\nAccept: application/json\r\n"
    b"Accept-Encoding: identity\r\nConnection: keep-alive\r\nX-Request-Id: 7f3a91c2\r\n\r\n"
)
RESPONSE = (
    b"HTTP/1.1 200 OK\r\nDate: Tue, 24 Nov 2026 08:10:00 GMT\r\nContent-Type: application/json\r\n"
    b"Content-Length: 1024\r\nServer: nginx\r\nX-RateLimit-Remaining: 99\r\nVia: 1.1 edge\r\n\r\n"
)
ROUNDS = 60
PER_ROUND = 1000


class NullSink:
    """Takes everything."""

    def open(self) -> str:
        """Have nothing to open."""
        return "new"

    def prepare(self, size: int) -> bool:
        """Have nothing to prepare."""
        return size < 0

    def write(self, data: memoryview) -> int:
        """Write nothing."""
        return len(data)

    def settle(self) -> None:
        """Have put nothing off."""

    def close(self) -> None:
        """Have nothing to close."""


def build_exchange(line: bytes, request_body: bytes, response_body: bytes) -> Exchange:
    """Build an exchange as the relay leaves it."""
    exchange = Exchange("cad-1f", 1_795_507_800.123, 1000.0, "cad", "10.20.0.7")
    exchange.request = parse_request_head(REQUEST % line)
    exchange.response = parse_response_head(RESPONSE)
    for body, data in ((exchange.request_body, request_body), (exchange.response_body, response_body)):
        if data:
            body.add(data)
    path = line.split()[1].decode()
    attempt = Attempt(f"https://api-sandbox.rapidsos.com{path}", reused=True, fingerprint="0123456789ab")
    attempt.address, attempt.status = "203.0.113.10:443", 200
    attempt.sent_at, attempt.request_done_at, attempt.first_byte_at, attempt.ended_at = 1000.1, 1000.1, 1000.2, 1000.3
    exchange.attempts.append(attempt)
    exchange.route, exchange.credential, exchange.sent_authorization = "egress", "core", TOKEN
    exchange.token_expires_in_s, exchange.ended = 1800.25, 1000.3004
    exchange.bytes_in, exchange.bytes_out = 240, 1300
    return exchange


def build_log(token: str, *, secrets: tuple[str, ...] = SECRETS) -> TrafficLog:
    """Build a traffic log whose queue nobody empties."""
    settings = Settings.model_validate({"token": token})
    return TrafficLog(settings, [Secret(secret, "bench") for secret in secrets], queue_bytes=1 << 40, sink=NullSink())


def measure(call: Callable[[Exchange], None], exchange: Exchange) -> float:
    """Return the cost of one call, in microseconds."""
    rounds = []
    for _ in range(ROUNDS):
        started = time.process_time()
        for _ in range(PER_ROUND):
            call(exchange)
        rounds.append((time.process_time() - started) / PER_ROUND * 1e6)
    return min(rounds)


def main() -> None:
    """Measure the usual shapes."""
    get, post = build_exchange(b"GET /egress/v1/alerts", b"", BODY), build_exchange(b"POST /ingress/v1", BODY, b"{}")
    query = build_exchange(b"GET /egress/v1/location?number=%2B15551234567&source=cad", b"", BODY)
    large = build_exchange(b"POST /ingress/v1", BODY * 64, BODY * 64)
    both = build_exchange(b"POST /ingress/v1", BODY, BODY)
    agencies = tuple(f"{secret}{number}" for number in range(20) for secret in SECRETS)
    rows = {
        "GET, answer of 1 KB": (build_log("full"), get),
        "POST of 1 KB": (build_log("full"), post),
        "POST of 1 KB, answer of 1 KB": (build_log("full"), both),
        "GET, no secret configured": (build_log("full", secrets=()), get),
        "GET, 60 secrets": (build_log("full", secrets=agencies), get),
        "GET, token as fingerprint": (build_log("fingerprint"), get),
        "GET, escapes in the query": (build_log("full"), query),
        "POST of 64 KB, answer of 64 KB": (build_log("full"), large),
    }
    for name, (log, exchange) in rows.items():
        log._writer._lines = _Discard()
        sys.stdout.write(f"{name:34} {measure(log.exchange_closed, exchange):8.2f} µs\n")


class _Discard(list[bytes]):
    def append(self, _line: bytes) -> None:
        pass


if __name__ == "__main__":
    main()

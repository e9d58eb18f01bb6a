"""What a body that was made to cost much costs the event loop: one record of 64 KB, built, redacted and rendered.

Run it by itself: ``python tests/bench/hostile_bodies.py``.  Processor time, the least of several rounds; while a
record is made, no other client is served.
"""

from __future__ import annotations

import gzip
import json
import sys
import time
from urllib.parse import quote

from record_cost import build_exchange, build_log

from proxy.http.fields import build_section

SIZE = 65_536
ROUNDS = 5
ALERTS = [{"id": number, "remarks": 'caller said "smoke" & left\n'} for number in range(1000)]
ORDINARY = {
    "JSON": json.dumps(ALERTS),
    "JSON in JSON": json.dumps({"message": json.dumps(ALERTS)}),
    "JSON in JSON, .NET's": json.dumps({"message": json.dumps(ALERTS)}).replace('\\"', "\\u0022"),
    "JSON in a form": f"message={quote(json.dumps(ALERTS))}",
    "900 secret fields": json.dumps([{"token": "x" * 30, "id": number} for number in range(900)]),
}
PARTS = {
    "a": "a",
    "every octet as %41": "%41",
    "URLs in URLs": "%25252541",
    "every character as \\u0041": "\\u0041",
    "backslashes": "\\",
    "ampersands": "&",
    "&amp;": "&amp;",
    "references": "&#65;",
    "references, fewer": "&#65;abcdefghij",
    "members of JSON in JSON": '{\\"a\\":\\"b%20c&amp;\\"},',
    "mixed": '\\\\\\"%25&amp;amp;%5c\\u0025',
    "mixed otherwise": "%26#x5c;u0026#37;41",
    "revealing one another": "%5Cu0025" + "5Cu0025" * 3,
    "token=": "token=",
    "secret members": '"token":"',
    "secret arrays": '"token":[',
    "secret elements": "<token></token>",
    "controls": "\u0085\u2028",
}


def measure(body: bytes, *fields: tuple[str, str]) -> float:
    """Return what the record of a request with this body costs, in milliseconds."""
    log = build_log("full")
    exchange = build_exchange(b"POST /ingress/v1", body, b"{}")
    if fields:
        exchange.request.section = build_section(fields)  # type: ignore[union-attr]  # it was built with one
    rounds = []
    for _ in range(ROUNDS):
        started = time.thread_time()
        log.exchange_closed(exchange)
        rounds.append((time.thread_time() - started) * 1e3)
    return min(rounds)


def main() -> None:
    """Measure ordinary bodies, and hostile ones: plain, cut by the cap, compressed, and in the head."""
    rows = {name: measure(body[:SIZE].encode()) for name, body in ORDINARY.items()}
    for name, part in PARTS.items():
        body = (part * SIZE).encode()
        rows[name] = measure(body[:SIZE])
        rows[f"{name}, cut"] = measure(body[: SIZE + 8])
        packed = gzip.compress(body[:SIZE])
        rows[f"{name}, compressed"] = measure(packed, ("Content-Encoding", "gzip"))
        rows[f"{name}, in the head"] = measure(
            b"", *((f"X-{number}", part * (2000 // len(part))) for number in range(30))
        )
    for name, cost in sorted(rows.items(), key=lambda row: -row[1]):
        sys.stdout.write(f"{name:45} {cost:8.2f} ms\n")


if __name__ == "__main__":
    main()

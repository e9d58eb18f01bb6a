"""Exchanges as the relay leaves them, and a traffic log over a real file."""

from __future__ import annotations

import pytest
import structlog

from proxy.config.secret import Secret
from proxy.exchange import Attempt, Exchange
from proxy.http.head import parse_request_head, parse_response_head
from proxy.traffic.redact import Redactions, Redactor

WALL = 1_795_507_800.0
"""2026-11-24T08:10:00Z."""


@pytest.fixture(autouse=True)
def _quiet():
    """Keep the operational log off the tests' standard output, which some of them close."""
    with structlog.testing.capture_logs():
        yield


@pytest.fixture
def make_exchange():
    """Return a builder of exchanges: one GET, answered 200, unless told otherwise."""

    def make(
        target="/egress/v1/alerts",
        *,
        fields=(),
        body=b"",
        answer_fields=(),
        answer=b"{}",
        authorization="Bearer live-token-1",
    ):
        exchange = Exchange("cad-1f", WALL + 0.1234, 1000.0, "cad", "10.20.0.7")
        exchange.request = parse_request_head(
            build_head(f"{'POST' if body else 'GET'} {target} HTTP/1.1", ("Host: cad", *fields))
        )
        exchange.response = parse_response_head(build_head("HTTP/1.1 200 OK", ("Server: nginx", *answer_fields)))
        for part, data in ((exchange.request_body, body), (exchange.response_body, answer)):
            if data:
                part.add(data)
        attempt = Attempt(f"https://api-sandbox.rapidsos.com{target}", reused=False, fingerprint="0123456789ab")
        attempt.address, attempt.status = "203.0.113.10:443", 200
        attempt.dns_s, attempt.connect_s, attempt.tls_s = 0.001, 0.0205, 0.030001
        attempt.sent_at, attempt.request_done_at = 1000.1, 1000.125
        attempt.first_byte_at, attempt.ended_at = 1000.25, 1000.5
        exchange.attempts.append(attempt)
        exchange.route, exchange.credential, exchange.sent_authorization = "egress", "core", authorization
        exchange.token_expires_in_s, exchange.queue_s, exchange.ended = 1800.25, 0.0005, 1000.5
        exchange.bytes_in, exchange.bytes_out = 240, 1300
        return exchange

    return make


def build_head(first, fields):
    """Build a head from its lines; characters above 0x7F become one octet each."""
    return "\r\n".join((first, *fields, "", "")).encode("latin-1")


@pytest.fixture
def make_redactor():
    """Return a builder of redactors for secrets given as text."""

    def make(*secrets):
        redactions = Redactions()
        redactor = Redactor([Secret(secret, "test") for secret in secrets], redactions)
        return redactor, redactions

    return make

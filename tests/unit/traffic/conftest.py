"""Exchanges as the relay leaves them, and a traffic log over a real file."""

from __future__ import annotations

import sys
import threading

import pytest
import structlog

from proxy.config.secret import Secret
from proxy.exchange import Attempt, Exchange
from proxy.http.head import parse_request_head, parse_response_head
from proxy.traffic.redact import Redactions, Redactor

WALL = 1_795_507_800.0
"""2026-11-24T08:10:00Z."""


class Events:
    """What the operational log was told, by any thread; a test can wait for it."""

    def __init__(self):
        """Start with nothing."""
        self._seen = []
        self._changed = threading.Condition()

    def __call__(self, _logger, _method, event):
        """Take an event; it goes no further."""
        with self._changed:
            self._seen.append(event)
            self._changed.notify_all()
        raise structlog.DropEvent

    def all(self, name):
        """Return the events of one name."""
        return [event for event in self._seen if event["event"] == name]

    def wait(self, name):
        """Wait until an event of this name has come, and return the first."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.all(name), timeout=10), f"no {name} in {self._seen}"
        return self.all(name)[0]


@pytest.fixture(autouse=True)
def events():
    """Return the operational log's events."""
    events = Events()
    structlog.configure(processors=[events])
    yield events
    structlog.reset_defaults()


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


@pytest.fixture
def count_calls():
    """Return a function that counts the calls of Python's and C's functions: what a cost hangs on, on any machine."""

    def count_calls(work):
        calls = 0

        def count(_frame, event, _argument):
            nonlocal calls
            calls += event in {"call", "c_call"}

        sys.setprofile(count)
        try:
            work()
        finally:
            sys.setprofile(None)
        return calls

    return count_calls

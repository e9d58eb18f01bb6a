"""What the tally counts, and that its keys are bounded."""

from __future__ import annotations

import pytest
from harness import exchanges
from harness.exchanges import build_attempt

from proxy.errors import NoToken
from proxy.exchange import CLIENT_LEFT, OK, TOKEN_FAILED
from proxy.http.fields import build_section
from proxy.http.head import RequestHead, ResponseHead
from proxy.tokens.token import TokenFetch
from proxy.traffic.tally import BOUNDS_S, NONE, OTHER, Histogram, Tally


def build_exchange(*, method="GET", status=200, route="ingress", **changes):
    """Build an exchange of 2 ms that went well, with one attempt on a reused connection."""
    parts = {
        "request": RequestHead(1, build_section([]), 40, method, "/x"),
        "response": None if status is None else ResponseHead(1, build_section([]), 60, status, ""),
        "attempts": [build_attempt("https://up/x", reused=True, sent_at=100.0, first_byte_at=100.0015)],
        "queue_s": 0.0002,
        "ended": 100.002,
        "bytes_in": 140,
        "bytes_out": 1060,
    }
    return exchanges.build_exchange(100.0, route=route, **(parts | changes))


def build_fetch(**changes):
    """Build a token call that went well."""
    parts = {
        "credential": "core",
        "grant": "client_credentials",
        "token_url": "https://as/token",
        "outcome": "ok",
        "status": 200,
        "detail": "",
        "seconds": 0.2,
        "fingerprint": "0123456789ab",
        "life_s": 3600.0,
        "reason": "start",
    }
    return TokenFetch(**(parts | changes))


def index_of(bound):
    """Return the place of the bucket with this upper bound."""
    return BOUNDS_S.index(bound)


@pytest.mark.parametrize("bound", BOUNDS_S)
def test_histogram_bounds_are_inclusive(bound):
    """A duration that equals a bound is in its bucket, one a little longer in the next (Prometheus' ``le``)."""
    histogram = Histogram()

    histogram.observe(bound)
    histogram.observe(bound * 1.0001)

    assert histogram.counts[index_of(bound)] == 1
    assert histogram.counts[index_of(bound) + 1] == 1
    assert histogram.total_s == pytest.approx(bound * 2.0001)


def test_histogram_keeps_what_is_longer_than_every_bound():
    """Nothing is lost past 30 seconds."""
    histogram = Histogram()

    histogram.observe(3600.0)

    assert histogram.counts[-1] == sum(histogram.counts) == 1


def test_exchanges_are_counted_by_route_method_status_and_outcome():
    """Each combination has a count of its own."""
    tally = Tally()

    for exchange in (
        build_exchange(),
        build_exchange(),
        build_exchange(method="POST", status=404),
        build_exchange(route="egress", outcome=CLIENT_LEFT),
    ):
        tally.exchange_closed(exchange)

    assert tally.routes["ingress"].requests == {("GET", 200, OK): 2, ("POST", 404, OK): 1}
    assert tally.routes["egress"].requests == {("GET", 200, CLIENT_LEFT): 1}


def test_bytes_add_up():
    """Bytes of both directions add up per route."""
    tally = Tally()

    tally.exchange_closed(build_exchange())
    tally.exchange_closed(build_exchange())

    assert (tally.routes["ingress"].bytes_in, tally.routes["ingress"].bytes_out) == (280, 2120)


def test_phases_of_a_plain_exchange():
    """A reused connection and a token at hand leave the connect and token histograms empty."""
    tally = Tally()

    tally.exchange_closed(build_exchange())

    route = tally.routes["ingress"]
    assert route.queue.counts[index_of(0.0005)] == 1
    assert route.first_byte.counts[index_of(0.0025)] == 1
    assert route.total.counts[index_of(0.0025)] == 1
    assert sum(route.connect.counts) == sum(route.token.counts) == 0


def test_new_connection_counts_all_its_phases_as_one():
    """DNS, TCP and TLS of a new connection are one duration; a phase that was not gone through adds nothing."""
    tally = Tally()
    attempt = build_attempt("https://up/x", dns_s=None, connect_s=0.02, tls_s=0.04)

    tally.exchange_closed(build_exchange(attempts=[attempt]))

    assert tally.routes["ingress"].connect.total_s == pytest.approx(0.06)
    assert tally.routes["ingress"].connect.counts[index_of(0.1)] == 1
    assert sum(tally.routes["ingress"].first_byte.counts) == 0


def test_attempt_that_never_came_to_connect_is_no_connection():
    """An attempt that was refused before it dialled is not in the connect histogram."""
    tally = Tally()

    tally.exchange_closed(build_exchange(attempts=[build_attempt("https://up/x")]))

    assert sum(tally.routes["ingress"].connect.counts) == 0


def test_wait_for_a_token_and_its_failure_are_counted():
    """An exchange that waited for a token in vain is in the token histogram and among the errors."""
    tally = Tally()
    exchange = build_exchange(status=503, outcome=TOKEN_FAILED, error=NoToken("down"), token_wait_s=5.0, attempts=[])

    tally.exchange_closed(exchange)

    route = tally.routes["ingress"]
    assert route.token.counts[index_of(5.0)] == 1
    assert route.errors == {"no_token": 1}
    assert route.requests == {("GET", 503, TOKEN_FAILED): 1}
    assert route.retries == 0


def test_second_attempt_is_a_retry():
    """Attempts beyond the first are counted, and each that was answered has its first byte counted."""
    tally = Tally()
    exchange = build_exchange()
    exchange.attempts.append(exchange.attempts[0])

    tally.exchange_closed(exchange)

    assert tally.routes["ingress"].retries == 1
    assert sum(tally.routes["ingress"].first_byte.counts) == 2


def test_unreadable_request_counts_under_no_route_and_no_method():
    """What could not be parsed is counted all the same."""
    tally = Tally()

    tally.exchange_closed(build_exchange(request=None, route=None, status=None, attempts=[]))

    assert tally.routes[NONE].requests == {(NONE, 0, OK): 1}


def test_invented_methods_share_one_key():
    """A client that invents methods cannot make the tally grow."""
    tally = Tally()

    for number in range(1000):
        tally.exchange_closed(build_exchange(method=f"M{number}"))

    assert tally.routes["ingress"].requests == {(OTHER, 200, OK): 1000}


def test_token_calls_are_counted_by_reason_and_outcome():
    """Each credential has its calls counted, and keeps the life of the token got last."""
    tally = Tally()

    tally.token_fetched(build_fetch())
    tally.token_fetched(build_fetch(reason="refresh", outcome="timeout", fingerprint=None, life_s=None, seconds=10.0))

    calls = tally.credentials["core"]
    assert calls.fetches == {("start", "ok"): 1, ("refresh", "timeout"): 1}
    assert calls.seconds.total_s == pytest.approx(10.2)
    assert (calls.fingerprint, calls.life_s) == ("0123456789ab", 3600.0)


def test_looking_at_an_unknown_route_does_not_create_it():
    """A reader cannot add keys by asking for them."""
    tally = Tally()

    assert tally.routes.get("ingress") is None
    assert list(tally.routes) == []

"""The families of /metrics, read back with prometheus-client's own parser."""

from __future__ import annotations

import dataclasses

import pytest
from harness import exchanges
from harness.exchanges import build_attempt
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from proxy.admin.metrics import PREFIX, ProxyCollector
from proxy.errors import NoToken
from proxy.exchange import OK, TOKEN_FAILED
from proxy.http.fields import build_section
from proxy.http.head import RequestHead, ResponseHead
from proxy.relay.breaker import BreakerStatus
from proxy.relay.pool import PoolSnapshot
from proxy.renewal import CertificateStatus
from proxy.tokens.store import StoreStatus
from proxy.tokens.token import TokenFetch


def build_exchange(**changes):
    """Build an exchange of 2 ms on the route ``ingress``."""
    attempt = build_attempt("https://up/x", connect_s=0.02, sent_at=5.0, first_byte_at=5.0015)
    parts = {
        "request": RequestHead(1, build_section([]), 40, "GET", "/x"),
        "response": ResponseHead(1, build_section([]), 60, 200, "OK"),
        "attempts": [attempt],
        "ended": 5.002,
        "bytes_in": 140,
        "bytes_out": 1060,
    }
    return exchanges.build_exchange(5.0, route="ingress", **(parts | changes))


def build_fetch(outcome, *, life_s=None, fingerprint=None):
    """Build a token call of the credential ``core``."""
    return TokenFetch(
        credential="core",
        grant="client_credentials",
        token_url="https://as.example/oauth/token",
        outcome=outcome,
        status=200,
        detail="",
        seconds=0.2,
        fingerprint=fingerprint,
        life_s=life_s,
        reason="start",
    )


@pytest.fixture
def scrape(healthy_proxy):
    """Return a function that reads one sample of a scrape by its name and labels, None if it is not there."""

    def read(name, **labels):
        text = generate_latest(ProxyCollector(healthy_proxy)).decode()
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        found = [one.value for one in samples if one.name == PREFIX + name and one.labels == labels]
        assert len(found) <= 1
        return found[0] if found else None

    return read


def test_requests_are_counted_by_route_method_status_and_outcome(healthy_proxy, scrape):
    """Every key of the tally is a sample of its own."""
    healthy_proxy.tally.exchange_closed(build_exchange())
    healthy_proxy.tally.exchange_closed(build_exchange())
    healthy_proxy.tally.exchange_closed(build_exchange(response=None, outcome=TOKEN_FAILED))

    assert scrape("requests_total", route="ingress", method="GET", status="200", outcome=OK) == 2
    assert scrape("requests_total", route="ingress", method="GET", status="-", outcome=TOKEN_FAILED) == 1


def test_traffic_is_counted_by_route(healthy_proxy, scrape):
    """Bytes, retries and errors stand by route."""
    exchange = build_exchange(error=NoToken("down"))
    exchange.attempts.append(exchange.attempts[0])
    healthy_proxy.tally.exchange_closed(exchange)

    assert scrape("received_bytes_total", route="ingress") == 140
    assert scrape("sent_bytes_total", route="ingress") == 1060
    assert scrape("retries_total", route="ingress") == 1
    assert scrape("errors_total", route="ingress", error="no_token") == 1


@pytest.mark.parametrize(
    ("phase", "below", "bucket", "seconds"),
    [
        ("queue", None, "0.0005", 0.0),
        ("token_wait", "0.1", "0.25", 0.2),
        ("connect", "0.01", "0.025", 0.02),
        ("first_byte", "0.001", "0.0025", 0.0015),
        ("exchange", "0.001", "0.0025", 0.002),
    ],
)
def test_phases_are_cumulative_histograms(healthy_proxy, scrape, phase, below, bucket, seconds):
    """Each phase's duration is in its bucket and in every longer one, and in no shorter one."""
    healthy_proxy.tally.exchange_closed(build_exchange(token_wait_s=0.2))

    if below is not None:
        assert scrape(f"{phase}_seconds_bucket", route="ingress", le=below) == 0
    assert scrape(f"{phase}_seconds_bucket", route="ingress", le=bucket) == 1
    assert scrape(f"{phase}_seconds_bucket", route="ingress", le="30.0") == 1
    assert scrape(f"{phase}_seconds_bucket", route="ingress", le="+Inf") == 1
    assert scrape(f"{phase}_seconds_count", route="ingress") == 1
    assert scrape(f"{phase}_seconds_sum", route="ingress") == pytest.approx(seconds)


def test_live_state(scrape):
    """Connections, exchanges in flight, pools, the log and the build stand as they are at the scrape."""
    assert scrape("exchanges_in_flight") == 3
    assert scrape("client_connections") == 7
    assert scrape("pool_connections", upstream="https://up.example", state="idle") == 4
    assert scrape("pool_connections", upstream="https://up.example", state="busy") == 2
    assert scrape("start_time_seconds") == 1.7e9
    assert scrape("log_queue_bytes") == 512
    assert scrape("log_records_written_total") == 90
    assert scrape("log_records_dropped_total") == 1
    assert scrape("log_redactions_total") == 5


def test_log_that_cannot_be_written_shows(healthy_proxy, scrape):
    """A full disk is a 1 to alarm on, before a record is lost."""
    assert scrape("log_failing") == 0

    healthy_proxy.change(log=dataclasses.replace(healthy_proxy.status().log, error="No space left on device"))

    assert scrape("log_failing") == 1


def test_readiness_follows_the_state(healthy_proxy, scrape):
    """A drain shows as draining and no longer ready."""
    assert (scrape("ready"), scrape("draining")) == (1, 0)

    healthy_proxy.change(draining=True)

    assert (scrape("ready"), scrape("draining")) == (0, 1)


def test_token_in_hand(healthy_proxy, scrape):
    """A token's age is its life less what is left of it."""
    healthy_proxy.tally.token_fetched(build_fetch("ok", life_s=3600.0, fingerprint="0123456789ab"))

    assert scrape("token_usable", credential="core") == 1
    assert scrape("token_age_seconds", credential="core") == 600
    assert scrape("token_expires_in_seconds", credential="core") == 3000
    assert scrape("token_clock_skew_seconds", credential="core") == 0.25


def test_persons_are_counted_and_have_no_common_token(healthy_proxy, scrape):
    """No token is said to be there; but an alarm on ``usable`` goes off when nobody can be served."""
    healthy_proxy.change_credential(fingerprint=None, expires_in_s=None, people=3)

    assert scrape("people", credential="core") == 3
    assert scrape("token_usable", credential="core") is None

    healthy_proxy.change_credential(usable=False)

    assert scrape("token_usable", credential="core") == 0


@pytest.mark.parametrize(("state", "is_open"), [("closed", 0), ("open", 1), ("half_open", 1)])
def test_an_upstream_that_is_left_alone_shows(healthy_proxy, scrape, state, is_open):
    """Half-open is not closed: requests are still refused."""
    breaker = BreakerStatus(state, failures=5, clients=2)
    healthy_proxy.change(pools=(PoolSnapshot("https://up.example", idle=0, busy=0, breaker=breaker),))

    assert scrape("breaker_open", upstream="https://up.example") == is_open
    assert scrape("breaker_clients", upstream="https://up.example") == 2


def test_pools_to_one_upstream_are_one_sample(healthy_proxy, scrape):
    """Routes may give it several addresses; a scrape that names one twice would be refused whole."""
    closed, opened = BreakerStatus(), BreakerStatus("open", failures=5, clients=1)
    pools = [PoolSnapshot("https://up.example", idle=1, busy=2, breaker=breaker) for breaker in (closed, opened)]
    healthy_proxy.change(pools=tuple(pools))

    assert scrape("pool_connections", upstream="https://up.example", state="idle") == 2
    assert scrape("breaker_open", upstream="https://up.example") == 1


def test_a_lost_store_shows(healthy_proxy, scrape):
    """By a gauge to alarm on, and a counter of what failed."""
    assert scrape("token_store_usable", kind="memory") == 1

    lost = StoreStatus("redis", "rediss://redis.example", usable=False, failures=7, last_error="Redis is gone")
    healthy_proxy.change(store=lost)

    assert scrape("token_store_usable", kind="redis") == 0
    assert scrape("token_store_failures_total", kind="redis") == 7


def test_a_token_from_the_store_took_no_time(healthy_proxy, scrape):
    """It counts as one, and is in no histogram of calls; its age is known."""
    fetch = dataclasses.replace(build_fetch("ok", life_s=3600.0, fingerprint="0123456789ab"), reason="adopted")
    healthy_proxy.tally.token_fetched(fetch)

    assert scrape("token_fetches_total", credential="core", reason="adopted", outcome="ok") == 1
    assert scrape("token_fetch_seconds_count", credential="core") == 0
    assert scrape("token_age_seconds", credential="core") == 600


def test_no_token_has_no_age(healthy_proxy, scrape):
    """Without a token there is no age and no expiry to alarm on, only ``usable`` at 0."""
    healthy_proxy.tally.token_fetched(build_fetch("ok", life_s=3600.0, fingerprint="0123456789ab"))
    healthy_proxy.change_credential(usable=False, fingerprint=None, expires_in_s=None, skew_s=None)

    assert scrape("token_usable", credential="core") == 0
    assert scrape("token_age_seconds", credential="core") is None
    assert scrape("token_expires_in_seconds", credential="core") is None


def test_age_of_a_token_that_was_not_fetched_last_is_not_guessed(healthy_proxy, scrape):
    """Another token's life says nothing about this one's age."""
    healthy_proxy.tally.token_fetched(build_fetch("ok", life_s=3600.0, fingerprint="ffffffffffff"))

    assert scrape("token_age_seconds", credential="core") is None


def test_token_calls_are_counted_by_reason_and_outcome(healthy_proxy, scrape):
    """Successes and failures are told apart, and how long they took is one histogram."""
    healthy_proxy.tally.token_fetched(build_fetch("ok", life_s=3600.0, fingerprint="0123456789ab"))
    healthy_proxy.tally.token_fetched(build_fetch("timeout"))

    assert scrape("token_fetches_total", credential="core", reason="start", outcome="ok") == 1
    assert scrape("token_fetches_total", credential="core", reason="start", outcome="timeout") == 1
    assert scrape("token_fetch_seconds_count", credential="core") == 2


def test_every_family_has_the_prefix_and_a_help_text(healthy_proxy):
    """Names cannot collide with another program's, and each says what it counts."""
    families = list(ProxyCollector(healthy_proxy).collect())

    assert all(family.name.startswith(PREFIX) for family in families)
    assert all(family.documentation.endswith(".") for family in families)
    assert len({family.name for family in families}) == len(families)


def test_listeners_of_tls(scrape, healthy_proxy):
    """When the certificate ends, and the handshakes that failed, by reason."""
    certificate = CertificateStatus("cad", 2e9, {"timeout": 3})
    healthy_proxy.change(certificates=(certificate,))

    assert scrape("listener_certificate_not_after_seconds", listener="cad") == 2e9
    assert scrape("listener_handshake_failures_total", listener="cad", reason="timeout") == 3

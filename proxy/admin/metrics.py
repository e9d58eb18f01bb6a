"""``/metrics``: the tally and the live state as Prometheus families, made when they are asked for.

The rule of this file: names begin with ``rapidsos_proxy_``, a unit stands in the name, and a counter is never reset.
"""

from __future__ import annotations

import asyncio
import platform
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from proxy.admin.health import unready_reasons
from proxy.threads import in_thread
from proxy.traffic.tally import BOUNDS_S, Histogram, Tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from proxy.admin.view import AdminView, ProxyStatus
    from proxy.relay.pool import PoolSnapshot
    from proxy.tokens.token import CredentialStatus

PREFIX = "rapidsos_proxy_"
BUCKET_LABELS = (*map(str, BOUNDS_S), "+Inf")
NO_ANSWER = "-"
"""Status of an exchange that closed before any head was sent to its client."""

PHASES = {
    "queue": "From a request's first byte to the end of its head's checks.",
    "token_wait": "Waits for a token; exchanges that found one at hand are not in it.",  # a text # nosec B105
    "connect": "DNS, TCP and TLS of new upstream connections.",
    "first_byte": "From the head sent upstream to the head of the answer.",
    "exchange": "From a request's first byte to the close of its exchange.",
}


class ProxyCollector(Collector):
    """Everything that is known of the proxy, family by family."""

    def __init__(self, view: AdminView) -> None:
        """Read from ``view`` whenever asked."""
        self._view = view

    def collect(self) -> Iterator[Metric]:
        """Yield every family; one that has been yielded does not change any more."""
        status, tally = self._view.status(), self._view.tally
        yield from _collect_traffic(tally)
        yield from _collect_phases(tally)
        yield from _collect_state(status)
        yield from _collect_pools(status.pools)
        yield from _collect_certificates(status)
        yield from _collect_credentials(status.credentials, tally)
        yield from _collect_token_calls(tally)
        yield from _collect_store(status)
        yield from _collect_log(status)


class Metrics:
    """Answers the metrics server."""

    def __init__(self, view: AdminView) -> None:
        """Read the proxy's own numbers from ``view``, and the process's from the operating system."""
        self._collector = ProxyCollector(view)
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)

    async def show(self, _request: web.Request) -> web.Response:
        """Answer in the text format.

        A line costs about 8 µs and a busy proxy has thousands: the event loop has a turn after each family.
        """
        parts = []
        for family in self._collector.collect():
            parts.append(generate_latest(_Family(family)))
            await asyncio.sleep(0)
        # It reads files of /proc.
        parts.append(await in_thread(partial(generate_latest, self._process), name="metrics"))
        return web.Response(body=b"".join(parts), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})


class _Family(Collector):
    """One family, in the shape that prometheus-client renders."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterable[Metric]:
        return (self._family,)


def _collect_traffic(tally: Tally) -> Iterator[Metric]:
    """Yield what the exchanges came to."""
    requests = CounterMetricFamily(
        f"{PREFIX}requests", "Exchanges closed.", labels=("route", "method", "status", "outcome")
    )
    errors = CounterMetricFamily(f"{PREFIX}errors", "Exchanges ended by the proxy itself.", labels=("route", "error"))
    retries = CounterMetricFamily(f"{PREFIX}retries", "Attempts beyond an exchange's first.", labels=("route",))
    received = CounterMetricFamily(f"{PREFIX}received_bytes", "Received from clients.", labels=("route",))
    sent = CounterMetricFamily(f"{PREFIX}sent_bytes", "Sent to clients.", labels=("route",))
    for name, route in tally.routes.items():
        for (method, status, outcome), count in route.requests.items():
            requests.add_metric((name, method, str(status or NO_ANSWER), outcome), count)
        for slug, count in route.errors.items():
            errors.add_metric((name, slug), count)
        retries.add_metric((name,), route.retries)
        received.add_metric((name,), route.bytes_in)
        sent.add_metric((name,), route.bytes_out)
    yield from (requests, errors, retries, received, sent)


def _collect_phases(tally: Tally) -> Iterator[Metric]:
    """Yield one histogram for each phase of an exchange."""
    phases: dict[str, dict[str, Histogram]] = {phase: {} for phase in PHASES}
    for name, route in tally.routes.items():
        phases["queue"][name] = route.queue
        phases["token_wait"][name] = route.token
        phases["connect"][name] = route.connect
        phases["first_byte"][name] = route.first_byte
        phases["exchange"][name] = route.total
    for phase, histograms in phases.items():
        yield _build_histogram(f"{PREFIX}{phase}_seconds", PHASES[phase], "route", histograms)


def _collect_state(status: ProxyStatus) -> Iterator[Metric]:
    """Yield what the proxy is and does at this moment."""
    build = GaugeMetricFamily(f"{PREFIX}build_info", "Always 1.", labels=("version", "python"))
    build.add_metric((status.version, platform.python_version()), 1)
    yield build
    yield _build_gauge("start_time_seconds", "When it started, since the epoch.", status.started_at)
    yield _build_gauge("ready", "1 when a new exchange could succeed.", not unready_reasons(status))
    yield _build_gauge("draining", "1 while it is stopping.", status.draining)
    yield _build_gauge("exchanges_in_flight", "Exchanges begun and not closed.", status.in_flight)
    yield _build_gauge("client_connections", "Open connections of clients.", status.client_connections)
    config = status.config
    yield _build_gauge("config_current", "0 while the file says something else than what is used.", config.is_current)
    yield _build_gauge("config_used_since_seconds", "Start or last reload, since the epoch.", config.used_since)
    yield _build_counter("config_reloads", "Reloads that were done.", config.reloads)
    yield _build_counter("config_refusals", "Reloads that were refused.", config.refusals)
    yield _build_counter("turned_away", "Connections closed without an answer, beyond a limit.", status.turned_away)


def _collect_pools(pools: Iterable[PoolSnapshot]) -> Iterator[Metric]:
    """Yield the connections to each upstream; routes that give one host several addresses have a pool for each."""
    connections = GaugeMetricFamily(
        f"{PREFIX}pool_connections", "Connections to upstreams.", labels=("upstream", "state")
    )
    breaker = GaugeMetricFamily(f"{PREFIX}breaker_open", "1 while an upstream is left alone.", labels=("upstream",))
    clients = GaugeMetricFamily(
        f"{PREFIX}breaker_clients", "Clients refused since theirs got no answer.", labels=("upstream",)
    )
    by_upstream: dict[str, list[PoolSnapshot]] = {}
    for pool in pools:
        by_upstream.setdefault(pool.upstream, []).append(pool)
    for upstream, together in by_upstream.items():
        connections.add_metric((upstream, "idle"), sum(pool.idle for pool in together))
        connections.add_metric((upstream, "busy"), sum(pool.busy for pool in together))
        breaker.add_metric((upstream,), any(pool.breaker.state != "closed" for pool in together))
        clients.add_metric((upstream,), sum(pool.breaker.clients for pool in together))
    yield from (connections, breaker, clients)


def _collect_certificates(status: ProxyStatus) -> Iterator[Metric]:
    """Yield how listeners of TLS stand."""
    ends = GaugeMetricFamily(
        f"{PREFIX}listener_certificate_not_after_seconds",
        "When the listener's certificate ends, since the epoch.",
        labels=("listener",),
    )
    failures = CounterMetricFamily(
        f"{PREFIX}listener_handshake_failures",
        "TLS handshakes that failed, and connections that TLS ended later.",
        labels=("listener", "reason"),
    )
    for certificate in status.certificates:
        ends.add_metric((certificate.listener,), certificate.not_after)
        for reason, count in certificate.failures.items():
            failures.add_metric((certificate.listener, reason), count)
    yield from (ends, failures)


def _collect_credentials(credentials: Iterable[CredentialStatus], tally: Tally) -> Iterator[Metric]:
    """Yield the state of each credential; a Basic one has no age and no end.

    Where each person has a token of his own there is none to be at hand, so ``token_usable`` says nothing while all is
    well; it is 0, for an alarm, while no person can be served.
    """
    usable = GaugeMetricFamily(f"{PREFIX}token_usable", "1 while a usable token is at hand.", labels=("credential",))
    age = GaugeMetricFamily(f"{PREFIX}token_age_seconds", "Since the token was asked for.", labels=("credential",))
    expiry = GaugeMetricFamily(f"{PREFIX}token_expires_in_seconds", "Until the token expires.", labels=("credential",))
    skew = GaugeMetricFamily(
        f"{PREFIX}token_clock_skew_seconds", "The authorization server's clock less ours.", labels=("credential",)
    )
    people = GaugeMetricFamily(
        f"{PREFIX}people", "Persons who have, or wait for, a token of their own.", labels=("credential",)
    )
    for credential in credentials:
        labels = (credential.name,)
        if credential.people is not None:
            people.add_metric(labels, credential.people)
        if credential.people is None or not credential.usable:
            usable.add_metric(labels, credential.usable)
        ages = _age_s(credential, tally)
        for family, seconds in ((age, ages), (expiry, credential.expires_in_s), (skew, credential.skew_s)):
            if seconds is not None:
                family.add_metric(labels, seconds)
    yield from (usable, age, expiry, skew, people)


def _age_s(credential: CredentialStatus, tally: Tally) -> float | None:
    """Return the age of the token in hand, None without one or when it is not the one last fetched."""
    calls = tally.credentials.get(credential.name)
    if calls is None or calls.life_s is None or credential.expires_in_s is None:
        return None
    return calls.life_s - credential.expires_in_s if calls.fingerprint == credential.fingerprint else None


def _collect_token_calls(tally: Tally) -> Iterator[Metric]:
    """Yield what the token calls came to."""
    fetches = CounterMetricFamily(
        f"{PREFIX}token_fetches",
        "Token calls ended; with reason adopted, tokens from the store.",
        labels=("credential", "reason", "outcome"),
    )
    for name, credential in tally.credentials.items():
        for (reason, outcome), count in credential.fetches.items():
            fetches.add_metric((name, reason, outcome), count)
    yield fetches
    seconds = {name: credential.seconds for name, credential in tally.credentials.items()}
    yield _build_histogram(f"{PREFIX}token_fetch_seconds", "How long token calls took.", "credential", seconds)


def _collect_store(status: ProxyStatus) -> Iterator[Metric]:
    """Yield whether the store of tokens can be used; of memory it always can."""
    usable = GaugeMetricFamily(
        f"{PREFIX}token_store_usable", "1 while the store of tokens can be used.", labels=("kind",)
    )
    failures = CounterMetricFamily(
        f"{PREFIX}token_store_failures", "Reads and writes of the store that failed.", labels=("kind",)
    )
    usable.add_metric((status.store.kind,), status.store.usable)
    failures.add_metric((status.store.kind,), status.store.failures)
    yield from (usable, failures)


def _collect_log(status: ProxyStatus) -> Iterator[Metric]:
    """Yield how the traffic log keeps up."""
    log = status.log
    yield _build_gauge("log_queue_bytes", "Waiting to be written to the traffic log.", log.queue_bytes)
    yield _build_gauge("log_failing", "1 while the traffic log cannot be written.", log.error is not None)
    yield _build_counter("log_records_written", "Records in the traffic log.", log.written)
    yield _build_counter("log_records_dropped", "Records lost since the log could not keep up.", log.dropped)
    yield _build_counter("log_redactions", "Secrets masked in records.", log.redactions)


def _build_gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{PREFIX}{name}", documentation, value=float(value))


def _build_counter(name: str, documentation: str, value: float) -> Metric:
    return CounterMetricFamily(f"{PREFIX}{name}", documentation, value=float(value))


def _build_histogram(name: str, documentation: str, label: str, histograms: Mapping[str, Histogram]) -> Metric:
    family = HistogramMetricFamily(name, documentation, labels=(label,))
    for key, histogram in histograms.items():
        buckets = list(zip(BUCKET_LABELS, accumulate(histogram.counts), strict=True))
        family.add_metric((key,), buckets, histogram.total_s)
    return family

"""An upstream that is out of reach is left alone for moments, and noticed when it is back; nobody else pays for it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from harness.program import find_free_port
from harness.running import RawClient, RunningProxy, build_document, running_proxy, until
from harness.upstream import Peer, answering, scripted_upstream
from structlog.testing import capture_logs

from proxy.config.secret import Secret

if TYPE_CHECKING:
    from proxy.relay.breaker import BreakerStatus

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
FAILED = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
GET = b"GET /api/x HTTP/1.1\r\nHost: proxy\r\n\r\n"
POST = b"POST /api/x HTTP/1.1\r\nHost: proxy\r\nContent-Length: 2\r\n\r\nhi"
BASIC = {"core": {"grant": "basic", "username": Secret("user", "test"), "password": Secret("a-password", "test")}}
ENOUGH = 3
SETTINGS = {"connections": ENOUGH, "pause": 1.0}


@pytest.fixture(autouse=True)
def _failures_may_be_close(monkeypatch: pytest.MonkeyPatch) -> None:
    """Open at the last of the failures, however soon after the first."""
    monkeypatch.setattr("proxy.relay.breaker.LEAST_SPAN_S", 0.0)


def status_of(answer: bytes) -> int:
    """Return the status of an answer."""
    return int(answer.split(b" ", 2)[1])


def breaker_of(proxy: RunningProxy) -> BreakerStatus:
    """Return the state of the one upstream's breaker."""
    [pool] = proxy.service.status().pools
    return pool.breaker


async def close_after_request(peer: Peer) -> None:
    """Read a request, and close without an answer."""
    await peer.read_head()


async def talk_from(address: str, proxy: RunningProxy, data: bytes) -> bytes:
    """Send from another address of this machine; return all that comes back."""
    client = RawClient(*await asyncio.open_connection("127.0.0.1", proxy.port, local_addr=(address, 0)))
    client.send(data)
    client.writer.write_eof()
    try:
        return await client.read_all()
    finally:
        client.close()


async def test_an_upstream_that_is_down_is_left_alone_until_one_request_finds_it_back() -> None:
    """502 while that is news; then 503 at once, with a time to come back at; then one goes through, and all is well."""
    port = find_free_port()
    document = build_document(f"http://127.0.0.1:{port}", "", credential=BASIC, breaker=SETTINGS)
    with capture_logs() as logs:
        async with running_proxy(document) as proxy:
            first = [await proxy.talk(POST) for _ in range(ENOUGH)]
            refused = await proxy.talk(POST)
            assert breaker_of(proxy).state == "open"
            await until(lambda: breaker_of(proxy).state == "half_open")
            async with scripted_upstream(answering(OK, body=2), port=port):
                through = [await proxy.talk(POST) for _ in range(2)]
            exchanges = await proxy.recorder.wait_exchanges(ENOUGH + 3)
            closed = breaker_of(proxy)

    assert [status_of(answer) for answer in first] == [502] * ENOUGH
    assert refused.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nRetry-After: 1\r\n" in refused
    assert b"\r\nProxy-Status: rapidsos-proxy; error=destination_unavailable; " in refused
    assert b"error:breaker_open" in refused
    assert b"was not sent" in refused
    assert (exchanges[ENOUGH].outcome, exchanges[ENOUGH].attempts) == ("upstream_failed", [])
    assert [status_of(answer) for answer in through] == [200, 200]
    assert (closed.state, closed.failures) == ("closed", 0)
    events = [entry["event"] for entry in logs if entry["event"].startswith("upstream.")]
    assert events == ["upstream.opened", "upstream.closed"]


async def test_of_many_one_goes_through_while_it_is_half_open() -> None:
    """The others are told at once to come back, and do not wait for what becomes of it."""
    port = find_free_port()
    document = build_document(f"http://127.0.0.1:{port}", "", credential=BASIC, breaker=SETTINGS)
    async with running_proxy(document) as proxy:
        for _ in range(ENOUGH):
            await proxy.talk(POST)
        await until(lambda: breaker_of(proxy).state == "half_open")
        answers = await asyncio.gather(*(proxy.talk(POST) for _ in range(6)))

        assert sorted(map(status_of, answers)) == [502, *[503] * 5]


async def test_clients_that_give_up_sooner_do_not_hide_that_it_is_down() -> None:
    """What they have begun goes on without them, to its own time limit."""

    async def stay_silent(peer: Peer) -> None:
        await peer.wait_closed()

    async with scripted_upstream(stay_silent) as upstream:
        origin = f"https://127.0.0.1:{upstream.port}"
        document = build_document(origin, "", credential=BASIC, breaker=SETTINGS, timeouts={"tls": 0.2})
        async with running_proxy(document) as proxy:
            for number in range(1, ENOUGH + 1):
                client = await proxy.connect()
                client.send(POST)
                await until(lambda number=number: len(upstream.peers) == number)
                client.reset()
                await proxy.recorder.wait_exchanges(number)
            await until(lambda: breaker_of(proxy).state != "closed")

    assert [exchange.outcome for exchange in proxy.recorder.exchanges] == ["client_left"] * ENOUGH


async def test_one_client_that_gets_no_answer_has_nobody_else_refused(in_front_of: Any) -> None:
    """Even where such requests are counted: they may be the reason themselves."""

    async def by_path(peer: Peer) -> None:
        head = await peer.read_head()
        await peer.read_exactly(2)
        if b"/poison" not in head:
            peer.send(OK)

    listener = [{"name": "cad", "bind": "127.0.0.1:0", "allow": ["127.0.0.0/8"]}]
    poison = POST.replace(b"/x", b"/poison")
    settings = {**SETTINGS, "unanswered": ENOUGH}
    async with in_front_of(by_path, listener=listener, breaker=settings) as proxy:
        broken = [status_of(await talk_from("127.0.0.2", proxy, poison)) for _ in range(ENOUGH + 1)]
        status = breaker_of(proxy)
        other = await talk_from("127.0.0.3", proxy, POST)
        # What was answered to one is good news for the other as well.
        again = await talk_from("127.0.0.2", proxy, POST)

    assert broken == [*[502] * ENOUGH, 503]
    assert (status.state, status.clients) == ("closed", 1)
    assert [status_of(other), status_of(again)] == [200, 200]


async def test_by_default_requests_without_an_answer_open_nothing(in_front_of: Any) -> None:
    """A firewall that resets one bad request, sent over and over, looks like an upstream that has failed."""
    async with in_front_of(close_after_request, breaker=SETTINGS) as proxy:
        answers = [await proxy.talk(POST) for _ in range(3 * ENOUGH)]

        assert [status_of(answer) for answer in answers] == [502] * 3 * ENOUGH


@pytest.mark.parametrize(("statuses", "last"), [([], b""), ([503], b"breaker_open")], ids=["by default", "if named"])
async def test_answers_count_as_failures_where_they_are_named(
    in_front_of: Any, statuses: list[int], last: bytes
) -> None:
    """A 503 is RapidSOS's own answer and is relayed, unless the configuration says what it means."""
    settings = {"unanswered": ENOUGH, "statuses": statuses} if statuses else {}
    script = answering(FAILED.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    async with in_front_of(script, breaker=settings) as proxy:
        answers = [await proxy.talk(GET) for _ in range(ENOUGH + 1)]

        assert {status_of(answer) for answer in answers} == {503}
        assert [b"rapidsos-auth-proxy:error" in answer for answer in answers] == [*[False] * ENOUGH, bool(statuses)]
        assert last in answers[-1]


async def test_a_client_that_stalls_is_not_the_upstreams_failure(
    in_front_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Uploads that stop half-way end with 408, and open nothing, however many there are."""
    monkeypatch.setattr("proxy.relay.relay.SWEEP_S", 0.05)

    async def say_nothing(peer: Peer) -> None:
        await peer.wait_closed()

    settings = {"connections": 1, "unanswered": 1}
    async with in_front_of(say_nothing, breaker=settings, timeouts={"body": 0.1, "first_byte": 0.1}) as proxy:
        client = await proxy.connect()
        client.send(POST[:-1])
        answer = await client.read_all()

        assert status_of(answer) == 408
        assert breaker_of(proxy).clients == 0
        assert status_of(await proxy.talk(POST)) == 504
        assert breaker_of(proxy).clients == 1


async def test_the_state_is_told_to_probes_and_metrics() -> None:
    """And makes the proxy unready for nobody: without requests it would never learn that all is well."""
    port = find_free_port()
    document = build_document(f"http://127.0.0.1:{port}", "", credential=BASIC, breaker=SETTINGS)
    async with running_proxy(document) as proxy, aiohttp.ClientSession(proxy.service.admin_url) as session:
        for _ in range(ENOUGH):
            await proxy.talk(POST)
        async with session.get("/ready") as answer:
            ready = json.loads(await answer.read())
        async with session.get("/metrics") as answer:
            metrics = await answer.text()

        assert (ready["ready"], len(ready["upstreams"])) == (True, 1)
        assert ready["upstreams"][0]["breaker"] in {"open", "half_open"}
        assert ready["upstreams"][0]["failures"] == ENOUGH
        assert f'rapidsos_proxy_breaker_open{{upstream="http://127.0.0.1:{port}"}} 1.0' in metrics

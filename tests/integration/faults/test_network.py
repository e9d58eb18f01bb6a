"""The network is to blame: what is cut, slow or silent on the way to the token server, to RapidSOS and to clients.

A relay of the tests' own makes each fault; what is asserted is what a client sees, and that the others see nothing.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from harness.caller import calling
from harness.fault_relay import FaultRelay, Way, fault_relay
from harness.running import RunningProxy, build_document, running_proxy, until
from harness.upstream import Peer, answering, scripted_upstream

from proxy.config.models import Outbound
from proxy.config.secret import Secret
from proxy.errors import FetchError
from proxy.simulator.faults import Fault
from proxy.tokens.fetch import TokenFetcher
from proxy.tokens.grants import TokenRequest

if TYPE_CHECKING:
    from proxy.simulator.server import Simulator

# What the loops do alike is shown elsewhere on both.
pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"])

GET = b"GET /api/v1/echo HTTP/1.1\r\nHost: proxy\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SILENCE = Way(cut_at=0, cut="silence")
CROWD = 20


def document(simulator: Simulator, relay: FaultRelay, **sections: Any) -> dict[str, Any]:
    """Describe a proxy whose token server is behind the relay, and its upstream is not."""
    return build_document(simulator.url, f"http://127.0.0.1:{relay.port}/oauth/token", **sections)


async def talk_all(proxy: RunningProxy, count: int) -> list[bytes]:
    """Ask from so many clients at once; return the statuses."""
    answers = await asyncio.gather(*(proxy.talk(GET) for _ in range(count)))
    return [answer.split()[1] for answer in answers]


# The way to the token server.


@pytest.mark.parametrize(
    "fault",
    [SILENCE, Way(cut_at=0), Way(cut_at=0, cut="reset"), Way(cut_at=100), Way(cut_at=100, cut="silence")],
    ids=["silence", "close", "reset", "half an answer", "half an answer and silence"],
)
async def test_a_way_to_the_token_server_that_fails_is_tried_one_call_at_a_time(
    simulator: Simulator, fault: Way
) -> None:
    """However many wait, and however it fails: each is told within its wait, and is served once the way is back."""
    async with fault_relay(simulator.port) as relay:
        relay.set(back=fault)
        limits = {"token": 0.3, "token_wait": 0.2}
        async with running_proxy(document(simulator, relay, timeouts=limits)) as proxy:
            refused = await talk_all(proxy, CROWD)
            tried = relay.accepted
            relay.set()
            while (await proxy.recorder.wait_fetches(len(proxy.recorder.fetches) + 1))[-1].outcome != "ok":
                pass
            served = await talk_all(proxy, CROWD)

    assert set(refused) == {b"503"}
    assert set(served) == {b"200"}
    assert tried <= 5
    assert relay.most_open == 1
    assert simulator.unfinished.total == 0


async def test_a_token_answer_cut_at_any_byte_brings_no_token(simulator: Simulator) -> None:
    """There is no byte at which a part of the answer would pass for the whole."""
    form = b"grant_type=client_credentials&client_id=simulator-client&client_secret=simulator-secret"
    fields = {"Content-Type": "application/x-www-form-urlencoded"}
    async with fault_relay(simulator.port) as relay:
        request = TokenRequest(f"http://127.0.0.1:{relay.port}/oauth/token", fields, form)
        fetch = TokenFetcher(Outbound(), timeout_s=5)
        outcomes = []
        for size in range(2000):
            relay.set(back=Way(cut_at=size, cut=("close", "reset")[size % 2]))
            try:
                await fetch(request)
            except FetchError as error:
                outcomes.append(error.kind)
            else:
                break
        await fetch.close()

    assert len(outcomes) > 150
    assert set(outcomes) <= {"network", "unreadable"}


@pytest.mark.parametrize(
    ("fault", "is_known"),
    [
        ({"kind": "status", "status": 500}, True),
        ({"kind": "status", "status": 503, "retry_after": 1}, True),
        ({"kind": "status", "status": 429, "retry_after": 1}, True),
        ({"kind": "garbage"}, True),
        ({"kind": "html"}, True),
        ({"kind": "empty"}, True),
        ({"kind": "oversize"}, True),
        ({"kind": "redirect"}, True),
        *(({"kind": "fields", "fields": {"access_token": token}}, True) for token in (None, "", 7, "a\r\nb", [], {})),
        ({"kind": "fields", "drop": ("access_token",)}, True),
        *(({"kind": "fields", "fields": {"expires_in": life}}, False) for life in ("60", 60.5, None, "soon", 10**18)),
        *(({"kind": "fields", "fields": {"issued_at": moment}}, False) for moment in (0, 4e12, "yesterday", None)),
    ],
    ids=str,
)
async def test_an_answer_that_is_no_token_is_never_sent_on(
    simulator: Simulator, fault: dict[str, Any], *, is_known: bool
) -> None:
    """Nor remembered: the next good answer serves.  A token whose dates alone are odd is used."""
    simulator.faults.add(Fault(where="token", **fault))
    limits = {"token_wait": 0.1}
    async with (
        fault_relay(simulator.port) as relay,
        running_proxy(document(simulator, relay, timeouts=limits)) as proxy,
    ):
        during = await talk_all(proxy, 3)
        seen = simulator.requests.total
        simulator.faults.clear()
        if is_known:
            while (await proxy.recorder.wait_fetches(len(proxy.recorder.fetches) + 1))[-1].outcome != "ok":
                pass
        after = await talk_all(proxy, 3)

    assert set(during) == {b"503" if is_known else b"200"}
    assert seen == (0 if is_known else 3)
    assert set(after) == {b"200"}
    assert all(request.authorized for request in simulator.requests)
    assert relay.most_open == 1


# The way to RapidSOS.


async def test_a_slow_line_to_one_upstream_holds_up_no_other(simulator: Simulator) -> None:
    """A thin line is no fault: its answer comes whole, and in the meantime the others are served as ever."""
    size = 100_000
    async with fault_relay(simulator.port) as relay:
        relay.set(back=Way(delay_s=0.02, piece=2048))
        settings = build_document(simulator.url, f"{simulator.url}/oauth/token")
        [quick] = settings["route"]
        thin = {**quick, "name": "thin", "match": {"path": "/thin/"}, "strip": "/thin"}
        settings["route"] = [quick, {**thin, "upstream": f"http://127.0.0.1:{relay.port}"}]
        async with running_proxy(settings) as proxy:
            slow = await proxy.connect()
            slow.send(f"GET /thin/v1/bytes?size={size} HTTP/1.1\r\nHost: proxy\r\n\r\n".encode())
            await relay.wait_accepted(1)
            async with calling(proxy.port, request=GET) as other:
                await other.wait_served()
                under_way = relay.open
            _, body = await slow.read_answer()

    assert under_way == 1
    assert len(body) == size


async def test_a_line_that_falls_silent_is_504_and_holds_up_no_other() -> None:
    """A cable that is pulled sends no FIN: the time limit ends it; the request may have arrived, so it goes once."""
    async with scripted_upstream(answering(OK)) as upstream, fault_relay(upstream.port) as relay:
        relay.set(back=SILENCE)
        settings = {**silent_and_quick(upstream.port, relay.port), "timeouts": {"first_byte": 0.5}}
        async with running_proxy(settings) as proxy:
            silent = await proxy.connect()
            silent.send(b"POST /silent/x HTTP/1.1\r\nHost: proxy\r\nContent-Length: 0\r\n\r\n")
            await relay.wait_accepted(1)
            async with calling(proxy.port) as other:
                await other.wait_served()
            head, body = await silent.read_answer()
            sent = relay.accepted
            relay.set()
            again = await proxy.talk(b"GET /silent/x HTTP/1.1\r\nHost: proxy\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 504 ")
    assert b"error:upstream_timeout" in body
    assert sent == 1
    assert again.startswith(b"HTTP/1.1 200 ")


def silent_and_quick(quick: int, silent: int) -> dict[str, Any]:
    """Describe a proxy with a route to each of two ports."""
    route = {"credential": "lis"}
    return build_document(
        "",
        "",
        credential={
            "lis": {"grant": "basic", "username": Secret("lis", "test"), "password": Secret("a-password", "test")}
        },
        route=[
            {"name": "silent", "match": {"path": "/silent/"}, "upstream": f"http://127.0.0.1:{silent}", **route},
            {"name": "api", "match": {"path": "/api/"}, "upstream": f"http://127.0.0.1:{quick}", **route},
        ],
    )


async def test_a_network_that_breaks_all_connections_costs_no_get(simulator: Simulator) -> None:
    """A router restarts while connections are idle: the next request of each client goes on a new one."""
    async with fault_relay(simulator.port) as relay:
        upstream = f"http://127.0.0.1:{relay.port}"
        async with running_proxy(build_document(upstream, f"{simulator.url}/oauth/token")) as proxy:
            statuses = await talk_all(proxy, 5)
            for _ in range(5):
                relay.break_all()
                statuses += await talk_all(proxy, 5)

    assert set(statuses) == {b"200"}
    assert all(exchange.outcome == "ok" for exchange in proxy.recorder.exchanges)


async def test_a_post_whose_answer_is_lost_on_the_way_is_sent_once() -> None:
    """The upstream has acted; the client is told that nobody knows, and nothing is sent again."""
    async with scripted_upstream(answering(OK, body=4)) as upstream, fault_relay(upstream.port) as relay:
        relay.set(back=Way(cut_at=0, cut="reset"))
        async with running_proxy(silent_and_quick(relay.port, relay.port)) as proxy:
            answer = await proxy.talk(b"POST /api/x HTTP/1.1\r\nHost: proxy\r\nContent-Length: 4\r\n\r\nbody")
        await until(lambda: upstream.done == len(upstream.peers))

    assert answer.startswith(b"HTTP/1.1 502 ")
    assert b"error:upstream_closed" in answer
    assert b"".join(peer.received for peer in upstream.peers).count(b"POST /api/x") == 1


# The way to the client.


@pytest.mark.parametrize("cut", ["close", "reset"])
async def test_a_request_cut_at_any_byte_is_never_delivered_as_another(cut: Any) -> None:
    """Cut short on its way here, a request reaches the upstream whole or visibly not whole."""
    request = b"POST /api/x HTTP/1.1\r\nHost: proxy\r\nContent-Length: 12\r\n\r\n0123456789ab"
    whole: list[bytes] = []

    async def collect(peer: Peer) -> None:
        while True:
            await peer.read_head()
            whole.append(await peer.read_exactly(12))
            peer.send(OK)

    async with (
        scripted_upstream(collect) as upstream,
        running_proxy(silent_and_quick(upstream.port, upstream.port)) as proxy,
        fault_relay(proxy.port) as relay,
    ):
        for size in range(1, len(request)):
            relay.set(there=Way(cut_at=size, cut=cut))
            reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
            writer.write(request)
            await asyncio.gather(reader.read(), return_exceptions=True)
            writer.close()
        await until(lambda: proxy.service.status().in_flight == 0)
        cut_short = {exchange.outcome for exchange in proxy.recorder.exchanges}
        async with calling(proxy.port, request=request) as other:
            await other.wait_served()

    assert set(whole) == {b"0123456789ab"}
    assert len(whole) == other.served
    assert cut_short <= {"client_left", "refused"}


async def test_a_client_whose_line_falls_silent_keeps_nothing() -> None:
    """It can say no farewell: after the time limits neither its connections nor its exchanges are there."""
    async with scripted_upstream(answering(OK)) as upstream:
        limits = {"head": 0.3, "body": 0.3, "idle": 0.3, "silence": 0.5}
        settings = {**silent_and_quick(upstream.port, upstream.port), "timeouts": limits}
        async with running_proxy(settings) as proxy, fault_relay(proxy.port) as relay:
            writers = []
            for size in (0, 10, 50, 70):
                relay.set(there=Way(cut_at=size, cut="silence"))
                _, writer = await asyncio.open_connection("127.0.0.1", relay.port)
                writer.write(b"POST /api/x HTTP/1.1\r\nHost: proxy\r\nContent-Length: 12\r\n\r\n0123456789ab")
                writers.append(writer)
            await until(lambda: proxy.service.status().client_connections == len(writers))
            await until(lambda: proxy.service.status().client_connections == 0)
            in_flight = proxy.service.status().in_flight
            for writer in writers:
                writer.close()

    assert in_flight == 0

"""The door over real sockets: who is let in, what is refused before anything is dialled, and as whom the rest goes on.

Each refusal is looked at from both sides: what the client is told, and that the upstream heard nothing.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from harness.program import find_free_port
from harness.running import PATIENCE_S, RawClient, RunningProxy, build_document, running_proxy
from harness.upstream import answering, scripted_upstream

from proxy.config.secret import Secret
from proxy.simulator.server import Simulator
from proxy.simulator.settings import SimulatorSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from harness.upstream import ScriptedUpstream

BASIC = {"core": {"grant": "basic", "username": Secret("user", "test"), "password": Secret("a-password", "test")}}
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def status_of(answer: bytes) -> int:
    """Return the status of an answer."""
    return int(answer.split(b" ", 2)[1])


def problem_of(answer: bytes) -> dict[str, Any]:
    """Return the problem document of a refusal, its slug taken out of the type."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"\r\nContent-Type: application/problem+json\r\n" in head
    assert b"\r\nProxy-Status: rapidsos-proxy; error=" in head
    document: dict[str, Any] = json.loads(body)
    document["slug"] = document["type"].rpartition(":")[2]
    return document


async def assert_refused(proxy: RunningProxy, request: bytes, status: int, slug: str) -> dict[str, Any]:
    """Send a request that must be refused: with this status and slug, undialled, and with a record of its own."""
    count = len(proxy.recorder.exchanges)
    answer = await proxy.talk(request)
    exchange = (await proxy.recorder.wait_exchanges(count + 1))[-1]
    problem = problem_of(answer)

    assert (status_of(answer), problem["status"], problem["slug"]) == (status, status, slug)
    assert (exchange.id, exchange.outcome) == (problem["exchange_id"], "refused")
    assert exchange.error is not None
    assert exchange.error.slug == slug
    assert not exchange.attempts
    assert not proxy.upstream.peers
    return problem


# Who may connect.


async def connect_from(address: str, port: int) -> RawClient:
    """Connect from another address of this machine."""
    return RawClient(*await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0)))


async def test_client_outside_the_networks_is_refused_and_recorded(in_front_of: Any) -> None:
    """A client that no network of the listener names gets 403, learns of no route, and leaves a record."""
    listener = [{"name": "cad", "bind": "127.0.0.1:0", "allow": ["127.0.0.1/32"]}]
    async with in_front_of(answering(OK), listener=listener) as proxy:
        allowed = await proxy.talk(b"GET /api/x HTTP/1.1\r\nHost: proxy\r\n\r\n")
        stranger = await connect_from("127.0.0.2", proxy.port)
        stranger.send(b"GET /nowhere HTTP/1.1\r\nHost: proxy\r\n\r\n")
        head, body = await stranger.read_answer()
        stranger.close()
        exchanges = await proxy.recorder.wait_exchanges(2)

        assert status_of(allowed) == 200
        assert problem_of(head + body)["slug"] == "client_not_allowed"
        assert b"/api/" not in body
        assert (exchanges[1].client, exchanges[1].outcome, exchanges[1].route) == ("127.0.0.2", "refused", None)
        assert len(proxy.upstream.peers) == 1


async def test_without_allow_only_this_machine_is_let_in(in_front_of: Any) -> None:
    """All of 127.0.0.0/8 is this machine."""
    async with in_front_of(answering(OK)) as proxy:
        client = await connect_from("127.0.0.9", proxy.port)
        client.send(b"GET /api/x HTTP/1.1\r\nHost: proxy\r\n\r\n")
        head, _ = await client.read_answer()
        client.close()

        assert status_of(head) == 200


# What may be asked for.


@pytest.mark.parametrize(
    ("request_line", "fields"),
    [
        (b"GET http://foreign.example/api/x", b"Host: foreign.example\r\n"),
        (b"GET http://foreign.example/api/x", b"Host: proxy\r\n"),
        (b"GET http://127.0.0.1/api/x", b"Host: proxy\r\n"),
        (b"GET http://169.254.169.254/latest/meta-data", b"Host: 169.254.169.254\r\n"),
        (b"GET http://api-sandbox.rapidsos.com.foreign.example/", b"Host: x\r\n"),
        (b"OPTIONS http://foreign.example", b"Host: foreign.example\r\nMax-Forwards: 0\r\n"),
    ],
)
async def test_absolute_form_to_a_foreign_host_is_refused(in_front_of: Any, request_line: bytes, fields: bytes) -> None:
    """The proxy is no open proxy: what no route names is never dialled, nor answered for."""
    async with in_front_of(answering(OK)) as proxy:
        await assert_refused(proxy, request_line + b" HTTP/1.1\r\n" + fields + b"\r\n", 403, "target_not_allowed")


async def test_a_user_name_in_an_absolute_target_is_malformed(in_front_of: Any) -> None:
    """``http://routed@foreign/`` is read two ways by two parsers."""
    async with in_front_of(answering(OK)) as proxy:
        await assert_refused(
            proxy, b"GET http://api.example@foreign.example/api/x HTTP/1.1\r\nHost: proxy\r\n\r\n", 400, "malformed"
        )


@asynccontextmanager
async def routed_by_host(in_front_of: Any) -> AsyncIterator[RunningProxy]:
    """Run a proxy with a route for one host name, as an http_proxy setting or DNS would use it."""
    async with in_front_of(answering(OK)) as outer:
        document = build_document(f"http://127.0.0.1:{outer.upstream.port}", "", credential=BASIC)
        document["route"][0] |= {"match": {"host": "api.rapidsos.example"}, "strip": ""}
        async with running_proxy(document) as proxy:
            proxy.upstream = outer.upstream
            yield proxy


@pytest.mark.parametrize(
    "head",
    [
        b"GET http://api.rapidsos.example/v1/x?y=%2F HTTP/1.1\r\nHost: api.rapidsos.example\r\n\r\n",
        b"GET http://api.rapidsos.example/v1/x?y=%2F HTTP/1.1\r\nHost: rebound.example\r\n\r\n",
        b"GET HTTP://API.RapidSOS.Example:443/v1/x?y=%2F HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET http://api.rapidsos.example/v1/x?y=%2F HTTP/1.0\r\n\r\n",
        b"GET /v1/x?y=%2F HTTP/1.1\r\nHost: api.rapidsos.example\r\n\r\n",
        b"GET /v1/x?y=%2F HTTP/1.1\r\nHost: API.rapidsos.example.:80\r\n\r\n",
    ],
)
async def test_a_routed_host_is_served_in_both_forms(in_front_of: Any, head: bytes) -> None:
    """By http_proxy (the target's host wins over Host) and by DNS, in any case, with any port."""
    async with routed_by_host(in_front_of) as proxy:
        answer = await proxy.talk(head)

        assert status_of(answer) == 200
        assert proxy.upstream.peers[0].received.startswith(b"GET /v1/x?y=%2F HTTP/1.1\r\n")


@pytest.mark.parametrize(
    "host", [b"rebound.example", b"rebound.example:8080", b"REBOUND.example.", b"127.0.0.1.rebound.example"]
)
async def test_a_rebound_host_name_is_refused(in_front_of: Any, host: bytes) -> None:
    """A page whose name its owner has pointed at us is told 421, and the operator how to allow the name."""
    async with in_front_of(answering(OK)) as proxy:
        problem = await assert_refused(proxy, b"GET /api/x HTTP/1.1\r\nHost: " + host + b"\r\n\r\n", 421, "wrong_host")

        assert "names = [" in problem["detail"]


@pytest.mark.parametrize("host", [b"127.0.0.1:8080", b"[::1]", b"cad", b"localhost", b"cad.local", b"ours.example"])
async def test_own_names_are_answered(in_front_of: Any, host: bytes) -> None:
    """Addresses, single labels, local names and the listener's names are no rebound names."""
    listener = [{"name": "cad", "bind": "127.0.0.1:0", "names": ["ours.example"]}]
    async with in_front_of(answering(OK), listener=listener) as proxy:
        assert status_of(await proxy.talk(b"GET /api/x HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")) == 200


@pytest.mark.parametrize(
    "fields",
    [
        b"Origin: https://page.example\r\n",
        b"Origin: null\r\n",
        b"Origin: https://cad.example.page.example\r\n",
        b"Origin: https://cad.example https://page.example\r\n",
        b"Origin: https://cad.example\r\nOrigin: https://page.example\r\n",
        b"Sec-Fetch-Site: cross-site\r\n",
        b"Sec-Fetch-Site: CROSS-SITE\r\n",
        b"Sec-Fetch-Site: cross-site\r\nOrigin: https://page.example\r\n",
    ],
)
async def test_web_pages_of_other_sites_are_refused(in_front_of: Any, fields: bytes) -> None:
    """A page on a dispatcher's desk does not speak to RapidSOS through us, though it can reach us."""
    listener = [{"name": "cad", "bind": "127.0.0.1:0", "allow_origins": ["https://cad.example"]}]
    async with in_front_of(answering(OK), listener=listener) as proxy:
        await assert_refused(proxy, b"POST /api/x HTTP/1.1\r\nHost: proxy\r\n" + fields + b"\r\n", 403, "cross_site")


@pytest.mark.parametrize(
    "fields",
    [
        b"Origin: https://cad.example\r\n",
        b"Origin: https://cad.example\r\nSec-Fetch-Site: cross-site\r\n",
        b"Origin: http://proxy:8080\r\nSec-Fetch-Site: same-origin\r\n",
        b"Sec-Fetch-Site: none\r\n",
    ],
)
async def test_welcome_web_pages_pass(in_front_of: Any, fields: bytes) -> None:
    """Origins that the listener allows, its own, and an address that a person typed."""
    listener = [{"name": "cad", "bind": "127.0.0.1:0", "allow_origins": ["https://cad.example"]}]
    async with in_front_of(answering(OK), listener=listener) as proxy:
        answer = await proxy.talk(b"GET /api/x HTTP/1.1\r\nHost: proxy:8080\r\n" + fields + b"\r\n")

        assert status_of(answer) == 200


@pytest.mark.parametrize("path", [b"/", b"/apix", b"/ap", b"/API/x", b"/other/api/x", b"/?/api/", b"/api\\..\\x"])
async def test_what_no_route_names_is_not_found(in_front_of: Any, path: bytes) -> None:
    """404 says what the listener does serve."""
    async with in_front_of(answering(OK)) as proxy:
        problem = await assert_refused(proxy, b"GET " + path + b" HTTP/1.1\r\nHost: proxy\r\n\r\n", 404, "no_route")

        assert "/api/" in problem["detail"]


@pytest.mark.parametrize(
    "path",
    [
        b"/api/../x",
        b"/api/./x",
        b"/api/%2e%2e/x",
        b"/api/%2E./x",
        b"/api/%252e%252e/x",
        b"/api/..;/x",
        b"/api/..%2fx",
        b"/api/x%5c..%5cy",
        b"/api/..\\x",
        b"/api/%00",
        b"/api/a\\b",
        b"/api%2fx",
        b"/%61pi/x",
        b"//api/x",
        b"/other/../api/x",
        b"/api/%c0%ae%c0%ae/x",
    ],
)
async def test_paths_that_could_leave_their_route_are_malformed(in_front_of: Any, path: bytes) -> None:
    """What an upstream could read as another path than we matched is refused, not repaired."""
    async with in_front_of(answering(OK)) as proxy:
        await assert_refused(proxy, b"GET " + path + b" HTTP/1.1\r\nHost: proxy\r\n\r\n", 400, "malformed")


@pytest.mark.parametrize(
    "request_line", [b"CONNECT api.rapidsos.com:443", b"CONNECT proxy:80", b"TRACE /api/x", b"TRACE http://foreign/"]
)
async def test_connect_and_trace_are_not_allowed(in_front_of: Any, request_line: bytes) -> None:
    """A tunnel cannot be given a token, and TRACE would echo it; Allow says what goes (RFC 9110, section 15.5.6)."""
    async with in_front_of(answering(OK)) as proxy:
        await assert_refused(proxy, request_line + b" HTTP/1.1\r\nHost: proxy\r\n\r\n", 405, "method_not_allowed")
        answer = await proxy.talk(request_line + b" HTTP/1.1\r\nHost: proxy\r\n\r\n")

        assert b"\r\nAllow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n" in answer


async def test_a_route_refuses_what_its_lists_leave_out(in_front_of: Any) -> None:
    """Methods with 405 and Allow, paths with 403; another route, which would take it, does not get it."""
    route = {"upstream": "http://127.0.0.1:9", "credential": "core"}
    lists = {"methods": ["GET", "POST"], "paths": ["/v1/location"]}
    narrow = {"name": "narrow", "match": {"path": "/api/"}, "strip": "/api", **lists}
    routes = [route | narrow, route | {"name": "wide"}]
    async with in_front_of(answering(OK), route=routes) as proxy:
        request = b"DELETE /api/v1/location HTTP/1.1\r\nHost: proxy\r\n\r\n"
        await assert_refused(proxy, request, 405, "method_not_allowed")
        answer = await proxy.talk(request)
        outside = b"GET /api/v1/users HTTP/1.1\r\nHost: proxy\r\n\r\n"
        problem = await assert_refused(proxy, outside, 403, "target_not_allowed")
        leading_out = b"GET /api/v1/location/%2e%2e/users HTTP/1.1\r\nHost: proxy\r\n\r\n"
        await assert_refused(proxy, leading_out, 400, "malformed")

        assert b"\r\nAllow: GET, POST\r\n" in answer
        assert problem["detail"].startswith("route narrow forwards /v1/location/, not /v1/users; ")
        assert [exchange.route for exchange in proxy.recorder.exchanges[:2]] == ["narrow", "narrow"]


async def test_a_route_forwards_what_its_lists_have(in_front_of: Any) -> None:
    """Both as RapidSOS gets it: behind what is stripped."""
    async with in_front_of(answering(OK)) as first:
        route = {"name": "r", "upstream": f"http://127.0.0.1:{first.upstream.port}", "credential": "core"}
        lists = {"methods": ["GET"], "paths": ["/v1/location"], "match": {"path": "/api/"}, "strip": "/api"}
        async with running_proxy(build_document("", "", credential=BASIC, route=[route | lists])) as proxy:
            answer = await proxy.talk(b"GET /api/v1/location?caller_id=1 HTTP/1.1\r\nHost: proxy\r\n\r\n")

            assert status_of(answer) == 200


# Loops, and OPTIONS that asks for us.


async def test_a_proxy_that_is_its_own_upstream_stops_the_loop() -> None:
    """The request comes back once, meets our own name in Via, and its 508 is relayed; nothing goes round."""
    port = find_free_port()
    document = build_document(f"http://127.0.0.1:{port}", "", credential=BASIC)
    document["listener"][0]["bind"] = f"127.0.0.1:{port}"
    document["route"][0] |= {"match": {"path": "/"}, "strip": ""}
    async with running_proxy(document) as proxy:
        answer = await proxy.talk(b"GET /round HTTP/1.1\r\nHost: proxy\r\n\r\n")
        inner, outer = await proxy.recorder.wait_exchanges(2)

        assert status_of(answer) == 508
        assert problem_of(answer)["slug"] == "loop"
        assert inner.error is not None
        assert (inner.error.slug, inner.outcome, outer.outcome) == ("loop", "refused", "ok")
        assert len(proxy.recorder.exchanges) == 2


@pytest.mark.parametrize(("allow_private", "status"), [(False, 502), (True, 200)])
async def test_a_name_of_this_machine_is_dialled_only_if_allowed(
    in_front_of: Any, *, allow_private: bool, status: int
) -> None:
    """Whoever answers our DNS must not turn the proxy against its own machine; ``127.1`` needs no DNS to resolve."""
    async with in_front_of(answering(OK)) as outer:
        document = build_document(f"http://127.1:{outer.upstream.port}", "", credential=BASIC)
        document["route"][0] |= {"allow_private": allow_private, "allow_plain_http": True}
        async with running_proxy(document) as proxy:
            answer = await proxy.talk(b"GET /api/x HTTP/1.1\r\nHost: proxy\r\n\r\n")

            assert status_of(answer) == status
            assert len(outer.upstream.peers) == allow_private
            assert allow_private or problem_of(answer)["slug"] == "upstream_refused"


@pytest.mark.parametrize(
    "head",
    [
        b"OPTIONS * HTTP/1.1\r\nHost: proxy\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: proxy\r\nMax-Forwards: 7\r\n",
        b"OPTIONS /api/x HTTP/1.1\r\nHost: proxy\r\nMax-Forwards: 0\r\n",
        b"OPTIONS /nowhere HTTP/1.1\r\nHost: proxy\r\nMax-Forwards: 00\r\n",
    ],
)
async def test_options_that_ask_for_the_proxy_are_answered_here(in_front_of: Any, head: bytes) -> None:
    """RFC 9110, sections 7.6.2 and 9.3.7: the final recipient answers; it needs no token and dials nothing."""
    async with in_front_of(answering(OK)) as proxy:
        answer = await proxy.talk(head + b"\r\n")
        [exchange] = await proxy.recorder.wait_exchanges(1)

        assert status_of(answer) == 200
        assert b"\r\nAllow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n" in answer
        assert answer.endswith(b"\r\n\r\n")
        assert exchange.outcome == "answered_here"
        assert not proxy.upstream.peers


async def test_max_forwards_is_counted_down(in_front_of: Any) -> None:
    """RFC 9110, section 7.6.2: by one for OPTIONS, and left alone for what it means nothing to."""
    async with in_front_of(answering(OK)) as proxy:
        for method, value in ((b"OPTIONS", b"2"), (b"OPTIONS", b"10"), (b"GET", b"2"), (b"OPTIONS", b"x")):
            request = method + b" /api/x HTTP/1.1\r\nHost: proxy\r\nMax-Forwards: " + value + b"\r\n\r\n"
            assert status_of(await proxy.talk(request)) == 200

        seen = b"".join(peer.received for peer in proxy.upstream.peers)
        values = [line.partition(b": ")[2] for line in seen.split(b"\r\n") if line.startswith(b"Max-Forwards")]
        assert values == [b"1", b"9", b"2", b"x"]


# Several agencies at once, each with its own credential.

AGENCIES = ("north", "south", "fire", "medic")
GET_BY = {
    "north": ("cad", "127.0.0.1", b"GET /north/v1/x HTTP/1.1\r\nHost: proxy\r\n\r\n"),
    "south": ("south-desk", "127.0.0.1", b"GET /v1/x HTTP/1.1\r\nHost: proxy\r\n\r\n"),
    "fire": ("cad", "127.0.0.77", b"GET /v1/x HTTP/1.1\r\nHost: proxy\r\n\r\n"),
    "medic": ("cad", "127.0.0.1", b"GET /v1/x HTTP/1.1\r\nHost: proxy\r\nX-Agency: medic\r\n\r\n"),
}
"""Listener, client address and request of each: by prefix, by port, by network, by header."""


class Agencies:
    """One proxy for all of them, and the token server of each."""

    def __init__(self, proxy: RunningProxy, upstream: ScriptedUpstream, servers: dict[str, Simulator]) -> None:
        """Keep the parts."""
        self.proxy = proxy
        self.upstream = upstream
        self.servers = servers

    async def ask(self, listener: str, address: str, request: bytes) -> int:
        """Send a request to a listener from an address; return the status of its answer."""
        [port] = [socket.port for socket in self.proxy.service.listeners if socket.name == listener]
        client = await connect_from(address, port)
        client.send(request)
        head, _ = await client.read_answer()
        client.close()
        return status_of(head)

    def whose_token_came_last(self) -> str:
        """Return which agency's token server issued the token that the upstream saw last."""
        received = b"".join(peer.received for peer in self.upstream.peers)
        values = [line for line in received.decode().split("\r\n") if line.lower().startswith("authorization: ")]
        token = values[-1].rpartition(" ")[2]
        [name] = [name for name, server in self.servers.items() if token in {issued.value for issued in server.tokens}]
        return name


def agencies_document(upstream: str, servers: dict[str, Simulator]) -> dict[str, Any]:
    """Describe a proxy of four agencies that share one upstream, and so one pool of connections."""
    conditions: dict[str, dict[str, Any]] = {
        "north": {"path": "/north/"},
        "south": {"listener": "south-desk"},
        "fire": {"clients": ["127.0.0.64/26"]},
        "medic": {"headers": {"X-Agency": "medic"}},
    }
    return build_document(
        upstream,
        "",
        listener=[{"name": name, "bind": "127.0.0.1:0"} for name in ("cad", "south-desk")],
        credential={
            name: {
                "grant": "client_credentials",
                "token_url": f"{server.url}/oauth/token",
                "client_id": Secret(f"client-{name}", "test"),
                "client_secret": Secret(f"secret-of-{name}", "test"),
            }
            for name, server in servers.items()
        },
        route=[
            {"name": name, "match": conditions[name], "upstream": upstream, "credential": name} for name in AGENCIES
        ],
    )


@pytest.fixture
async def agencies() -> AsyncIterator[Agencies]:
    """Run four agencies' token servers, one upstream that takes any token, and one proxy."""
    async with AsyncExitStack() as stack:
        servers = {}
        for name in AGENCIES:
            secret = Secret(f"secret-of-{name}", "test")
            server = servers[name] = Simulator(SimulatorSettings(client_id=f"client-{name}", client_secret=secret))
            await server.start()
            stack.push_async_callback(server.stop)
        upstream = await stack.enter_async_context(scripted_upstream(answering(OK)))
        document = agencies_document(f"http://127.0.0.1:{upstream.port}", servers)
        proxy = await stack.enter_async_context(running_proxy(document))
        yield Agencies(proxy, upstream, servers)


async def test_each_agency_goes_with_its_own_credential(agencies: Agencies) -> None:
    """By prefix, port, network or header: the upstream sees the token of the right client, over shared connections."""
    seen = []
    for _ in range(2):
        for name in AGENCIES:
            assert await agencies.ask(*GET_BY[name]) == 200
            seen.append(agencies.whose_token_came_last())

    assert seen == [*AGENCIES, *AGENCIES]
    assert [exchange.credential for exchange in await agencies.proxy.recorder.wait_exchanges(8)] == seen
    assert {server.token_requests.total for server in agencies.servers.values()} == {1}


@pytest.mark.parametrize(
    "fields",
    [
        b"",
        b"X-Agency: Medic\r\n",
        b"X-Agency: medic,south\r\n",
        b"X-Agency: medic\r\nX-Agency: medic\r\n",
        b"X-Agency: medic\r\nx-agency: north\r\n",
    ],
)
async def test_a_request_of_no_agency_goes_as_nobody(agencies: Agencies, fields: bytes) -> None:
    """What names no agency, or two, is refused: a guess would be the wrong credential."""
    status = await agencies.ask("cad", "127.0.0.1", b"GET /v1/x HTTP/1.1\r\nHost: proxy\r\n" + fields + b"\r\n")

    assert status == 404
    assert not agencies.upstream.peers


async def test_the_first_route_that_matches_wins(agencies: Agencies) -> None:
    """A request that two routes would take goes by the order of the configuration."""
    request = b"GET /north/v1/x HTTP/1.1\r\nHost: proxy\r\nX-Agency: medic\r\n\r\n"

    assert await agencies.ask("south-desk", "127.0.0.77", request) == 200
    assert agencies.whose_token_came_last() == "north"


async def test_one_agencys_dead_token_server_leaves_the_others_alone(agencies: Agencies) -> None:
    """Credentials share no lock, no flight and no fate."""
    await agencies.servers["north"].stop()
    agencies.servers["north"].tokens.revoke_all()

    async with asyncio.timeout(PATIENCE_S):
        statuses = await asyncio.gather(*(agencies.ask(*GET_BY[name]) for name in AGENCIES * 5))

    assert statuses == [200] * 20

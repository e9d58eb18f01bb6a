"""A new connection, phase by phase: what DNS, TCP and TLS can do to it, and what is left behind when it is given up."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import sys
from typing import TYPE_CHECKING, Any

import pytest
from harness.dns import ScriptedDNS, scripted_dns
from harness.running import PATIENCE_S, build_document, running_proxy, until
from harness.upstream import Peer, answering, scripted_upstream

from proxy.config.models import Outbound, Timeouts
from proxy.config.secret import Secret
from proxy.errors import UpstreamRefused, UpstreamTimeout
from proxy.relay.dial import Destination, Dialer, Phases
from proxy.relay.turn import Turn
from proxy.relay.upstream import UpstreamConnection
from proxy.resolver import Resolver
from proxy.routing.origin import Origin
from proxy.tls import build_tls_context
from proxy.tokens.token import fingerprint

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from harness.running import RunningProxy

    from proxy.simulator.server import Simulator

HOST = "api.example"
GET = b"GET /api/x HTTP/1.1\r\nHost: proxy\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
OK_AND_CLOSE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
BASIC = {"grant": "basic", "username": Secret("lis", "test"), "password": Secret("lis-password", "test")}
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors in /proc")


class Nobody:
    """Who looks after connections where there is no pool."""

    def put_back(self, connection: UpstreamConnection) -> None:
        """Never called."""

    def forget(self, connection: UpstreamConnection) -> None:
        """Nothing was remembered."""


class NoObserver:
    """Told of nothing."""

    def exchange_closed(self, exchange: object) -> None:
        """Never called."""

    def token_fetched(self, fetch: object) -> None:
        """Never called."""


def make_connection() -> UpstreamConnection:
    """Make a connection that belongs to nobody."""
    return UpstreamConnection(Nobody(), Turn(NoObserver()), 65_536, 100)


def make_dialer(*, proxy: str | None = None, **timeouts: float) -> Dialer:
    """Make a dialler of its own."""
    limits = Timeouts(**timeouts)
    return Dialer(limits, Outbound(proxy=proxy), build_tls_context(None), Resolver(limits.connect), listeners=())


@pytest.fixture
def dns() -> Iterator[ScriptedDNS]:
    """Return a DNS that a test scripts."""
    with scripted_dns() as dns:
        yield dns


@pytest.fixture
def full_port() -> Iterator[int]:
    """Return a port of 127.0.0.1 that accepts no connection and refuses none: its backlog is full."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)  # noqa: FBT003 (the socket module has no other way)
            filler.connect_ex(server.getsockname())
        yield server.getsockname()[1]


@contextlib.asynccontextmanager
async def named_upstream(answer: bytes, token_url: str = "", **sections: Any) -> AsyncIterator[RunningProxy]:
    """Run a proxy in front of an upstream that is reached by name, with Basic unless there is a token URL."""
    async with scripted_upstream(answering(answer)) as upstream:
        document = build_document(f"http://{HOST}:{upstream.port}", token_url, **sections)
        document["route"][0] |= {"allow_private": True, "allow_plain_http": True}
        if not token_url:
            document["credential"] = {"core": BASIC}
        async with running_proxy(document) as proxy:
            proxy.upstream = upstream
            yield proxy


# DNS.


async def test_a_route_is_served_while_dns_hangs(dns: ScriptedDNS) -> None:
    """With the addresses of before; the record has the wait, and the phases after it."""
    dns.answer(HOST, "127.0.0.1")
    async with named_upstream(OK_AND_CLOSE) as proxy:
        first = await proxy.talk(GET)
        dns.hang(HOST)
        rest = [await proxy.talk(GET) for _ in range(3)]
        exchanges = await proxy.recorder.wait_exchanges(4)

        assert all(answer.endswith(b"\r\n\r\nok") for answer in [first, *rest])
        assert dns.asked == [HOST, HOST]
        timings = [(attempt.dns_s, attempt.connect_s) for exchange in exchanges for attempt in exchange.attempts]
        assert all(dns_s is not None and connect_s is not None for dns_s, connect_s in timings)
        assert timings[1][0] > timings[2][0]
        assert [exchange.attempts[0].address for exchange in exchanges] == [f"127.0.0.1:{proxy.upstream.port}"] * 4


async def test_a_name_that_never_resolved_is_502_in_time(dns: ScriptedDNS) -> None:
    """One look-up for all who wait; each is told, and the record has how long it took."""
    dns.hang(HOST)
    async with named_upstream(OK, timeouts={"connect": 0.2}) as proxy:
        answers = await asyncio.gather(*(proxy.talk(GET) for _ in range(5)))
        exchanges = await proxy.recorder.wait_exchanges(5)

        assert all(answer.startswith(b"HTTP/1.1 502 ") for answer in answers)
        assert all(b"error:upstream_dns" in answer for answer in answers)
        assert b"the name api.example did not resolve (DNS gave no answer in time)" in answers[0]
        assert dns.asked == [HOST]
        attempts = [attempt for exchange in exchanges for attempt in exchange.attempts]
        assert all(attempt.dns_s is not None and attempt.connect_s is None for attempt in attempts)


async def test_a_hanging_name_holds_up_nothing_else(dns: ScriptedDNS, simulator: Simulator, tmp_path: Path) -> None:
    """Tokens of another host are renewed, metrics answered, the log written to its end, and the proxy stops.

    More look-ups hang than the event loop's own threads are many.
    """
    dns.answer("token.example", "127.0.0.1")
    dns.hang(HOST)
    log = tmp_path / "traffic.jsonl"
    url = f"http://token.example:{simulator.url.rpartition(':')[2]}/oauth/token"
    document = build_document("http://unused", url, traffic_log={"path": str(log)}, timeouts={"connect": 60.0})
    document["credential"]["core"]["allow_plain_http"] = True
    [route] = document["route"]
    document["route"] = [
        {**route, "name": f"r{port}", "match": {"path": f"/{port}/"}, "strip": f"/{port}"}
        | {"upstream": f"http://{HOST}:{port}", "allow_private": True, "allow_plain_http": True}
        for port in range(1, 21)
    ]
    async with running_proxy(document) as proxy:
        clients = [await proxy.connect() for _ in range(40)]
        for number, client in enumerate(clients):
            client.send(b"GET /%d/ HTTP/1.1\r\nHost: proxy\r\n\r\n" % (number % 20 + 1))
        await until(lambda: dns.asked.count(HOST) == 20)
        source = proxy.service._sources.by_name["core"]
        token = source.current()
        assert token is not None
        async with asyncio.timeout(PATIENCE_S):
            renewed = await source.replace(token)
            metrics = await _get(proxy.service.admin_url, "/metrics")
            await proxy.stop()

        assert renewed is not None
        assert b"process_open_fds" in metrics
        assert b'"log.stopped"' in log.read_bytes()
        assert dns.asked.count(HOST) == 20
        assert len(proxy.recorder.exchanges) == 40


async def _get(url: str, path: str) -> bytes:
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n" % (path.encode(), host.encode()))
    answer = await reader.read()
    writer.close()
    return answer


async def test_a_name_that_leads_into_the_centre_is_refused(dns: ScriptedDNS) -> None:
    """Also when only one of its addresses does, and before any is dialled."""
    dns.answer(HOST, "8.8.8.8", "64:ff9b::10.0.0.1")

    with pytest.raises(UpstreamRefused, match=r"which leads to 10\.0\.0\.1, not a public address"):
        await make_dialer().dial(Destination(Origin("http", HOST, 80)), make_connection, Phases())


# TCP.


async def test_a_token_that_is_replaced_while_it_dials_is_not_sent(dns: ScriptedDNS, simulator: Simulator) -> None:
    """The one of now goes, its fingerprint is what the record has, and nobody has waited for it."""
    dns.answer(HOST, "127.0.0.1")
    dns.hang(HOST)
    async with named_upstream(OK, f"{simulator.url}/oauth/token") as proxy:
        client = await proxy.connect()
        client.send(GET)
        await until(lambda: dns.asked == [HOST])
        await proxy.service.refresh_token("core", force=True)
        dns.let_go(HOST)
        _, body = await client.read_answer()
        [old, new] = [issued.value for issued in simulator.tokens]
        [exchange] = await proxy.recorder.wait_exchanges(1)
        [peer] = proxy.upstream.peers

        assert body == b"ok"
        assert f"Authorization: Bearer {new}\r\n".encode() in peer.received
        assert old.encode() not in peer.received
        assert [attempt.fingerprint for attempt in exchange.attempts] == [fingerprint(new)]
        assert exchange.token_wait_s == 0


async def test_an_address_family_that_is_dead_costs_nothing(dns: ScriptedDNS) -> None:
    """IPv6 first, as DNS says, where nobody listens; IPv4 answers."""
    dns.answer(HOST, "::1", "127.0.0.1")
    async with named_upstream(OK) as proxy:
        answer = await proxy.talk(GET)
        [exchange] = await proxy.recorder.wait_exchanges(1)

        assert answer.endswith(b"\r\n\r\nok")
        assert exchange.attempts[0].address == f"127.0.0.1:{proxy.upstream.port}"


async def test_an_address_that_is_silent_is_overtaken(full_port: int) -> None:
    """RFC 8305: the next one is tried after a quarter of a second, and not when the time is over."""
    async with scripted_upstream(answering(OK)) as upstream:
        pins = (f"127.0.0.1:{full_port}", f"127.0.0.1:{upstream.port}")
        destination = Destination(Origin("http", HOST, 80), addresses=pins)
        phases = Phases()
        connection = await make_dialer(connect=PATIENCE_S).dial(destination, make_connection, phases)
        address = connection.address
        connection.close()

        assert address == pins[1]
        assert phases.connect_s is not None
        assert phases.connect_s < PATIENCE_S / 2


async def test_a_silent_address_alone_is_504(full_port: int) -> None:
    """With the time that it took."""
    phases = Phases()
    with pytest.raises(UpstreamTimeout, match=rf"127\.0\.0\.1:{full_port} did not accept a connection within 0\.1 s"):
        await make_dialer(connect=0.1).dial(
            Destination(Origin("http", "127.0.0.1", full_port)), make_connection, phases
        )

    assert phases.connect_s is not None
    assert phases.tls_s is None


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_peer_that_resets_at_accept_is_its_own_fault(scheme: str) -> None:
    """502, whichever of the dial's steps meets the reset first; never a defect of ours."""

    async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    server = await asyncio.start_server(reset, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    document = build_document(f"{scheme}://127.0.0.1:{port}", "", credential={"core": BASIC})
    async with running_proxy(document) as proxy:
        answers = [await proxy.talk(GET) for _ in range(20)]
        exchanges = await proxy.recorder.wait_exchanges(20)
        server.close()

        assert {answer[:13] for answer in answers} == {b"HTTP/1.1 502 "}
        slugs = {exchange.error.slug for exchange in exchanges if exchange.error}
        assert slugs <= {"upstream_refused", "upstream_closed", "upstream_tls"}


# TLS.


async def stay_silent(peer: Peer) -> None:
    """Take the connection and say nothing."""
    await peer.wait_closed()


async def answer_in_plain(peer: Peer) -> None:
    """Answer as a web server without TLS does."""
    await peer.read_exactly(1)
    peer.send(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
    await peer.flush()


async def refuse_version(peer: Peer) -> None:
    """Say that no version offered is known (RFC 8446, section 6.2)."""
    await peer.read_exactly(1)
    peer.send(b"\x15\x03\x01\x00\x02\x02\x46")
    await peer.flush()


async def close_at_once(peer: Peer) -> None:
    """Close in the middle of the handshake."""
    await peer.read_exactly(1)


@pytest.mark.parametrize(
    ("script", "status", "slug", "detail"),
    [
        (stay_silent, 504, "upstream_timeout", "did not finish the TLS handshake within 0.3 s"),
        (answer_in_plain, 502, "upstream_tls", "answered something that is not TLS; check the port"),
        (refuse_version, 502, "upstream_tls", "offers no TLS 1.2 or later"),
        (close_at_once, 502, "upstream_tls", "closed the connection during the TLS handshake"),
    ],
)
async def test_a_handshake_that_fails_says_how(script: Any, status: int, slug: str, detail: str) -> None:
    """Whose fault, and the next step; the record has the phase's time."""
    async with scripted_upstream(script) as upstream:
        document = build_document(
            f"https://127.0.0.1:{upstream.port}", "", credential={"core": BASIC}, timeouts={"tls": 0.3}
        )
        async with running_proxy(document) as proxy:
            answer = await proxy.talk(GET)
            [exchange] = await proxy.recorder.wait_exchanges(1)

        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert f"error:{slug}".encode() in answer
        assert f"127.0.0.1:{upstream.port} {detail}".encode() in answer
        assert exchange.attempts[0].tls_s is not None


async def test_a_certificate_of_an_unknown_authority_says_what_to_do(server_tls: ssl.SSLContext) -> None:
    """A centre whose network inspects TLS reads which key takes its authority."""
    async with scripted_upstream(answering(OK), tls=server_tls) as upstream:
        document = build_document(f"https://127.0.0.1:{upstream.port}", "", credential={"core": BASIC})
        async with running_proxy(document) as proxy:
            answer = await proxy.talk(GET)

        assert answer.startswith(b"HTTP/1.1 502 ")
        assert b"was not accepted: unable to get local issuer certificate" in answer
        assert b"outbound.ca_file" in answer


# Given up in the middle.


async def test_a_dial_under_way_counts_as_busy() -> None:
    """Whoever looks at an upstream that takes connections and says nothing sees what waits for it."""
    async with scripted_upstream(stay_silent) as upstream:
        document = build_document(f"https://127.0.0.1:{upstream.port}", "", credential={"core": BASIC})
        async with running_proxy(document) as proxy:
            client = await proxy.connect()
            client.send(GET)
            await until(lambda: upstream.peers != [])
            [during] = proxy.service.status().pools
            client.close()
            await proxy.recorder.wait_exchanges(1)
            [after] = proxy.service.status().pools

    assert (during.idle, during.busy) == (0, 1)
    assert (after.idle, after.busy) == (0, 0)


def count_descriptors() -> int:
    """Return how many descriptors this process has open."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 (a Path for each would cost more than it tells)


async def give_up(dialer: Dialer, destination: Destination, reached: Any) -> None:
    """Cancel a dial when ``reached`` says that it is where it is wanted."""
    dial = asyncio.get_running_loop().create_task(dialer.dial(destination, make_connection, Phases()))
    await until(lambda: reached() or dial.done())
    assert not dial.done()
    dial.cancel()
    await asyncio.wait({dial})
    assert dial.cancelled()


@linux_only
async def test_cancelled_while_the_name_is_looked_up(dns: ScriptedDNS) -> None:
    """Nothing is open yet, and the look-up serves whoever comes next."""
    dns.answer(HOST, "127.0.0.1")
    dns.hang(HOST)
    dialer = make_dialer()
    before = count_descriptors()
    await give_up(dialer, Destination(Origin("http", HOST, 80)), lambda: dns.asked == [HOST])

    assert count_descriptors() == before


@linux_only
@pytest.mark.parametrize("count", [1, 2], ids=["one address", "two racing"])
async def test_cancelled_while_it_connects(full_port: int, count: int) -> None:
    """Every socket of the race is closed."""
    before = count_descriptors()
    destination = Destination(Origin("http", HOST, 80), addresses=(f"127.0.0.1:{full_port}",) * count)
    await give_up(make_dialer(), destination, lambda: count_descriptors() == before + count)

    await until(lambda: count_descriptors() == before)


@linux_only
async def test_cancelled_while_the_corporate_proxy_opens_a_tunnel() -> None:
    """The connection to it is closed, as it sees itself."""
    async with scripted_upstream(read_head_and_wait) as corporate:
        dialer = make_dialer(proxy=f"http://127.0.0.1:{corporate.port}")
        destination = Destination(Origin("https", HOST, 443))
        before = count_descriptors()
        await give_up(dialer, destination, lambda: corporate.peers and corporate.peers[0].received)
        await until(lambda: corporate.done == 1)

        await until(lambda: count_descriptors() == before)


async def read_head_and_wait(peer: Peer) -> None:
    """Take a request and leave it unanswered."""
    await peer.read_head()
    await peer.wait_closed()


@linux_only
async def test_cancelled_in_the_tls_handshake() -> None:
    """The connection is closed, as the other side sees itself."""

    async def script(peer: Peer) -> None:
        await peer.read_exactly(1)
        await peer.wait_closed()

    async with scripted_upstream(script) as upstream:
        before = count_descriptors()
        destination = Destination(Origin("https", "127.0.0.1", upstream.port))
        await give_up(make_dialer(), destination, lambda: upstream.peers and upstream.peers[0].received)
        await until(lambda: upstream.done == 1)

        await until(lambda: count_descriptors() == before)


@linux_only
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_cancelled_at_any_step_it_harms_no_other_socket(
    scheme: str, server_tls: ssl.SSLContext, ca_file: Path
) -> None:
    """A socket that is opened right after has the number of the one that was closed, and works."""
    complaints: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    tls = build_tls_context(str(ca_file))
    dialer = Dialer(Timeouts(), Outbound(), tls, Resolver(PATIENCE_S), listeners=())
    async with scripted_upstream(stay_silent, tls=server_tls if scheme == "https" else None) as upstream:
        destination = Destination(Origin(scheme, "127.0.0.1", upstream.port))
        before = count_descriptors()
        cancelled = [await cancel_after(dialer, destination, steps) for steps in range(60)]
        await until(lambda: count_descriptors() == before)

    assert any(cancelled)
    assert complaints == []


async def cancel_after(dialer: Dialer, destination: Destination, steps: int) -> bool:
    """Cancel a dial after so many turns of the loop, and use a new pair of sockets; return whether it was cancelled."""
    dial = asyncio.get_running_loop().create_task(dialer.dial(destination, make_connection, Phases()))
    for _ in range(steps):
        await asyncio.sleep(0)
    dial.cancel()
    await asyncio.wait({dial})
    if not dial.cancelled():
        dial.result().abandon()
    one, other = socket.socketpair()
    with one, other:
        for _ in range(3):
            await asyncio.sleep(0)
        one.send(b"x")
        other.setblocking(False)  # noqa: FBT003 (the socket module has no other way)
        assert other.recv(1) == b"x"
    return dial.cancelled()


@linux_only
@pytest.mark.parametrize("script", [stay_silent, answer_in_plain, close_at_once])
async def test_a_failed_handshake_leaves_nothing_open(script: Any) -> None:
    """Nor does a time limit."""
    async with scripted_upstream(script) as upstream:
        before = count_descriptors()
        destination = Destination(Origin("https", "127.0.0.1", upstream.port))
        with pytest.raises(Exception, match=f"127.0.0.1:{upstream.port}"):
            await make_dialer(tls=0.1).dial(destination, make_connection, Phases())
        await until(lambda: upstream.done == 1)

        await until(lambda: count_descriptors() == before)

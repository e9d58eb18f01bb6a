"""CONNECT on a listener that intercepts: who gets a tunnel, what may be said in it, and what is left behind."""

from __future__ import annotations

import asyncio
import http.client
import json
import ssl
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from harness.clients import PROGRAMS
from harness.records import read_records
from harness.running import PATIENCE_S, RawClient, until
from harness.tools import find_tool, run_tool
from harness.tunnels import CONNECT, HOST, OTHER_HOST, found, intercepting, open_tunnel, route_hosts, start_tls, trust
from harness.upstream import Peer, answering
from structlog.testing import capture_logs

from proxy.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from harness.running import RunningProxy

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = f"GET /v1/x HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
LAST_GET = f"GET /v1/x HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode()
CERTIFICATE_REFUSED = 60
"""How curl ends then."""
LARGE = 4 * 1024 * 1024
JAVA = PROGRAMS / "Client.java"


@pytest.fixture
def section(tmp_path: Path) -> dict[str, str]:
    """Return the section of a good authority."""
    return found(tmp_path)


@pytest.fixture
def intercepted(in_front_of: Any, section: dict[str, str], tmp_path: Path) -> Any:
    """Return what runs a proxy that intercepts, in front of scripts."""

    @asynccontextmanager
    async def run(*scripts: Any, hosts: tuple[str, ...] = (HOST, OTHER_HOST), **more: Any) -> AsyncIterator[Any]:
        listener = more.pop("listening", {})
        sections = {
            **intercepting(section, **listener),
            "traffic_log": {"path": str(tmp_path / "traffic.jsonl")},
            **more,
        }

        def complete(document: dict[str, Any]) -> dict[str, Any]:
            upstream = document["route"][0]["upstream"]
            return {**document, "route": route_hosts(upstream, *hosts)}

        async with in_front_of(*scripts, complete=complete, **sections) as proxy:
            yield proxy

    return run


def failures(proxy: RunningProxy) -> dict[str, int]:
    """Return the listener's failed handshakes, by reason."""
    [certificate] = proxy.service.status().certificates
    return dict(certificate.failures)


async def serving(peer: Peer) -> None:
    """Answer every request with what was asked for."""
    while True:
        try:
            head = await peer.read_head()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        target = head.split(b" ", 2)[1]
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(target) + target)


async def test_request_in_a_tunnel_is_relayed(intercepted: Any, section: dict[str, str], tmp_path: Path) -> None:
    """It gets its credential and its record, which names the CONNECT that it came through."""
    async with intercepted(answering(OK)) as proxy:
        tls = trust(section)
        tls.set_alpn_protocols(["h2", "http/1.1"])
        client = await open_tunnel(proxy, tls)
        client.send(LAST_GET)
        answer = await client.read_all()
        await proxy.recorder.wait_exchanges(2)
        spoken = client.writer.get_extra_info("ssl_object")
        sent = proxy.upstream.peers[0].received
        await proxy.stop()
    connect, request = read_records(tmp_path / "traffic.jsonl")

    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.endswith(b"ok")
    assert (spoken.version(), spoken.selected_alpn_protocol()) == ("TLSv1.3", "http/1.1")
    assert sent.startswith(b"GET /v1/x HTTP/1.1\r\n")
    assert b"\r\nAuthorization: Basic " in sent
    assert (connect["request"]["method"], connect["request"]["target"]) == ("CONNECT", f"{HOST}:443")
    assert (connect["outcome"], connect["response"]["status"], connect["route"]) == ("answered_here", 200, None)
    assert "connect" not in connect
    assert (request["request"]["target"], request["outcome"], request["route"]) == ("/v1/x", "ok", "api-sandbox")
    assert request["connect"] == connect["id"]


async def test_answer_to_connect_says_nothing_of_a_body(intercepted: Any) -> None:
    """RFC 9110, section 9.3.6: neither Content-Length nor Transfer-Encoding, nor that the connection closes."""
    async with intercepted() as proxy:
        client = await proxy.connect()
        client.send(f"CONNECT {HOST}:443 HTTP/1.0\r\n\r\n".encode())
        head = await client.read_head()

    assert head.startswith(b"HTTP/1.1 200 Connection Established\r\n")
    assert [line.partition(b":")[0] for line in head.split(b"\r\n")[1:-2]] == [b"Date"]


async def test_connection_is_kept_and_pipelines(intercepted: Any, section: dict[str, str]) -> None:
    """Requests sent together are answered in order, in one tunnel and over one connection upstream."""
    async with intercepted(serving) as proxy:
        client = await open_tunnel(proxy, trust(section))
        client.send(b"".join(f"GET /{number} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode() for number in range(5)))
        bodies = [(await client.read_answer())[1] for _ in range(5)]
        client.send(GET)
        _, last = await client.read_answer()

        assert bodies == [b"/0", b"/1", b"/2", b"/3", b"/4"]
        assert last == b"/v1/x"
        assert len(proxy.upstream.peers) == 1
        assert proxy.service.status().client_connections == 1


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_large_bodies_go_both_ways(intercepted: Any, section: dict[str, str], version: ssl.TLSVersion) -> None:
    """4 MiB go up and come down, each under the flow control of both ends."""
    body = bytes(range(256)) * (LARGE // 256)

    async def echo(peer: Peer) -> None:
        await peer.read_head()
        received = await peer.read_exactly(LARGE)
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LARGE + received)
        await peer.wait_closed()

    async with intercepted(echo) as proxy:
        tls = trust(section)
        tls.maximum_version = version
        client = await open_tunnel(proxy, tls)
        client.send(f"POST /x HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {LARGE}\r\n\r\n".encode() + body)
        _, answer = await client.read_answer()

        assert answer == body


async def test_client_hello_right_behind_connect(intercepted: Any, section: dict[str, str]) -> None:
    """A client that does not wait for the 200 loses no byte, however its bytes are cut."""
    async with intercepted(serving) as proxy:
        for cut in (1, len(CONNECT) - 1, len(CONNECT), len(CONNECT) + 1, len(CONNECT) + 40, None):
            client = await proxy.connect()
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            spoken = trust(section).wrap_bio(incoming, outgoing, server_hostname=HOST)
            with pytest.raises(ssl.SSLWantReadError):
                spoken.do_handshake()
            data = CONNECT + outgoing.read()
            client.send(data[:cut])
            if cut is not None:
                await asyncio.sleep(0)
                client.send(data[cut:])
            head = await client.read_head()
            await finish(client, spoken, incoming, outgoing)
            spoken.write(LAST_GET)
            client.send(outgoing.read())
            incoming.write(await client.read_all())

            assert head.startswith(b"HTTP/1.1 200 ")
            assert spoken.read().endswith(b"/v1/x")


async def finish(client: RawClient, spoken: ssl.SSLObject, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> None:
    """Finish a handshake of which the first message has been sent."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                spoken.do_handshake()
            except ssl.SSLWantReadError:
                client.send(outgoing.read())  # a second hello, where the first was of another group
                incoming.write(await client.reader.read(65_536))
            else:
                client.send(outgoing.read())
                return


async def test_requests_before_connect_are_answered_first(intercepted: Any, section: dict[str, str]) -> None:
    """A connection may carry plain requests, and then a tunnel, pipelined."""
    async with intercepted(serving) as proxy:
        client = await proxy.connect()
        client.send(GET + CONNECT)
        _, body = await client.read_answer()
        head = await client.read_head()
        await start_tls(client, trust(section), HOST)
        client.send(GET)
        _, inside = await client.read_answer()

        assert (body, inside) == (b"/v1/x", b"/v1/x")
        assert head.startswith(b"HTTP/1.1 200 Connection")


async def test_two_tunnels_have_a_certificate_each(intercepted: Any, section: dict[str, str]) -> None:
    """Side by side, for two hosts; each is good for its own, for a week at most, and for no other."""
    async with intercepted(serving, serving) as proxy:
        clients = [await open_tunnel(proxy, trust(section), host) for host in (HOST, OTHER_HOST)]
        for client, host in zip(clients, (HOST, OTHER_HOST), strict=True):
            client.send(f"GET /{host} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        bodies = [(await client.read_answer())[1] for client in clients]
        shown = [client.writer.get_extra_info("peercert") for client in clients]
        await proxy.recorder.wait_exchanges(4)
        inside = [exchange.connect for exchange in proxy.recorder.exchanges if exchange.connect is not None]

        assert bodies == [f"/{HOST}".encode(), f"/{OTHER_HOST}".encode()]
        assert [one["subjectAltName"] for one in shown] == [(("DNS", HOST),), (("DNS", OTHER_HOST),)]
        assert all(
            ssl.cert_time_to_seconds(one["notAfter"]) - ssl.cert_time_to_seconds(one["notBefore"]) <= 8 * 86_400
            for one in shown
        )
        assert sorted(one.host for one in inside) == [HOST, OTHER_HOST]
        assert len({one.id for one in inside}) == 2


@pytest.mark.parametrize(
    ("request_head", "status", "slug"),
    [
        (f"CONNECT evil.example:443 HTTP/1.1\r\nHost: {HOST}\r\n\r\n", 403, "target_not_allowed"),
        ("CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: 127.0.0.1:22\r\n\r\n", 403, "target_not_allowed"),
        (f"CONNECT {HOST} HTTP/1.1\r\nHost: {HOST}\r\n\r\n", 400, "malformed"),
        (f"CONNECT {HOST}:443 HTTP/1.1\r\n\r\n", 400, "malformed"),
        (f"CONNECT {HOST}:443 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", 400, "malformed"),
        (f"CONNECT {HOST}:443 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "malformed"),
        (f"CONNECT {HOST}:443 HTTP/1.1\r\nHost: a\r\nOrigin: https://evil.example\r\n\r\n", 403, "cross_site"),
        (f"TRACE / HTTP/1.1\r\nHost: {HOST}\r\n\r\n", 405, "method_not_allowed"),
    ],
)
async def test_other_tunnels_are_refused(intercepted: Any, request_head: str, status: int, slug: str) -> None:
    """A foreign host, a target without a port, a body, a web page: refused in words, and nothing is dialled."""
    async with intercepted() as proxy:
        client = await proxy.connect()
        client.send(request_head.encode())
        head, body = await client.read_answer()
        await proxy.recorder.wait_exchanges(1)

        assert head.startswith(f"HTTP/1.1 {status} ".encode())
        assert json.loads(body)["type"].endswith(f":{slug}")
        assert proxy.upstream.peers == []


async def test_content_length_of_nothing_is_no_body(intercepted: Any) -> None:
    """Windows' old HTTP library sends it with every CONNECT."""
    async with intercepted() as proxy:
        client = await proxy.connect()
        client.send(f"CONNECT {HOST}:443 HTTP/1.0\r\nHost: {HOST}\r\nContent-Length: 0\r\n\r\n".encode())

        assert (await client.read_head()).startswith(b"HTTP/1.1 200 ")


async def test_routes_of_another_listener_open_no_tunnel(in_front_of: Any, section: dict[str, str]) -> None:
    """A host that only another listener's routes name is foreign; a listener that does not intercept says so."""
    listeners = [
        {"name": "cad", "bind": "127.0.0.1:0", "intercept": True},
        {"name": "plain", "bind": "127.0.0.1:0"},
    ]

    def complete(document: dict[str, Any]) -> dict[str, Any]:
        mine, other = route_hosts(document["route"][0]["upstream"], HOST, OTHER_HOST)
        other["match"]["listener"] = "plain"
        return {**document, "route": [mine, other]}

    async with in_front_of(complete=complete, listener=listeners, interception=section) as proxy:
        answers = []
        for listening in proxy.service.listeners:
            reader, writer = await asyncio.open_connection("127.0.0.1", listening.port)
            client = RawClient(reader, writer)
            proxy.clients.append(client)
            client.send(f"CONNECT {OTHER_HOST}:443 HTTP/1.1\r\nHost: {OTHER_HOST}\r\n\r\n".encode())
            answers.append(await client.read_answer())

        assert [head.split(b" ")[1] for head, _ in answers] == [b"403", b"405"]
        assert "intercept = true" in json.loads(answers[1][1])["detail"]


@pytest.mark.parametrize(
    "head",
    [
        f"GET /v1/x HTTP/1.1\r\nHost: {OTHER_HOST}\r\n\r\n",
        f"GET https://{OTHER_HOST}/v1/x HTTP/1.1\r\nHost: {HOST}\r\n\r\n",
        "GET /v1/x HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        "GET /v1/x HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /v1/x HTTP/1.0\r\nHost: evil.example\r\n\r\n",
    ],
)
async def test_request_for_another_host_is_refused(intercepted: Any, section: dict[str, str], head: str) -> None:
    """The tunnel's host is the only one in it, also where another is routed or is the proxy itself: 421."""
    async with intercepted() as proxy:
        client = await open_tunnel(proxy, trust(section))
        client.send(head.encode())
        answer, body = await client.read_answer()

        assert answer.startswith(b"HTTP/1.1 421 ")
        assert json.loads(body)["type"].endswith(":wrong_host")
        assert proxy.upstream.peers == []


@pytest.mark.parametrize(
    "head",
    [
        f"GET https://{HOST}/v1/x HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n",
        f"GET /v1/x HTTP/1.1\r\nHost: {HOST.upper()}:443\r\nConnection: close\r\n\r\n",
        "GET /v1/x HTTP/1.0\r\n\r\n",
    ],
)
async def test_request_may_spell_its_host(intercepted: Any, section: dict[str, str], head: str) -> None:
    """In absolute-form, with a port, in capitals; and HTTP/1.0 need not say it, for the tunnel does."""
    async with intercepted(answering(OK)) as proxy:
        client = await open_tunnel(proxy, trust(section))
        client.send(head.encode())

        assert (await client.read_all()).endswith(b"ok")


async def test_no_tunnel_in_a_tunnel(intercepted: Any, section: dict[str, str]) -> None:
    """A CONNECT inside is 405, also to the same host."""
    async with intercepted() as proxy:
        client = await open_tunnel(proxy, trust(section))
        client.send(CONNECT)
        head, _ = await client.read_answer()

        assert head.startswith(b"HTTP/1.1 405 ")


async def test_web_page_in_a_tunnel_is_refused(intercepted: Any, section: dict[str, str]) -> None:
    """A foreign Origin is refused inside as it is outside; the host's own pages are welcome."""
    async with intercepted(serving) as proxy:
        client = await open_tunnel(proxy, trust(section))
        client.send(GET[:-2] + b"Origin: https://evil.example\r\n\r\n")
        refused, _ = await client.read_answer()
        client.send(GET[:-2] + f"Origin: https://{HOST}\r\n\r\n".encode())
        welcome, _ = await client.read_answer()

        assert refused.startswith(b"HTTP/1.1 403 ")
        assert welcome.startswith(b"HTTP/1.1 200 ")


async def test_plain_http_in_a_tunnel_is_told_so(intercepted: Any) -> None:
    """In kind, and goes nowhere."""
    async with intercepted() as proxy:
        client = await proxy.connect()
        client.send(CONNECT)
        await client.read_head()
        client.send(GET)
        head, body = await client.read_answer()
        [_, exchange] = await proxy.recorder.wait_exchanges(2)

        assert head.startswith(b"HTTP/1.1 400 ")
        assert "plain HTTP came in a tunnel" in json.loads(body)["detail"]
        assert exchange.connect is not None
        assert proxy.upstream.peers == []


async def test_what_is_no_tls_ends_the_tunnel(intercepted: Any) -> None:
    """Bytes of another protocol get nothing, and are told of."""
    async with intercepted() as proxy:
        with capture_logs() as logs:
            client = await proxy.connect()
            client.send(CONNECT + b"\x00\x01SSH-2.0\r\n")
            await client.read_head()
            rest = await client.read_all()
        failed = [entry for entry in logs if entry["event"] == "handshake.failed"]

        assert rest == b""
        assert [entry["reason"] for entry in failed] == ["not_tls"]
        assert failures(proxy) == {"not_tls": 1}


async def test_client_that_leaves_at_once_leaves_its_record(intercepted: Any) -> None:
    """CONNECT and a close, or a reset: one record each, no failed handshake, and no place is held."""
    async with intercepted() as proxy:
        await proxy.talk(CONNECT)
        client = await proxy.connect()
        client.send(CONNECT)
        await client.read_head()
        client.reset()
        exchanges = await proxy.recorder.wait_exchanges(2)
        await until(lambda: proxy.service.status().client_connections == 0)

        assert [exchange.outcome for exchange in exchanges] == ["answered_here"] * 2
        assert failures(proxy) == {}


async def test_client_that_does_not_trust_the_authority_is_named(intercepted: Any, section: dict[str, str]) -> None:
    """The event says which file to import, and where; curl says why it leaves, asyncio only closes."""
    async with intercepted() as proxy:
        with capture_logs() as logs:
            done = await run_tool(find_tool("curl"), "--disable", "-sS", "-x", proxy.url, f"https://{HOST}/")
            await until(lambda: sum(failures(proxy).values()) == 1)
            with pytest.raises(ssl.SSLCertVerificationError):
                await open_tunnel(proxy, ssl.create_default_context())
            await until(lambda: sum(failures(proxy).values()) == 2)
        refused, left = [entry for entry in logs if entry["event"] == "handshake.failed"]

        assert done.code == CERTIFICATE_REFUSED
        assert failures(proxy) == {"certificate_refused": 1, "left": 1}
        assert "RapidSOS's place" in refused["problem"]
        assert refused["fix"].startswith(f"import {section['ca_certificate']} into the trust store")
        assert f"import {section['ca_certificate']} into the trust store" in left["fix"]


@pytest.mark.parametrize("name", [OTHER_HOST, "evil.example"])
async def test_wrong_server_name_ends_the_handshake(intercepted: Any, section: dict[str, str], name: str) -> None:
    """A client that asks one host's tunnel for another host gets an alert and no certificate; that is told of."""
    async with intercepted() as proxy:
        with capture_logs() as logs:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await open_tunnel(proxy, trust(section), server_name=name)
            await until(lambda: bool(failures(proxy)))
        [failed] = [entry for entry in logs if entry["event"] == "handshake.failed"]

        assert failures(proxy) == {"wrong_name": 1}
        assert failed["fix"]


async def test_client_without_a_server_name_is_served(intercepted: Any, section: dict[str, str]) -> None:
    """Old ones send none; the tunnel says whom they mean."""
    async with intercepted(answering(OK)) as proxy:
        tls = trust(section)
        tls.check_hostname = False
        client = await proxy.connect()
        client.send(CONNECT)
        await client.read_head()
        await start_tls(client, tls, "")
        client.send(LAST_GET)

        assert (await client.read_all()).endswith(b"ok")


async def test_silent_client_does_not_hold_its_place(intercepted: Any) -> None:
    """A handshake in a tunnel has as long as a head."""
    async with intercepted(timeouts={"head": 0.2}) as proxy:
        client = await proxy.connect()
        client.send(CONNECT)
        await client.read_head()
        rest = await client.read_all()

        assert rest == b""
        assert failures(proxy) == {"timeout": 1}


async def test_stranger_is_refused_before_tls(intercepted: Any) -> None:
    """Who is in none of the networks gets 403, and no handshake."""
    async with intercepted(listening={"allow": ["192.0.2.0/24"]}) as proxy:
        client = await proxy.connect()
        client.send(CONNECT)
        answer = await client.read_all()
        [exchange] = await proxy.recorder.wait_exchanges(1)

        assert answer.startswith(b"HTTP/1.1 403 ")
        assert exchange.error is not None
        assert exchange.error.slug == "client_not_allowed"
        assert failures(proxy) == {}


async def test_drain_closes_an_idle_tunnel_and_finishes_a_busy_one(intercepted: Any, section: dict[str, str]) -> None:
    """A stop cuts no answer off, and waits for nobody who has nothing under way."""
    asked = asyncio.Event()
    go_on = asyncio.Event()

    async def late(peer: Peer) -> None:
        await peer.read_head()
        asked.set()
        await go_on.wait()
        peer.send(OK)
        await peer.wait_closed()

    async with intercepted(late) as proxy:
        shaking = await proxy.connect()
        shaking.send(CONNECT)
        await shaking.read_head()
        idle = await open_tunnel(proxy, trust(section))
        busy = await open_tunnel(proxy, trust(section))
        busy.send(GET)
        await asked.wait()
        async with asyncio.TaskGroup() as group:
            group.create_task(proxy.service.drain())
            ended = [await idle.read_all()]
            go_on.set()
            answer = await busy.read_all()

        assert ended == [b""]
        assert answer.endswith(b"ok")
        assert b"\r\nConnection: close\r\n" in answer


async def test_new_authority_is_used_without_a_restart(
    intercepted: Any, section: dict[str, str], tmp_path: Path
) -> None:
    """New files are used for new tunnels; those that are open go on."""
    async with intercepted(serving, serving) as proxy:
        old = await open_tunnel(proxy, trust(section))
        with capture_logs() as logs:
            await in_thread(lambda: replace(section, found(tmp_path / "new")), name="operator")
            await until(lambda: any(entry["event"] == "authority.renewed" for entry in logs))
        new = await open_tunnel(proxy, trust(section))
        for client in (old, new):
            client.send(GET)
        bodies = [(await client.read_answer())[1] for client in (old, new)]

        assert bodies == [b"/v1/x"] * 2


def replace(section: dict[str, str], other: dict[str, str]) -> None:
    """Put another authority into the files of this one, as an operator does."""
    for key, path in other.items():
        Path(section[key]).write_bytes(Path(path).read_bytes())


# Clients that nobody here wrote.


async def test_curl(intercepted: Any, section: dict[str, str]) -> None:
    """As `curl -x`, two URLs over one tunnel."""
    async with intercepted(serving) as proxy:
        done = await run_tool(
            find_tool("curl"), "--disable", "-sS", "-x", proxy.url, "--cacert", section["ca_certificate"],
            f"https://{HOST}/v1/location?caller_id=15555550100", f"https://{HOST}/v1/alerts",
        )  # fmt: skip
        exchanges = await proxy.recorder.wait_exchanges(3)

        assert done.check().output == b"/v1/location?caller_id=15555550100/v1/alerts"
        assert [exchange.request.method for exchange in exchanges] == ["CONNECT", "GET", "GET"]


async def test_wget(intercepted: Any, section: dict[str, str]) -> None:
    """With https_proxy."""
    async with intercepted(serving) as proxy:
        done = await run_tool(
            find_tool("wget"), "--no-config", "-q", "-O", "-", f"--ca-certificate={section['ca_certificate']}",
            f"https://{HOST}/v1/alerts",
            environ={"https_proxy": proxy.url},
        )  # fmt: skip

        assert done.check().output == b"/v1/alerts"


async def test_http_client(intercepted: Any, section: dict[str, str]) -> None:
    """Python's, by set_tunnel, which asks in HTTP/1.0 without Host; two requests."""

    def ask(port: int) -> list[bytes]:
        connection = http.client.HTTPSConnection("127.0.0.1", port, context=trust(section), timeout=PATIENCE_S)
        connection.set_tunnel(HOST, 443)
        bodies = []
        for path in ("/one", "/two"):
            connection.request("GET", path)
            bodies.append(connection.getresponse().read())
        connection.close()
        return bodies

    async with intercepted(serving) as proxy:
        assert await in_thread(lambda: ask(proxy.port), name="client") == [b"/one", b"/two"]


async def test_java(intercepted: Any, section: dict[str, str], tmp_path: Path) -> None:
    """HttpURLConnection, its proxy set by https.proxyHost, the authority imported as `ca init` says."""
    store, body = tmp_path / "trust.p12", tmp_path / "none"
    importing = ("-importcert", "-noprompt", "-alias", "rapidsos-proxy", "-file", section["ca_certificate"])
    (await run_tool(find_tool("keytool"), *importing, "-keystore", str(store), "-storepass", "changeit")).check()
    async with intercepted(serving) as proxy:
        errands = "".join(f"GET\thttps://{HOST}/{name}\tnone\t{body}\t{tmp_path / name}\tBasic eDp5\n" for name in "ab")
        done = await run_tool(
            find_tool("java"), "-XX:TieredStopAtLevel=1", f"-Djavax.net.ssl.trustStore={store}",
            "-Djavax.net.ssl.trustStorePassword=changeit", "-Dhttps.proxyHost=127.0.0.1",
            f"-Dhttps.proxyPort={proxy.port}", str(JAVA), "-",
            stdin=errands.encode(),
        )  # fmt: skip

        assert done.check().output.split() == [b"200", b"200"]
        assert [(tmp_path / name).read_bytes() for name in "ab"] == [b"/a", b"/b"]


async def test_node(intercepted: Any, section: dict[str, str]) -> None:
    """Node's http and tls, which fill in Host of CONNECT with the proxy's own address."""
    program = """
        const http = require("node:http"), https = require("node:https");
        const [proxy, host] = [new URL(process.argv[1]), process.argv[2]];
        http.request({ host: proxy.hostname, port: proxy.port, method: "CONNECT", path: `${host}:443` })
          .on("connect", (answer, socket) =>
            https.get({ host, path: "/v1/alerts", socket, agent: false }, (got) => got.pipe(process.stdout)))
          .end();
    """
    async with intercepted(serving) as proxy:
        done = await run_tool(
            find_tool("node"),
            "-e",
            program,
            proxy.url,
            HOST,
            environ={"NODE_EXTRA_CA_CERTS": section["ca_certificate"]},
        )  # fmt: skip

        assert done.check().output == b"/v1/alerts"

"""A listener that speaks https: to whom, with which certificate, and what is left behind when it comes to nothing."""

from __future__ import annotations

import asyncio
import json
import ssl
from datetime import UTC, datetime, timedelta
from http.client import HTTPSConnection
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from harness.certificates import build_client_tls, connect_tls, show_certificate, write_pair
from harness.clients import PROGRAMS
from harness.running import PATIENCE_S, RawClient, until
from harness.tools import find_tool, run_tool
from harness.upstream import Peer, answering
from structlog.testing import capture_logs

from proxy.threads import in_thread

if TYPE_CHECKING:
    from pathlib import Path

    from harness.running import RunningProxy

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET /api/x HTTP/1.1\r\nHost: proxy\r\n\r\n"
LAST_GET = b"GET /api/x HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\n\r\n"
LARGE = 10 * 1024 * 1024
CLIENT_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
"""The beginning of one, which announces more."""
JAVA = PROGRAMS / "Client.java"
OTHERS = "192.0.2.0/24"
"""A network that no client of these tests is in."""


def listening(tls: dict[str, str], **more: Any) -> list[dict[str, Any]]:
    """Return the section of one listener of TLS."""
    return [{"name": "cad", "bind": "127.0.0.1:0", "tls": tls, **more}]


def failures(proxy: RunningProxy) -> dict[str, int]:
    """Return the listener's failed handshakes, by reason."""
    [certificate] = proxy.service.status().certificates
    return dict(certificate.failures)


async def read_to_the_end(client: RawClient) -> bytes:
    """Return what still comes; a reset ends it as well as a close does."""
    try:
        return await client.read_all()
    except (ConnectionError, ssl.SSLError):
        return b""


@pytest.fixture
def pair(tmp_path: Path, authority: trustme.CA) -> dict[str, str]:
    """Return the table of a listener with a good certificate."""
    return write_pair(tmp_path, authority)


async def test_client_speaks_https(in_front_of: Any, pair: dict[str, str], authority: trustme.CA) -> None:
    """A request over TLS is relayed, over the newest TLS, HTTP/1.1 agreed on; its record names no certificate."""
    async with in_front_of(answering(OK), listener=listening(pair)) as proxy:
        tls = build_client_tls(authority)
        tls.set_alpn_protocols(["h2", "http/1.1"])
        client = await connect_tls(proxy, tls)
        client.send(LAST_GET)
        answer = await client.read_all()
        [exchange] = await proxy.recorder.wait_exchanges(1)

        spoken = client.writer.get_extra_info("ssl_object")
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert answer.endswith(b"ok")
        assert (spoken.version(), spoken.selected_alpn_protocol()) == ("TLSv1.3", "http/1.1")
        assert (exchange.outcome, exchange.client_cert) == ("ok", None)
        assert exchange.bytes_out == len(answer)
        assert proxy.service.listeners[0].url == f"https://127.0.0.1:{proxy.port}"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_connection_is_kept_and_pipelines(
    in_front_of: Any, pair: dict[str, str], authority: trustme.CA, version: ssl.TLSVersion
) -> None:
    """Requests sent together are answered in order on one connection, in each version of TLS."""
    async with in_front_of(numbering, listener=listening(pair)) as proxy:
        tls = build_client_tls(authority)
        tls.maximum_version = version
        client = await connect_tls(proxy, tls)
        client.send(GET * 5 + LAST_GET)
        answer = await client.read_all()

        assert [part[:1] for part in answer.split(b"\r\n\r\n")[1:]] == [b"1", b"2", b"3", b"4", b"5", b"6"]
        assert len(proxy.upstream.peers) == 1


async def numbering(peer: Peer) -> None:
    """Answer requests with their number."""
    for number in range(1, 7):
        await peer.read_head()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % number)
    await peer.wait_closed()


async def test_large_bodies_go_both_ways(in_front_of: Any, pair: dict[str, str], authority: trustme.CA) -> None:
    """10 MiB go up and come down, each under the flow control of both ends."""
    body = bytes(range(256)) * (LARGE // 256)

    async def echo(peer: Peer) -> None:
        await peer.read_head()
        received = await peer.read_exactly(LARGE)
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LARGE + received)
        await peer.wait_closed()

    async with in_front_of(echo, listener=listening(pair)) as proxy:
        client = await connect_tls(proxy, build_client_tls(authority))
        client.send(b"POST /api/x HTTP/1.1\r\nHost: proxy\r\nContent-Length: %d\r\n\r\n" % LARGE + body)
        _, answer = await client.read_answer()

        assert answer == body


async def test_refusal_survives_the_upload_it_cuts(
    in_front_of: Any, pair: dict[str, str], authority: trustme.CA
) -> None:
    """An answer that ends an upload is not lost to a reset: the rest of the upload is read and thrown away."""
    async with in_front_of(listener=listening(pair), limits={"body": 1000}) as proxy:
        client = await connect_tls(proxy, build_client_tls(authority))
        client.send(b"POST /api/x HTTP/1.1\r\nHost: proxy\r\nContent-Length: %d\r\n\r\n" % LARGE)
        client.send(bytes(LARGE))
        answer = await client.read_all()

        assert answer.startswith(b"HTTP/1.1 413 ")
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["status"] == 413


async def test_cut_answer_does_not_look_whole(in_front_of: Any, pair: dict[str, str], authority: trustme.CA) -> None:
    """An answer that the upstream breaks off ends in a reset, without the close_notify of a whole one."""

    async def break_off(peer: Peer) -> None:
        await peer.read_head()
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")

    async with in_front_of(break_off, listener=listening(pair)) as proxy:
        client = await connect_tls(proxy, build_client_tls(authority))
        client.send(b"GET /api/x HTTP/1.0\r\nHost: proxy\r\n\r\n")
        await client.read_head()

        with pytest.raises(ConnectionError):
            await client.read_all()


async def test_client_that_has_ended_its_sending_is_answered(
    in_front_of: Any, pair: dict[str, str], authority: trustme.CA
) -> None:
    """close_notify after a request ends the requests, not the answer (RFC 8446, section 6.1)."""
    async with in_front_of(answering(OK), listener=listening(pair)) as proxy:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = build_client_tls(authority).wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
        client = await proxy.connect()
        await shake(tls, client, incoming, outgoing)
        tls.write(GET)
        with pytest.raises(ssl.SSLWantReadError):
            tls.unwrap()
        client.send(outgoing.read())
        incoming.write(await client.read_all())

        assert tls.read().startswith(b"HTTP/1.1 200 OK")


async def shake(tls: ssl.SSLObject, client: RawClient, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> None:
    """Do a handshake byte by byte: each piece may come alone."""
    while True:
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            for byte in outgoing.read():
                client.send(bytes([byte]))
                await client.writer.drain()
            async with asyncio.timeout(PATIENCE_S):
                incoming.write(await client.reader.read(65_536))
        else:
            client.send(outgoing.read())
            return


# Who may not speak.


async def test_stranger_gets_no_handshake(in_front_of: Any, pair: dict[str, str], authority: trustme.CA) -> None:
    """A client that the listener does not allow is closed before a byte of it is read; the record says why."""
    async with in_front_of(listener=listening(pair, allow=[OTHERS])) as proxy:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await connect_tls(proxy, build_client_tls(authority))
        [exchange] = await proxy.recorder.wait_exchanges(1)

        assert (exchange.outcome, exchange.error and exchange.error.slug) == ("refused", "client_not_allowed")
        assert (exchange.response, exchange.bytes_out) == (None, 0)
        assert failures(proxy) == {}


async def test_handshakes_count_against_the_limit(in_front_of: Any, pair: dict[str, str]) -> None:
    """A client that opens connections and says nothing uses up its own share, and no more."""
    async with in_front_of(listener=listening(pair), limits={"client_connections": 2}) as proxy:
        silent = [await proxy.connect() for _ in range(2)]
        beyond = await proxy.connect()
        rest = await read_to_the_end(beyond)
        [exchange] = await proxy.recorder.wait_exchanges(1)

        assert rest == b""
        assert exchange.error is not None
        assert exchange.error.slug == "client_limit"
        assert not any(client.reader.at_eof() for client in silent)


async def test_plain_http_is_told_what_to_change(in_front_of: Any, pair: dict[str, str]) -> None:
    """A request without TLS gets 400 in plain text, with the fix, and leaves a record."""
    async with in_front_of(listener=listening(pair)) as proxy:
        answer = await proxy.talk(GET)
        [exchange] = await proxy.recorder.wait_exchanges(1)

        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"change http:// to https://" in answer
        assert (exchange.outcome, exchange.request, exchange.bytes_in) == ("refused", None, len(GET))


@pytest.mark.parametrize(("sent", "reason"), [(b"\x00\x01\x02\x03", "not_tls"), (b"\x16\x03\x01\x00\x04hihi", "other")])
async def test_noise_is_told_of_and_closed(in_front_of: Any, pair: dict[str, str], sent: bytes, reason: str) -> None:
    """Bytes that are no handshake end the connection; one line says from whom they came, whatever else follows."""
    async with in_front_of(listener=listening(pair)) as proxy:
        with capture_logs() as logs:
            for _ in range(3):
                client = await proxy.connect()
                client.send(sent)
                await read_to_the_end(client)
        told = [line for line in logs if line["event"] == "handshake.failed"]

        assert failures(proxy) == {reason: 3}
        assert [(line["client"], line["reason"]) for line in told] == [("127.0.0.1", reason)]
        assert proxy.recorder.exchanges == []


async def test_silent_handshake_ends_in_time(in_front_of: Any, pair: dict[str, str]) -> None:
    """A client that sends nothing, or half of a ClientHello, is closed after timeouts.head, and is told of."""
    async with in_front_of(listener=listening(pair), timeouts={"head": 0.05}) as proxy:
        silent, halting = await proxy.connect(), await proxy.connect()
        halting.send(CLIENT_HELLO)
        ends = [await read_to_the_end(silent), await read_to_the_end(halting)]

        assert ends == [b"", b""]
        assert failures(proxy) == {"timeout": 2}


async def test_leaving_in_the_handshake_is_told_of(
    in_front_of: Any, pair: dict[str, str], authority: trustme.CA
) -> None:
    """A client that closes within it, or resets, is counted; one that never said a byte, as a probe does, is not."""
    async with in_front_of(listener=listening(pair)) as proxy:
        probe, leaving, breaking = [await proxy.connect() for _ in range(3)]
        probe.close()
        leaving.send(CLIENT_HELLO)
        leaving.writer.write_eof()
        await read_to_the_end(leaving)
        breaking.send(build_hello(authority))
        await breaking.read_exactly(1)  # of the answer
        breaking.reset()
        await until(lambda: proxy.service.status().client_connections == 0)

        assert failures(proxy) == {"left": 2}


def build_hello(authority: trustme.CA) -> bytes:
    """Return the first message of a client."""
    outgoing = ssl.MemoryBIO()
    tls = build_client_tls(authority).wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="127.0.0.1")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


async def test_client_that_distrusts_the_certificate_is_told_of(in_front_of: Any, pair: dict[str, str]) -> None:
    """A client that refuses our certificate leaves the reason, and what to give it."""
    async with in_front_of(listener=listening(pair)) as proxy:
        with capture_logs() as logs:
            done = await run_tool(find_tool("curl"), "--disable", f"https://127.0.0.1:{proxy.port}/api/x")
            await until(lambda: bool(failures(proxy)))
        [told] = [line for line in logs if line["event"] == "handshake.failed"]

        assert done.code == 60  # curl's own word for it
        assert failures(proxy) == {"certificate_refused": 1}
        assert "give it the certificate of the authority" in told["fix"]


async def test_old_tls_is_refused(in_front_of: Any, pair: dict[str, str], authority: trustme.CA) -> None:
    """TLS 1.1 gets no further than the handshake."""
    async with in_front_of(listener=listening(pair)) as proxy:
        tls = build_client_tls(authority)
        tls.set_ciphers("DEFAULT:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="deprecated"):
            tls.minimum_version, tls.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await connect_tls(proxy, tls)
        await until(lambda: bool(failures(proxy)))

        assert failures(proxy) == {"nothing_common": 1}


# Clients with certificates.


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_certificate_stands_in_the_record(
    in_front_of: Any, tmp_path: Path, pair: dict[str, str], authority: trustme.CA, version: ssl.TLSVersion
) -> None:
    """A client with a certificate by client_ca is served, and each of its records has the certificate's subject."""
    clients = trustme.CA()
    tls = build_client_tls(
        authority, clients.issue_cert("cad-7.psap.example", organization_name="PSAP", common_name="cad 7")
    )
    tls.maximum_version = version
    async with in_front_of(answering(OK), listener=listening(with_ca(pair, tmp_path, clients))) as proxy:
        for _ in range(2):
            client = await connect_tls(proxy, tls)
            client.send(LAST_GET)
            await client.read_all()
        exchanges = await proxy.recorder.wait_exchanges(2)

        assert [exchange.outcome for exchange in exchanges] == ["ok", "ok"]
        assert all("CN=cad 7" in (exchange.client_cert or "") for exchange in exchanges)


CLIENTS = {
    "none": (lambda _ca: None, "no_client_certificate"),
    "of another authority": (lambda _ca: trustme.CA().issue_cert("cad"), "client_certificate"),
    "expired": (
        lambda ca: ca.issue_cert("cad", not_after=datetime.now(UTC) - timedelta(days=1)),
        "client_certificate",
    ),
}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("case", CLIENTS)
async def test_client_without_a_good_certificate_is_refused(
    in_front_of: Any,
    tmp_path: Path,
    pair: dict[str, str],
    authority: trustme.CA,
    case: str,
    version: ssl.TLSVersion,
) -> None:
    """Without a certificate, with a stranger's, or with one that has expired, no request is read."""
    clients = trustme.CA()
    issue, reason = CLIENTS[case]
    tls = build_client_tls(authority, issue(clients))
    tls.maximum_version = version
    async with in_front_of(answering(OK), listener=listening(with_ca(pair, tmp_path, clients))) as proxy:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await ask_once(proxy, tls)
        await until(lambda: bool(failures(proxy)))

        assert failures(proxy) == {reason: 1}
        assert (proxy.upstream.peers, proxy.recorder.exchanges) == ([], [])


async def ask_once(proxy: RunningProxy, tls: ssl.SSLContext) -> None:
    """Send a request; under TLS 1.3 a client learns only then that its certificate was refused."""
    client = await connect_tls(proxy, tls)
    client.send(LAST_GET)
    if not await client.read_all():
        raise ConnectionError


def with_ca(pair: dict[str, str], folder: Path, clients: trustme.CA) -> dict[str, str]:
    """Return the table with this authority for clients."""
    path = folder / "clients.pem"
    clients.cert_pem.write_to_path(str(path))
    return {**pair, "client_ca": str(path)}


# Certificates that change.


async def test_renewed_certificate_is_used_without_a_restart(
    in_front_of: Any, tmp_path: Path, pair: dict[str, str], authority: trustme.CA
) -> None:
    """New connections get the new certificate; one that is open goes on."""
    async with in_front_of(answering(OK), listener=listening(pair)) as proxy:
        tls = build_client_tls(authority)
        before = await connect_tls(proxy, tls)
        before.send(GET)
        await before.read_answer()
        [old] = proxy.service.status().certificates
        write_pair(tmp_path, authority, "127.0.0.1", not_after=datetime(2035, 5, 5, tzinfo=UTC))
        await until(lambda: proxy.service.status().certificates[0].not_after != old.not_after)
        after = await connect_tls(proxy, tls)
        before.send(LAST_GET)

        assert (await before.read_all()).startswith(b"HTTP/1.1 200 OK")
        assert show_certificate(before) != show_certificate(after)
        assert proxy.service.status().certificates[0].not_after == datetime(2035, 5, 5, tzinfo=UTC).timestamp()


async def test_broken_file_leaves_the_old_certificate(
    in_front_of: Any, tmp_path: Path, pair: dict[str, str], authority: trustme.CA
) -> None:
    """A file that cannot be used is told of once, with its fix; when it is mended, it is used."""
    async with in_front_of(answering(OK), listener=listening(pair)) as proxy:
        [old] = proxy.service.status().certificates
        tls = build_client_tls(authority)
        with capture_logs() as logs:
            (tmp_path / "listener.pem").write_text("nothing yet\n")
            await until(lambda: any(line["event"] == "certificate.unusable" for line in logs))
            during = await connect_tls(proxy, tls)
            write_pair(tmp_path, authority, not_after=datetime(2035, 5, 5, tzinfo=UTC))
            await until(lambda: proxy.service.status().certificates[0].not_after != old.not_after)
        after = await connect_tls(proxy, tls)
        [told] = [line for line in logs if line["event"] == "certificate.unusable"]

        assert told["key"] == "listener[cad].tls.certificate"
        assert told["problem"].endswith("holds no certificate in PEM form")
        assert told["used"] == "the old one"
        assert show_certificate(during) != show_certificate(after)


async def test_certificate_near_its_end_is_warned_of(in_front_of: Any, tmp_path: Path, authority: trustme.CA) -> None:
    """From 14 days before its end on a certificate is warned of, with the fix."""
    pair = write_pair(tmp_path, authority, not_after=datetime.now(UTC) + timedelta(days=5, hours=1))
    with capture_logs() as logs:
        async with in_front_of(listener=listening(pair)):
            await until(lambda: any(line["event"] == "certificate.expiring" for line in logs))
    [told] = [line for line in logs if line["event"] == "certificate.expiring"]

    assert (told["listener"], told["problem"]) == ("cad", "expires in 5 days")
    assert told["fix"].startswith("renew it")


# Stopping.


async def test_drain_finishes_what_is_under_way(in_front_of: Any, pair: dict[str, str], authority: trustme.CA) -> None:
    """A stop lets an exchange over TLS finish, and closes connections that are idle or in their handshake."""
    asked, may_answer = asyncio.Event(), asyncio.Event()

    async def answer_late(peer: Peer) -> None:
        await peer.read_head()
        asked.set()
        await may_answer.wait()
        peer.send(OK)
        await peer.wait_closed()

    async with in_front_of(answer_late, listener=listening(pair)) as proxy:
        tls = build_client_tls(authority)
        busy, idle, shaking = await connect_tls(proxy, tls), await connect_tls(proxy, tls), await proxy.connect()
        shaking.send(CLIENT_HELLO)
        busy.send(GET)
        await asked.wait()
        drain = asyncio.ensure_future(proxy.service.drain())
        ends = [await read_to_the_end(idle), await read_to_the_end(shaking)]
        may_answer.set()
        answer = await read_to_the_end(busy)
        await drain

        assert ends == [b"", b""]
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert answer.endswith(b"ok")
        assert failures(proxy) == {}


# Clients that no one here wrote.


async def test_curl_speaks_https(in_front_of: Any, pair: dict[str, str], ca_file: Path) -> None:
    """curl, given the authority, gets its answer over one connection for two requests."""
    async with in_front_of(answering(OK), listener=listening(pair)) as proxy:
        url = f"https://127.0.0.1:{proxy.port}/api/x"
        done = (await run_tool(find_tool("curl"), "--disable", "--silent", "--cacert", str(ca_file), url, url)).check()

        assert done.output == b"okok"


async def test_http_client_speaks_https(in_front_of: Any, pair: dict[str, str], authority: trustme.CA) -> None:
    """Python's http.client, which closes without close_notify, gets its answer."""
    async with in_front_of(answering(OK), listener=listening(pair)) as proxy:

        def ask() -> bytes:
            connection = HTTPSConnection("127.0.0.1", proxy.port, context=build_client_tls(authority))
            connection.request("POST", "/api/x", body=b"{}")
            try:
                return connection.getresponse().read()
            finally:
                connection.close()

        assert await in_thread(ask, name="http.client") == b"ok"
        assert failures(proxy) == {}


async def test_node_speaks_https(in_front_of: Any, pair: dict[str, str], ca_file: Path) -> None:
    """Node's https, which keeps the connection, gets its answer."""
    program = "fetch(process.argv[1]).then(r => r.text()).then(t => process.stdout.write(t))"
    async with in_front_of(answering(OK), listener=listening(pair)) as proxy:
        url = f"https://127.0.0.1:{proxy.port}/api/x"
        environ = {"NODE_EXTRA_CA_CERTS": str(ca_file)}
        done = (await run_tool(find_tool("node"), "--eval", program, url, environ=environ)).check()

        assert done.output == b"ok"


async def test_java_speaks_https(in_front_of: Any, pair: dict[str, str], ca_file: Path, tmp_path: Path) -> None:
    """Java's HttpURLConnection, as older CAD systems have it, gets its answers."""
    find_tool("javac")  # which a mere java lacks: it cannot run a source file
    store, body = tmp_path / "trust.p12", tmp_path / "body"
    body.write_bytes(b"{}")
    importing = ("-importcert", "-noprompt", "-file", str(ca_file), "-keystore", str(store), "-storepass", "changeit")
    (await run_tool(find_tool("keytool"), *importing)).check()
    java = (find_tool("java"), "-XX:TieredStopAtLevel=1", f"-Djavax.net.ssl.trustStore={store}")
    async with in_front_of(answering(OK), listener=listening(pair)) as proxy:
        url = f"https://127.0.0.1:{proxy.port}/api/x"
        errands = "".join(f"GET\t{url}\tnone\t{body}\t{tmp_path / name}\tBasic eDp5\n" for name in ("one", "two"))
        done = (
            await run_tool(*java, "-Djavax.net.ssl.trustStorePassword=changeit", str(JAVA), "-", stdin=errands.encode())
        ).check()

        assert done.output.split() == [b"200", b"200"]
        assert [(tmp_path / name).read_bytes() for name in ("one", "two")] == [b"ok", b"ok"]
        assert failures(proxy) == {}

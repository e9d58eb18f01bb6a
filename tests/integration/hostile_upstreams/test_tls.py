"""TLS that is wrong in each way: no request reaches whoever did not prove who it is, and a cut is never an end."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import ssl
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from harness.misbehaving import build_answer, build_request, staged
from harness.reading import ask
from harness.running import until
from harness.upstream import scripted_upstream

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.misbehaving import Ending
    from harness.upstream import Peer

NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)
LOCAL = "127.0.0.1"


def make_self_signed(path: Path, *names: x509.GeneralName, usage: x509.ObjectIdentifier | None = None) -> str:
    """Write a certificate that vouches for itself, and its key, to a file; return its path."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, LOCAL)])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(NOW - DAY).not_valid_after(NOW + DAY)
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if usage is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    file = path / "own.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return str(file)


ISSUED: dict[str, tuple[Callable[[trustme.CA], trustme.LeafCert], str]] = {
    "expired": (lambda ca: ca.issue_cert(LOCAL, not_before=NOW - 9 * DAY, not_after=NOW - DAY), "expired"),
    "not yet valid": (lambda ca: ca.issue_cert(LOCAL, not_before=NOW + DAY, not_after=NOW + 9 * DAY), "not yet valid"),
    "another name": (lambda ca: ca.issue_cert("other.example"), "IP address mismatch"),
    "another address": (lambda ca: ca.issue_cert("127.0.0.2"), "IP address mismatch"),
    "a name where the host is an address": (lambda ca: ca.issue_cert("localhost"), "IP address mismatch"),
    "common name alone": (lambda ca: ca.issue_cert(common_name=LOCAL), "IP address mismatch"),
    "of an unknown authority": (lambda _: trustme.CA().issue_cert(LOCAL), "local issuer certificate"),
}
NAMED: dict[str, Callable[[trustme.CA], trustme.LeafCert]] = {
    "another name": lambda ca: ca.issue_cert("other.example"),
    "the parent's name": lambda ca: ca.issue_cert("rapidsos.example"),
    "a child's name": lambda ca: ca.issue_cert("a.api.rapidsos.example"),
    "a wildcard too high": lambda ca: ca.issue_cert("*.example"),
    "a wildcard too deep": lambda ca: ca.issue_cert("*.api.rapidsos.example"),
    "its address alone": lambda ca: ca.issue_cert(LOCAL),
    "common name alone": lambda ca: ca.issue_cert(common_name="api.rapidsos.example"),
    "common name beside another name": lambda ca: ca.issue_cert("other.example", common_name="api.rapidsos.example"),
    "a name that begins alike": lambda ca: ca.issue_cert("api.rapidsos.example.evil.example"),
}
SELF_SIGNED: dict[str, tuple[list[x509.GeneralName], x509.ObjectIdentifier | None, str]] = {
    "self-signed": ([x509.IPAddress(ipaddress.ip_address(LOCAL))], None, "self-signed certificate"),
    "the address as a name": ([x509.DNSName(LOCAL)], None, ""),
    "for clients only": (
        [x509.IPAddress(ipaddress.ip_address(LOCAL))],
        ExtendedKeyUsageOID.CLIENT_AUTH,
        "",
    ),
}


def make_context(leaf: trustme.LeafCert) -> ssl.SSLContext:
    """Make a server's context with that certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    leaf.configure_cert(context)
    return context


async def assert_refused(tls: ssl.SSLContext, detail: str, ca_file: Path) -> None:
    """Ask by GET and POST, and be told; not a byte of either arrives, and the other upstream is served."""

    async def serve(peer: Peer) -> None:
        while True:
            await peer.read_head()
            peer.send(build_answer(b"beside"))

    async with (
        scripted_upstream(serve) as good,
        staged(tls=tls, beside=good.port, outbound={"ca_file": str(ca_file)}) as stage,
    ):
        got = await ask(stage.proxy, build_request("/first"))
        posted = await ask(stage.proxy, build_request("/first", method="POST", body=b"hi"))
        beside = await ask(stage.proxy, build_request("/x").replace(b"/api/", b"/beside/"))
        exchanges = await stage.proxy.recorder.wait_exchanges(3)

        assert [(one.status, one.slug) for one in (got, posted)] == [(502, "upstream_tls")] * 2
        assert b"was not accepted: " in got.body
        assert detail.encode() in got.body
        assert [one.attempts[0].error for one in exchanges[:2]] == ["upstream_tls"] * 2
        assert [one.attempts[0].sent_at for one in exchanges[:2]] == [None] * 2
        assert stage.received == {}
        assert all(peer.received == b"" for peer in stage.proxy.upstream.peers)
        assert beside.body == b"beside"


@pytest.mark.parametrize(("issue", "detail"), ISSUED.values(), ids=ISSUED.keys())
async def test_a_certificate_that_does_not_hold(authority: trustme.CA, ca_file: Path, issue: Any, detail: str) -> None:
    """For an upstream that is an address."""
    await assert_refused(make_context(issue(authority)), detail, ca_file)


async def test_a_certificate_without_its_intermediate(authority: trustme.CA, ca_file: Path, tmp_path: Path) -> None:
    """What leads to the authority has to come with it: it is not fetched from anywhere."""
    leaf = authority.create_child_ca().issue_cert(LOCAL)
    file = tmp_path / "leaf.pem"
    file.write_bytes(leaf.private_key_pem.bytes() + leaf.cert_chain_pems[0].bytes())
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(str(file))

    await assert_refused(tls, "unable to get local issuer certificate", ca_file)


@pytest.mark.parametrize("issue", NAMED.values(), ids=NAMED.keys())
async def test_a_certificate_of_another_name(authority: trustme.CA, ca_file: Path, issue: Any) -> None:
    """For an upstream that is a name, wherever it is pinned to."""
    tls = make_context(issue(authority))
    async with staged(tls=tls, outbound={"ca_file": str(ca_file)}, name="api.rapidsos.example") as stage:
        reading = await ask(stage.proxy, build_request("/first", method="POST", body=b"hi"))

        assert (reading.status, reading.slug) == (502, "upstream_tls")
        assert b"Hostname mismatch" in reading.body
        assert all(peer.received == b"" for peer in stage.proxy.upstream.peers)


@pytest.mark.parametrize("name", ["api.rapidsos.example", "*.rapidsos.example", "API.RapidSOS.example"])
async def test_a_certificate_that_holds(authority: trustme.CA, ca_file: Path, name: str) -> None:
    """The counter-proof: the same upstream, pinned in the same way, with the right name."""
    tls = make_context(authority.issue_cert(name))
    async with staged(tls=tls, outbound={"ca_file": str(ca_file)}, name="api.rapidsos.example") as stage:
        reading = await ask(stage.proxy, build_request("/first", method="POST", body=b"hi"))

        assert (reading.status, reading.body) == (200, b"/first")


@pytest.mark.parametrize(("names", "usage", "detail"), SELF_SIGNED.values(), ids=SELF_SIGNED.keys())
async def test_a_certificate_that_vouches_for_itself(
    tmp_path: Path, ca_file: Path, names: Any, usage: Any, detail: str
) -> None:
    """Trusted by nobody in the first case; in the others trusted, and for something else."""
    own = make_self_signed(tmp_path, *names, usage=usage)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(own)
    await assert_refused(tls, detail, ca_file if detail else tmp_path / "own.pem")


HANDSHAKES = {
    "plain HTTP": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    "SSH": b"SSH-2.0-OpenSSH_9.9\r\n",
    "NUL": b"\x00" * 100,
    "noise": bytes(range(256)),
    "handshake_failure": b"\x15\x03\x03\x00\x02\x02\x28",
    "internal_error": b"\x15\x03\x03\x00\x02\x02\x50",
    "unrecognized_name": b"\x15\x03\x03\x00\x02\x02\x70",
    "close_notify": b"\x15\x03\x03\x00\x02\x01\x00",
    "data before the handshake": b"\x17\x03\x03\x00\x04evil",
    "half a record": b"\x16\x03\x03\x40\x00\x02",
    "a record too long": b"\x16\x03\x03\xff\xff" + b"\x02" * 100,
    "nothing": b"",
}


@pytest.mark.parametrize("data", HANDSHAKES.values(), ids=HANDSHAKES.keys())
async def test_a_handshake_that_goes_wrong(in_front_of: Any, data: bytes) -> None:
    """502 in words, nothing sent, nothing tried twice."""

    async def script(peer: Peer) -> None:
        await peer.read_exactly(5)
        peer.send(data)
        await peer.flush()

    async with scripted_upstream(script) as upstream:
        route = {"name": "api", "match": {"path": "/api/"}, "strip": "/api", "credential": "core"}
        url = f"https://127.0.0.1:{upstream.port}"
        async with in_front_of(script, route=[{**route, "upstream": url}]) as proxy:
            reading = await ask(proxy, build_request("/first", method="POST", body=b"hi"))
            [exchange] = await proxy.recorder.wait_exchanges(1)

        assert (reading.status, reading.slug) == (502, "upstream_tls")
        assert exchange.attempts[0].sent_at is None
        assert len(upstream.peers) == 1


@pytest.mark.parametrize(
    "sent", [b"", b"\x16\x03\x03", b"\x16\x03\x03\x00\x40\x02"], ids=["nothing", "header", "hello"]
)
async def test_a_handshake_that_hangs(in_front_of: Any, sent: bytes) -> None:
    """504 after its own time limit."""

    async def script(peer: Peer) -> None:
        await peer.read_exactly(5)
        peer.send(sent)
        await peer.wait_closed()

    async with scripted_upstream(script) as upstream:
        route = {"name": "api", "match": {"path": "/api/"}, "strip": "/api", "credential": "core"}
        url = f"https://127.0.0.1:{upstream.port}"
        async with in_front_of(script, route=[{**route, "upstream": url}], timeouts={"tls": 0.1}) as proxy:
            reading = await ask(proxy, build_request("/first"))
            await until(lambda: upstream.done == 1)

        assert (reading.status, reading.slug) == (504, "upstream_timeout")


HEAD = b"HTTP/1.1 200 OK\r\n"
CUT = {
    "length, whole": (HEAD + b"Content-Length: 4\r\n\r\ngood", True),
    "length, short": (HEAD + b"Content-Length: 5\r\n\r\ngood", False),
    "chunked, whole": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\n\r\n", True),
    "chunked, no last": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n", False),
    "until the close": (HEAD + b"\r\ngood", False),
    "half a head": (HEAD, False),
}


@pytest.mark.parametrize(("answer", "is_whole"), CUT.values(), ids=CUT.keys())
@pytest.mark.parametrize("how", ["FIN", "RST", "bytes that are no TLS", "a fatal alert in the clear"])
async def test_tls_that_ends_without_close_notify(
    server_tls: ssl.SSLContext, ca_file: Path, how: str, answer: bytes, *, is_whole: bool
) -> None:
    """RFC 8446, section 6.1: only what says itself that it is whole is; and nobody uses that connection again."""

    async def act(peer: Peer) -> Ending:
        peer.send(answer)
        await peer.flush()
        await asyncio.sleep(0)
        if how == "RST":
            return "resets"
        if how != "FIN":
            peer.send_in_the_clear(b"evil" * 10 if how == "bytes that are no TLS" else b"\x15\x03\x03\x00\x02\x02\x50")
        return "cuts"

    async with staged(tls=server_tls, outbound={"ca_file": str(ca_file)}) as stage:
        played = await stage.play(act, build_request("/first", method="POST", body=b"hi"))

        assert stage.received["/first"] == 1
        assert b"evil" not in played.first.raw
        came_through = played.record == ("ok", None)
        assert came_through == is_whole or how != "FIN"  # what comes with it may be lost by what breaks TLS
        if came_through:
            assert (played.first.body, played.first.is_whole) == (b"good", True)
            assert is_whole
        else:
            assert played.first.slug == "upstream_closed" or not played.first.is_whole
            assert played.record == ("upstream_failed", "upstream_closed")
        assert not played.was_reused

"""Faults on the way to a host, each made for real: the doctor names that link, whose it is, and no other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from harness.corporate import CorporateProxy
from harness.examination import HASTY, black_hole, diagnose
from harness.site import running_simulator
from harness.upstream import Peer, answering, scripted_upstream

from proxy.config.secret import Secret
from proxy.doctor.finding import Verdict

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

MACHINE, NETWORK, RAPIDSOS, CONFIGURATION = "this machine", "the centre's network", "RapidSOS", "the configuration"
SANDBOX = "https://api-sandbox.rapidsos.com"
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


async def say_nothing(peer: Peer) -> None:
    """Take the connection, and wait for its end."""
    await peer.wait_closed()


async def test_a_name_that_does_not_resolve(basic: dict[str, Any]) -> None:
    """All that hangs on it is skipped, and says why."""
    found = await diagnose("https://rapidsos.invalid", None, credential=basic)

    assert found.failed == [("dns", NETWORK)]
    assert found.labels(Verdict.SKIPPED) == ["tcp", "tls", "upstream core", "clock", "route api"]
    assert "not looked at, because dns (rapidsos.invalid:443) failed" in found.told("route api")
    assert "have the centre's DNS resolve rapidsos.invalid" in found.told("dns")
    assert found.conclusion.startswith("Broken: dns (rapidsos.invalid:443), in the centre's network. Next step: have ")
    assert found.exit_code == 1


async def test_a_name_that_leads_into_the_centres_own_network(basic: dict[str, Any], nobody: int) -> None:
    """The address is told, and not dialled; ``127.1`` needs no DNS to resolve."""
    found = await diagnose(f"https://127.1:{nobody}", None, credential=basic)

    assert found.failed == [("dns", NETWORK)]
    assert "127.1 resolves to 127.0.0.1" in found.told("dns")
    assert "DNS leads the name into this machine or network" in found.told("dns")


async def test_a_port_where_nothing_listens(nobody: int) -> None:
    """On this machine that is this machine's."""
    found = await diagnose(f"http://127.0.0.1:{nobody}", f"http://127.0.0.1:{nobody}/oauth/token")

    assert found.failed == [("tcp", MACHINE)]
    assert "refused" in found.told("tcp")
    assert f"start what should listen at 127.0.0.1:{nobody}" in found.told("tcp")
    assert found.exit_code == 1


async def test_a_firewall_that_drops_connections(basic: dict[str, Any]) -> None:
    """No answer at all is told from a refusal."""
    async with black_hole() as port:
        found = await diagnose(f"https://127.0.0.1:{port}", None, limits=HASTY, credential=basic)

    assert [label for label, _ in found.failed] == ["tcp"]
    assert "did not accept a connection within 0.3 s" in found.told("tcp")
    assert f"allow TCP {port} from this machine" in found.told("tcp")


async def test_a_firewall_that_drops_tls(basic: dict[str, Any]) -> None:
    """It lets TCP through, and then no TLS comes of it."""
    async with scripted_upstream(say_nothing) as upstream:
        found = await diagnose(f"https://127.0.0.1:{upstream.port}", None, limits=HASTY, credential=basic)

    assert found.failed == [("tls", NETWORK)]
    assert "the connection opens, and then no TLS comes of it" in found.told("tls")


async def test_plain_text_where_tls_should_be(basic: dict[str, Any]) -> None:
    """The port is that of http, or a firewall answers."""
    async with scripted_upstream(answer_anything) as upstream:
        found = await diagnose(f"https://127.0.0.1:{upstream.port}", None, credential=basic)

    assert found.failed == [("tls", NETWORK)]
    assert "answers in plain text, not in TLS" in found.told("tls")


async def answer_anything(peer: Peer) -> None:
    """Answer in plain HTTP whatever comes."""
    await peer.read_exactly(1)
    peer.send(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")


async def test_nothing_newer_than_tls_1_1(basic: dict[str, Any], old_tls: ssl.SSLContext, ca_file: Path) -> None:
    """The version offered is named."""
    async with scripted_upstream(answering(NOT_FOUND), tls=old_tls) as upstream:
        found = await diagnose(
            f"https://localhost:{upstream.port}", None, credential=basic, outbound={"ca_file": str(ca_file)}
        )

    assert found.failed == [("tls", NETWORK)]
    assert "no TLS 1.2 or newer" in found.told("tls")
    assert "offers TLSv1.1" in found.told("tls")


@pytest.mark.parametrize(
    ("certificate", "whose", "words"),
    [
        ("expired_tls", RAPIDSOS, "the certificate expired on 20"),
        ("future_tls", MACHINE, "the certificate begins on 20"),
        ("foreign_tls", NETWORK, "the certificate is for mail.elsewhere.example, not for localhost"),
    ],
)
async def test_a_certificate_that_is_not_good(
    request: pytest.FixtureRequest, basic: dict[str, Any], ca_file: Path, certificate: str, whose: str, words: str
) -> None:
    """What is wrong with it, and whose that is."""
    tls = request.getfixturevalue(certificate)
    async with scripted_upstream(answering(NOT_FOUND), tls=tls) as upstream:
        found = await diagnose(
            f"https://localhost:{upstream.port}", None, credential=basic, outbound={"ca_file": str(ca_file)}
        )

    assert found.failed == [("tls", whose)]
    assert words in found.told("tls")
    assert found.exit_code == 1


async def test_an_authority_that_nobody_trusts(basic: dict[str, Any], server_tls: ssl.SSLContext) -> None:
    """Its name is told, so that an inspecting firewall is recognised."""
    async with scripted_upstream(answering(NOT_FOUND), tls=server_tls) as upstream:
        found = await diagnose(f"https://localhost:{upstream.port}", None, credential=basic)

    assert found.failed == [("tls", NETWORK)]
    assert "signed by trustme v" in found.told("tls")
    assert "whom this machine does not trust" in found.told("tls")
    assert "name its CA certificate in outbound.ca_file" in found.told("tls")


async def test_a_certificate_that_ends_soon(basic: dict[str, Any], expiring_tls: ssl.SSLContext, ca_file: Path) -> None:
    """A warning: the link holds, and the exit code is 0."""
    async with scripted_upstream(answering(NOT_FOUND), tls=expiring_tls) as upstream:
        found = await diagnose(
            f"https://localhost:{upstream.port}", None, credential=basic, outbound={"ca_file": str(ca_file)}
        )

    assert found.failed == []
    assert found.labels(Verdict.WARNING) == ["tls"]
    assert "in 3 days" in found.told("tls")
    assert found.conclusion.endswith("; 1 warning, see above.")
    assert found.exit_code == 0


async def test_a_corporate_proxy_that_cannot_be_reached(basic: dict[str, Any], nobody: int) -> None:
    """It is named, and not RapidSOS."""
    found = await diagnose(SANDBOX, None, credential=basic, outbound={"proxy": f"http://127.0.0.1:{nobody}"})

    assert found.failed == [("tcp", NETWORK)]
    assert found.entries[5].group == f"Corporate proxy http://127.0.0.1:{nobody}"
    assert found.told("tcp").startswith("the corporate proxy: ")
    assert found.labels(Verdict.SKIPPED) == ["tunnel", "tls", "upstream core", "clock", "route api"]


@pytest.mark.parametrize(
    ("answer", "whose", "fix"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", CONFIGURATION, "outbound.username"),
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", NETWORK, "allow CONNECT to api-sandbox.rapidsos.com"),
    ],
)
async def test_a_corporate_proxy_that_refuses(basic: dict[str, Any], answer: bytes, whose: str, fix: str) -> None:
    """A login that it wants is told from a host that it forbids."""
    async with CorporateProxy(0, answer).serve() as port:
        found = await diagnose(SANDBOX, None, credential=basic, outbound={"proxy": f"http://127.0.0.1:{port}"})

    assert found.failed == [("tunnel", whose)]
    assert fix in found.told("tunnel")
    assert found.exit_code == 1


async def test_every_link_through_a_corporate_proxy(server_tls: ssl.SSLContext, ca_file: Path) -> None:
    """Token and question go through tunnels, and TLS is RapidSOS's own."""
    async with running_simulator(server_tls) as simulator, CorporateProxy(simulator.port).serve() as port:
        outbound = {"proxy": f"http://127.0.0.1:{port}", "ca_file": str(ca_file)}
        found = await diagnose(SANDBOX, f"{SANDBOX}/oauth/token", outbound=outbound)

    assert set(found.labels(Verdict.OK)) >= {"dns", "tcp", "tunnel", "tls", "grant core", "upstream core", "route api"}
    assert found.conclusion == "Every link holds."
    assert found.exit_code == 0


async def test_a_key_of_another_environment(server_tls: ssl.SSLContext, ca_file: Path) -> None:
    """The token server knows no such key; the words say of which environment it must be."""
    async with running_simulator(server_tls) as simulator, CorporateProxy(simulator.port).serve() as port:
        outbound = {"proxy": f"http://127.0.0.1:{port}", "ca_file": str(ca_file)}
        keys = {"client_id": Secret("production-client", "test"), "client_secret": Secret("production-secret", "test")}
        found = await diagnose(SANDBOX, f"{SANDBOX}/oauth/token", credential=keys, outbound=outbound)

    assert found.failed == [("grant core", CONFIGURATION)]
    assert "they must be those of the sandbox environment" in found.told("grant core")
    assert "production-client" not in found.told("grant core")


async def test_addresses_stand_beside_what_dns_says(server_tls: ssl.SSLContext, ca_file: Path) -> None:
    """So that one that is out of date is seen; token calls, which have none, take a way of their own."""
    async with running_simulator(server_tls) as simulator:
        pinned = f"127.0.0.1:{simulator.port}"
        found = await diagnose(
            "https://localhost:1",
            f"https://127.0.0.1:{simulator.port}/oauth/token",
            route={"addresses": [pinned]},
            outbound={"ca_file": str(ca_file)},
        )

    told = [entry.finding.words for entry in found.entries if entry.group == f"localhost:1 at {pinned}"]
    assert found.exit_code == 0
    assert told[0].startswith(f"not asked, since addresses says {pinned}; DNS says ")
    assert "127.0.0.1" in told[0].partition("DNS says")[2]

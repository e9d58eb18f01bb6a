"""Each way in with each kind of credential, over TLS: one valid credential, the same bytes, a whole record."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import encode_basic_auth
from harness.clients import LOGIN
from harness.records import check_answered, read_records
from harness.running import RawClient, running_proxy
from harness.site import CORE, WAYS, Way, build_site_document, running_simulator

from proxy.config.secret import Secret
from proxy.simulator.settings import SimulatorSettings
from proxy.simulator.world import SEEDED_CALLER
from proxy.tokens.token import fingerprint

if TYPE_CHECKING:
    from pathlib import Path

    import trustme

    from proxy.simulator.server import Simulator

KNOWN = SimulatorSettings()
CLIENT = {"client_id": Secret(KNOWN.client_id, "test"), "client_secret": KNOWN.client_secret}
HELD = (
    b'<locationRequest xmlns="urn:ietf:params:xml:ns:geopriv:held">'
    b'<device xmlns="urn:ietf:params:xml:ns:geopriv:held:id"><uri>tel:+%s</uri></device></locationRequest>'
) % SEEDED_CALLER.encode()
DATE = re.compile(rb"\r\nDate: [^\r]+")


@dataclass(frozen=True, slots=True)
class Case:
    """A kind of credential, and a request that RapidSOS wants it for.

    Attributes:
        token_path: None for a credential that is sent itself.
        secrets: What may stand in no record.
    """

    credential: dict[str, Any]
    token_path: str | None
    secrets: tuple[str, ...]
    method: str = "GET"
    path: str = f"/v1/location?caller_id={SEEDED_CALLER}&x=%2F+"
    body: bytes = b""


CASES = {
    "client_credentials": Case(
        {"grant": "client_credentials", **CLIENT}, "/oauth/token", (KNOWN.client_secret.reveal(),)
    ),
    "password": Case(
        {
            "grant": "password",
            **CLIENT,
            "username": Secret(KNOWN.username, "test"),
            "password": KNOWN.password,
        },
        "/oauth/v2/token",
        (KNOWN.client_secret.reveal(), KNOWN.password.reveal()),
    ),
    "basic": Case(
        {
            "grant": "basic",
            "username": Secret(KNOWN.basic_username, "test"),
            "password": KNOWN.basic_password,
        },
        None,
        (
            KNOWN.basic_password.reveal(),
            encode_basic_auth(KNOWN.basic_username, KNOWN.basic_password.reveal()).removeprefix("Basic "),
        ),
        method="POST",
        path="/v1/lis",
        body=HELD,
    ),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("grant", CASES)
async def test_request_goes_in_plain_and_on_with_a_credential(
    grant: str, way: str, server_tls: ssl.SSLContext, authority: trustme.CA, ca_file: Path, tmp_path: Path
) -> None:
    """The upstream sees exactly one valid credential, the client what RapidSOS answers, and the log the whole of it."""
    case, log = CASES[grant], tmp_path / "traffic.jsonl"
    async with running_simulator(server_tls) as simulator:
        document = build_document(case, simulator, ca_file, log)
        async with running_proxy(document) as proxy:
            client = await proxy.connect()
            client.send(build_request(case, Way(way, proxy.port)))
            relayed = await client.read_answer()
        [record] = read_records(log)
        [seen] = simulator.requests
        [sent] = seen.values("authorization")
        direct = await ask_directly(simulator, case, sent, authority)

        assert (seen.method, seen.raw_path, seen.body) == (case.method, case.path, case.body)
        assert seen.values("host") == [CORE]
        assert seen.authorized
        assert without_via(relayed[0]) == DATE.sub(b"", direct[0])
        assert relayed[1] == direct[1]
        check_record(record, case, Way(way, proxy.port), relayed[1], sent)
        check_log(log.read_text(), case, simulator, sent)


def build_document(case: Case, simulator: Simulator, ca_file: Path, log: Path) -> dict[str, Any]:
    """Configure a proxy in front of the simulator with the case's credential."""
    where = {} if case.token_path is None else {"token_url": f"{simulator.url}{case.token_path}"}
    return build_site_document(
        {CORE: simulator.port},
        "",
        credential={"core": {**case.credential, **where}},
        outbound={"ca_file": str(ca_file)},
        traffic_log={"path": str(log)},
    )


def build_request(case: Case, way: Way) -> bytes:
    """Write the request as a client would that was pointed at the proxy, and thinks that it has to log in."""
    target, host = way.target(CORE, case.path), way.host_field(CORE)
    fields = f"Host: {host}\r\nAuthorization: {LOGIN}\r\nContent-Length: {len(case.body)}\r\n"
    return f"{case.method} {target} HTTP/1.1\r\n{fields}\r\n".encode() + case.body


async def ask_directly(simulator: Simulator, case: Case, authorization: str, authority: trustme.CA) -> Any:
    """Send the request without the proxy, with the credential that the proxy used; return head and body."""
    tls = ssl.create_default_context()
    authority.configure_trust(tls)
    reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port, ssl=tls, server_hostname=CORE)
    client = RawClient(reader, writer)
    fields = f"Host: {CORE}\r\nAuthorization: {authorization}\r\nContent-Length: {len(case.body)}\r\n"
    client.send(f"{case.method} {case.path} HTTP/1.1\r\n{fields}\r\n".encode() + case.body)
    answer = await client.read_answer()
    client.close()
    await writer.wait_closed()
    return answer


def without_via(head: bytes) -> bytes:
    """Return a relayed head without what the proxy added, and without Date, which may have moved on."""
    head, count = re.subn(rb"\r\nVia: 1\.1 rapidsos-proxy-[0-9a-f]+", b"", DATE.sub(b"", head))

    assert count == 1
    return head


def check_record(record: dict[str, Any], case: Case, way: Way, answer: bytes, sent: str) -> None:
    """Assert that the exchange's record tells all of it, with the token and without the credential."""
    check_answered(record)
    [attempt] = record["attempts"]
    scheme, _, credentials = sent.partition(" ")
    by_host = way.target(CORE, "") != "/core"

    assert (record["listener"], record["client"], record["credential"]) == ("cad", "127.0.0.1", "core")
    assert record["route"] == ("core-host" if by_host else "core")
    assert (record["request"]["method"], record["request"]["target"]) == (case.method, way.target(CORE, case.path))
    assert (record["request"]["body"], record["response"]["body"]) == (case.body.decode(), answer.decode())
    assert (record["response"]["status"], attempt["status"], attempt["reused"]) == (200, 200, False)
    assert attempt["url"] == f"https://{CORE}{case.path}"
    assert attempt["timing_ms"]["tls"] > 0
    if case.token_path is None:
        assert (scheme, attempt["token"], record["token_expires_in_s"]) == ("Basic", None, None)
    else:
        assert (scheme, attempt["token"]) == ("Bearer", fingerprint(credentials))
        assert 0 < record["token_expires_in_s"] <= KNOWN.token_life_s


def check_log(log: str, case: Case, simulator: Simulator, sent: str) -> None:
    """Assert that the log has the token call as well, that the token is one the simulator gave, and no secret."""
    calls = [record for record in map(json.loads, log.splitlines()) if record["event"] == "token.fetched"]

    assert not [secret for secret in (*case.secrets, LOGIN) if secret in log]
    if case.token_path is None:
        assert not calls
        return
    [token] = simulator.tokens
    [call] = calls
    assert sent == f"Bearer {token.value}"
    assert (call["outcome"], call["grant"], call["token"]) == ("ok", case.credential["grant"], token.fingerprint)
    assert call["token_url"] == f"{simulator.url}{case.token_path}"
    assert sent in log

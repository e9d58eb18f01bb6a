"""Defects of other proxies that show on a socket; all of them stand in tests/unit/tokens/test_peer_defects.py."""

from __future__ import annotations

from typing import Any

import pytest
from harness.running import build_document, running_proxy

from proxy.simulator.faults import Fault
from proxy.simulator.server import Simulator
from proxy.simulator.settings import SimulatorSettings

GET = b"GET /api/v1/echo HTTP/1.1\r\nHost: proxy\r\n\r\n"
IMPATIENT = {"token_wait": 0.1}
FAILURES = [
    Fault(where="token", kind="status"),
    Fault(where="token", kind="empty"),
    Fault(where="token", kind="html"),
    Fault(where="token", kind="reset"),
    Fault(where="token", kind="unauthorized"),
]


def document(simulator: Simulator, **sections: Any) -> dict[str, Any]:
    """Describe a proxy in front of a simulator."""
    return build_document(simulator.url, f"{simulator.url}/oauth/token", **sections)


@pytest.mark.parametrize("fault", FAILURES, ids=lambda fault: fault.kind)
async def test_peer_defect_04_token_failure_becomes_empty_200(simulator: Simulator, fault: Fault) -> None:
    """Dapr: "token failure becomes empty 200": it becomes 503, and a document that says whose fault it was."""
    simulator.faults.add(fault)
    async with running_proxy(document(simulator, timeouts=IMPATIENT)) as proxy:
        answer = await proxy.talk(GET)

        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"error:no_token" in body
        assert b"authorization server" in body


@pytest.mark.parametrize("fault", FAILURES, ids=lambda fault: fault.kind)
async def test_peer_defect_05_token_failure_forwards_unauthenticated(simulator: Simulator, fault: Fault) -> None:
    """Cloud-run-proxy, iron-proxy, Duende: "token failure forwards unauthenticated": the upstream hears nothing."""
    simulator.faults.add(fault)
    async with running_proxy(document(simulator, timeouts=IMPATIENT)) as proxy:
        await proxy.talk(GET)
        await proxy.talk(GET.replace(b"\r\n\r\n", b"\r\nAuthorization: Bearer of-the-client\r\n\r\n"))

        assert simulator.requests.total == 0
        assert simulator.unfinished.total == 0


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_peer_defect_08_body_consumed_retry_sends_nothing(simulator: Simulator, *, is_chunked: bool) -> None:
    """Kontext, token-refresher, sigv4: "body consumed, retry sends nothing or 502": it goes again, whole."""
    body = b"<smoke>" * 1000
    framing = b"Transfer-Encoding: chunked" if is_chunked else b"Content-Length: %d" % len(body)
    sent = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if is_chunked else body
    async with running_proxy(document(simulator)) as proxy:
        simulator.tokens.revoke_all()
        answer = await proxy.talk(b"POST /api/v1/echo HTTP/1.1\r\nHost: proxy\r\n" + framing + b"\r\n\r\n" + sent)

        assert answer.startswith(b"HTTP/1.1 200 ")
        assert [(seen.authorized, seen.body) for seen in simulator.requests] == [(False, body), (True, body)]


async def test_peer_defect_14_revoked_token_until_natural_expiry(simulator: Simulator) -> None:
    """Vault, WSO2: "revoked token: hang, 500 or 403 until natural expiry": not even the first request fails."""
    async with running_proxy(document(simulator)) as proxy:
        simulator.tokens.revoke_all()
        answers = [await proxy.talk(GET) for _ in range(3)]

        assert [answer.split()[1] for answer in answers] == [b"200"] * 3
        assert [seen.authorized for seen in simulator.requests] == [False, True, True, True]


async def test_peer_defect_21_cannot_start_while_token_server_is_down(simulator: Simulator) -> None:
    """Vault, token-refresher: "cannot start while token server or discovery is down": it starts, and then serves."""
    settings = document(simulator, timeouts=IMPATIENT)
    simulator.faults.add(Fault(where="token", kind="reset"))
    async with running_proxy(settings) as proxy:
        refused = await proxy.talk(GET)
        simulator.faults.clear()
        while (await proxy.recorder.wait_fetches(len(proxy.recorder.fetches) + 1))[-1].outcome != "ok":
            pass
        served = await proxy.talk(GET)

        assert refused.startswith(b"HTTP/1.1 503 ")
        assert served.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("client_auth", ["body", "basic"])
async def test_peer_defect_25_both_basic_and_body_credentials_sent(client_auth: str) -> None:
    """Lakeflow: "both Basic header and body credentials sent, strict server rejects": a strict one takes either."""
    strict = Simulator(SimulatorSettings(client_auth=client_auth, token_body="strict_form"))
    await strict.start()
    try:
        settings = document(strict)
        settings["credential"]["core"]["client_auth"] = client_auth
        async with running_proxy(settings) as proxy:
            answer = await proxy.talk(GET)

            assert answer.startswith(b"HTTP/1.1 200 ")
            assert [fetch.outcome for fetch in proxy.recorder.fetches] == ["ok"]
    finally:
        await strict.stop()

"""The way out through a centre's own HTTP proxy: a tunnel, and TLS to RapidSOS inside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from harness.corporate import CorporateProxy
from harness.running import build_document, running_proxy
from harness.upstream import answering, scripted_upstream

from proxy.config.secret import Secret

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

GET = b"GET /api/x HTTP/1.1\r\nHost: proxy\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def describe(port: int, ca_file: Path) -> dict[str, object]:
    """Describe a proxy whose route leads to RapidSOS through the corporate proxy on ``port``."""
    basic = {"grant": "basic", "username": Secret("lis", "test"), "password": Secret("lis-password", "test")}
    login = {"username": Secret("centre", "test"), "password": Secret("centre-password", "test")}
    outbound = {"proxy": f"http://127.0.0.1:{port}", "ca_file": str(ca_file), **login}
    return build_document("https://api-sandbox.rapidsos.com", "", credential={"core": basic}, outbound=outbound)


async def test_requests_go_through_a_tunnel(server_tls: ssl.SSLContext, ca_file: Path) -> None:
    """One tunnel with the login, TLS verified end to end, the name left for the corporate proxy to resolve."""
    async with scripted_upstream(answering(OK), tls=server_tls) as upstream:
        corporate = CorporateProxy(upstream.port)
        async with corporate.serve() as port, running_proxy(describe(port, ca_file)) as proxy:
            answers = [await proxy.talk(GET) for _ in range(2)]

            assert all(answer.endswith(b"\r\n\r\nok") for answer in answers)
            assert corporate.heads == [
                (
                    b"CONNECT api-sandbox.rapidsos.com:443 HTTP/1.1\r\nHost: api-sandbox.rapidsos.com:443\r\n"
                    b"Proxy-Authorization: Basic Y2VudHJlOmNlbnRyZS1wYXNzd29yZA==\r\n\r\n"
                )
            ]
            assert b"Host: api-sandbox.rapidsos.com\r\n" in upstream.peers[0].received
            assert b"centre" not in upstream.peers[0].received


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", b"it said 407); check outbound.username"),
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", b"it said 403)"),
        (b"HTTP/1.1 200 OK\r\n\r\nextra", b"refused a tunnel"),
        (b"", b"it said nothing)"),
    ],
)
async def test_a_tunnel_refused_is_told_as_such(ca_file: Path, answer: bytes, detail: bytes) -> None:
    """The operator learns that it was the corporate proxy, and not RapidSOS."""
    async with CorporateProxy(0, answer).serve() as port, running_proxy(describe(port, ca_file)) as proxy:
        got = await proxy.talk(GET)

        assert got.startswith(b"HTTP/1.1 502 ")
        assert b"the corporate proxy refused a tunnel to api-sandbox.rapidsos.com:443" in got
        assert detail in got

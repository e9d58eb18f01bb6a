"""The way out through a centre's own HTTP proxy: a tunnel, and TLS to RapidSOS inside it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest
from harness.running import build_document, running_proxy
from harness.upstream import answering, scripted_upstream

from proxy.config.secret import Secret

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator
    from pathlib import Path

GET = b"GET /api/x HTTP/1.1\r\nHost: proxy\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class CorporateProxy:
    """A proxy that opens tunnels, all of them to one port of this machine.

    Attributes:
        heads: What it was asked.
    """

    def __init__(self, target: int, answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n") -> None:
        """Lead to ``target``, after ``answer``."""
        self.heads: list[bytes] = []
        self._target = target
        self._answer = answer

    @contextlib.asynccontextmanager
    async def serve(self) -> AsyncIterator[int]:
        """Serve for the length of a block; yield the port."""
        server = await asyncio.start_server(self._tunnel, "127.0.0.1", 0)
        yield server.sockets[0].getsockname()[1]
        server.close()

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(self._answer)
        if b" 200 " not in self._answer:
            writer.close()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
    writer.close()


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

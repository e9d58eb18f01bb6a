"""HAProxy as the upstream: a strict parser, used by many a gateway, says how it reads what the proxy sends."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from aiohttp import encode_basic_auth
from harness.haproxy import running_haproxy
from harness.running import build_document, running_proxy
from harness.site import EDX

from proxy.config.secret import Secret

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from harness.running import RunningProxy

BODY = bytes(range(256)) * 16


@pytest.fixture
async def readings(certificate: Path, ca_file: Path, tmp_path: Path) -> AsyncIterator[RunningProxy]:
    """Run a proxy in front of HAProxy, with a Basic credential."""
    async with running_haproxy(tmp_path, certificate) as port:
        credential = {"grant": "basic", "username": Secret("user", "test"), "password": Secret("a-password", "test")}
        route = {"name": "edx", "upstream": f"https://{EDX}", "addresses": [f"127.0.0.1:{port}"], "credential": "core"}
        document = build_document(
            "", "", credential={"core": credential}, route=[route], outbound={"ca_file": str(ca_file)}
        )
        async with running_proxy(document) as proxy:
            yield proxy


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(b"", id="plain"),
        pytest.param(
            b"Authorization: Bearer a\r\nauthorization: Basic b\r\nConnection: Authorization\r\n", id="logins"
        ),
        pytest.param(
            b"X-Empty:\r\nX-Latin: \xe9\r\nTE: trailers\r\nUpgrade: h2c\r\nConnection: upgrade, te\r\n", id="odd"
        ),
    ],
)
@pytest.mark.parametrize("framing", ["none", "length", "chunked"])
async def test_haproxy_reads_what_was_meant(readings: RunningProxy, framing: str, fields: bytes) -> None:
    """One Authorization, the path's bytes, and the body's, however the client framed and decorated its request."""
    bodies = {
        "none": b"\r\n",
        "length": b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY,
        "chunked": b"Transfer-Encoding: chunked\r\n\r\n5;x=y\r\n"
        + BODY[:5]
        + b"\r\nffb\r\n"
        + BODY[5:]
        + b"\r\n0\r\n\r\n",
    }
    body = b"" if framing == "none" else BODY
    answer = await readings.talk(b"PUT /a%2Fb//c?x=1&x=2 HTTP/1.1\r\nHost: proxy\r\n" + fields + bodies[framing])

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.partition(b"\r\n\r\n")[2].decode().splitlines() == [
        "PUT /a%2Fb//c?x=1&x=2",
        f"1.1 {EDX} {EDX}",
        f"{len(body)} {hashlib.sha256(body).hexdigest()}",
        f"1 {encode_basic_auth('user', 'a-password')}",
    ]

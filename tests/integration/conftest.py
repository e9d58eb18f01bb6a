"""Fixtures that integration tests share: certificates, a simulator, a plain proxy in front of a script."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trustme
import uvloop
from harness.running import RunningProxy, build_document, running_proxy
from harness.upstream import Peer, scripted_upstream

from proxy.config.secret import Secret
from proxy.simulator.server import Simulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """Return a certificate authority that only these tests trust."""
    return trustme.CA()


@pytest.fixture(scope="session")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return its certificate as a file, for outbound.ca_file."""
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture(scope="session")
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    """Return a server's context with a good certificate for RapidSOS's names and for 127.0.0.1."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(
        "api-sandbox.rapidsos.com", "edx-sandbox.rapidsos.com", "localhost", "127.0.0.1"
    ).configure_cert(context)
    return context


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """Run a simulated RapidSOS over plain HTTP."""
    simulator = Simulator()
    await simulator.start()
    yield simulator
    await simulator.stop()


@pytest.fixture
async def proxy(simulator: Simulator) -> AsyncIterator[RunningProxy]:
    """Run a proxy whose route /api/ leads to the simulator."""
    async with running_proxy(build_document(simulator.url, f"{simulator.url}/oauth/token")) as running:
        yield running


@pytest.fixture
def in_front_of() -> Any:
    """Return what runs a proxy in front of scripts, with a Basic credential, so that no token server is needed."""

    @asynccontextmanager
    async def run(
        *scripts: Callable[[Peer], Awaitable[None]],
        tls: ssl.SSLContext | None = None,
        complete: Callable[[dict[str, Any]], dict[str, Any]] = lambda document: document,
        **sections: Any,
    ) -> AsyncIterator[RunningProxy]:
        async with scripted_upstream(*scripts, tls=tls) as upstream:
            scheme = "http" if tls is None else "https"
            document = build_document(f"{scheme}://127.0.0.1:{upstream.port}", "", **sections)
            if "credential" not in sections:
                document["credential"] = {
                    "core": {
                        "grant": "basic",
                        "username": Secret("user", "test"),
                        "password": Secret("a-basic-password", "test"),
                    }
                }
            async with running_proxy(complete(document)) as running:
                running.upstream = upstream
                yield running

    return run


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run each integration test on both loops: uvloop is what serves, asyncio's own what Windows has."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}

"""A simulator on a real socket, and a client that adds nothing of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
import pytest

from proxy.simulator.server import Simulator
from proxy.simulator.settings import SimulatorSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

FORM = {"grant_type": "client_credentials", "client_id": "simulator-client", "client_secret": "simulator-secret"}


@pytest.fixture
async def start(clock) -> AsyncIterator:
    """Return a function that starts a simulator with the settings given."""
    started = []

    async def start(world=None, ssl_context=None, **settings) -> Simulator:
        simulator = Simulator(SimulatorSettings(**settings), clock=clock, world=world)
        await simulator.start("127.0.0.1", 0, ssl_context)
        started.append(simulator)
        return simulator

    yield start
    for simulator in started:
        await simulator.stop()


@pytest.fixture
async def simulator(start) -> Simulator:
    """Return a simulator with the default settings."""
    return await start()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """Return a client that neither unpacks nor follows, and opens a connection for each request."""
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
        yield session


@pytest.fixture
async def token(simulator, session) -> str:
    """Return a live token of ``simulator``."""
    async with session.post(f"{simulator.url}/oauth/token", data=FORM) as response:
        return (await response.json())["access_token"]


@pytest.fixture
async def call(simulator, session, token):
    """Return a function that calls ``simulator`` with a live token and gives status and JSON."""

    async def call(method, path, *, bearer=token, **options):
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        headers |= options.pop("headers", {})
        url = aiohttp.client.URL(simulator.url + path, encoded=True)
        async with session.request(method, url, headers=headers, allow_redirects=False, **options) as response:
            return response.status, await response.json(content_type=None)

    return call

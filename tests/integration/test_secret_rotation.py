"""A client secret is changed while requests go on: none fails, one token call has the new one, nothing shows either.

The program runs as an operator runs it, from a file, against a simulated RapidSOS on real sockets.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from harness.canaries import Canary, Search
from harness.echo import echo
from harness.keyring_file import FILE, FileKeyring
from harness.program import SOURCES, Program, build_toml, running_program
from harness.running import build_document as build_plain_document
from harness.running import until
from harness.upstream import scripted_upstream

from proxy.config.models import Config
from proxy.config.places import File
from proxy.config.secret import Secret
from proxy.http.basic import build_basic
from proxy.service import Service
from proxy.simulator.server import Simulator
from proxy.simulator.settings import SimulatorSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from pathlib import Path

# The program chooses its own loop.
pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])

OLD = Canary("the old secret", "oL3dK7vQ2mXw/\\+%&=P4tZ9nHb")
NEW = Canary("the new secret", 'nE8wT5hYc1Rj"\\%+/&=G6sLq2Df')
BOTH = (OLD, NEW)
GET = b"GET /v1/echo HTTP/1.1\r\nHost: proxy\r\n\r\n"
PLANTED = (
    b"GET /v1/echo?new=" + NEW.value.encode().hex().encode() + b" HTTP/1.1\r\nHost: proxy\r\n"
    b"X-Old: " + OLD.value.encode() + b"\r\nX-New: " + NEW.value.encode() + b"\r\n\r\n"
)
ADMIN_PASSWORD = "an-admin-password"
SHORT_LIFE_S = 4.0
"""Of a token whose refresh, at half of it, a test waits for."""


def write_secret(path: Path, canary: Canary) -> None:
    """Put a secret file in the place of the one before."""
    beside = path.with_name("beside")
    beside.write_text(canary.value + "\n")
    beside.chmod(0o600)
    beside.replace(path)


@dataclass
class Site:
    """A program in front of a simulator, and a client that asks without a pause.

    Attributes:
        statuses: What the client was answered.
        directory: Where configuration, secret and log are.
        told: What the admin listener has answered.
        is_over: Whether the client is to stop.
    """

    simulator: Simulator
    program: Program
    directory: Path
    statuses: list[bytes] = field(default_factory=list)
    told: list[bytes] = field(default_factory=list)
    is_over: bool = False

    @property
    def secret(self) -> Path:
        """The secret file."""
        return self.directory / "client-secret"

    def change_secret_at_rapidsos(self) -> None:
        """From now on the old one is refused."""
        self.simulator.tokens.change_client_secret(Secret(NEW.value, "test"))

    @property
    def token_calls(self) -> int:
        """How many token calls there were so far."""
        return self.simulator.token_requests.total

    async def ask(self, request: bytes = GET) -> bytes:
        """Send one request; return the status."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.program.ports["cad"])
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()
        return head.split()[1]

    async def ask_on_and_on(self) -> None:
        """Send requests until told that it is over."""
        while not self.is_over:
            self.statuses.append(await self.ask())
            await asyncio.sleep(0.002)  # there is one machine for all

    async def wait_asked(self, count: int) -> None:
        """Wait until so many more requests were answered."""
        target = len(self.statuses) + count
        await until(lambda: len(self.statuses) >= target)

    def token_statuses(self) -> list[int]:
        """Return what each token call was answered, by the traffic log of a program that has ended."""
        records = map(json.loads, (self.directory / "traffic.jsonl").read_text().splitlines())
        return [record["status"] for record in records if record["event"] == "token.fetched"]

    def leaks(self) -> list[Any]:
        """Return where a secret stands in what the program has written or answered."""
        written = self.program.stdout + self.program.stderr + (self.directory / "traffic.jsonl").read_bytes()
        return Search(BOTH).find(written + b"".join(self.told))

    async def ask_admin(self) -> None:
        """Ask for all that the admin listener tells."""
        login = {"Authorization": build_basic("admin", ADMIN_PASSWORD)}
        async with aiohttp.ClientSession(f"http://127.0.0.1:{self.program.admin_port}", headers=login) as session:
            for path in ("/ready", "/metrics", "/api/tokens"):
                async with session.get(path) as answer:
                    assert answer.status == 200
                    self.told.append(await answer.read())

    def events(self) -> list[dict[str, Any]]:
        """Return the events of the operational log."""
        lines = self.program.stderr.decode().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]


def build_document(simulator: Simulator, source: dict[str, Any]) -> dict[str, Any]:
    """Describe a proxy in front of a simulator, whose client secret comes from ``source``."""
    return {
        "listener": [{"name": "cad", "bind": "127.0.0.1:0"}],
        "credential": {
            "core": {
                "grant": "client_credentials",
                "token_url": f"{simulator.url}/oauth/token",
                "client_id": "simulator-client",
                "client_secret": source,
            }
        },
        "route": [{"name": "all", "upstream": simulator.url, "credential": "core"}],
        "traffic_log": {"path": "traffic.jsonl"},
        "admin": {"bind": "127.0.0.1:0", "password": {"env": "ADMIN_PASSWORD"}},
    }


@asynccontextmanager
async def running_site(
    directory: Path, source: dict[str, Any], *, life_s: float = 3600.0, **environ: str
) -> AsyncIterator[Site]:
    """Run a site for the length of a block, its client asking all the time."""
    environ = {**environ, "ADMIN_PASSWORD": ADMIN_PASSWORD}
    simulator = Simulator(SimulatorSettings(client_secret=Secret(OLD.value, "test"), token_life_s=life_s))
    write_secret(directory / "client-secret", OLD)
    await simulator.start()
    config = directory / "proxy.toml"
    config.write_text(build_toml(build_document(simulator, source)))
    try:
        async with running_program("serve", "--verbose", "--config", str(config), **environ) as program:
            await program.wait_started()
            site = Site(simulator, program, directory)
            async with asyncio.TaskGroup() as client:
                client.create_task(site.ask_on_and_on())
                await site.wait_asked(10)
                yield site
                await site.wait_asked(10)
                await site.ask_admin()
                site.is_over = True
            assert await program.stop() == 0
    finally:
        await simulator.stop()


async def test_a_changed_secret_file_costs_no_request(tmp_path: Path) -> None:
    """The file changes, RapidSOS refuses the old secret: the next refresh has the new one, and it is the only call."""
    async with running_site(tmp_path, {"file": "client-secret"}, life_s=SHORT_LIFE_S) as site:
        write_secret(site.secret, NEW)
        await site.program.wait_said(b'"event":"secret.changed"')
        calls = site.token_calls
        site.change_secret_at_rapidsos()
        await until(lambda: site.token_calls > calls)
        assert await site.ask(PLANTED) == b"200"

    assert set(site.token_statuses()) == {200}
    assert set(site.statuses) == {b"200"}
    assert site.leaks() == []
    assert [event["used"] for event in site.events() if event["event"] == "secret.changed"] == ["from the next call on"]


async def test_a_secret_that_was_refused_is_replaced_at_once(tmp_path: Path) -> None:
    """RapidSOS is first: its refusal is an alarm, the token in hand serves, and the new file ends it with one call."""
    async with running_site(tmp_path, {"file": "client-secret"}, life_s=10.0) as site:
        site.change_secret_at_rapidsos()
        await site.program.wait_said(b'"event":"token.refused"')
        write_secret(site.secret, NEW)
        await site.program.wait_said(b'"event":"token.recovered"')
        assert await site.ask(PLANTED) == b"200"

    assert site.token_statuses() == [200, 401, 200]
    assert set(site.statuses) == {b"200"}
    assert site.leaks() == []


async def test_half_a_file_is_never_sent(tmp_path: Path) -> None:
    """An editor that truncates first and takes its time: the old secret serves, and it is told once."""
    async with running_site(tmp_path, {"file": "client-secret"}) as site:
        site.secret.write_text("")
        await site.program.wait_said(b'"event":"secret.unreadable"')
        await site.wait_asked(10)
        site.change_secret_at_rapidsos()
        site.secret.write_text(NEW.value + "\n")
        await site.program.wait_said(b'"event":"secret.changed"')
        site.simulator.tokens.revoke_all()
        assert await site.ask(PLANTED) == b"200"

    assert site.token_statuses() == [200, 200]
    assert set(site.statuses) == {b"200"}
    assert site.leaks() == []
    names = [event["event"] for event in site.events() if event["event"].startswith("secret.")]
    assert names == ["secret.unreadable", "secret.recovered", "secret.changed"]


async def test_a_command_is_asked_again_when_its_secret_is_refused(tmp_path: Path) -> None:
    """Without a restart, and without a request that fails."""
    code = f"print(open({str(tmp_path / 'client-secret')!r}).read(), end='')"
    async with running_site(tmp_path, {"command": [sys.executable, "-c", code]}, life_s=10.0) as site:
        write_secret(site.secret, NEW)
        site.change_secret_at_rapidsos()
        await site.program.wait_said(b'"event":"token.recovered"')
        assert await site.ask(PLANTED) == b"200"

    assert site.token_statuses() == [200, 401, 200]
    assert set(site.statuses) == {b"200"}
    assert site.leaks() == []


async def test_the_keyring_is_asked_again_when_its_secret_is_refused(tmp_path: Path) -> None:
    """As a command is."""
    keyring = FileKeyring(tmp_path / "keyring.json")
    keyring.set_password("rapidsos", "core", OLD.value)
    source = {"keyring": {"service": "rapidsos", "username": "core"}}
    environ = {
        FILE: str(tmp_path / "keyring.json"),
        "PYTHONPATH": os.pathsep.join((str(SOURCES), str(SOURCES / "tests"))),
        "PYTHON_KEYRING_BACKEND": "harness.keyring_file.FileKeyring",
    }
    async with running_site(tmp_path, source, life_s=10.0, **environ) as site:
        keyring.set_password("rapidsos", "core", NEW.value)
        site.change_secret_at_rapidsos()
        await site.program.wait_said(b'"event":"token.recovered"')
        assert await site.ask(PLANTED) == b"200"

    assert site.token_statuses() == [200, 401, 200]
    assert set(site.statuses) == {b"200"}
    assert site.leaks() == []


async def test_a_basic_login_is_hidden_first_and_then_used_at_once(tmp_path: Path) -> None:
    """When the masks are told of the new password, requests still go out with the old one; then with the new one."""
    path = tmp_path / "password"
    write_secret(path, OLD)
    login = {"grant": "basic", "username": Secret("lis", "test"), "password": await asyncio.to_thread(File(path).read)}
    used_when_learnt = []

    def learn(secrets: Iterable[Secret]) -> None:
        assert NEW.value in {secret.reveal() for secret in secrets}
        used_when_learnt.append(service._sources.by_name["core"].current().authorization)

    async with scripted_upstream(echo) as upstream:
        document = build_plain_document(f"http://127.0.0.1:{upstream.port}", "", credential={"core": login})
        service = Service(Config.model_validate(document), learn=learn)
        await service.start()
        try:
            write_secret(path, NEW)
            await until(lambda: bool(used_when_learnt))
            async with aiohttp.ClientSession(f"http://127.0.0.1:{service.listeners[0].port}") as session:
                seen = await (await session.get("/api/plain")).text()
        finally:
            await service.stop()

    assert used_when_learnt == [build_basic("lis", OLD.value)]
    assert f"Authorization: {build_basic('lis', NEW.value)}" in seen

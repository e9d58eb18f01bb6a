"""Tokens that outlive a restart: the program as its operator starts, stops and kills it."""

from __future__ import annotations

import base64
import json
import os
import signal
import stat
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from harness.canaries import Canary, Search
from harness.program import HANGING_DISK, SOURCES, Program, build_toml, running_program
from harness.running import PATIENCE_S, until

from proxy.simulator.faults import Fault

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from proxy.simulator.server import Simulator

import asyncio

# The program chooses its own loop.
pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])

GET = b"GET /api/v1/echo HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\n\r\n"
KEY, OTHER_KEY = (base64.b64encode(bytes([number]) * 32).decode() for number in (7, 9))
PASSWORD = "a-basic-password-5Vn2"
TOKEN_DOWN = Fault(where="token", kind="reset")


@pytest.fixture
def config(tmp_path: Path, simulator: Simulator) -> str:
    """Write a configuration whose tokens are kept in a file; return its path for the command line."""
    document: dict[str, Any] = {
        "listener": [{"name": "cad", "bind": "127.0.0.1:0"}],
        "credential": {
            "core": {
                "grant": "client_credentials",
                "token_url": f"{simulator.url}/oauth/token",
                "client_id": "simulator-client",
                "client_secret": {"env": "SECRET"},
            },
            "lis": {"grant": "basic", "username": "lis", "password": {"env": "LIS_PASSWORD"}},
        },
        "route": [
            {
                "name": "api",
                "match": {"path": "/api/"},
                "strip": "/api",
                "upstream": simulator.url,
                "credential": "core",
            },
            {"name": "lis", "match": {"path": "/lis/"}, "upstream": simulator.url, "credential": "lis"},
        ],
        "traffic_log": {"path": "traffic.jsonl"},
        "admin": {"bind": "127.0.0.1:0"},
        "store": {"file": "tokens", "key": {"env": "STORE_KEY"}},
    }
    file = tmp_path / "proxy.toml"
    file.write_text(build_toml(document))
    return str(file)


@asynccontextmanager
async def serving(config: str, key: str = KEY, **more: str) -> AsyncIterator[Program]:
    """Run ``serve`` for the length of a block, from when it listens."""
    environ = {"SECRET": "simulator-secret", "STORE_KEY": key, "LIS_PASSWORD": PASSWORD, **more}
    async with running_program("serve", "--config", config, **environ) as program:
        await program.wait_started()
        yield program


async def ask(program: Program) -> bytes:
    """Send a request; return the status of its answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", program.ports["cad"])
    writer.write(GET)
    try:
        async with asyncio.timeout(PATIENCE_S):
            return (await reader.read()).split()[1]
    finally:
        writer.close()


async def stop(program: Program, number: signal.Signals) -> None:
    """End the program by a signal."""
    program.signal(number)
    await program.wait()


def read_events(path: Path, event: str) -> list[dict[str, Any]]:
    """Return the records of one kind from the traffic log."""
    records = map(json.loads, (path / "traffic.jsonl").read_text().splitlines())
    return [record for record in records if record["event"] == event]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_a_restart_serves_while_the_token_server_is_down(
    config: str, simulator: Simulator, tmp_path: Path, number: signal.Signals
) -> None:
    """At once, with the token that it had; stopped or killed makes no difference."""
    async with serving(config) as program:
        assert await ask(program) == b"200"
        await until((tmp_path / "tokens").exists)
        await stop(program, number)
    simulator.faults.add(TOKEN_DOWN)

    async with serving(config) as program:
        assert await ask(program) == b"200"
        await stop(program, signal.SIGTERM)

    before, after = simulator.requests
    assert before.bearer == after.bearer
    assert simulator.token_requests.total == 1
    assert read_events(tmp_path, "exchange.closed")[-1]["timing_ms"]["token"] < 1000
    assert read_events(tmp_path, "token.fetched")[-1]["reason"] == "adopted"


@pytest.mark.parametrize(
    ("hangs", "problem"),
    [("/tokens", b"could not be read within 2 s"), ("/.tokens.new", b"cannot be written (no answer within 2 s)")],
    ids=["read", "write"],
)
async def test_a_disk_that_hangs_keeps_it_neither_from_serving_nor_from_ending(
    config: str, tmp_path: Path, hangs: str, problem: bytes
) -> None:
    """It fetches its own token, and says what is wrong and the fix."""
    (tmp_path / "sitecustomize.py").write_text(HANGING_DISK)
    environ = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{SOURCES}", "HANGS": hangs}
    async with serving(config, **environ) as program:
        status = await ask(program)
        await program.wait_said(b"the disk hangs")
        code = await program.stop()

    assert (status, code) == (b"200", 0)
    assert b"store.lost" in program.stderr
    assert problem in program.stderr
    assert b"look after the disk" in program.stderr


async def test_a_token_that_was_revoked_meanwhile_is_replaced(
    config: str, simulator: Simulator, tmp_path: Path
) -> None:
    """The first request meets the 401, and succeeds all the same."""
    async with serving(config) as program:
        await ask(program)
        await until((tmp_path / "tokens").exists)
        await stop(program, signal.SIGTERM)
    simulator.tokens.revoke_all()

    async with serving(config) as program:
        assert await ask(program) == b"200"

    assert simulator.token_requests.total == 2


async def test_the_file_is_its_owners_and_shows_nothing(config: str, simulator: Simulator, tmp_path: Path) -> None:
    """No token, no secret, no password, no key, in no encoding; nor does what the program says."""
    async with serving(config) as program:
        await ask(program)
        await until((tmp_path / "tokens").exists)
        await stop(program, signal.SIGTERM)
        said = program.stdout + program.stderr

    [request] = simulator.requests
    assert request.bearer is not None
    planted = {"token": request.bearer, "secret": "simulator-secret", "password": PASSWORD, "key": KEY.rstrip("=")}
    search = Search([Canary(name, value) for name, value in planted.items()])
    assert search.find((tmp_path / "tokens").read_bytes()) == []
    assert search.find(said) == []
    assert stat.S_IMODE((tmp_path / "tokens").stat().st_mode) == 0o600


@pytest.mark.parametrize("spoil", ["key", "bytes", "link"])
async def test_a_file_that_cannot_be_read_is_left_alone(
    config: str, simulator: Simulator, tmp_path: Path, spoil: str
) -> None:
    """The program says what to do, serves without it, and leaves the file as it was."""
    file = tmp_path / "tokens"
    async with serving(config) as program:
        await ask(program)
        await until(file.exists)
        await stop(program, signal.SIGTERM)
    if spoil == "bytes":
        file.write_bytes(file.read_bytes()[:-7])
    elif spoil == "link":
        file.rename(tmp_path / "elsewhere")
        file.symlink_to("elsewhere")
    before = file.read_bytes()

    async with serving(config, OTHER_KEY if spoil == "key" else KEY) as program:
        assert await ask(program) == b"200"
        await stop(program, signal.SIGTERM)

    told = [json.loads(line) for line in program.stderr.splitlines() if line.startswith(b"{")]
    [unreadable] = [event for event in told if event["event"] == "store.unreadable"]
    assert unreadable["level"] == "error"
    assert unreadable["fix"]
    assert file.read_bytes() == before
    assert file.is_symlink() == (spoil == "link")
    assert simulator.token_requests.total == 2


async def test_another_secret_gets_another_token(config: str, simulator: Simulator, tmp_path: Path) -> None:
    """What is stored was given for the old one."""
    async with serving(config) as program:
        await ask(program)
        await until((tmp_path / "tokens").exists)
        await stop(program, signal.SIGTERM)

    environ = {"SECRET": "another-secret", "STORE_KEY": KEY, "LIS_PASSWORD": PASSWORD}
    async with running_program("serve", "--config", config, **environ) as program:
        await program.wait_started()
        status = await ask(program)

    assert status == b"503"
    assert simulator.token_requests.total == 2

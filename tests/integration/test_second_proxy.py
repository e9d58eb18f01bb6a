"""Two proxies on one machine: the second is told, and does the first no harm; and one that loses records says so."""

from __future__ import annotations

import base64
import json
import shutil
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from harness.program import Program, build_toml, find_free_port, running_program
from harness.running import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

# The program chooses its own loop.
pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])

KEY = base64.b64encode(bytes(32)).decode()


@pytest.fixture
def write_config(tmp_path: Path) -> Any:
    """Return a writer of configurations whose log and store are in one directory unless they are named."""

    def write(name: str, *, port: int = 0, log: str = "logs/traffic.jsonl", store: str = "tokens") -> str:
        nobody = f"http://127.0.0.1:{find_free_port()}"
        document: dict[str, Any] = {
            "listener": [{"name": "cad", "bind": f"127.0.0.1:{port}"}],
            "credential": {
                "core": {
                    "grant": "client_credentials",
                    "token_url": f"{nobody}/oauth/token",
                    "client_id": "an-id",
                    "client_secret": {"env": "SECRET"},
                }
            },
            "route": [{"name": "all", "upstream": nobody, "credential": "core"}],
            "traffic_log": {"path": log},
            "admin": {"bind": "127.0.0.1:0"},
            "store": {"file": store, "key": {"env": "STORE_KEY"}},
        }
        (tmp_path / "logs").mkdir(exist_ok=True)
        (tmp_path / name).write_text(build_toml(document))
        return str(tmp_path / name)

    return write


@asynccontextmanager
async def serving(config: str) -> AsyncIterator[Program]:
    """Run ``serve`` for the length of a block."""
    environ = {"SECRET": "a-secret-of-hers", "STORE_KEY": KEY}
    async with running_program("serve", "--config", config, **environ) as program:
        yield program


def read_events(path: Path) -> list[str]:
    """Return the names of a log's records."""
    return [json.loads(line)["event"] for line in path.read_text().splitlines()]


async def test_a_second_proxy_on_the_same_configuration_leaves_the_log_alone(write_config: Any, tmp_path: Path) -> None:
    """Its port is taken: nothing is said in the log that would have the first one stopped or killed."""
    config = write_config("proxy.toml", port=find_free_port())
    async with serving(config) as first:
        await first.wait_started()
        async with serving(config) as second:
            code = await second.wait()
        await first.stop()
    events = read_events(tmp_path / "logs" / "traffic.jsonl")

    assert code == 2
    assert b"is in use by another process" in second.stderr
    assert (events.count("log.started"), events.count("log.stopped")) == (1, 1)
    assert b"log.unclean" not in second.stderr


@pytest.mark.parametrize("shared", ["traffic_log.path", "store.file"])
async def test_a_second_proxy_with_its_own_port_cannot_share_a_file(
    write_config: Any, tmp_path: Path, shared: str
) -> None:
    """Their records would be mixed, and each would undo what the other has stored."""
    own = {"store": "tokens2"} if shared == "traffic_log.path" else {"log": "logs/own.jsonl"}
    place = tmp_path / ("logs/traffic.jsonl" if shared == "traffic_log.path" else "tokens")
    async with serving(write_config("first.toml")) as first:
        await first.wait_started()
        async with serving(write_config("second.toml", **own)) as second:
            code = await second.wait()
        await first.stop()
    events = read_events(tmp_path / "logs" / "traffic.jsonl")

    told = (
        f"rapidsos-proxy: {shared}: {place} is in use by another proxy (pid {first.process.pid})\n  fix: stop that one"
    )
    assert code == 2
    assert told in second.stderr.decode()
    assert (events.count("log.started"), events.count("log.stopped")) == (1, 1)


async def test_a_killed_proxy_leaves_its_files_free(write_config: Any, tmp_path: Path) -> None:
    """The next start needs nobody to tidy up, and the log says what became of the one before."""
    config, path = write_config("proxy.toml"), tmp_path / "logs" / "traffic.jsonl"
    async with serving(config) as first:
        await first.wait_started()
        await until(lambda: path.stat().st_size > 0)
        first.process.kill()
        await first.wait()
    async with serving(config) as second:
        await second.wait_started()
        code = await second.stop()
    events = read_events(path)

    assert code == 0
    assert events.count("log.started") == 2
    assert b'"previous":"killed"' in second.stderr


async def test_records_that_are_lost_at_the_stop_make_the_exit_code_1(write_config: Any, tmp_path: Path) -> None:
    """Whoever supervises the process learns of it; the last message says how many, why, and what to do."""
    async with serving(write_config("proxy.toml")) as program:
        await program.wait_started()
        await until((tmp_path / "logs" / "traffic.jsonl").exists)
        shutil.rmtree(tmp_path / "logs")
        code = await program.stop()
    told = [json.loads(line) for line in program.stderr.splitlines() if line.startswith(b"{")]
    [lost] = [event for event in told if event["event"] == "log.lost"]

    assert code == 1
    assert lost["records"] >= 1
    assert lost["error"] == "No such file or directory"
    assert lost["path"] == str(tmp_path / "logs" / "traffic.jsonl")
    assert "before the next stop" in lost["fix"]

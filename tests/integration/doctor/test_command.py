"""The command as people run it: what it prints, and how it ends."""

from __future__ import annotations

import json
import re
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from harness.canaries import Canary, Search
from harness.program import SOURCES, build_toml, running_program

from proxy.simulator.faults import Fault
from proxy.simulator.server import Simulator
from proxy.simulator.settings import SimulatorSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from pathlib import Path

    from proxy.simulator.settings import Family

CANARY = Canary("client secret", "c4nary8Qz7LwPf/x+9KmTt3VbNs")
"""Which the simulator refuses, and quotes when it is told to."""


@pytest.fixture
def ports() -> Iterator[tuple[int, int]]:
    """Keep two ports for the proxy, which does not run: bound, so that no connection gets one, and not listening."""
    with socket.socket() as one, socket.socket() as other:
        for keeper in (one, other):
            keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # whoever sets it too may bind it as well
            keeper.bind(("127.0.0.1", 0))
        yield one.getsockname()[1], other.getsockname()[1]


def write_config(folder: Path, simulator: Simulator, ports: tuple[int, int], **changes: Any) -> str:
    """Write a configuration that leads to the simulator."""
    secret = {"env": "DOCTOR_SECRET"}
    document = {
        "listener": [{"name": "cad", "bind": f"127.0.0.1:{ports[0]}"}],
        "credential": {
            "core": {
                "grant": "client_credentials",
                "token_url": f"{simulator.url}/oauth/token",
                "client_id": "simulator-client",
                "client_secret": secret,
            }
        },
        "route": [{"name": "all", "upstream": simulator.url, "credential": "core"}],
        "admin": {"bind": f"127.0.0.1:{ports[1]}"},
        **changes,
    }
    path = folder / "proxy.toml"
    path.write_text(build_toml(document))
    return str(path)


async def run_doctor(*arguments: str, secret: str = "simulator-secret") -> tuple[int, str, str]:
    """Return exit code, standard output and standard error."""
    async with running_program("doctor", *arguments, DOCTOR_SECRET=secret, RAPIDSOS_DEMO_SECRET=secret) as program:
        code = await program.wait()
        return code, program.stdout.decode(), program.stderr.decode()


async def test_a_sound_way_ends_with_0(tmp_path: Path, simulator: Simulator, ports: tuple[int, int]) -> None:
    """Under headings, from this machine outwards, and standard error stays empty."""
    code, out, err = await run_doctor("--config", write_config(tmp_path, simulator, ports))

    assert (code, err) == (0, "")
    titles = [line for line in out.splitlines() if line and not line.startswith(" ")]
    host = simulator.url.removeprefix("http://")
    assert titles[2:] == ["Configuration", "This machine", host, "Routes", "Every link holds."]


async def test_the_demos_file_is_well_while_its_simulators_run(tmp_path: Path, ports: tuple[int, int]) -> None:
    """Every link that takes no dispatcher's login holds, and each host was asked one question with a token."""
    async with running_hosts("core", "edx") as hosts:
        code, out, _ = await run_doctor("--config", write_demo(tmp_path, hosts, ports), secret="simulator-secret")

        assert [sorted(seen.raw_path for seen in host.requests) for host in hosts] == [
            ["/", "/v1/location"],
            ["/v1/alerts/alert-00000000-0000-0000-0000-000000000000"],
        ]
    lines = out.splitlines()
    assert code == 0
    untried = ", ".join(f"{link} dispatchers" for link in ("grant", "token", "upstream", "route"))
    assert lines[-1] == f"Every link that was tried holds; not tried: {untried}."
    assert {line.split()[0] for line in lines if re.match(r"  \w", line)} == {"ok", "skipped"}


async def test_readme_shows_what_it_prints(tmp_path: Path, ports: tuple[int, int]) -> None:
    """Line by line, but for the time, the milliseconds and the ports."""
    readme = (SOURCES / "README.md").read_text()
    (shown,) = re.findall(r"^```\nrapidsos-proxy doctor [^\n]*\n[^\n]*\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    async with running_hosts("core", "edx") as hosts:
        _, out, _ = await run_doctor("--config", write_demo(tmp_path, hosts, ports), secret="a-mistaken-secret")
        printed = out.replace(str(hosts[0].port), "9911")

    def normal(text: str) -> list[str]:
        return [re.sub(r"[0-9]+ ms", "… ms", line) for line in text.splitlines()]

    assert [line for line in normal(shown) if line != "…" and line not in normal(printed)] == [], printed


def write_demo(folder: Path, hosts: Sequence[Simulator], ports: tuple[int, int]) -> str:
    """Write config/demo.toml, moved to where the hosts are and to ports that are free."""
    moves = {"8080": ports[0], "9090": ports[1], "9911": hosts[0].port, "9912": hosts[1].port}
    text = (SOURCES / "config" / "demo.toml").read_text() + '[admin]\nbind = "127.0.0.1:9090"\n'
    for port, moved in moves.items():
        text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{moved}")
    path = folder / "demo.toml"
    path.write_text(text)
    return str(path)


@asynccontextmanager
async def running_hosts(*families: Family) -> AsyncIterator[list[Simulator]]:
    """Run a simulated host of each family for the length of a block."""
    simulators = [Simulator(SimulatorSettings(family=family)) for family in families]
    for simulator in simulators:
        await simulator.start()
    yield simulators
    for simulator in simulators:
        await simulator.stop()


async def test_a_broken_link_ends_with_1(tmp_path: Path, simulator: Simulator, ports: tuple[int, int]) -> None:
    """The last line names it."""
    simulator.faults.add(Fault(where="api", kind="status", status=403))

    code, out, _ = await run_doctor("--config", write_config(tmp_path, simulator, ports))

    assert code == 1
    assert out.splitlines()[-1].startswith("Broken: upstream core (")
    assert "at RapidSOS. Next step: ask RapidSOS to give this client id the product." in out.splitlines()[-1]


async def test_programs_are_told_in_json(tmp_path: Path, simulator: Simulator, ports: tuple[int, int]) -> None:
    """One document, with the broken link by itself."""
    simulator.faults.add(Fault(where="token", kind="status", status=503))

    code, out, _ = await run_doctor("--json", "--config", write_config(tmp_path, simulator, ports))
    document = json.loads(out)

    assert code == document["exit_code"] == 1
    assert (document["broken"]["link"], document["broken"]["subject"]) == ("endpoint", "core")
    assert {finding["verdict"] for finding in document["findings"]} == {"ok", "failed", "skipped"}


@pytest.mark.parametrize("flags", [(), ("--json",)])
async def test_a_configuration_of_two_environments_ends_with_2(
    tmp_path: Path, simulator: Simulator, ports: tuple[int, int], flags: tuple[str, ...]
) -> None:
    """It is the configuration that is broken, so that nothing is dialled."""
    route = {"name": "all", "upstream": "https://api.rapidsos.com", "credential": "core"}
    credential = {
        "core": {
            "grant": "client_credentials",
            "token_url": "https://api-sandbox.rapidsos.com/oauth/token",
            "client_id": "an-id",
            "client_secret": {"env": "DOCTOR_SECRET"},
        }
    }

    code, out, err = await run_doctor(
        "--config", write_config(tmp_path, simulator, ports, route=[route], credential=credential), *flags
    )

    assert code == 2
    words = json.loads(out)["broken"]["words"] if flags else err
    assert "is a production host, and credential core is for sandbox" in words
    assert simulator.token_requests.total == 0


@pytest.mark.parametrize("flags", [(), ("--json",)])
async def test_no_secret_is_ever_printed(
    tmp_path: Path, simulator: Simulator, ports: tuple[int, int], flags: tuple[str, ...]
) -> None:
    """Though the token server quotes it, in its refusal, to whoever listens."""
    simulator.faults.add(Fault(where="token", kind="echo_secret"))

    code, out, err = await run_doctor("--config", write_config(tmp_path, simulator, ports), *flags, secret=CANARY.value)

    assert code == 1
    assert Search([CANARY]).find((out + err).encode()) == []
    assert "simulator-client" not in out + err


async def test_a_token_is_never_printed(tmp_path: Path, simulator: Simulator, ports: tuple[int, int]) -> None:
    """Nor a part of it."""
    _, out, err = await run_doctor("--config", write_config(tmp_path, simulator, ports))

    (token,) = simulator.tokens
    assert Search([Canary("token", token.value)]).find((out + err).encode()) == []

"""The command as people run it: what it prints, and how it ends."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from harness.canaries import Canary, Search
from harness.program import SOURCES, build_toml, find_free_port, running_program

from proxy.simulator.faults import Fault
from proxy.simulator.server import Simulator
from proxy.simulator.settings import SimulatorSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from proxy.simulator.settings import Family

CANARY = Canary("client secret", "c4nary8Qz7LwPf/x+9KmTt3VbNs")
"""Which the simulator refuses, and quotes when it is told to."""


def write_config(folder: Path, simulator: Simulator, **changes: Any) -> str:
    """Write a configuration that leads to the simulator, with its own ports free."""
    secret = {"env": "DOCTOR_SECRET"}
    document = {
        "listener": [{"name": "cad", "bind": f"127.0.0.1:{find_free_port()}"}],
        "credential": {
            "core": {
                "grant": "client_credentials",
                "token_url": f"{simulator.url}/oauth/token",
                "client_id": "simulator-client",
                "client_secret": secret,
            }
        },
        "route": [{"name": "all", "upstream": simulator.url, "credential": "core"}],
        "admin": {"bind": f"127.0.0.1:{find_free_port()}"},
        **changes,
    }
    path = folder / "proxy.toml"
    path.write_text(build_toml(document))
    return str(path)


async def run_doctor(*arguments: str, secret: str = "simulator-secret") -> tuple[int, str, str]:
    """Return exit code, standard output and standard error."""
    async with running_program("doctor", *arguments, DOCTOR_SECRET=secret) as program:
        code = await program.wait()
        return code, program.stdout.decode(), program.stderr.decode()


async def test_a_sound_way_ends_with_0(tmp_path: Path, simulator: Simulator) -> None:
    """Under headings, from this machine outwards, and standard error stays empty."""
    code, out, err = await run_doctor("--config", write_config(tmp_path, simulator))

    assert (code, err) == (0, "")
    titles = [line for line in out.splitlines() if line and not line.startswith(" ")]
    host = simulator.url.removeprefix("http://")
    assert titles[2:] == ["Configuration", "This machine", host, "Routes", "Every link holds."]


async def test_the_demos_file_is_well_while_its_simulators_run(tmp_path: Path) -> None:
    """As README shows; every line says ok."""
    text = (SOURCES / "config" / "demo.toml").read_text()
    ports = {"8080": find_free_port(), "9090": find_free_port()}
    async with running_hosts("core", "edx") as (core, edx):
        ports |= {"9911": core.port, "9912": edx.port}
        text += f'[admin]\nbind = "127.0.0.1:{ports["9090"]}"\n'
        for port, moved in ports.items():
            text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{moved}")
        path = tmp_path / "demo.toml"
        path.write_text(text)
        async with running_program("doctor", "--config", str(path), RAPIDSOS_DEMO_SECRET="simulator-secret") as program:
            code = await program.wait()
        asked = [[seen.raw_path for seen in simulator.requests] for simulator in (core, edx)]

    lines = program.stdout.decode().splitlines()
    assert code == 0
    assert lines[-1] == "Every link holds."
    assert {line.split()[0] for line in lines if line.startswith("  ")} == {"ok"}
    assert asked == [["/v1/location"], ["/v1/alerts/alert-00000000-0000-0000-0000-000000000000"]]


@asynccontextmanager
async def running_hosts(*families: Family) -> AsyncIterator[list[Simulator]]:
    """Run a simulated host of each family for the length of a block."""
    simulators = [Simulator(SimulatorSettings(family=family)) for family in families]
    for simulator in simulators:
        await simulator.start()
    yield simulators
    for simulator in simulators:
        await simulator.stop()


async def test_a_broken_link_ends_with_1(tmp_path: Path, simulator: Simulator) -> None:
    """The last line names it."""
    simulator.faults.add(Fault(where="api", kind="status", status=403))

    code, out, _ = await run_doctor("--config", write_config(tmp_path, simulator))

    assert code == 1
    assert out.splitlines()[-1].startswith("Broken: upstream core (")
    assert "at RapidSOS. Next step: ask RapidSOS to give this client id the product." in out.splitlines()[-1]


async def test_programs_are_told_in_json(tmp_path: Path, simulator: Simulator) -> None:
    """One document, with the broken link by itself."""
    simulator.faults.add(Fault(where="token", kind="status", status=503))

    code, out, _ = await run_doctor("--json", "--config", write_config(tmp_path, simulator))
    document = json.loads(out)

    assert code == document["exit_code"] == 1
    assert (document["broken"]["link"], document["broken"]["subject"]) == ("endpoint", "core")
    assert {finding["verdict"] for finding in document["findings"]} == {"ok", "failed", "skipped"}


@pytest.mark.parametrize("flags", [(), ("--json",)])
async def test_a_configuration_of_two_environments_ends_with_2(
    tmp_path: Path, simulator: Simulator, flags: tuple[str, ...]
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
        "--config", write_config(tmp_path, simulator, route=[route], credential=credential), *flags
    )

    assert code == 2
    words = json.loads(out)["broken"]["words"] if flags else err
    assert "is a production host, and credential core is for sandbox" in words
    assert simulator.token_requests.total == 0


@pytest.mark.parametrize("flags", [(), ("--json",)])
async def test_no_secret_is_ever_printed(tmp_path: Path, simulator: Simulator, flags: tuple[str, ...]) -> None:
    """Though the token server quotes it, in its refusal, to whoever listens."""
    simulator.faults.add(Fault(where="token", kind="echo_secret"))

    code, out, err = await run_doctor("--config", write_config(tmp_path, simulator), *flags, secret=CANARY.value)

    assert code == 1
    assert Search([CANARY]).find((out + err).encode()) == []
    assert "simulator-client" not in out + err


async def test_a_token_is_never_printed(tmp_path: Path, simulator: Simulator) -> None:
    """Nor a part of it."""
    _, out, err = await run_doctor("--config", write_config(tmp_path, simulator))

    (token,) = simulator.tokens
    assert Search([Canary("token", token.value)]).find((out + err).encode()) == []

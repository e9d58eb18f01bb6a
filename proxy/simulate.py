"""The simulator as a command: its arguments to settings, and a run until a signal."""

from __future__ import annotations

import asyncio
import contextlib
import math
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ValidationError

from proxy.errors import ConfigError
from proxy.simulator.faults import Fault
from proxy.simulator.scenarios import SCENARIOS
from proxy.simulator.server import Simulator
from proxy.simulator.settings import SimulatorSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.simulator.settings import Family

EXAMPLE_FAULT = '{"where": "token", "kind": "slow", "delay_s": 5}'


@dataclass(frozen=True, slots=True)
class Arguments:
    """What the command line said.

    Attributes:
        faults: Each a JSON object, as the control URL takes it.
    """

    family: Family
    token_life_s: float
    scenario: str
    faults: tuple[str, ...]


def describe_scenarios() -> str:
    """Describe every scenario in a line."""
    width = max(map(len, SCENARIOS))
    return "\n".join(f"  {name.ljust(width)}  {scenario.summary}" for name, scenario in SCENARIOS.items())


def build_settings(arguments: Arguments) -> SimulatorSettings:
    """Build the simulator's settings.

    Raises:
        ConfigError: If an argument cannot be used.
    """
    scenario = SCENARIOS.get(arguments.scenario)
    if scenario is None:
        where, fix = f"--scenario {arguments.scenario}", f"write one of {', '.join(SCENARIOS)}"
        raise ConfigError(where, "is unknown", fix)
    if not 0 < arguments.token_life_s < math.inf:
        where = f"--token-life {arguments.token_life_s}"
        raise ConfigError(where, "is not a span of time", "write seconds, more than 0")
    faults = (*scenario.faults, *map(_parse_fault, arguments.faults))
    return SimulatorSettings(family=arguments.family, token_life_s=arguments.token_life_s, faults=faults)


async def simulate(settings: SimulatorSettings, host: str, port: int, announce: Callable[[str], None]) -> int:
    """Run one simulator until a signal; returns the exit code.

    Raises:
        ConfigError: If it cannot listen there.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):  # Windows: KeyboardInterrupt is what there is
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    simulator = Simulator(settings)
    try:
        await simulator.start(host, port)
    except OSError as error:
        where, fix = f"{host}:{port}", "choose another --port or --host"
        raise ConfigError(where, f"cannot be listened at ({error.strerror})", fix) from None
    try:
        announce(f"simulated RapidSOS ({settings.family}): {simulator.url}")
        for line in describe_logins(settings):
            announce(line)
        await stop.wait()
    finally:
        await simulator.stop()
    return 0


def describe_logins(settings: SimulatorSettings) -> list[str]:
    """Say whom the simulator believes; they are secrets of nobody's."""
    client = f"client_id {settings.client_id}, client_secret {settings.client_secret.reveal()}"
    if settings.family == "edx":  # it knows no persons, and has no LIS
        return [client]
    return [
        client,
        f"dispatcher (grant password): {settings.username}, password {settings.password.reveal()}",
        f"LIS (grant basic): {settings.basic_username}, password {settings.basic_password.reveal()}",
    ]


def _parse_fault(text: str) -> Fault:
    try:
        return Fault.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        problem = f"{place}: {first['msg'].lower()}" if place else "is not a JSON object"
        where = f"--fault {text}"
        raise ConfigError(where, problem, f"write it as '{EXAMPLE_FAULT}'") from None

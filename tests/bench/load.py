"""What drives the proxies: wrk, and where it is missing, the stand-in.  Closed loop: each connection waits."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from bench.process import BenchError, pinned

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE_S = 30.0
"""Beyond the round itself."""
_FIELDS = {"Accept": "application/json", "User-Agent": "CAD/7.2"}
_SCRIPT = """\
wrk.method = "{method}"
wrk.body = [==[{body}]==]
{fields}
function done(summary, latency, requests)
    local errors = summary.errors
    io.write(string.format(
        '\\n{{"requests": %d, "seconds": %.6f, "errors": %d, "p50_us": %.1f, "p99_us": %.1f}}\\n',
        summary.requests, summary.duration / 1e6,
        errors.connect + errors.read + errors.write + errors.status + errors.timeout,
        latency:percentile(50), latency:percentile(99)))
end
"""


@dataclass(frozen=True, slots=True)
class Work:
    """One kind of request.

    Attributes:
        name: What the table calls it.
        path: As the client sends it.
        body: Empty for a request without one.
    """

    name: str
    method: str
    path: str
    body: str = ""

    def build_fields(self) -> dict[str, str]:
        """Build the fields beside Host and Content-Length."""
        return {**_FIELDS, "Content-Type": "application/json"} if self.body else dict(_FIELDS)


@dataclass(frozen=True, slots=True)
class Measured:
    """What the load saw of one round.

    Attributes:
        requests: Answered.
        errors: Answers that were no success, and connections that broke.
    """

    requests: int
    seconds: float
    errors: int
    p50_us: float
    p99_us: float


class Load(Protocol):
    """A load generator."""

    @property
    def name(self) -> str:
        """Program and version."""
        ...

    async def drive(self, port: int, work: Work, connections: int, seconds: float) -> Measured:
        """Send ``work`` to a port of 127.0.0.1 as fast as it is answered."""
        ...


class Wrk:
    """wrk, with one thread."""

    def __init__(self, program: str, directory: Path, core: int | None) -> None:
        """Run ``program`` on ``core``, with scripts in ``directory``."""
        self._program = program
        self._directory = directory
        self._core = core
        said = subprocess.run([program, "-v"], capture_output=True, text=True, check=False).stdout
        self.name = " ".join(said.split()[:2])

    async def drive(self, port: int, work: Work, connections: int, seconds: float) -> Measured:
        """Run it once."""
        script = self._directory / f"{work.name}.lua"
        fields = "\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in work.build_fields().items())
        script.write_text(_SCRIPT.format(method=work.method, body=work.body, fields=fields))
        command = [self._program, "-t1", f"-c{connections}", f"-d{seconds:.0f}s", "-s", str(script)]
        return await _run([*command, f"http://127.0.0.1:{port}{work.path}"], self._core, seconds)


class StandIn:
    """The stand-in for wrk."""

    name = "stand-in load (wrk is missing)"

    def __init__(self, directory: Path, core: int | None) -> None:
        """Run on ``core``, with requests in ``directory``."""
        self._directory = directory
        self._core = core

    async def drive(self, port: int, work: Work, connections: int, seconds: float) -> Measured:
        """Run it once."""
        file = self._directory / f"{work.name}.request"
        file.write_bytes(_build_request(work, port))
        command = [sys.executable, "-m", "bench.stand_ins", "load"]
        return await _run([*command, str(port), str(connections), str(seconds), str(file)], self._core, seconds)


def find_load(directory: Path, core: int | None) -> Load:
    """Return wrk where there is one, else the stand-in."""
    wrk = shutil.which("wrk")
    return StandIn(directory, core) if wrk is None else Wrk(wrk, directory, core)


def _build_request(work: Work, port: int) -> bytes:
    fields = {"Host": f"127.0.0.1:{port}", **work.build_fields()}
    if work.body:
        fields["Content-Length"] = str(len(work.body))
    lines = [f"{work.method} {work.path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return ("\r\n".join(lines) + "\r\n\r\n" + work.body).encode()


async def _run(command: list[str], core: int | None, seconds: float) -> Measured:
    with pinned(core):
        child = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
    try:
        async with asyncio.timeout(seconds + PATIENCE_S):
            said, _ = await child.communicate()
    except TimeoutError:
        child.kill()
        message = f"{command[0]} did not end"
        raise BenchError(message) from None
    try:
        return Measured(**json.loads(said.decode().splitlines()[-1]))
    except (ValueError, TypeError, IndexError) as error:
        message = f"{command[0]} said: {said.decode()}"
        raise BenchError(message) from error

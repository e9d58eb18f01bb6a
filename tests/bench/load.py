"""What drives the proxies: wrk.  Closed loop: each connection waits for its answer."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.process import BenchError, bound_to_this_process, end, pinned
from bench.programs import WRK

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PATIENCE_S = 30.0
"""Beyond the round itself."""
_TIMEOUT = "10s"
"""After this an answer counts as an error.  wrk's own 2 s are too few for the first answers to 2,000 new clients."""
_FIELDS = {"Accept": "application/json", "User-Agent": "CAD/7.2"}
_SCRIPT = """\
wrk.method = "{method}"
wrk.body = [==[{body}]==]
{fields}
function done(summary, latency, requests)
    local errors = summary.errors
    io.write(string.format(
        '\\n{{"requests": %d, "seconds": %.6f, "p50_us": %.1f, "p99_us": %.1f, "errors":' ..
        '{{"connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}}}}\\n',
        summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99),
        errors.connect, errors.read, errors.write, errors.status, errors.timeout))
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
        errors: By kind: connections that broke, answers that were no success, such that came too late.
    """

    requests: int
    seconds: float
    p50_us: float
    p99_us: float
    errors: dict[str, int]


class Wrk:
    """wrk, with one thread."""

    def __init__(self, directory: Path, core: int | None) -> None:
        """Run on ``core``, with scripts in ``directory``."""
        self._program = WRK.need()
        self._directory = directory
        self._core = core

    async def drive(
        self, port: int, work: Work, connections: int, seconds: float, fields: Mapping[str, str] | None = None
    ) -> Measured:
        """Send ``work`` to a port of 127.0.0.1 as fast as it is answered.

        Args:
            port: The port.
            work: What to send.
            connections: How many, each with one request under way.
            seconds: How long; wrk takes whole ones.
            fields: To send beside the work's own.

        Raises:
            BenchError: If wrk fails, or does not end.
        """
        script = self._directory / f"{work.name}.lua"
        sent = {**work.build_fields(), **(fields or {})}
        lines = "\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in sent.items())
        script.write_text(_SCRIPT.format(method=work.method, body=work.body, fields=lines))
        command = [
            self._program,
            "-t1",
            f"-c{connections}",
            f"-d{seconds:.0f}s",
            "--timeout",
            _TIMEOUT,
            "-s",
            str(script),
        ]
        return await _run([*command, f"http://127.0.0.1:{port}{work.path}"], self._core, seconds)


async def _run(command: list[str], core: int | None, seconds: float) -> Measured:
    with pinned(core):
        child = await asyncio.create_subprocess_exec(
            *bound_to_this_process(command), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
    try:
        async with asyncio.timeout(seconds + PATIENCE_S):
            said, _ = await child.communicate()
    except TimeoutError:
        message = f"{command[0]} did not end"
        raise BenchError(message) from None
    finally:
        await end(child)
    try:
        return Measured(**json.loads(said.decode().splitlines()[-1]))
    except (ValueError, TypeError, IndexError) as error:
        message = f"{command[0]} said: {said.decode()}"
        raise BenchError(message) from error

"""Programs that no one here wrote: found, or the test is skipped by their name; run beside the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

PATIENCE_S = 60
"""A virtual machine for Java starts slowly where the tests' neighbours are busy."""
ENVIRONMENT = {"LC_ALL": "C"}
"""All that a program gets of ours: this machine's own http_proxy, .curlrc and the like are no part of a test."""


def find_tool(name: str) -> str:
    """Return the path of a program; skip the test, by the program's name, where there is none."""
    # Servers stand where only root's PATH looks.
    path = shutil.which(name) or shutil.which(name, path="/usr/local/sbin:/usr/sbin:/sbin")
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


@dataclass(frozen=True, slots=True)
class Finished:
    """A program that has run.

    Attributes:
        code: Its exit code.
        output: What it wrote to standard output.
        errors: What it wrote to standard error.
    """

    code: int
    output: bytes
    errors: str

    def check(self) -> Finished:
        """Fail, with what it said, unless it ended well."""
        assert self.code == 0, f"exit code {self.code}: {self.errors}"
        return self


async def run_tool(*command: str, stdin: bytes = b"", environ: Mapping[str, str] | None = None) -> Finished:
    """Run a program to its end.

    Args:
        command: The program's path and its arguments.
        stdin: Written to its standard input.
        environ: Variables beside the plain ones.
    """
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=pipe if stdin else asyncio.subprocess.DEVNULL,  # uvloop cannot write to one that has ended already
        stdout=pipe,
        stderr=pipe,
        env={**ENVIRONMENT, **(environ or {})},
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            output, errors = await process.communicate(stdin or None)
    finally:
        await _end(process)
    return Finished(process.returncode or 0, output, errors.decode(errors="replace"))


@asynccontextmanager
async def running_server(folder: Path, build_command: Callable[[int], list[str]]) -> AsyncIterator[int]:
    """Run a server on a port that is kept free for it; it must listen with SO_REUSEPORT.

    Args:
        folder: For what it says.
        build_command: Gets the port.

    Yields:
        The port, on 127.0.0.1; it listens.
    """
    with socket.socket() as keeper, (folder / "server.log").open("wb") as output:
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        keeper.bind(("127.0.0.1", 0))
        port = keeper.getsockname()[1]
        process = await asyncio.create_subprocess_exec(
            *build_command(port), stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output, env=ENVIRONMENT
        )
        try:
            await _wait_listening(process, port)
            yield port
            assert process.returncode is None, "the server has ended by itself"
        finally:
            await _end(process)


async def _wait_listening(process: asyncio.subprocess.Process, port: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            assert process.returncode is None, "the server did not start; server.log in its folder says why"
            with contextlib.suppress(ConnectionRefusedError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.01)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    await process.wait()

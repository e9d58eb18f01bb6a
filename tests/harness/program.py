"""The program itself, as an operator starts it: its own process, its own standard streams."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proxy.config.sources import environment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

SOURCES = Path(__file__).parents[2]
PATIENCE_S = 30
"""For a start or a stop; the machine may be busy with other tests."""
MOST_OUTPUT = 64 * 1024 * 1024
HANGING_DISK = """
import os
import sys
import threading

system_open = os.open


def hang_or_open(path, *rest, **named):
    if str(path).endswith(os.environ["HANGS"]):
        print("the disk hangs", file=sys.stderr, flush=True)
        threading.Event().wait()
    return system_open(path, *rest, **named)


os.open = hang_or_open
"""
"""A ``sitecustomize``: to open a file whose path ends as ``HANGS`` says takes for ever."""
_LISTENER = re.compile(r"^listener (\S+): http://127\.0\.0\.1:([0-9]+)$", re.MULTILINE)
_ADMIN = re.compile(r"^admin: http://127\.0\.0\.1:([0-9]+) ", re.MULTILINE)


class Program:
    """One run.

    Attributes:
        process: For its id.
        stdout: Everything it has written there, once ``wait`` has returned.
        stderr: Everything it has written there so far.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        """Wrap a process that was just started."""
        self.process = process
        self.stdout = b""
        self.stderr = b""

    @property
    def ports(self) -> dict[str, int]:
        """Port of each listener, by its name."""
        return {name: int(port) for name, port in _LISTENER.findall(self.stderr.decode())}

    @property
    def admin_port(self) -> int:
        """Port of the admin listener."""
        found = _ADMIN.search(self.stderr.decode())
        assert found is not None
        return int(found[1])

    async def wait_started(self) -> None:
        """Wait until it has said where it listens; the admin listener comes last."""
        assert self.process.stderr is not None
        async with asyncio.timeout(PATIENCE_S):
            while not _ADMIN.search(self.stderr.decode()):
                line = await self.process.stderr.readline()
                assert line, f"it ended: {self.stderr.decode()}"
                self.stderr += line

    async def wait_said(self, text: bytes) -> None:
        """Wait until ``text`` stands on its standard error."""
        await self.wait_said_after(0, text)

    async def wait_said_after(self, begin: int, text: bytes) -> None:
        """Wait until ``text`` stands there behind so many bytes."""
        assert self.process.stderr is not None
        async with asyncio.timeout(PATIENCE_S):
            while text not in self.stderr[begin:]:
                line = await self.process.stderr.readline()
                assert line, f"it ended without {text!r}: {self.stderr.decode()}"
                self.stderr += line

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    async def wait(self) -> int:
        """Wait for its end; return its exit code."""
        streams = {"stdout": self.process.stdout, "stderr": self.process.stderr}
        reading = asyncio.gather(*(self._read(stream, name) for name, stream in streams.items() if stream))
        try:
            async with asyncio.timeout(PATIENCE_S):
                await reading
                return await self.process.wait()
        except TimeoutError:
            message = f"it did not end; it said: {self.stderr.decode()}"
            raise AssertionError(message) from None

    async def _read(self, stream: asyncio.StreamReader, name: str) -> None:
        """Read a stream to its end, keeping each part at once, so that a program that hangs can be told about."""
        while data := await stream.read(65_536):
            setattr(self, name, getattr(self, name) + data)

    async def stop(self) -> int:
        """Send SIGTERM and wait."""
        self.signal(signal.SIGTERM)
        return await self.wait()


@asynccontextmanager
async def running_program(
    *arguments: str, stdout: int = asyncio.subprocess.PIPE, stderr: int = asyncio.subprocess.PIPE, **environ: str
) -> AsyncIterator[Program]:
    """Run ``python -m proxy`` with these arguments for the length of a block.

    Args:
        arguments: Of the command line.
        stdout: A descriptor in place of a pipe that ``wait`` reads.
        stderr: The same.
        environ: Variables beside those of the test's own process.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "proxy",
        *arguments,
        env=build_environment(environ),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        limit=MOST_OUTPUT,
    )
    program = Program(process)
    try:
        yield program
    finally:
        if process.returncode is None:
            process.kill()
            await program.wait()


def build_environment(more: Mapping[str, str]) -> dict[str, str]:
    """Return the test's own environment without what would send its traffic elsewhere, and ``more``."""
    own = {name: value for name, value in environment().items() if not name.lower().endswith("_proxy")}
    return {**own, "PYTHONPATH": str(SOURCES), **more}


def find_free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def build_toml(document: dict[str, Any]) -> str:
    """Write a configuration; every value on the line of its key."""
    return "".join(f"{key} = {_build_value(value)}\n" for key, value in document.items())


def _build_value(value: object) -> str:
    match value:
        case dict():
            return "{ " + ", ".join(f"{json.dumps(key)} = {_build_value(item)}" for key, item in value.items()) + " }"
        case list() | tuple():
            return "[" + ", ".join(map(_build_value, value)) + "]"
        case _:
            return json.dumps(value, ensure_ascii=False)

"""A process that is measured: started on a core of its own, its CPU time and memory read from /proc (Linux)."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import signal
    from collections.abc import AsyncIterator, Iterator, Sequence

START_S = 20.0
STOP_S = 40.0
"""More than the proxy's own time limit for a drain."""
_SHOWN_BYTES = 2000
_RESET_PEAK = "5"
"""proc(5), /proc/[pid]/clear_refs."""
_NANOSECONDS = 1e9
_TICKS = os.sysconf("SC_CLK_TCK")


class BenchError(Exception):
    """What stops a run: something is missing, ended too early, or did not do what it was there for."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of a process, in bytes.

    Attributes:
        resident: Now.
        peak: The most since the start, or since ``Process.reset_peak``.
    """

    resident: int
    peak: int


class Process:
    """A process under measurement."""

    def __init__(self, name: str, child: asyncio.subprocess.Process, output: Path) -> None:
        """Take a process that was just started, whose output goes to a file."""
        self.name = name
        self._child = child
        self._output = output
        self._proc = f"/proc/{child.pid}"

    def __repr__(self) -> str:
        """Show which it is."""
        return f"<Process {self.name} pid={self._child.pid} exit={self._child.returncode}>"

    def cpu_s(self) -> float:
        """Return the CPU time of all its threads so far, in the kernel and out of it."""
        # The name, in parentheses, may contain blanks; utime and stime are fields 14 and 15 (proc(5)).
        fields = _read(f"{self._proc}/stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def waited_s(self) -> float:
        """Return how long its threads could have run but had no core; 0 where Linux does not count it."""
        waited = 0
        for path in Path(f"{self._proc}/task").glob("*/schedstat"):
            with suppress(OSError):  # a thread that has just ended
                waited += int(path.read_text().split()[1])
        return waited / _NANOSECONDS

    def memory(self) -> Memory:
        """Return its memory."""
        lines = _read(f"{self._proc}/status").splitlines()
        kibibytes = {line.split(":")[0]: int(line.split()[1]) for line in lines if line.startswith(("VmRSS", "VmHWM"))}
        return Memory(resident=kibibytes["VmRSS"] * 1024, peak=kibibytes["VmHWM"] * 1024)

    def count_descriptors(self) -> int:
        """Return how many descriptors it has open."""
        return len(os.listdir(f"{self._proc}/fd"))  # noqa: PTH208 (no directory of the file system)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._child.send_signal(number)

    def reset_peak(self) -> None:
        """Let the peak begin again from what is resident now."""
        with open(f"{self._proc}/clear_refs", "w") as file:  # noqa: PTH123 (no file of the file system)
            file.write(_RESET_PEAK)

    async def wait_listening(self, port: int) -> None:
        """Wait until it takes connections on 127.0.0.1.

        Raises:
            BenchError: If it ended, or took too long.
        """
        try:
            async with asyncio.timeout(START_S):
                while not await _is_listening(port):
                    self.check_running()
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise BenchError(self._describe(f"does not listen after {START_S:.0f} s")) from None
        self.check_running()

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._child.returncode is None

    def check_running(self) -> None:
        """Make sure that it still runs.

        Raises:
            BenchError: If not.
        """
        if self._child.returncode is not None:
            raise BenchError(self._describe(f"ended with {self._child.returncode}"))

    async def stop(self) -> None:
        """Ask it to end, and wait until it has.

        Raises:
            BenchError: If it had ended before, would not end, or ended badly.
        """
        self.check_running()
        self._child.terminate()
        try:
            async with asyncio.timeout(STOP_S):
                code = await self._child.wait()
        except TimeoutError:
            raise BenchError(self._describe(f"does not stop within {STOP_S:.0f} s")) from None
        if code != 0:
            raise BenchError(self._describe(f"ended with {code} when it was asked to stop"))

    async def kill(self) -> None:
        """End it, if it still runs."""
        await end(self._child)

    def _describe(self, what: str) -> str:
        said = self._output.read_text(errors="replace")[-_SHOWN_BYTES:].strip()
        return f"{self.name} {what}" + (f"; it said:\n{said}" if said else "")


@asynccontextmanager
async def running(
    name: str, command: Sequence[str], directory: Path, *, core: int | None = None
) -> AsyncIterator[Process]:
    """Run a process for the length of a block.

    Args:
        name: For messages; its output goes to a file of that name in ``directory``.
        command: Program and arguments.
        directory: Where that file is written.
        core: The only one that it may use; None leaves the choice to the kernel.
    """
    path = directory / f"{name}.output"
    with path.open("wb") as output, pinned(core):
        child = await asyncio.create_subprocess_exec(
            *bound_to_this_process(command),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
        )
    process = Process(name, child, path)
    try:
        yield process
    finally:
        await process.kill()


async def end(child: asyncio.subprocess.Process) -> None:
    """End a process, if it still runs."""
    if child.returncode is None:
        child.kill()
        await child.wait()


def bound_to_this_process(command: Sequence[str]) -> Sequence[str]:
    """Return the command that runs ``command`` and has the kernel end it when this process is gone, even by a kill."""
    setpriv = shutil.which("setpriv")
    return command if setpriv is None else (setpriv, "--pdeathsig", "KILL", *command)


@contextmanager
def pinned(core: int | None) -> Iterator[None]:
    """Keep this thread, and the processes that it starts, on one core for the length of a block."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def find_free_port() -> int:
    """Return a port of 127.0.0.1 that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


async def _is_listening(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionError:
        return False
    writer.close()
    return True


def _read(path: str) -> str:
    with open(path) as file:  # noqa: PTH123 (no file of the file system)
        return file.read()

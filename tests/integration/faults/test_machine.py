"""The machine is to blame: its disk, its descriptors, its clock, its sleep; and signals that come while callers call.

The program runs as its operator starts it, and what fails is the kernel's own: limits of the process, a full pipe, a
stopped process, system calls that strace fails.  Callers are at work meanwhile, and notice nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import signal
import socket
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from harness.caller import Caller, calling
from harness.program import PATIENCE_S, Program, build_toml, running_program
from harness.running import RawClient, until
from harness.tools import find_tool

from proxy.simulator.server import Simulator
from proxy.simulator.settings import SimulatorSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from harness.upstream import ScriptedUpstream

# The program chooses its own loop.
pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])

GET = b"GET /api/x HTTP/1.1\r\nHost: proxy\r\n\r\n"
LAST_GET = b"GET /api/x HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\n\r\n"
DISK_FULL_BYTES = 40_000


def count_descriptors(pid: int) -> int:
    """Return how many files and sockets a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def read_files(log: Path) -> list[dict[str, Any]]:
    """Read every record of a traffic log, in the files put aside and the one in use."""
    files = [*sorted(log.parent.glob(f"{log.name}.*Z")), log]
    return [record for file in files for record in read_log(file)]


def read_links(folder: Path) -> list[str]:
    """Return what the links in a folder lead to."""
    return [str(link.readlink()) for link in folder.iterdir()]


def read_log(path: Path) -> list[dict[str, Any]]:
    """Read every record of a traffic log; each line is whole."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def closed_of(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return those of exchanges."""
    return [record for record in records if record["event"] == "exchange.closed"]


def check_nothing_missing(records: list[dict[str, Any]], served: int) -> None:
    """Assert that each exchange is there once, or counted among what was dropped."""
    dropped = sum(record["count"] for record in records if record["event"] == "log.dropped")
    assert len(closed_of(records)) + dropped == served
    seqs = [record["seq"] for record in closed_of(records)]
    assert seqs == sorted(set(seqs))


async def read_metric(program: Program, name: str) -> float:
    """Return what the metrics say of a family without labels."""
    reader, writer = await asyncio.open_connection("127.0.0.1", program.admin_port)
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
    text = (await asyncio.wait_for(reader.read(), PATIENCE_S)).decode()
    writer.close()
    [line] = [line for line in text.splitlines() if line.startswith(f"{name} ")]
    return float(line.split()[1])


# Disk.


async def test_a_disk_that_fills_up_costs_records_and_no_answer(
    serving: Any, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    """Callers are served on; the loss is told, counted, and written down once there is room; no line is half."""
    log = tmp_path / "traffic.jsonl"
    async with serving(upstream.port, limits={"log_queue": "64 KiB"}) as program:
        async with calling(program.ports["cad"]) as caller:
            _, hard = resource.prlimit(program.process.pid, resource.RLIMIT_FSIZE, (DISK_FULL_BYTES, -1))
            await program.wait_said(b'"event":"log.failed"')
            await caller.wait_served(300)  # several times what the queue holds
            dropped = await read_metric(program, "rapidsos_proxy_log_records_dropped_total")
            resource.prlimit(program.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
            async with asyncio.timeout(PATIENCE_S):
                while await read_metric(program, "rapidsos_proxy_log_failing"):
                    await caller.wait_served()
        code = await program.stop()
    records = read_log(log)

    assert code == 0
    assert caller.wronged == []
    assert dropped > 0
    assert b'"event":"log.recovered"' in program.stderr
    check_nothing_missing(records, caller.served)
    assert records[-1]["event"] == "log.stopped"


@pytest.mark.parametrize("fault", ["write:error=EIO", "write:error=ENOSPC"])
async def test_a_disk_that_fails_ends_nothing(
    serving: Any, upstream: ScriptedUpstream, tmp_path: Path, fault: str
) -> None:
    """Every write of the log fails in the kernel; the callers do not notice, and nothing is missing afterwards."""
    log = tmp_path / "traffic.jsonl"
    async with serving(upstream.port) as program:
        async with calling(program.ports["cad"]) as caller:
            async with injected(program, fault, log):
                await program.wait_said(b'"event":"log.failed"')
                await caller.wait_served()
            await program.wait_said(b"log.recovered")
        code = await program.stop()
    records = read_log(log)

    assert code == 0
    check_nothing_missing(records, caller.served)
    assert {record["event"] for record in records} == {"log.started", "exchange.closed", "log.stopped"}


async def test_a_slow_disk_is_not_noticed(serving: Any, upstream: ScriptedUpstream, tmp_path: Path) -> None:
    """While one write of the log hangs for seconds, callers have a hundred answers; nothing is missing afterwards."""
    log = tmp_path / "traffic.jsonl"
    async with serving(upstream.port) as program:
        async with calling(program.ports["cad"]) as caller, injected(program, "write:delay_enter=5000000", log):
            await until_hung(program)
            size = log.stat().st_size
            await caller.wait_served(100)
            grown = log.stat().st_size - size
        code = await program.stop()

    assert code == 0
    assert grown == 0
    check_nothing_missing(read_log(log), caller.served)


@asynccontextmanager
async def injected(program: Program, fault: str, path: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Let strace do this to system calls on a file for the length of a block."""
    strace = find_tool("strace")
    command = [strace, "-f", "-qq", "-e", f"inject={fault}", "-P", str(path), "-p", str(program.process.pid)]
    trace = await asyncio.create_subprocess_exec(
        *command, "-o", "/dev/null", stderr=asyncio.subprocess.PIPE, stdin=asyncio.subprocess.DEVNULL
    )
    try:
        await until(lambda: trace.returncode is not None or is_traced(program.process.pid))
        if trace.returncode is not None:
            pytest.skip(f"strace may not trace here: {(await trace.communicate())[1].decode()}")
        yield trace
    finally:
        if trace.returncode is None:
            trace.terminate()
        await trace.wait()


async def until_hung(program: Program) -> None:
    """Wait until records have waited for longer than the log's thread gathers them."""
    queued = 0.0
    async with asyncio.timeout(PATIENCE_S):
        while queued < 100_000:
            queued = await read_metric(program, "rapidsos_proxy_log_queue_bytes")


def is_traced(pid: int) -> bool:
    """Return whether every thread of a process has a tracer."""
    tasks = list(Path(f"/proc/{pid}/task").glob("*/status"))
    return all("TracerPid:\t0\n" not in task.read_text() for task in tasks)


def read_whole_lines(path: Path) -> list[dict[str, Any]]:
    """Read the records of a log whose last line may be torn."""
    return [json.loads(line) for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]


# Standard output.


async def test_a_log_whose_reader_goes_away_ends_nothing(serving: Any, upstream: ScriptedUpstream) -> None:
    """As under ``serve | head -1``: the broken pipe is told once, and callers are served on."""
    ours, theirs = os.pipe()
    async with serving(upstream.port, streams={"stdout": theirs}, traffic_log={"path": "-"}) as program:
        os.close(theirs)
        async with calling(program.ports["cad"]) as caller:
            os.close(ours)
            await program.wait_said(b'"event":"log.failed"')
            await caller.wait_served()
        code = await program.stop()

    assert code == 1
    assert b"Broken pipe" in program.stderr
    assert b"Traceback" not in program.stderr
    assert b"log.lost" in program.stderr


async def test_a_log_whose_reader_stops_reading_holds_nobody_up(serving: Any, upstream: ScriptedUpstream) -> None:
    """The pipe is full and the writing thread hangs in it: callers are served on; a reader that is back has it all."""
    ours, theirs = os.pipe()
    async with serving(upstream.port, streams={"stdout": theirs}, traffic_log={"path": "-"}) as program:
        os.close(theirs)
        async with calling(program.ports["cad"]) as caller:
            await caller.wait_served(300)  # several times what a pipe holds
            queued = await read_metric(program, "rapidsos_proxy_log_queue_bytes")
        reading = asyncio.get_running_loop().run_in_executor(None, read_to_end, ours)
        code = await program.stop()
        records = [json.loads(line) for line in (await reading).splitlines()]

    assert code == 0
    assert queued > 0
    check_nothing_missing(records, caller.served)


async def test_standard_error_that_nobody_reads_holds_nobody_up(serving: Any, upstream: ScriptedUpstream) -> None:
    """What the proxy says of itself finds no room: callers are served on, and whoever reads again learns of it."""
    ours, theirs = os.pipe()
    async with serving(upstream.port, streams={"stderr": theirs}) as program:
        while b"admin: http" not in program.stderr:  # the last line of its start
            program.stderr += await asyncio.get_running_loop().run_in_executor(None, os.read, ours, 65_536)
        async with calling(program.ports["cad"]) as caller:
            fill(theirs)
            for _ in range(3):
                program.signal(signal.SIGHUP)  # which it says something of
                await caller.wait_served()
            os.read(ours, 1_000_000)  # a pipe holds less
        os.close(theirs)
        code = await program.stop()
        said = read_to_end(ours)

    assert code == 0
    assert b"messages.lost" in said
    assert b"service.stopped" in said


def fill(pipe: int) -> None:
    """Write into a pipe until nothing more fits."""
    os.set_blocking(pipe, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(pipe, b"x" * 512 + b"\n")
    os.set_blocking(pipe, True)


def read_to_end(descriptor: int) -> bytes:
    """Read a pipe until its writer has gone."""
    with os.fdopen(descriptor, "rb") as file:
        return file.read()


# Descriptors.


async def test_without_descriptors_those_who_are_in_are_served(serving: Any, upstream: ScriptedUpstream) -> None:
    """Newcomers find no room, whoever is in goes on, the log is written; when descriptors are free all is as before."""
    async with serving(upstream.port) as program:
        port, pid = program.ports["cad"], program.process.pid
        async with calling(port) as caller:
            _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            used = count_descriptors(pid)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 5, hard))
            newcomers = [socket.create_connection(("127.0.0.1", port)) for _ in range(60)]
            await caller.wait_served(50)
            for newcomer in newcomers:
                newcomer.close()
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (hard, hard))
            async with calling(port) as other:
                await other.wait_served()
        code = await program.stop()

    assert code == 0
    assert caller.wronged == other.wronged == []


async def test_an_upstream_that_no_descriptor_is_left_for_is_told_in_words(
    serving: Any, upstream: ScriptedUpstream
) -> None:
    """The exchange is refused as the proxy's own fault, and the very connection is served once there is one."""
    async with serving(upstream.port) as program:
        pid = program.process.pid
        client = RawClient(*await asyncio.open_connection("127.0.0.1", program.ports["cad"]))
        client.send(b"GET /nowhere HTTP/1.1\r\nHost: proxy\r\n\r\n")
        await client.read_answer()
        soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (count_descriptors(pid), hard))
        client.send(GET)
        refused, body = await client.read_answer()
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
        client.send(GET)
        served, _ = await client.read_answer()
        client.close()
        await program.stop()

    assert refused.split()[1] in {b"502", b"503"}, body
    assert served.startswith(b"HTTP/1.1 200 ")
    assert b"Traceback" not in program.stderr


# Signals and sleep.


async def test_sigterm_under_load_cuts_no_exchange(serving: Any, upstream: ScriptedUpstream, tmp_path: Path) -> None:
    """Every request that was taken is answered whole and recorded once; what comes later is refused, not lost."""
    async with serving(upstream.port) as program:
        tallies = [Tally() for _ in range(20)]
        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
            for tally in tallies:
                tasks.create_task(tally.call_to_the_end(program.ports["cad"]))
            await until(lambda: sum(tally.answered for tally in tallies) >= 200)
            program.signal(signal.SIGTERM)
        code = await program.wait()
    records = closed_of(read_log(tmp_path / "traffic.jsonl"))

    assert code == 0
    assert [tally.cut for tally in tallies] == [b""] * 20
    assert len(records) == sum(tally.answered + tally.refused for tally in tallies)
    assert {record["outcome"] for record in records} <= {"ok", "refused"}
    assert len([record for record in records if record["outcome"] == "ok"]) == sum(tally.answered for tally in tallies)


class Tally:
    """One caller until the proxy ends its connection.

    Attributes:
        answered: Whole answers with 200.
        refused: Those that said that the proxy stops.
        cut: What came of an answer that was not whole.
    """

    def __init__(self) -> None:
        """Count from nought."""
        self.answered = self.refused = 0
        self.cut = b""

    async def call_to_the_end(self, port: int) -> None:
        """Ask until there is no answer any more."""
        client = RawClient(*await asyncio.open_connection("127.0.0.1", port))
        try:
            while True:
                client.send(GET)
                head, body = await client.read_answer()
                self.answered += head.startswith(b"HTTP/1.1 200 ") and body == b"ok"
                self.refused += head.startswith(b"HTTP/1.1 503 ")
        except asyncio.IncompleteReadError as error:
            self.cut = error.partial
        except ConnectionError:
            pass  # the request was not taken: the connection had been closed already
        finally:
            client.close()


async def test_a_kill_under_load_tears_no_more_than_the_last_line(
    serving: Any, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    """And the next start begins a clean line, says what became of the one before, and serves."""
    log = tmp_path / "traffic.jsonl"
    async with serving(upstream.port) as program:
        caller = Caller(program.ports["cad"])
        calls = asyncio.get_running_loop().create_task(caller.call_on())
        await caller.wait_served(1)
        await until(lambda: log.stat().st_size > 50_000)
        program.signal(signal.SIGKILL)
        await asyncio.gather(calls, return_exceptions=True)
        await program.wait()
    whole = len(closed_of(read_whole_lines(log)))
    async with serving(upstream.port) as program, calling(program.ports["cad"]) as again:
        pass
    lines = log.read_bytes().splitlines()

    assert whole <= caller.served + 1
    assert whole > 0
    assert again.wronged == []
    assert b'"previous":"' in program.stderr
    assert sum(not is_record(line) for line in lines[:-1]) <= 1


def is_record(line: bytes) -> bool:
    """Return whether a line is a whole record."""
    with contextlib.suppress(ValueError):
        return isinstance(json.loads(line), dict)
    return False


async def test_a_machine_that_slept_past_its_token_renews_it_once(tmp_path: Path) -> None:
    """Stopped while its token died: everybody who asks after that is served, with one call for a new token."""
    simulator = Simulator(SimulatorSettings(token_life_s=2.0))
    await simulator.start()
    document = {
        "listener": [{"name": "cad", "bind": "127.0.0.1:0"}],
        "credential": {
            "core": {
                "grant": "client_credentials",
                "token_url": f"{simulator.url}/oauth/token",
                "client_id": "simulator-client",
                "client_secret": {"env": "SECRET"},
            }
        },
        "route": [
            {
                "name": "api",
                "match": {"path": "/api/"},
                "strip": "/api",
                "upstream": simulator.url,
                "credential": "core",
            }
        ],
        "traffic_log": {"path": "traffic.jsonl"},
        "admin": {"bind": "127.0.0.1:0"},
    }
    (tmp_path / "proxy.toml").write_text(build_toml(document))
    try:
        config = str(tmp_path / "proxy.toml")
        async with running_program("serve", "--config", config, SECRET="simulator-secret") as program:
            await program.wait_started()
            await asyncio.wait_for(simulator.token_requests.reached(1), PATIENCE_S)
            clients = [RawClient(*await asyncio.open_connection("127.0.0.1", program.ports["cad"])) for _ in range(20)]
            program.signal(signal.SIGSTOP)
            calls = simulator.token_requests.total
            for client in clients:
                client.send(GET.replace(b"/api/x", b"/api/v1/echo"))
            await asyncio.sleep(2.5)  # the sleep is the fault: the token's whole life, and more
            program.signal(signal.SIGCONT)
            heads = [(await client.read_answer())[0] for client in clients]
            renewals = simulator.token_requests.total - calls
            for client in clients:
                client.close()
            code = await program.stop()
        unauthorized = [seen for seen in simulator.requests if not seen.authorized]
    finally:
        await simulator.stop()

    assert code == 0
    assert {head.split()[1] for head in heads} == {b"200"}
    assert renewals == 1
    assert unauthorized == []


# Clock.


@contextlib.contextmanager
def stepped_clock(tmp_path: Path, start: str) -> Iterator[tuple[dict[str, str], Any]]:
    """Give a program a wall clock that can be set: yield its environment, and what sets it to a time in New York."""
    find_tool("faketime")
    libraries = list(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    moment = tmp_path / "moment"

    def step(to: str) -> None:
        (tmp_path / "moment.new").write_text(f"@{to}\n")
        (tmp_path / "moment.new").rename(moment)

    step(start)
    yield (
        {
            "LD_PRELOAD": str(libraries[0]),
            "FAKETIME_TIMESTAMP_FILE": str(moment),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "TZ": "America/New_York",
        },
        step,
    )


async def test_a_clock_that_is_stepped_changes_nothing_but_the_time_of_records(
    serving: Any, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    """An hour on, an hour back, over the end of daylight saving and of the year: UTC, in order by number, none cut."""
    moments = ("2026-11-01 01:59:59", "2026-11-01 01:00:00", "2026-12-31 18:59:59", "2027-01-01 00:00:00")
    with stepped_clock(tmp_path, "2026-11-01 00:30:00") as (environ, step):
        async with serving(upstream.port, environ=environ) as program:
            async with calling(program.ports["cad"]) as caller:
                for moment in moments:
                    step(moment)
                    await caller.wait_served(30)
            code = await program.stop()
    # A file is put aside by the age of its first record, which a step on makes old.
    records = read_files(tmp_path / "traffic.jsonl")

    assert code == 0
    check_nothing_missing(records, caller.served)
    assert {record["outcome"] for record in closed_of(records)} == {"ok"}
    assert {record["ts"][:13] for record in records} >= {"2026-11-01T05", "2026-12-31T23", "2027-01-01T05"}
    assert all(record["ts"].endswith("Z") for record in records)
    assert all(0 <= record["timing_ms"]["total"] < 60_000 for record in closed_of(records))


# What others on the machine can see.


async def test_a_secret_from_a_file_is_neither_in_the_environment_nor_among_the_arguments(
    serving: Any, upstream: ScriptedUpstream
) -> None:
    """Nor in the list of open files: whoever may look at the process finds none."""
    async with serving(upstream.port) as program:
        process = Path(f"/proc/{program.process.pid}")
        seen = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
        files = read_links(process / "fd")
        await program.stop()

    assert b"a-basic-password" not in seen
    assert not any(file.endswith("/password") for file in files)

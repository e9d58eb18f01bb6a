"""The program's beginning and end, as its operator and the service manager see them: signals, exit codes, the log."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from harness.program import HANGING_DISK, SOURCES, Program, build_toml, find_free_port, running_program
from harness.running import PATIENCE_S, RawClient, until
from harness.upstream import Peer, ScriptedUpstream, answering, scripted_upstream

from proxy.config.models import Outbound
from proxy.tokens.fetch import TokenFetcher
from proxy.tokens.grants import TokenRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

# The program chooses its own loop.
pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])

GET = b"GET /api/x HTTP/1.1\r\nHost: proxy\r\n\r\n"
CALLERS = 30


class HeldUpstream:
    """Answers once it is let go.

    Attributes:
        scripted: The upstream itself.
    """

    def __init__(self) -> None:
        """Hold everything."""
        self._go_on = asyncio.Event()
        self.scripted = ScriptedUpstream()

    def let_go(self) -> None:
        """Answer what is held, and at once what comes later."""
        self._go_on.set()

    async def script(self, peer: Peer) -> None:
        """Answer in two parts, so that a cut between them would show."""
        while True:
            await peer.read_head()
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nheld")
            await self._go_on.wait()
            peer.send(b"back")


@pytest.fixture
async def upstream() -> AsyncIterator[HeldUpstream]:
    """Run an upstream that holds its answers back."""
    held = HeldUpstream()
    async with scripted_upstream(held.script) as scripted:
        held.scripted = scripted
        yield held
        held.let_go()


async def stay_silent(peer: Peer) -> None:
    """Read a request and never answer."""
    await peer.read_head()
    await peer.wait_closed()


def write_config(path: Path, upstream: HeldUpstream | None, **sections: Any) -> str:
    """Write a configuration; return its path for the command line."""
    document = {
        "listener": [{"name": "cad", "bind": "127.0.0.1:0"}],
        "credential": {"lis": {"grant": "basic", "username": "lis", "password": {"env": "LIS_PASSWORD"}}},
        "route": [
            {
                "name": "api",
                "match": {"path": "/api/"},
                "upstream": f"http://127.0.0.1:{upstream.scripted.port if upstream else 9}",
                "credential": "lis",
            }
        ],
        "traffic_log": {"path": "traffic.jsonl"},
        "admin": {"bind": "127.0.0.1:0"},
        **sections,
    }
    file = path / "proxy.toml"
    file.write_text(build_toml(document))
    return str(file)


def read_log(path: Path) -> list[dict[str, Any]]:
    """Read every record of the traffic log; each line is whole."""
    return [json.loads(line) for line in (path / "traffic.jsonl").read_text().splitlines()]


def closed_of(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return those of exchanges."""
    return [record for record in records if record["event"] == "exchange.closed"]


@asynccontextmanager
async def serving(config: str) -> AsyncIterator[Program]:
    """Run ``serve`` for the length of a block, from when it listens."""
    async with running_program("serve", "--config", config, LIS_PASSWORD="a-password") as program:
        await program.wait_started()
        yield program


class Clients:
    """Raw connections, closed at the end of the test."""

    def __init__(self) -> None:
        """Begin with none."""
        self._open: list[RawClient] = []

    async def connect(self, port: int) -> RawClient:
        """Open one."""
        client = RawClient(*await asyncio.open_connection("127.0.0.1", port))
        self._open.append(client)
        return client

    async def ask_and_hang(self, program: Program, count: int) -> list[RawClient]:
        """Send requests; return their clients once each has the first part of its answer."""
        clients = [await self.connect(program.ports["cad"]) for _ in range(count)]
        for client in clients:
            client.send(GET)
        for client in clients:
            await client.read_head()
            assert await client.read_exactly(4) == b"held"
        return clients

    async def ask(self, program: Program, path: str) -> bytes:
        """Send a request; return the head of its answer."""
        client = await self.connect(program.ports["cad"])
        client.send(f"GET {path} HTTP/1.1\r\nHost: proxy\r\n\r\n".encode())
        return await client.read_head()

    async def ready_status(self, program: Program) -> int:
        """Return what the readiness probe gets."""
        probe = await self.connect(program.admin_port)
        probe.send(b"GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return int((await probe.read_all()).split()[1])

    async def close(self) -> None:
        """Close them all, and let the loop finish that."""
        for client in self._open:
            client.close()
            with contextlib.suppress(ConnectionError):
                await client.writer.wait_closed()


@pytest.fixture
async def clients() -> AsyncIterator[Clients]:
    """Return what opens connections."""
    clients = Clients()
    yield clients
    await clients.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains(
    tmp_path: Path, upstream: HeldUpstream, clients: Clients, number: signal.Signals
) -> None:
    """What is under way gets its whole answer, nothing new gets in, readiness falls, exit code 0, all in the log."""
    async with serving(write_config(tmp_path, upstream)) as program:
        idle = await clients.connect(program.ports["cad"])
        held = await clients.ask_and_hang(program, CALLERS)
        assert await clients.ready_status(program) == 200
        program.signal(number)
        await program.wait_said(b"service.draining")
        assert await idle.read_all() == b""
        assert await clients.ready_status(program) == 503
        with pytest.raises(ConnectionRefusedError):
            await clients.connect(program.ports["cad"])
        upstream.let_go()
        rests = [await client.read_all() for client in held]
        code = await program.wait()
    records = read_log(tmp_path)

    assert code == 0
    assert rests == [b"back"] * CALLERS
    assert [record["outcome"] for record in closed_of(records)] == ["ok"] * CALLERS
    assert [record["response"]["body"] for record in closed_of(records)] == ["heldback"] * CALLERS
    assert (records[-1]["event"], records[-1]["dropped"]) == ("log.stopped", 0)


async def test_what_outlasts_the_drain_is_cut_and_recorded(
    tmp_path: Path, upstream: HeldUpstream, clients: Clients
) -> None:
    """An upstream that never ends does not keep the process: the client sees a break, and the record says why."""
    config = write_config(tmp_path, upstream, timeouts={"drain": 0.1})
    async with serving(config) as program:
        [client] = await clients.ask_and_hang(program, 1)
        program.signal(signal.SIGTERM)
        assert await client.read_all() == b""
        code = await program.wait()
    [record] = closed_of(read_log(tmp_path))

    assert code == 0
    assert (record["outcome"], record["error"]) == ("aborted", "draining")
    assert record["response"]["body"] == "held"


async def test_a_second_signal_ends_at_once(tmp_path: Path, upstream: HeldUpstream, clients: Clients) -> None:
    """The drain limit is an hour here: only the second signal can end it; the log is written all the same."""
    config = write_config(tmp_path, upstream, timeouts={"drain": 3600.0})
    async with serving(config) as program:
        [client] = await clients.ask_and_hang(program, 1)
        program.signal(signal.SIGTERM)
        await program.wait_said(b"service.draining")
        program.signal(signal.SIGTERM)
        assert await client.read_all() == b""
        code = await program.wait()
    records = read_log(tmp_path)

    assert code == 0
    assert len(closed_of(records)) == 1
    assert records[-1]["event"] == "log.stopped"


async def test_a_signal_as_soon_as_it_listens_is_not_lost(tmp_path: Path, upstream: HeldUpstream) -> None:
    """A service manager that changes its mind at once still gets an orderly end."""
    async with serving(write_config(tmp_path, upstream)) as program:
        code = await program.stop()

    assert code == 0
    assert read_log(tmp_path)[-1]["event"] == "log.stopped"


async def test_a_signal_while_it_starts_ends_it(tmp_path: Path, upstream: HeldUpstream) -> None:
    """Though the disk of the traffic log hangs, and the start with it."""
    (tmp_path / "sitecustomize.py").write_text(HANGING_DISK)
    environ = {"LIS_PASSWORD": "a-password", "PYTHONPATH": f"{tmp_path}{os.pathsep}{SOURCES}", "HANGS": "traffic.jsonl"}
    async with running_program("serve", "--config", write_config(tmp_path, upstream), **environ) as program:
        await program.wait_said(b"the disk hangs")
        code = await program.stop()

    assert code == 0
    assert b"service.stopped" in program.stderr
    assert b"task.failed" not in program.stderr


async def test_a_stop_at_the_moment_a_token_call_times_out_is_not_lost() -> None:
    """Cancelling wins over the time limit: otherwise the refresher goes on, and the program never ends.

    Both are made due in one turn of a loop that was busy, the time limit first.
    """
    async with scripted_upstream(stay_silent) as server:
        fetch = TokenFetcher(Outbound(), timeout_s=0.2)
        request = TokenRequest(f"http://127.0.0.1:{server.port}/oauth/token", {}, b"grant_type=client_credentials")
        loop = asyncio.get_running_loop()
        call = loop.create_task(fetch(request))
        loop.call_at(loop.time() + 0.21, call.cancel)
        await until(lambda: bool(server.peers and server.peers[0].received))
        time.sleep(0.3)  # noqa: ASYNC251 (the busy loop)
        ended = await asyncio.gather(call, return_exceptions=True)
        await fetch.close()

        assert isinstance(ended[0], asyncio.CancelledError)


HANGING_DNS = """
import socket
import threading

system, names = socket.getaddrinfo, set()


def getaddrinfo(host, *rest, **named):
    if not host.endswith(".example"):
        return system(host, *rest, **named)
    if host in names or host.startswith("hangs"):
        threading.Event().wait()
    names.add(host)
    return system("127.0.0.1", *rest, **named)


socket.getaddrinfo = getaddrinfo
"""
"""A ``sitecustomize``: each name resolves once and then hangs for ever, and some do so from the beginning."""


async def test_a_dns_that_hangs_holds_up_neither_requests_nor_the_end(tmp_path: Path, clients: Clients) -> None:
    """A name that was resolved before is served; SIGTERM ends the program though look-ups never come back."""
    (tmp_path / "sitecustomize.py").write_text(HANGING_DNS)
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
    async with scripted_upstream(answering(answer)) as upstream:
        hosts = ["api.example", *(f"hangs-{number}.example" for number in range(10))]
        route = {"credential": "lis", "allow_private": True, "allow_plain_http": True}
        routes = [
            {"name": host, "match": {"path": f"/{host}/"}, "upstream": f"http://{host}:{upstream.port}", **route}
            for host in hosts
        ]
        config = write_config(tmp_path, None, route=routes, timeouts={"connect": 2.0})
        path = f"{tmp_path}{os.pathsep}{SOURCES}"
        async with running_program("serve", "--config", config, LIS_PASSWORD="a-password", PYTHONPATH=path) as program:
            await program.wait_started()
            served = [await clients.ask(program, "/api.example/") for _ in range(3)]
            failed = await asyncio.gather(*(clients.ask(program, f"/{host}/") for host in hosts[1:]))
            code = await program.stop()

    assert [head[:12] for head in served] == [b"HTTP/1.1 200"] * 3
    assert [head[:12] for head in failed] == [b"HTTP/1.1 502"] * 10
    assert code == 0
    assert read_log(tmp_path)[-1]["event"] == "log.stopped"


async def test_a_hangup_does_not_end_the_program(tmp_path: Path, upstream: HeldUpstream, clients: Clients) -> None:
    """SIGHUP is how an operator asks for a reload, or how a terminal leaves; exchanges under way go on."""
    async with serving(write_config(tmp_path, upstream)) as program:
        [client] = await clients.ask_and_hang(program, 1)
        program.signal(signal.SIGHUP)
        upstream.let_go()
        async with asyncio.timeout(PATIENCE_S):
            rest = await client.reader.read(4)
        code = await program.stop()

    assert rest == b"back"
    assert code == 0


async def test_standard_output_is_the_logs_alone(tmp_path: Path, upstream: HeldUpstream, clients: Clients) -> None:
    """With path "-", every line of it is a record; what the program says of itself is on standard error."""
    upstream.let_go()
    async with serving(write_config(tmp_path, upstream, traffic_log={"path": "-"})) as program:
        await clients.ask_and_hang(program, 3)
        await program.stop()
    events = [json.loads(line)["event"] for line in program.stdout.splitlines()]

    assert events == ["log.started", *["exchange.closed"] * 3, "log.stopped"]


@pytest.mark.parametrize("section", ["listener", "admin"])
async def test_a_port_that_is_taken_is_an_error_of_the_configuration(tmp_path: Path, section: str) -> None:
    """Exit code 2, the key, the address and what to do; no traceback, and nothing on standard output."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        value = {"bind": bind} if section == "admin" else [{"name": "cad", "bind": bind}]
        config = write_config(tmp_path, None, **{section: value})
        async with running_program("serve", "--config", config, LIS_PASSWORD="a-password") as program:
            code = await program.wait()
    said = program.stderr.decode()

    assert code == 2
    assert f"{bind} is in use by another process" in said
    assert section in said
    assert "fix: " in said
    assert "Traceback" not in said
    assert program.stdout == b""


async def test_a_second_listener_that_cannot_be_had_closes_the_first(tmp_path: Path, clients: Clients) -> None:
    """Half a proxy is none: no port of it is left open, and its log is not touched."""
    first = find_free_port()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listener = [
            {"name": "first", "bind": f"127.0.0.1:{first}"},
            {"name": "second", "bind": f"127.0.0.1:{taken.getsockname()[1]}"},
        ]
        config = write_config(tmp_path, None, listener=listener)
        async with running_program("serve", "--config", config, LIS_PASSWORD="a-password") as program:
            code = await program.wait()

    assert code == 2
    assert b"listener second" in program.stderr
    assert not (tmp_path / "traffic.jsonl").exists()
    with pytest.raises(ConnectionRefusedError):
        await clients.connect(first)


@pytest.mark.parametrize(
    ("traffic_log", "problem"),
    [({"path": "no/such/directory/log"}, "cannot be opened"), ({"path": "."}, "cannot be opened")],
)
async def test_a_log_that_cannot_be_opened_is_an_error_of_the_configuration(
    tmp_path: Path, traffic_log: dict[str, Any], problem: str
) -> None:
    """Nothing is served unrecorded."""
    config = write_config(tmp_path, None, traffic_log=traffic_log)
    async with running_program("serve", "--config", config, LIS_PASSWORD="a-password") as program:
        code = await program.wait()
    said = program.stderr.decode()

    assert code == 2
    assert problem in said
    assert "fix: " in said
    assert "Traceback" not in said

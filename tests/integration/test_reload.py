"""The configuration is changed while requests go on: none is lost, and a mistake changes nothing.

The program runs as an operator runs it, from a file, in front of real sockets; it is told by SIGHUP, or by the command.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from harness.certificates import build_client_tls, write_pair
from harness.program import Program, build_toml, find_free_port, running_program
from harness.running import PATIENCE_S, RawClient, until
from harness.tunnels import CONNECT, HOST, OTHER_HOST, found, intercepting, start_tls, trust
from harness.upstream import Peer, scripted_upstream

from proxy.config.secret import Secret
from proxy.simulator.faults import Fault
from proxy.simulator.server import Simulator
from proxy.simulator.settings import SimulatorSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import trustme
    from harness.upstream import ScriptedUpstream

# The program chooses its own loop.
pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])

CLIENTS = 8
SECRET = "a-secret-of-the-simulator"
OTHER_SECRET = "another-secret-of-the-simulator"


async def serve(peer: Peer) -> None:
    """Answer each request with its path, and what it bore as Authorization."""
    while True:
        head = await peer.read_head()
        path = head.split(b" ", 2)[1]
        bore = next((line for line in head.split(b"\r\n") if line.lower().startswith(b"authorization:")), b"")
        if path.endswith(b"/never"):
            await peer.wait_closed()
            return
        if path.endswith(b"/slow"):
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nheld")
            await asyncio.wait_for(Slow.go_on.wait(), PATIENCE_S)
            peer.send(b"back")
            continue
        body = path + b" " + bore
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


class Slow:
    """What a slow answer waits for; anew for each test."""

    go_on: asyncio.Event


@dataclass
class Site:
    """A program, what it runs with, and clients that ask without a pause.

    Attributes:
        program: It.
        document: Of its file, as last written.
        answers: Each answer of the clients that ask all the time: the number of the client, and its body.
        is_over: Whether they are to stop.
    """

    directory: Path
    program: Program
    document: dict[str, Any]
    upstream: ScriptedUpstream
    simulator: Simulator
    answers: list[tuple[int, bytes]] = field(default_factory=list)
    is_over: bool = False
    _open: list[RawClient] = field(default_factory=list)

    @property
    def file(self) -> Path:
        """The configuration."""
        return self.directory / "proxy.toml"

    @property
    def port(self) -> int:
        """Of the first listener."""
        return self.program.ports["cad"]

    def write(self, **sections: Any) -> None:
        """Put another configuration into the file, as an editor does."""
        self.document = {**self.document, **sections}
        beside = self.directory / "beside"
        beside.write_text(build_toml(self.document))
        beside.replace(self.file)

    async def reload(self, **sections: Any) -> dict[str, Any]:
        """Write, send SIGHUP, and wait for the outcome; return the event that tells it."""
        self.write(**sections)
        before = len(self.outcomes())
        self.program.signal(signal.SIGHUP)
        return await self.wait_outcome(before + 1)

    async def wait_outcome(self, count: int) -> dict[str, Any]:
        """Wait until so many reloads have ended; return the last one's event."""
        while len(self.outcomes()) < count:
            already = len(self.program.stderr)
            await self.program.wait_said_after(already, b"\n")
        return self.outcomes()[count - 1]

    def outcomes(self) -> list[dict[str, Any]]:
        """Return the events of the reloads that have ended."""
        return [event for event in self.events() if event["event"] in {"config.reloaded", "config.refused"}]

    def events(self) -> list[dict[str, Any]]:
        """Return the whole lines of the operational log."""
        whole = self.program.stderr.decode().rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]

    async def command(self, *arguments: str) -> tuple[int, str, str]:
        """Run ``rapidsos-proxy reload``; return exit code, standard output and error."""
        control = str(self.directory / "c.sock")
        async with running_program("reload", "--control", control, *arguments) as program:
            code = await program.wait()
        return code, program.stdout.decode(), program.stderr.decode()

    async def connect(self, port: int | None = None, *, host: str = "127.0.0.1", **tls: Any) -> RawClient:
        """Open a connection."""
        client = RawClient(*await asyncio.open_connection(host, port or self.port, **tls))
        self._open.append(client)
        return client

    async def ask(self, path: str, port: int | None = None, *, host: str = "127.0.0.1") -> tuple[int, bytes]:
        """Send one request on a connection of its own; return status and body."""
        return await ask_on(await self.connect(port, host=host), path)

    async def ask_admin(self, path: str) -> bytes:
        """Return what the admin listener answers."""
        async with (
            aiohttp.ClientSession(f"http://127.0.0.1:{self.program.admin_port}") as session,
            session.get(path) as answer,
        ):
            return await answer.read()

    async def ask_on_and_on(self, number: int) -> None:
        """Send requests on one connection until told that it is over, each its own path."""
        client = await self.connect()
        count = 0
        while not self.is_over:
            count += 1
            path = f"/api/{number}-{count}"
            status, body = await ask_on(client, path)
            assert (status, body.split()[0]) == (200, path.encode())
            self.answers.append((number, body))
            await asyncio.sleep(0.001)

    async def wait_asked(self, count: int) -> None:
        """Wait until every client that asks all the time has had so many more answers."""
        target = {number: self.count_answers(number) + count for number in range(CLIENTS)}
        await until(lambda: all(self.count_answers(number) >= least for number, least in target.items()))

    def count_answers(self, number: int) -> int:
        """Return how many answers one of them has had."""
        return sum(one == number for one, _ in self.answers)

    def records(self) -> list[dict[str, Any]]:
        """Return the traffic log."""
        return [json.loads(line) for line in (self.directory / "traffic.jsonl").read_text().splitlines()]

    def close(self) -> None:
        """Close every connection."""
        for client in self._open:
            client.close()


async def ask_on(client: RawClient, path: str, *, host: str = "proxy") -> tuple[int, bytes]:
    """Send one request; return status and body."""
    client.send(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    head, body = await client.read_answer()
    return int(head.split()[1]), body


def route(name: str, upstream: ScriptedUpstream, credential: str = "core", **more: Any) -> dict[str, Any]:
    """Return a route ``/name/`` to the upstream."""
    url = f"http://127.0.0.1:{upstream.port}"
    return {"name": name, "match": {"path": f"/{name}/"}, "upstream": url, "credential": credential, **more}


def credential(simulator: Simulator, variable: str = "CORE_SECRET") -> dict[str, Any]:
    """Return a credential whose secret is in a variable."""
    return {
        "grant": "client_credentials",
        "token_url": f"{simulator.url}/oauth/token",
        "client_id": "simulator-client",
        "client_secret": {"env": variable},
    }


@asynccontextmanager
async def running_site(directory: Path, **sections: Any) -> AsyncIterator[Site]:
    """Run a site for the length of a block."""
    Slow.go_on = asyncio.Event()
    simulator = Simulator(SimulatorSettings(client_secret=Secret(SECRET, "test")))
    await simulator.start()
    async with scripted_upstream(serve) as upstream:
        document = {
            "listener": [{"name": "cad", "bind": "127.0.0.1:0"}],
            "credential": {"core": credential(simulator)},
            "route": [route("api", upstream)],
            "traffic_log": {"path": "traffic.jsonl"},
            "admin": {"bind": "127.0.0.1:0", "control": "c.sock"},
            **sections,
        }
        (directory / "proxy.toml").write_text(build_toml(document))
        secrets = {"CORE_SECRET": SECRET, "OTHER_SECRET": OTHER_SECRET, "LIS_PASSWORD": "lis-password"}
        config = str(directory / "proxy.toml")
        async with running_program("serve", "--config", config, **secrets) as program:
            await program.wait_started()
            site = Site(directory, program, document, upstream, simulator)
            try:
                yield site
            finally:
                Slow.go_on.set()
                site.close()
    await simulator.stop()


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """Run a site with one route, ``/api/``."""
    async with running_site(tmp_path) as running:
        yield running


@pytest.fixture
def section(tmp_path: Path) -> dict[str, str]:
    """Return the section of an authority that tunnels are opened with."""
    return found(tmp_path)


async def test_no_exchange_is_lost_to_reloads(site: Site) -> None:
    """Under steady load everything is changed twenty times: each connection lives on, each answer is its request's."""
    changes = [
        {"route": [route("api", site.upstream), route("more", site.upstream)]},
        {"limits": {"in_flight": 50, "client_in_flight": 50, "client_rate": 100_000.0}},
        {"timeouts": {"first_byte": 20.0, "token_wait": 4.0}, "breaker": {"connections": 3}},
        {"traffic_log": {"path": "traffic.jsonl", "bodies": 10, "token": "fingerprint", "mask": ["caller_id"]}},
        {"route": [route("api", site.upstream)], "limits": {}, "timeouts": {}, "breaker": {}},
    ]
    async with asyncio.TaskGroup() as group:
        for number in range(CLIENTS):
            group.create_task(site.ask_on_and_on(number))
        await site.wait_asked(5)
        outcomes = []
        for _ in range(4):
            for change in changes:
                outcomes.append(await site.reload(**change))
                await site.wait_asked(2)
        site.is_over = True
    asked = len(site.answers)
    assert await site.program.stop() == 0
    closed = [record for record in site.records() if record["event"] == "exchange.closed"]

    assert {outcome["event"] for outcome in outcomes} == {"config.reloaded"}
    assert len(closed) == asked
    assert {record["outcome"] for record in closed} == {"ok"}
    assert [record["seq"] for record in site.records()] == list(range(1, len(site.records()) + 1))
    assert site.simulator.token_requests.total == 1
    assert len(site.upstream.peers) <= CLIENTS


async def test_a_bad_file_is_refused(site: Site) -> None:
    """All that is wrong is told once, with key and fix; what was served is served on, and the probe tells."""
    event = await site.reload(route=[route("api", site.upstream, "nobody"), {"name": "b", "upstream": "x"}])
    served, missing = await site.ask("/api/x"), await site.ask("/b")
    ready, metrics = json.loads(await site.ask_admin("/ready")), await site.ask_admin("/metrics")
    code, out, err = await site.command()
    site.write(route=[route("api", site.upstream)])
    mended, said, _ = await site.command()
    again = json.loads(await site.ask_admin("/ready"))

    assert (event["event"], event["level"]) == ("config.refused", "error")
    assert event["key"] == str(site.file)
    assert "route[api].credential" in event["problem"]
    assert "route[b].upstream" in event["problem"]
    assert event["problem"].count("fix:") >= 2
    assert (served[0], missing[0]) == (200, 404)
    assert (ready["ready"], ready["configuration_current"]) == (True, False)
    assert "route[api].credential" in ready["configuration"]["problem"]
    assert b"rapidsos_proxy_config_current 0.0" in metrics
    assert b"rapidsos_proxy_config_refusals_total 1.0" in metrics
    assert (code, out) == (2, "")
    assert "route[api].credential" in err
    assert (mended, said) == (0, "reloaded; nothing has changed\n")
    assert (again["configuration_current"], again["configuration"]["problem"]) == (True, None)


async def test_a_file_that_is_no_toml_is_refused(site: Site) -> None:
    """With the line."""
    site.file.write_text(site.file.read_text() + "\n[route\n")
    site.program.signal(signal.SIGHUP)
    event = await site.wait_outcome(1)

    assert event["event"] == "config.refused"
    assert "line" in event["key"] + event["problem"]
    assert (await site.ask("/api/x"))[0] == 200


async def test_routes_come_and_go(site: Site) -> None:
    """A new one works at once, a removed one is 404, also on a connection that was open before."""
    old = await site.connect()
    before = await ask_on(old, "/more/x")
    added = await site.reload(route=[route("api", site.upstream), route("more", site.upstream)])
    between = await ask_on(old, "/more/x")
    await site.reload(route=[route("more", site.upstream)])
    after = [await ask_on(old, "/more/x"), await ask_on(old, "/api/x")]

    assert (before[0], between[0]) == (404, 200)
    assert [status for status, _ in after] == [200, 404]
    assert (added["changed"], added["needs_restart"]) == (["route"], [])


async def test_an_exchange_under_way_ends_as_it_began(site: Site) -> None:
    """Its route, its limits and its connection serve it to its end, though all of them are gone."""
    client = await site.connect()
    client.send(b"GET /api/slow HTTP/1.1\r\nHost: proxy\r\n\r\n")
    await client.read_head()
    assert await client.read_exactly(4) == b"held"
    await site.reload(
        route=[route("b", site.upstream, "lis", addresses=["127.0.0.1"])],
        credential={"lis": {"grant": "basic", "username": "lis", "password": {"env": "LIS_PASSWORD"}}},
        timeouts={"silence": 1.0, "first_byte": 1.0},
    )
    cut, _ = await site.ask("/b/never")  # which takes longer than the silence that the other may not have any more
    Slow.go_on.set()
    rest = await client.read_exactly(4)
    status, _ = await ask_on(client, "/api/x")

    assert cut == 504
    assert rest == b"back"
    assert status == 404


async def test_connections_to_a_destination_that_has_gone_are_closed(site: Site) -> None:
    """Once they are idle; those to one that stays are used on."""
    other = route("other", site.upstream, addresses=["127.0.0.1"])
    await site.reload(route=[route("api", site.upstream), other])
    assert [(await site.ask("/other/x"))[0], (await site.ask("/api/x"))[0]] == [200, 200]
    gone, kept = site.upstream.peers
    await site.reload(route=[route("api", site.upstream)])
    await until(lambda: gone.is_closing)
    status, _ = await site.ask("/api/x")

    assert status == 200
    assert site.upstream.peers == [gone, kept]


async def test_a_new_credential_has_its_token_before_it_is_used(site: Site) -> None:
    """No request waits for one, and the one of the other credential is not asked for again."""
    both = {"core": credential(site.simulator), "other": credential(site.simulator)}
    both["other"]["extra"] = {"audience": "other"}
    await site.reload(credential=both, route=[route("api", site.upstream), route("o", site.upstream, "other")])
    asked = site.simulator.token_requests.total
    statuses = [(await site.ask("/o/x"))[0], (await site.ask("/api/x"))[0]]
    assert await site.program.stop() == 0
    closed = [record for record in site.records() if record["event"] == "exchange.closed"]

    assert asked == 2
    assert statuses == [200, 200]
    assert site.simulator.token_requests.total == 2
    assert [record["timing_ms"]["token"] for record in closed] == [0.0, 0.0]


async def test_a_secret_that_is_refused_loses_no_route(site: Site) -> None:
    """Whoever mistypes a new secret is told by the key and the server's answer, and the old one's token serves on."""
    event = await site.reload(credential={"core": credential(site.simulator, "OTHER_SECRET")})
    served = await site.ask("/api/x")
    site.simulator.tokens.change_client_secret(Secret(OTHER_SECRET, "test"))
    mended = await site.reload()
    token_before = served[1].split()[-1]
    served_after = await site.ask("/api/x")
    assert await site.program.stop() == 0
    output = site.program.stderr + (site.directory / "traffic.jsonl").read_bytes()

    assert (event["event"], event["key"]) == ("config.refused", "credential.core")
    assert "invalid_client" in event["problem"]
    assert event["fix"]
    assert served[0] == served_after[0] == 200
    assert mended["event"] == "config.reloaded"
    assert served_after[1].split()[-1] != token_before
    assert SECRET.encode() not in output
    assert OTHER_SECRET.encode() not in output


async def test_a_token_server_that_hangs_refuses_the_new_credential(site: Site) -> None:
    """Within the time limits of tokens, while the old one serves."""
    site.simulator.faults.add(Fault.model_validate({"where": "token", "kind": "slow", "delay_s": 60.0}))
    other = {**credential(site.simulator), "extra": {"audience": "other"}}
    both = {"core": credential(site.simulator), "other": other}
    event = await site.reload(credential=both, timeouts={"token": 0.5, "token_wait": 0.5})

    assert (event["event"], event["key"]) == ("config.refused", "credential.other")
    assert (await site.ask("/api/x"))[0] == 200


async def test_listeners_come_and_go(site: Site) -> None:
    """A new one serves; of a removed one no connection is left, but what is under way gets its whole answer."""
    port = find_free_port()
    cad = {"name": "cad", "bind": "127.0.0.1:0"}
    await site.reload(listener=[cad, {"name": "cad2", "bind": f"127.0.0.1:{port}"}])
    idle, busy = await site.connect(port), await site.connect(port)
    assert (await ask_on(idle, "/api/x"))[0] == 200
    busy.send(b"GET /api/slow HTTP/1.1\r\nHost: proxy\r\n\r\n")
    await busy.read_head()
    await site.reload(listener=[cad])
    left = await idle.read_all()
    with pytest.raises(ConnectionRefusedError):
        await site.connect(port)
    Slow.go_on.set()
    held = await busy.read_all()

    assert left == b""
    assert held == b"heldback"
    assert (await site.ask("/api/x"))[0] == 200


async def test_listeners_share_a_port_on_other_addresses(site: Site) -> None:
    """One is added beside the other, and moved to a third address; only what overlaps waits for a restart."""
    cad = {"name": "cad", "bind": "127.0.0.1:0"}
    outcomes, statuses = [], []
    for host in ("127.0.0.2", "127.0.0.3"):
        outcomes.append(await site.reload(listener=[cad, {"name": "cad2", "bind": f"{host}:{site.port}"}]))
        statuses.append((await site.ask("/api/x", host=host))[0])
    everywhere = {"name": "cad2", "bind": f"0.0.0.0:{site.port}", "allow": ["127.0.0.0/8"]}
    refused = await site.reload(listener=[cad, everywhere])
    with pytest.raises(ConnectionRefusedError):
        await site.connect(host="127.0.0.2")

    assert [outcome["event"] for outcome in outcomes] == ["config.reloaded"] * 2
    assert statuses == [200, 200]
    assert (refused["event"], refused["key"]) == ("config.refused", "listener cad2: bind")
    assert f"overlaps 127.0.0.1:{site.port}, where listener cad serves at present" in refused["problem"]


async def test_listeners_change_places(site: Site) -> None:
    """Each address is the other one's from then on, and no connection is left that came in by its former name."""
    binds = [f"127.0.0.1:{find_free_port()}" for _ in range(2)]
    ports = [int(bind.partition(":")[2]) for bind in binds]
    places = [dict(zip(("a", "b"), order, strict=True)) for order in (binds, reversed(binds))]
    before, after = ([{"name": name, "bind": bind} for name, bind in place.items()] for place in places)
    await site.reload(listener=before)
    idle, busy = await site.connect(ports[0]), await site.connect(ports[0])
    assert (await ask_on(idle, "/api/x"))[0] == 200
    busy.send(b"GET /api/slow HTTP/1.1\r\nHost: proxy\r\n\r\n")
    await busy.read_head()
    event = await site.reload(listener=after)
    left = await idle.read_all()
    statuses = [(await site.ask("/api/x", port))[0] for port in ports]
    Slow.go_on.set()
    held = await busy.read_all()
    assert await site.program.stop() == 0
    by = [record["listener"] for record in site.records() if record["event"] == "exchange.closed"]
    opened = [(one["listener"], one["url"]) for one in site.events() if one["event"] == "listener.opened"]

    assert event["event"] == "config.reloaded"
    assert left == b""
    assert statuses == [200, 200]
    assert held == b"heldback"
    assert by == ["a", "b", "a", "a"]
    assert opened[-2:] == [("a", f"http://{binds[1]}"), ("b", f"http://{binds[0]}")]


async def test_a_taken_port_refuses_the_reload(site: Site) -> None:
    """Also what else the file says is not used then."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        listeners = [{"name": "cad", "bind": "127.0.0.1:0"}, {"name": "cad2", "bind": f"127.0.0.1:{port}"}]
        event = await site.reload(listener=listeners, route=[route("more", site.upstream)])

    assert (event["event"], event["key"]) == ("config.refused", "listener cad2: bind")
    assert (await site.ask("/api/x"))[0] == 200
    assert (await site.ask("/more/x"))[0] == 404


async def test_who_may_use_a_listener_changes_for_the_next_request(site: Site) -> None:
    """A client that is allowed no more is refused on the connection that it has."""
    client = await site.connect()
    before = await ask_on(client, "/api/x")
    await site.reload(listener=[{"name": "cad", "bind": "127.0.0.1:0", "allow": ["192.0.2.0/24"]}])
    client.send(b"GET /api/x HTTP/1.1\r\nHost: proxy\r\n\r\n")
    head = await client.read_head()

    assert before[0] == 200
    assert head.split()[1] == b"403"


async def test_a_listener_changes_to_tls(site: Site, tmp_path: Path, authority: trustme.CA) -> None:
    """New connections speak it, and no old one is left that does not."""
    old = await site.connect()
    assert (await ask_on(old, "/api/x"))[0] == 200
    pair = write_pair(tmp_path, authority)
    port = site.port
    await site.reload(listener=[{"name": "cad", "bind": "127.0.0.1:0", "tls": pair}])
    left = await old.read_all()
    client = await site.connect(port, ssl=build_client_tls(authority), server_hostname="127.0.0.1")
    status, _ = await ask_on(client, "/api/x")

    assert left == b""
    assert status == 200


@pytest.mark.parametrize("still_routed", [HOST, OTHER_HOST])
async def test_a_tunnel_that_would_not_be_granted_any_more_ends(
    site: Site, section: dict[str, str], still_routed: str
) -> None:
    """Its listener opens none now, or none to that host: the next request in it is told to connect again."""

    def intercept(host: str, *, intercepts: bool) -> dict[str, Any]:
        sections = intercepting(section, intercept=intercepts)
        sections["listener"].append({"name": "other", "bind": "127.0.0.1:0", "intercept": True})
        plain = route("api", site.upstream)
        return {**sections, "route": [{**plain, "name": "host", "match": {"host": host}}, {**plain, "match": {}}]}

    await site.reload(**intercept(HOST, intercepts=True))
    client = await site.connect()
    client.send(CONNECT)
    await client.read_head()
    await start_tls(client, trust(section), HOST)
    before, _ = await ask_on(client, "/x", host=HOST)
    event = await site.reload(**intercept(still_routed, intercepts=still_routed != HOST))
    client.send(b"GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    head, body = await client.read_answer()
    rest = await client.read_all()

    assert (before, event["event"]) == (200, "config.reloaded")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert "connect again" in json.loads(body)["detail"]
    assert rest == b""


async def test_what_needs_a_restart_is_named(site: Site) -> None:
    """The rest of the file is used at once; the command tells both."""
    site.write(
        admin={"bind": "127.0.0.1:0", "control": "c.sock", "names": ["rapidsos.centre.example"]},
        traffic_log={"path": "elsewhere.jsonl", "bodies": 0},
        route=[route("more", site.upstream)],
    )
    code, out, err = await site.command()
    ready = json.loads(await site.ask_admin("/ready"))
    status, _ = await site.ask("/more/x")
    again = await site.command()

    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "reloaded; changed: route, traffic_log",
        "not used before a restart: admin.names, traffic_log.path",
    ]
    assert ready["configuration"]["needs_restart"] == ["admin.names", "traffic_log.path"]
    assert status == 200
    assert again[1].splitlines()[0] == "reloaded; nothing has changed"
    assert not (site.directory / "elsewhere.jsonl").exists()


async def test_two_hangups_at_once_use_the_last_word(site: Site) -> None:
    """However close they come, the file as it is after the last one is what is used in the end."""
    for number in range(10):
        site.write(route=[route("api", site.upstream), route(f"r{number}", site.upstream)])
        site.program.signal(signal.SIGHUP)
    client = await site.connect()
    async with asyncio.timeout(PATIENCE_S):
        while (await ask_on(client, "/r9/x"))[0] != 200:
            pass

    assert (await ask_on(client, "/r8/x"))[0] == 404


async def test_a_hangup_while_it_drains_changes_nothing(site: Site) -> None:
    """What is under way is finished, exit code 0, and no port is opened."""
    client = await site.connect()
    client.send(b"GET /api/slow HTTP/1.1\r\nHost: proxy\r\n\r\n")
    await client.read_head()
    site.program.signal(signal.SIGTERM)
    await site.program.wait_said(b"service.draining")
    site.program.signal(signal.SIGHUP)
    await site.program.wait_said(b"signal.ignored")
    Slow.go_on.set()
    rest = await client.read_all()

    assert rest == b"heldback"
    assert await site.program.wait() == 0
    assert site.outcomes() == []


async def test_a_disk_that_hangs_holds_nothing_up(site: Site) -> None:
    """Requests are served, and a signal stops the program, while the file cannot be read."""
    site.file.unlink()
    os.mkfifo(site.file)
    site.program.signal(signal.SIGHUP)
    async with asyncio.timeout(PATIENCE_S):
        # Opening for writing without blocking works once the other end is being opened.
        descriptor = await asyncio.to_thread(os.open, site.file, os.O_WRONLY)
    try:
        served = await site.ask("/api/x")
        code = await site.program.stop()
    finally:
        os.close(descriptor)

    assert served[0] == 200
    assert code == 0
    assert site.outcomes() == []


async def test_command_without_a_proxy_says_so(tmp_path: Path) -> None:
    """Exit code 1, and how to find it."""
    async with running_program("reload", "--control", str(tmp_path / "no.sock")) as program:
        code = await program.wait()

    assert code == 1
    assert b"the proxy is not running" in program.stderr

"""No configured secret leaves the program, whatever it is asked, whatever it is answered, however it fails.

Canaries stand in for every secret.  The program runs as an operator would run it while hunting a fault, with
``--verbose`` and asyncio's debug mode; successes and failures of every kind are driven through it; then all that it has
written and answered is searched.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import html
import json
import signal
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

import pytest
from harness.canaries import Canary, Leak, Search
from harness.carriers import build_request, carry_across_the_cap, carry_in_bodies, carry_in_heads, carry_in_malformed
from harness.echo import PATHS, echo
from harness.program import Program, build_toml, find_free_port, running_program
from harness.upstream import Peer, ScriptedUpstream, scripted_upstream

from proxy.config.secret import Secret
from proxy.simulator.faults import Fault
from proxy.simulator.server import Simulator
from proxy.simulator.settings import SimulatorSettings

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable, Iterable
    from pathlib import Path

# The program chooses its own loop.
one_loop = pytest.mark.asyncio(loop_factories=["asyncio"])

CLIENT_SECRET = Canary("client secret", 'Zq7vK2mXwP4t"\\/+ %&=é Hd9LrT5nBc8Y')
PERSONS_PASSWORD = Canary("person's password", "pW3xJ6sGk1Vf%2F+%22'<&> Ñ=?#;,Ue8MaQ4yRz7D")
BASIC_PASSWORD = Canary("Basic password", 'bN5cT8hXq2Lw": /\\+=%&ü_Fy6KpS9jGm3E')
CORPORATE_PASSWORD = Canary("corporate proxy's password", 'oR4zD7uVe1Hk@/\\%+"& =ß~Cn8WxB2tLq6J')
ADMIN_PASSWORD = Canary("admin password", "aM9fY3pZs5QgXk7RvT2cJd8H")
CANARIES = (CLIENT_SECRET, PERSONS_PASSWORD, BASIC_PASSWORD, CORPORATE_PASSWORD, ADMIN_PASSWORD)
CONFIGURED = (CLIENT_SECRET, PERSONS_PASSWORD, BASIC_PASSWORD, ADMIN_PASSWORD)
"""Those of a proxy that goes out directly."""
ADMIN_LOGIN = b"Authorization: Basic " + base64.b64encode(f"admin:{ADMIN_PASSWORD.value}".encode())

CAP = 2048
"""Bytes of each body that the traffic log keeps here."""
PATIENCE_S = 20
TOKEN_FAULTS: dict[str, str] = {
    "echo_secret": "refused",
    "unauthorized": "refused",
    "garbage": "unreadable",
    "html": "unreadable",
    "empty": "unreadable",
    "redirect": "status",
    "oversize": "unreadable",
    "reset": "network",
    "reset_body": "network",
    "close": "network",
    "close_body": "network",
    "stall": "timeout",
    "stall_body": "timeout",
}
"""Faults of a token server, and the outcome that the log must have for each."""
TOKEN_STATUSES = (400, 403, 429, 500, 503)
API_FAULTS = ("unauthorized", "reset", "reset_body", "close", "close_body", "stall", "stall_body", "garbage", "revoke")
DEFECTS = (b"request.failed", b"exchange.failed", b"record.failed", b"token.call_broke", b"admin.failed")
"""Events that tell of an exception which nobody expected."""
WAYS: dict[str, dict[str, Any]] = {
    "form": {},
    "json": {"request": "json"},
    "login": {"client_auth": "basic"},
    "person": {"grant": "password"},
}
"""Ways to send the secret to a token server."""


# The search can fail.

ENCODINGS: dict[str, Callable[[str], bytes]] = {
    "plain": str.encode,
    "latin-1": lambda value: value.encode("latin-1", "replace"),
    "quoted": lambda value: quote(value, safe="").encode(),
    "quoted with slashes": lambda value: quote(value).encode(),
    "quoted as in forms": lambda value: quote_plus(value).encode(),
    "quoted twice": lambda value: quote(quote(value)).encode(),
    "quoted whole": lambda value: "".join(f"%{byte:02X}" for byte in value.encode()).encode(),
    "JSON": lambda value: json.dumps(value).encode(),
    "JSON in UTF-8": lambda value: json.dumps(value, ensure_ascii=False).encode(),
    "JSON in JSON": lambda value: json.dumps(json.dumps(value)).encode(),
    "JSON, escaped whole": lambda value: "".join(f"\\u{ord(character):04X}" for character in value).encode(),
    "JSON of a quoted form": lambda value: json.dumps(quote_plus(value)).encode(),
    "repr": lambda value: repr(value.encode()).encode(),
    "HTML": lambda value: html.escape(value).encode(),
    "lower case": lambda value: value.lower().encode(),
    "hex": lambda value: value.encode().hex().encode(),
    "HEX": lambda value: value.encode().hex().upper().encode(),
    "Base64": lambda value: base64.b64encode(value.encode()),
    "Base64, one on": lambda value: base64.b64encode(b":" + value.encode()),
    "Base64, two on": lambda value: base64.b64encode(b"u:" + value.encode()),
    "Base64 for URLs": lambda value: base64.urlsafe_b64encode(b"user:" + value.encode()),
    "Base64 of a quoted form": lambda value: base64.b64encode(b"id:" + quote_plus(value).encode()),
    "Base64, quoted": lambda value: quote(base64.b64encode(b"?>?>" + value.encode()), safe="").encode(),
    "the beginning alone": lambda value: value[:10].encode(),
    "the end alone": lambda value: value[-10:].encode(),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("canary", CANARIES, ids=lambda canary: canary.name)
@pytest.mark.parametrize("before", [b"", b"x", b'{"a": "'])
def test_the_search_finds_what_is_planted(canary: Canary, encoding: str, before: bytes) -> None:
    """Each canary in each encoding, among other text, and no other canary with it."""
    planted = before + ENCODINGS[encoding](canary.value) + b'"} and more'

    assert {leak.canary for leak in Search(CANARIES).find(planted)} == {canary.name}


def test_the_search_finds_nothing_where_nothing_is() -> None:
    """What the proxy may write of a secret is none."""
    text = json.dumps({"authorization": "Basic ***", "client_secret": "***", "origin": "env CLIENT_SECRET"}).encode()

    assert Search(CANARIES).find(text + base64.b64encode(text) + text.hex().encode()) == []


# The world around the program.


@dataclass
class World:
    """Everything that the program talks to.

    Attributes:
        core: A RapidSOS in good health, with faults by path.
        spoilt: Token servers, by the name of their fault.
        echo: Gives back what it is sent.
        strange: Speaks TLS with a certificate that nobody trusts.
    """

    core: Simulator
    spoilt: dict[str, Simulator]
    echo: ScriptedUpstream
    strange: Simulator

    @property
    def tokens(self) -> list[Canary]:
        """Every token that was ever used, and those that could be."""
        values = {token.value for token in self.core.tokens}
        values |= {seen.bearer for seen in self.core.requests if seen.bearer is not None}
        return [Canary("access token", value) for value in values]


def settings(**more: Any) -> SimulatorSettings:
    """Describe a simulator that knows the canaries."""
    return SimulatorSettings(
        client_id="client",
        client_secret=Secret(CLIENT_SECRET.value, "test"),
        username="person",
        password=Secret(PERSONS_PASSWORD.value, "test"),
        basic_username="lis",
        basic_password=Secret(BASIC_PASSWORD.value, "test"),
        **more,
    )


@pytest.fixture
async def world(server_tls: ssl.SSLContext) -> AsyncIterator[World]:
    """Run all of it."""
    async with AsyncExitStack() as stack:

        async def start(simulator: Simulator, tls: ssl.SSLContext | None = None) -> Simulator:
            await simulator.start(ssl_context=tls)
            stack.push_async_callback(simulator.stop)
            return simulator

        faults = tuple(Fault(where="api", kind=kind, path=f"/v1/echo/{kind}") for kind in API_FAULTS)
        spoilt = {kind: Fault(where="token", kind=kind) for kind in TOKEN_FAULTS} | {
            str(status): Fault(where="token", kind="status", status=status, retry_after=1) for status in TOKEN_STATUSES
        }
        yield World(
            core=await start(Simulator(settings(faults=faults, keep_requests=100_000))),
            spoilt={name: await start(Simulator(settings(faults=(fault,)))) for name, fault in spoilt.items()},
            echo=await stack.enter_async_context(scripted_upstream(echo)),
            strange=await start(Simulator(settings()), server_tls),
        )


# The program.


def build_credential(token_url: str, way: str) -> dict[str, Any]:
    """Describe a credential that is sent in one of the ways."""
    more = WAYS[way]
    credential = {
        "grant": "client_credentials",
        "token_url": token_url,
        "client_id": "client",
        "client_secret": {"env": "CLIENT_SECRET"},
        **more,
    }
    if way == "person":
        credential |= {"username": "person", "password": {"file": "persons-password"}}
    return credential


def build_credentials(world: World) -> dict[str, Any]:
    """Describe the credentials: each way at the good server and at each spoilt one, and Basic."""
    servers = {"core": world.core, **world.spoilt, "strange": world.strange}
    paths = {"person": "/oauth/v2/token"}
    credentials = {
        f"{server}-{way}": build_credential(simulator.url + paths.get(way, "/oauth/token"), way)
        for server, simulator in servers.items()
        for way in WAYS
    }
    credentials["nowhere-form"] = build_credential(f"http://127.0.0.1:{find_free_port()}/oauth/token", "form")
    credentials["basic"] = {"grant": "basic", "username": "lis", "password": {"env": "BASIC_PASSWORD"}}
    return credentials


def build_routes(world: World, credentials: Iterable[str]) -> list[dict[str, Any]]:
    """Describe the routes: one for each credential, all to the core but the last ones."""
    upstreams = {
        "echo": f"http://127.0.0.1:{world.echo.port}",
        "closed": f"http://127.0.0.1:{find_free_port()}",
        "unverified": world.strange.url,
        "unresolved": "https://no-such-host.invalid",
    }
    routes = [(name, world.core.url, name) for name in credentials]
    routes += [(name, upstream, "basic") for name, upstream in upstreams.items()]
    routes += [("echo-token", upstreams["echo"], "core-form")]
    return [
        {"name": name, "match": {"path": f"/{name}/"}, "strip": f"/{name}", "upstream": upstream, "credential": as_whom}
        for name, upstream, as_whom in routes
    ]


def write_config(directory: Path, document: dict[str, Any]) -> str:
    """Write a configuration and the secrets that come from files; return its path for the command line."""
    (directory / "persons-password").write_text(PERSONS_PASSWORD.value + "\n")
    (directory / "corporate-password").write_text(CORPORATE_PASSWORD.value)
    for file in directory.glob("*-password"):
        file.chmod(0o600)
    path = directory / "proxy.toml"
    path.write_text(build_toml(document))
    return str(path)


ENVIRONMENT = {
    "CLIENT_SECRET": CLIENT_SECRET.value,
    "BASIC_PASSWORD": BASIC_PASSWORD.value,
    "ADMIN_PASSWORD": ADMIN_PASSWORD.value,
    "PYTHONASYNCIODEBUG": "1",
}


def build_document(world: World, token: str) -> dict[str, Any]:
    """Describe the whole proxy; its log rotates early and often."""
    credentials = build_credentials(world)
    return {
        "listener": [{"name": "cad", "bind": "127.0.0.1:0"}],
        "credential": credentials,
        "route": build_routes(world, credentials),
        "traffic_log": {"path": "log/traffic.jsonl", "bodies": CAP, "token": token, "rotate": {"size": "256 KiB"}},
        "admin": {"bind": "127.0.0.1:0", "password": {"env": "ADMIN_PASSWORD"}},
        "timeouts": {"token": 0.5, "token_wait": 0.3, "first_byte": 0.5, "silence": 0.5, "body": 0.5, "head": 2.0},
        "limits": {"replay": 4096},
    }


@dataclass
class Found:
    """What came out of one run.

    Attributes:
        statuses: How many answers of each status the clients got.
        problems: The proxy's own answers.
        admin: The admin listener's answers.
        logs: The traffic log's files.
        stdout: The program's.
        stderr: The program's.
    """

    statuses: dict[int, int] = field(default_factory=dict)
    problems: list[bytes] = field(default_factory=list)
    admin: list[bytes] = field(default_factory=list)
    logs: dict[str, bytes] = field(default_factory=dict)
    stdout: bytes = b""
    stderr: bytes = b""

    def add(self, answer: bytes) -> None:
        """Take an answer to a client."""
        status = int(answer.split(b" ", 2)[1]) if answer else 0
        self.statuses[status] = self.statuses.get(status, 0) + 1
        if b"\r\nContent-Type: application/problem+json\r\n" in answer:
            self.problems.append(answer)

    def take(self, program: Program, logs: Path | None) -> None:
        """Take what a program that has ended has written."""
        self.stdout, self.stderr = program.stdout, program.stderr
        self.logs = {file.name: file.read_bytes() for file in logs.glob("traffic.jsonl*")} if logs else {}

    @property
    def records(self) -> list[dict[str, Any]]:
        """Every record, oldest first."""
        return [json.loads(line) for name in sorted(self.logs) for line in self.logs[name].splitlines()]

    @property
    def places(self) -> dict[str, bytes]:
        """All that must hold no secret."""
        return {
            "standard output": self.stdout,
            "standard error": self.stderr,
            "problem documents": b"\n".join(self.problems),
            "admin answers": b"\n".join(self.admin),
            **self.logs,
        }

    def search(self, canaries: Iterable[Canary], *, but: str = "\0") -> list[tuple[str, Leak]]:
        """Search every place, ``but`` those whose name begins so."""
        search = Search(canaries)
        places = {name: data for name, data in self.places.items() if not name.startswith(but)}
        return [(name, leak) for name, data in places.items() for leak in search.find(data)]


async def talk(port: int, data: bytes, *, half_closes: bool = False) -> bytes:
    """Send bytes, and return all that comes back before the other side closes or resets.

    Args:
        port: On this machine.
        data: The last request of its connection.
        half_closes: Whether to close the sending side, so that a request that is not whole ends.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = b""
    with contextlib.suppress(ConnectionError):
        writer.write(data)
        if half_closes:
            writer.write_eof()
        async with asyncio.timeout(PATIENCE_S):
            while piece := await reader.read(65_536):
                answer += piece
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return answer


async def drive(program: Program, found: Found, requests: Iterable[bytes]) -> None:
    """Send requests, some at once, and keep what is answered."""
    slots = asyncio.Semaphore(16)

    async def send(request: bytes) -> None:
        async with slots:
            found.add(await talk(program.ports["cad"], request, half_closes=True))

    await asyncio.gather(*(send(request) for request in requests))


async def ask_admin(program: Program, found: Found) -> None:
    """Ask for everything that there is, with the login, without it, and with secrets in its place."""
    logins = [b"X-No: login", ADMIN_LOGIN]
    logins += [
        b"Authorization: Basic " + base64.b64encode(f"admin:{canary.value}".encode()) for canary in CONFIGURED[:2]
    ]
    for path in ("/live", "/ready", "/metrics", "/api/tokens", "/", "/api/nothing"):
        for login in logins:
            found.admin.append(await talk(program.admin_port, build_request(path, login)))


async def drive_everything(program: Program, found: Found) -> None:
    """Drive successes and failures of every kind."""
    await drive(program, found, (build_request(f"/core-{way}/v1/echo") for way in WAYS))
    for path in ("/core-form/v1/echo", "/echo-token/plain", "/echo/plain"):
        await drive(program, found, carry_in_heads(path, CONFIGURED))
        await drive(program, found, carry_in_bodies(path, CONFIGURED))
    for path in PATHS:
        requests = [
            build_request(f"{route}{path}?x=1", b"Content-Type: text/plain") for route in ("/echo", "/echo-token")
        ]
        await drive(program, found, requests)
    await drive(program, found, [build_request("/basic/v1/lis", method="POST", body=b"{}")])
    await drive(program, found, carry_across_the_cap("/echo/plain", CONFIGURED, CAP))
    await drive(program, found, carry_in_malformed("/echo/plain", CONFIGURED))
    for route in ("/closed", "/unverified", "/unresolved", "/nowhere-form"):
        await drive(program, found, carry_in_heads(f"{route}/v1/echo", CONFIGURED[:1]))


async def drive_faults(program: Program, world: World, found: Found) -> None:
    """Drive every fault of a token server in every way, and every fault of the API."""
    servers = [*world.spoilt, "strange"]
    await drive(program, found, (build_request(f"/{server}-{way}/v1/echo") for server in servers for way in WAYS))
    paths = [f"/core-form/v1/echo/{kind}" for kind in API_FAULTS]
    await drive(program, found, (build_request(path) for path in paths))
    await drive(program, found, (request for path in paths for request in carry_in_bodies(path, CONFIGURED[:1])))
    world.core.tokens.revoke_all()
    await drive(program, found, [build_request("/core-form/v1/echo")])


async def leave_in_the_middle(program: Program) -> None:
    """Be a client that sends secrets and then goes away, and one that is still there when the program ends."""
    body = CLIENT_SECRET.value.encode()
    head = b"POST /echo/plain HTTP/1.1\r\nHost: proxy\r\nContent-Length: 999\r\nX-Remark: " + body + b"\r\n\r\n"
    _, writer = await asyncio.open_connection("127.0.0.1", program.ports["cad"])
    writer.write(head + body)
    await writer.drain()
    writer.transport.abort()


async def run_it_all(directory: Path, world: World, token: str) -> Found:
    """Run the program, drive everything, and collect what came out of it."""
    found = Found()
    (directory / "log").mkdir()
    config = write_config(directory, build_document(world, token))
    async with running_program("serve", "--verbose", "--config", config, **ENVIRONMENT) as program:
        await program.wait_started()
        await drive_everything(program, found)
        program.signal(signal.SIGHUP)
        await drive_faults(program, world, found)
        await leave_in_the_middle(program)
        await ask_admin(program, found)
        assert await program.stop() == 0
    found.take(program, directory / "log")
    return found


def assert_everything_was_driven(found: Found) -> None:
    """Assert that the run was what it claims: every kind of success and failure, rotated files, masked secrets."""
    records = found.records
    closed = [record for record in records if record["event"] == "exchange.closed"]
    fetched = [record for record in records if record["event"] == "token.fetched"]
    outcomes = {record["credential"].partition("-")[0]: record["outcome"] for record in fetched}
    errors = {record["error"] for record in closed}

    assert len(found.logs) > 2
    assert {200, 302, 400, 401, 403, 404, 405, 414, 431, 502, 503, 504, 505} <= found.statuses.keys()
    assert errors >= {"malformed", "no_route", "no_token", "target_not_allowed", "version", "head_too_large"}
    assert errors >= {"upstream_refused", "upstream_dns", "upstream_tls", "upstream_protocol", "upstream_closed"}
    assert errors >= {"upstream_timeout", "target_too_long", "method_not_allowed"}
    assert {record["outcome"] for record in closed} >= {
        "ok",
        "refused",
        "token_failed",
        "upstream_failed",
        "client_left",
    }
    assert {name: outcomes.get(name) for name in TOKEN_FAULTS} == TOKEN_FAULTS
    assert {outcomes.get(str(status)) for status in TOKEN_STATUSES} == {"status", "refused"}
    assert (outcomes.get("core"), outcomes.get("strange"), outcomes.get("nowhere")) == ("ok", "network", "network")
    assert any(b"rapidsos_proxy_" in answer for answer in found.admin)
    assert any(b'"fingerprint":' in answer for answer in found.admin)
    assert b"***" in b"".join(found.logs.values())
    assert not any(b'"event":"%s"' % event in found.stderr for event in DEFECTS)


@one_loop
@pytest.mark.parametrize("token", ["full", "fingerprint"])
async def test_no_secret_leaves_the_program(tmp_path: Path, world: World, token: str) -> None:
    """Not in what it logs, records, counts or answers, and with ``fingerprint`` no token that could be used either."""
    found = await run_it_all(tmp_path, world, token)

    assert_everything_was_driven(found)
    assert found.search(CANARIES) == []
    assert found.search(world.tokens, but="traffic.jsonl") == []
    assert bool(found.search(world.tokens)) == (token == "full")


@one_loop
async def test_a_token_that_a_client_gives_back_is_not_recorded(tmp_path: Path, world: World) -> None:
    """A client knows a live token from an upstream's echo; with ``fingerprint`` it stays out of every later record.

    Also of those exchanges that no token was sent with, or another one: refused ones, those of other routes.
    """
    found = Found()
    (tmp_path / "log").mkdir()
    config = write_config(tmp_path, build_document(world, "fingerprint"))
    async with running_program("serve", "--verbose", "--config", config, **ENVIRONMENT) as program:
        await program.wait_started()
        await drive(program, found, [build_request("/core-form/v1/echo"), build_request("/core-json/v1/echo")])
        tokens = world.tokens
        for path in ("/core-form/v1/echo", "/echo/plain", "/closed/x", "/nowhere"):
            await drive(program, found, carry_in_heads(path, tokens))
            await drive(program, found, carry_in_bodies(path, tokens))
        await drive(program, found, carry_across_the_cap("/echo/plain", tokens, CAP))
        await drive(program, found, carry_in_malformed("/echo/plain", tokens))
        await program.stop()
    found.take(program, tmp_path / "log")

    assert len(tokens) > 1
    assert found.search(world.tokens) == []


# Ways to fail before anything is served.


def spoil(**sections: Any) -> dict[str, Any]:
    """Describe a sound proxy with ``sections`` in the place of its own."""
    return {
        "listener": [{"name": "cad", "bind": "127.0.0.1:0"}],
        "credential": {"core": build_credential("https://api-sandbox.rapidsos.com/oauth/token", "person")},
        "route": [{"name": "all", "upstream": "https://api-sandbox.rapidsos.com", "credential": "core"}],
        "admin": {"bind": "127.0.0.1:0", "password": {"env": "ADMIN_PASSWORD"}},
        **sections,
    }


def spoil_credential(**keys: Any) -> dict[str, Any]:
    """Describe one whose credential has ``keys`` in the place of its own."""
    return spoil(credential={"core": {**build_credential("https://as.example/oauth/token", "form"), **keys}})


LITERAL = CLIENT_SECRET.value
IN_URL = quote(LITERAL, safe="")
BROKEN: dict[str, dict[str, Any]] = {
    "a literal secret": spoil_credential(client_secret=LITERAL),
    "a literal in a list": spoil_credential(client_secret=[LITERAL]),
    "a literal in a table": spoil_credential(client_secret={"value": LITERAL}),
    "a literal beside its source": spoil_credential(client_secret={"env": "CLIENT_SECRET", "default": LITERAL}),
    "a literal for the admin": spoil(admin={"bind": "127.0.0.1:0", "password": LITERAL}),
    "a key that is misspelt": spoil_credential(client_secrets=LITERAL),
    "an extra that is a secret": spoil_credential(extra={"client_secret": LITERAL, "x": [LITERAL]}),
    "a scope of the wrong kind": spoil_credential(scope=[LITERAL]),
    "a grant that there is not": spoil_credential(grant=LITERAL),
    "a login in token_url": spoil_credential(token_url=f"https://client:{IN_URL}@as.example/oauth/token"),
    "a secret in token_url": spoil_credential(token_url=f"ftp://as.example/?client_secret={IN_URL}"),
    "a login in the proxy": spoil(outbound={"proxy": f"http://user:{IN_URL}@proxy.example:3128"}),
    "half a login for the proxy": spoil(
        outbound={"proxy": "http://proxy.example:3128", "password": {"file": "corporate-password"}}
    ),
    "a login in an upstream": spoil(
        route=[{"name": "all", "upstream": f"https://user:{IN_URL}@as.example", "credential": "core"}]
    ),
    "a command that fails": spoil_credential(
        client_secret={"command": ["sh", "-c", 'echo "$CLIENT_SECRET" | tee /dev/stderr; exit 3']}
    ),
    "a command that says too much": spoil_credential(
        client_secret={"command": ["sh", "-c", 'echo "$CLIENT_SECRET"; echo "$CLIENT_SECRET"']}
    ),
    "a variable that is not set": spoil_credential(client_secret={"env": "NO_SUCH_VARIABLE"}),
    "a certificate file that is none": spoil(outbound={"ca_file": "persons-password"}),
    "a log that cannot be opened": spoil(traffic_log={"path": "no/such/directory/log"}),
}
BROKEN_TEXT = f"""\
[credential.core]
client_secret = "{LITERAL}"
"""
"""Not TOML: the secret ends its own quotes."""


@pytest.mark.parametrize("command", ["serve", "check"])
@one_loop
async def test_an_unusable_configuration_is_refused_without_its_secrets(tmp_path: Path, command: str) -> None:
    """Exit code 2 and a message that helps, for every mistake that has a secret in it."""
    search = Search(CANARIES)
    texts = {**{name: build_toml(document) for name, document in BROKEN.items()}, "no TOML": BROKEN_TEXT}
    write_config(tmp_path, {})
    slots = asyncio.Semaphore(2)

    async def run(name: str) -> tuple[int, bool, bool, list[Leak]]:
        config = tmp_path / f"{name}.toml"
        config.write_text(texts[name])
        async with slots, running_program(command, *flags, "--config", str(config), **ENVIRONMENT) as program:
            code = await program.wait()
        leaks = search.find(program.stdout) + search.find(program.stderr)
        return code, b"fix: " in program.stderr, b"Traceback" in program.stderr, leaks

    flags = ["--verbose"] if command == "serve" else []
    ends = dict(zip(texts, await asyncio.gather(*map(run, texts)), strict=True))

    expected: dict[str, tuple[int, bool, bool, list[Leak]]] = dict.fromkeys(texts, (2, True, False, []))
    assert ends == expected


@one_loop
async def test_check_shows_where_secrets_come_from_and_no_secret(tmp_path: Path) -> None:
    """A sound configuration is described without them."""
    config = write_config(tmp_path, spoil())
    async with running_program("check", "--config", config, **ENVIRONMENT) as program:
        code = await program.wait()

    assert code == 0, program.stderr
    assert b"CLIENT_SECRET" in program.stdout
    assert Search(CANARIES).find(program.stdout + program.stderr) == []


# A corporate proxy that refuses.


async def refuse_tunnel(peer: Peer) -> None:
    """Answer 407 to whatever comes, with all of it quoted."""
    head = await peer.read_head()
    login = next((line for line in head.split(b"\r\n") if line.lower().startswith(b"proxy-authorization")), b"X: none")
    quoted = b"you sent " + head
    peer.send(
        b"HTTP/1.1 407 Proxy Authentication Required " + login + b"\r\nProxy-Authenticate: Basic realm=corporate\r\n"
        b"X-Seen-" + login + b"\r\nContent-Length: %d\r\n\r\n" % len(quoted) + quoted
    )
    await peer.wait_closed()


async def break_tunnel(peer: Peer) -> None:
    """Open a tunnel that leads nowhere: what comes through it is given back in place of TLS."""
    head = await peer.read_head()
    peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
    peer.send(head)


@one_loop
@pytest.mark.parametrize("script", [refuse_tunnel, break_tunnel])
async def test_a_corporate_proxy_that_refuses_gives_nothing_away(tmp_path: Path, script: Any) -> None:
    """Its login, and what would have gone through it, stay out of every message, for token calls and for requests."""
    async with scripted_upstream(script) as corporate:
        document = spoil(
            credential={
                "tunnelled": build_credential("https://api-sandbox.rapidsos.com/oauth/token", "login"),
                "plain": {**build_credential("http://as.example/oauth/token", "form"), "allow_plain_http": True},
                "basic": {"grant": "basic", "username": "lis", "password": {"env": "BASIC_PASSWORD"}},
            },
            route=[
                {"name": name, "match": {"path": f"/{name}/"}, "upstream": "https://up.example", "credential": name}
                for name in ("tunnelled", "plain", "basic")
            ],
            outbound={
                "proxy": f"http://127.0.0.1:{corporate.port}",
                "username": "corporate",
                "password": {"file": "corporate-password"},
            },
            timeouts={"token_wait": 0.3},
        )
        config = write_config(tmp_path, document)
        found = Found()
        async with running_program("serve", "--verbose", "--config", config, **ENVIRONMENT) as program:
            await program.wait_started()
            for name in ("tunnelled", "plain", "basic"):
                await drive(program, found, carry_in_heads(f"/{name}/v1/echo", [CORPORATE_PASSWORD]))
            await ask_admin(program, found)
            assert await program.stop() == 0
        found.take(program, None)
        seen = b"".join(peer.received for peer in corporate.peers)

    assert base64.b64encode(f"corporate:{CORPORATE_PASSWORD.value}".encode()) in seen
    assert {502, 503} == found.statuses.keys()
    assert b"exchange.closed" in found.stdout
    assert b"Traceback" not in found.stderr
    assert found.search(CANARIES) == []

"""Faults of a token server, an upstream, a clock, a secret and a port: the doctor names that link and no other."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from harness.examination import HASTY, diagnose
from harness.running import build_document, running_proxy
from harness.upstream import answering, scripted_upstream

from proxy.config.secret import Secret
from proxy.doctor.finding import Verdict
from proxy.simulator.faults import Fault
from proxy.simulator.server import Simulator
from proxy.simulator.settings import SimulatorSettings

if TYPE_CHECKING:
    from harness.examination import Examination

MACHINE, NETWORK, RAPIDSOS, CONFIGURATION = "this machine", "the centre's network", "RapidSOS", "the configuration"


async def diagnose_simulator(simulator: Simulator, **changes: Any) -> Examination:
    """Examine a configuration whose host is the simulator."""
    return await diagnose(simulator.url, f"{simulator.url}/oauth/token", **changes)


def build_refusal(code: str) -> bytes:
    """Build a token server's answer (RFC 6749, section 5.2)."""
    body = f'{{"error": "{code}"}}'
    return f"HTTP/1.1 400 Bad Request\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


async def test_everything_is_well(simulator: Simulator) -> None:
    """One token call, one question that changes nothing, and no warning."""
    found = await diagnose_simulator(simulator)

    assert found.conclusion == "Every link holds."
    assert set(found.labels(Verdict.OK)) == {entry.finding.label for entry in found.entries}
    assert [(seen.method, seen.raw_path, seen.authorized) for seen in simulator.requests] == [
        ("GET", "/v1/location", True)
    ]
    assert len(simulator.token_requests) == 1
    assert found.exit_code == 0


async def test_the_alerts_host_is_not_asked_for_its_list(simulator: Simulator) -> None:
    """RapidSOS forbids polling it; an alert that does not exist is asked for."""
    route = {"match": {"path": "/egress/v1/alerts"}, "strip": "/egress"}
    found = await diagnose_simulator(simulator, route=route)

    assert found.exit_code == 0
    (seen,) = simulator.requests
    assert seen.raw_path == "/v1/alerts/alert-00000000-0000-0000-0000-000000000000"


@pytest.mark.parametrize(
    ("path", "fault", "whose", "words"),
    [
        ("/oauth/tokens", None, CONFIGURATION, "is no token endpoint (404)"),
        ("/oauth/token", {"kind": "html"}, CONFIGURATION, "is no JSON object"),
        ("/oauth/token", {"kind": "empty"}, CONFIGURATION, "is no JSON object"),
        ("/oauth/token", {"kind": "garbage"}, CONFIGURATION, "is no JSON object"),
        ("/oauth/token", {"kind": "redirect"}, CONFIGURATION, "leads elsewhere (307)"),
        ("/oauth/token", {"kind": "status", "status": 503}, RAPIDSOS, "fails (503)"),
        ("/oauth/token", {"kind": "status", "status": 429}, RAPIDSOS, "asked too often (429)"),
        ("/oauth/token", {"kind": "stall"}, RAPIDSOS, "gives no answer in time"),
        ("/oauth/token", {"kind": "reset"}, NETWORK, "was cut"),
    ],
)
async def test_a_token_endpoint_that_is_none_or_fails(
    simulator: Simulator, path: str, fault: dict[str, Any] | None, whose: str, words: str
) -> None:
    """A wrong path is told from a server that fails."""
    if fault is not None:
        simulator.faults.add(Fault(where="token", **fault))
    limits = {"limits": HASTY} if fault == {"kind": "stall"} else {}

    found = await diagnose(simulator.url, f"{simulator.url}{path}", **limits)

    assert found.failed == [("endpoint core", whose)]
    assert words in found.told("endpoint core")
    assert found.labels(Verdict.SKIPPED) == ["grant core", "token core", "upstream core", "clock", "route api"]
    assert found.exit_code == 1


async def test_a_token_url_that_leads_to_an_api(simulator: Simulator) -> None:
    """Its gateway refuses every stranger, so the words speak of the path as well."""
    found = await diagnose(simulator.url, f"{simulator.url}/v1/location")

    assert found.failed == [("grant core", CONFIGURATION)]
    assert "and token_url: RapidSOS's ends in /oauth/token" in found.told("grant core")


async def test_a_wrong_secret(simulator: Simulator) -> None:
    """The id is shown by its ends, the secret not at all."""
    found = await diagnose_simulator(simulator, credential={"client_secret": Secret("c4nary-of-yesterday", "test")})

    assert found.failed == [("grant core", CONFIGURATION)]
    assert "(401, invalid_client), client_id si…nt" in found.told("grant core")
    assert found.exit_code == 1
    assert not any("c4nary" in f"{entry.finding}" for entry in found.entries)


async def test_a_secret_pasted_with_its_quotes(simulator: Simulator) -> None:
    """The server refuses it, so that the quotes are the cause."""
    found = await diagnose_simulator(simulator, credential={"client_secret": Secret('"simulator-secret"', "file x")})

    assert found.failed == [("secret core", CONFIGURATION)]
    assert found.labels(Verdict.WARNING) == ["secret core"]
    (broken,) = (entry.finding for entry in found.entries if entry.finding.is_broken)
    assert "client_secret (file x) stands in quotes" in broken.words
    assert found.exit_code == 1


async def test_an_odd_secret_that_is_accepted_is_no_fault() -> None:
    """The token server has the last word."""
    odd = SimulatorSettings(client_secret=Secret("'quoted by nature'", "test"))
    simulator = Simulator(odd)
    await simulator.start()

    found = await diagnose_simulator(simulator, credential={"client_secret": odd.client_secret})
    await simulator.stop()

    assert found.failed == []
    assert found.labels(Verdict.WARNING) == ["secret core"]
    assert found.exit_code == 0


@pytest.mark.parametrize(
    ("code", "link", "fix"),
    [
        ("invalid_scope", "scope core", "correct scope"),
        ("unsupported_grant_type", "grant core", "/oauth/v2/token"),
        ("unauthorized_client", "grant core", "ask RapidSOS to allow this client the grant"),
        ("invalid_request", "grant core", 'try request = "json"'),
    ],
)
async def test_what_a_token_server_refuses(code: str, link: str, fix: str) -> None:
    """By its error code: a scope, a grant, a form."""
    async with scripted_upstream(answering(build_refusal(code))) as server:
        url = f"http://127.0.0.1:{server.port}"
        found = await diagnose(url, f"{url}/oauth/token", credential={"scope": "alerts"})

    assert found.failed == [(link, CONFIGURATION)]
    assert f"(400, {code})" in found.told(link)
    assert fix in found.told(link)
    assert found.exit_code == 1


async def test_a_persons_wrong_password_is_tried_once(simulator: Simulator) -> None:
    """More could lock the account."""
    person = {"username": Secret("dispatcher@psap.example", "test"), "password": Secret("c4nary-guess", "test")}

    found = await diagnose(simulator.url, f"{simulator.url}/oauth/v2/token", credential={"grant": "password", **person})

    assert found.failed == [("grant core", CONFIGURATION)]
    assert "username and password" in found.told("grant core")
    assert simulator.tokens.wrong_passwords == 1
    assert not any("c4nary" in f"{entry.finding}" or "dispatcher" in f"{entry.finding}" for entry in found.entries)


async def test_a_token_that_dies_at_once_is_warned_of() -> None:
    """The link holds, and RapidSOS should be asked."""
    simulator = Simulator(SimulatorSettings(token_life_s=20))
    await simulator.start()

    found = await diagnose_simulator(simulator)
    await simulator.stop()

    assert found.labels(Verdict.WARNING) == ["token core"]
    assert "lives 20 s" in found.told("token core")
    assert found.exit_code == 0


async def test_a_token_that_the_upstream_does_not_know(simulator: Simulator) -> None:
    """Of another host's token server, as with the alerts host."""
    other = Simulator()
    await other.start()

    found = await diagnose(simulator.url, f"{other.url}/oauth/token")
    await other.stop()

    assert found.failed == [("upstream core", CONFIGURATION)]
    assert "does not accept the token that it was just given (401)" in found.told("upstream core")
    assert found.labels(Verdict.SKIPPED) == ["route api"]
    assert found.exit_code == 1


@pytest.mark.parametrize(
    ("fault", "whose", "words"),
    [
        ({"kind": "status", "status": 403}, RAPIDSOS, "no right to this product (403)"),
        ({"kind": "status", "status": 503}, RAPIDSOS, "fails by itself (503)"),
        ({"kind": "html"}, NETWORK, "a web page answers (200), and no API"),
        ({"kind": "close"}, RAPIDSOS, "closed the connection before its answer"),
        ({"kind": "stall"}, RAPIDSOS, "gives no answer in time"),
    ],
)
async def test_an_upstream_that_refuses_or_fails(
    simulator: Simulator, fault: dict[str, Any], whose: str, words: str
) -> None:
    """A missing product is told from a fault of RapidSOS's, and both from a filter in between."""
    simulator.faults.add(Fault(where="api", **fault))
    limits = {"limits": HASTY} if fault == {"kind": "stall"} else {}

    found = await diagnose_simulator(simulator, **limits)

    assert found.failed == [("upstream core", whose)]
    assert words in found.told("upstream core")
    assert found.exit_code == 1


@pytest.mark.parametrize(
    ("away", "verdict", "words"),
    [
        (-600, Verdict.FAILED, "this machine's clock is 10 min 0 s behind"),
        (7200, Verdict.FAILED, "this machine's clock is 2 h 0 min ahead"),
        (60, Verdict.WARNING, "ahead"),
    ],
)
async def test_a_clock_that_is_wrong(away: float, verdict: Verdict, words: str) -> None:
    """By the Date of the answers; what depends on nothing else is not skipped."""
    now = 1_795_520_000
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(now))
    token = b'{"access_token": "abc", "expires_in": 3599}'
    head = f"HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Length: {len(token)}\r\n\r\n".encode()
    async with scripted_upstream(answering(head + token)) as server:
        url = f"http://127.0.0.1:{server.port}"
        found = await diagnose(url, f"{url}/oauth/token", wall=lambda: now + away)

    assert found.labels(verdict) == ["clock"]
    assert words in found.told("clock")
    assert "route api" in found.labels(Verdict.OK)
    assert found.exit_code == (1 if verdict is Verdict.FAILED else 0)


async def test_a_port_that_another_program_has(simulator: Simulator) -> None:
    """It is told from one that is free, and from one that this proxy has."""
    async with scripted_upstream(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) as other:
        bind = f"127.0.0.1:{other.port}"
        found = await diagnose_simulator(simulator, listener=[{"name": "cad", "bind": bind}])

    assert found.failed == [("listener cad", MACHINE)]
    assert f"{bind} is taken by another program" in found.told("listener cad")
    assert found.exit_code == 1


async def test_a_proxy_that_runs_is_recognised(simulator: Simulator) -> None:
    """Its listeners answer for themselves, the admin listener without a login."""
    document = build_document(simulator.url, f"{simulator.url}/oauth/token")
    async with running_proxy(document) as proxy:
        binds = {"cad": f"127.0.0.1:{proxy.port}", "admin": proxy.service.admin_url.removeprefix("http://")}
        found = await diagnose_simulator(
            simulator, listener=[{"name": "cad", "bind": binds["cad"]}], admin={"bind": binds["admin"]}
        )

    assert found.exit_code == 0
    for name, bind in binds.items():
        assert found.told(f"listener {name}") == f"{bind} is answered by this proxy, which is running | "


PEOPLE = {"grant": "password", "from_client": "basic"}
USER_TOKENS = "/oauth/v2/token"


async def test_where_dispatchers_send_logins_the_client_alone_is_tried(simulator: Simulator) -> None:
    """No wrong login comes of it; what was not tried is not said to hold."""
    found = await diagnose(simulator.url, f"{simulator.url}{USER_TOKENS}", credential=PEOPLE)

    untried = ["grant core", "token core", "upstream core", "route api"]
    assert found.labels(Verdict.SKIPPED) == untried
    assert found.conclusion == f"Every link that was tried holds; not tried: {', '.join(untried)}."
    assert found.exit_code == 0
    assert len(simulator.token_requests) == 1
    assert simulator.tokens.wrong_passwords == 0
    assert [(seen.raw_path, seen.bearer) for seen in simulator.requests] == [("/", None)]


@pytest.mark.parametrize(
    ("path", "secret", "link", "words"),
    [
        (USER_TOKENS, "c4nary-of-yesterday", "grant core", "(401, invalid_client)"),
        ("/oauth/v3/token", "simulator-secret", "endpoint core", "is no token endpoint (404)"),
    ],
)
async def test_a_fault_that_every_dispatcher_would_meet(
    simulator: Simulator, path: str, secret: str, link: str, words: str
) -> None:
    """It is found without any of their logins."""
    keys = PEOPLE | {"client_secret": Secret(secret, "test")}
    found = await diagnose(simulator.url, f"{simulator.url}{path}", credential=keys)

    assert found.failed == [(link, CONFIGURATION)]
    assert words in found.told(link)
    assert found.told("route api").startswith(f"not looked at, because {link} ")
    assert found.exit_code == 1


async def test_a_token_server_that_cannot_be_reached_costs_the_route_its_ok(simulator: Simulator, nobody: int) -> None:
    """Though the upstream itself answers."""
    found = await diagnose(simulator.url, f"http://127.0.0.1:{nobody}{USER_TOKENS}", credential=PEOPLE)

    assert [label for label, _ in found.failed] == ["tcp"]
    assert found.labels(Verdict.SKIPPED)[-1] == "route api"
    assert "tcp" in found.told("route api")
    assert found.exit_code == 1


async def test_users_whom_clients_may_name_are_tried_once_each(simulator: Simulator) -> None:
    """The one that is refused is found, by no name of his; the other one holds."""
    logins = {"alice": "simulator-password", "bob": "c4nary-guess"}
    users = {
        name: {"username": Secret("dispatcher@psap.example", "test"), "password": Secret(password, "test")}
        for name, password in logins.items()
    }
    keys = {"grant": "password", "from_client": "header:X-User", "users": users, "clients": ["127.0.0.0/8"]}
    found = await diagnose(simulator.url, f"{simulator.url}{USER_TOKENS}", credential=keys)

    assert found.failed == [("grant core user 2", CONFIGURATION)]
    assert {"grant core user 1", "token core user 1", "upstream core"} <= set(found.labels(Verdict.OK))
    assert found.told("route api").startswith("not looked at, because grant core user 2 ")
    assert simulator.tokens.wrong_passwords == 1
    assert not any(word in f"{entry.finding}" for entry in found.entries for word in ("c4nary", "bob", "dispatcher"))


async def test_a_login_is_not_tried(simulator: Simulator, basic: dict[str, Any]) -> None:
    """A wrong one could lock an account; the host is asked for nothing, without it."""
    found = await diagnose(simulator.url, None, credential=basic)

    assert found.labels(Verdict.SKIPPED) == ["upstream core", "route api"]
    assert found.exit_code == 0
    (seen,) = simulator.requests
    assert (seen.raw_path, seen.bearer) == ("/", None)
    assert "Authorization" not in dict(seen.headers)

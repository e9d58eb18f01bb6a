"""Each dispatcher with a token of his own, over real sockets: by his login, or by a name in a field."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from harness.records import read_records
from harness.running import RawClient, RunningProxy, build_document, running_proxy

from proxy.admin.health import unready_reasons
from proxy.config.secret import Secret
from proxy.http.basic import build_basic
from proxy.simulator.faults import Fault
from proxy.simulator.server import Simulator
from proxy.simulator.settings import SimulatorSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

PASSWORDS = {"alice": "alices-own-password", "bob": "bobs-own-password"}


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """Run a simulated RapidSOS that knows two persons."""
    people = {name: Secret(password, "test") for name, password in PASSWORDS.items()}
    simulator = Simulator(SimulatorSettings(people=people))
    await simulator.start()
    yield simulator
    await simulator.stop()


def document(simulator: Simulator, log: Path | None = None, **keys: Any) -> dict[str, Any]:
    """Describe a proxy whose route wants a person."""
    described = build_document(simulator.url, f"{simulator.url}/oauth/v2/token")
    described["credential"]["core"] |= {"grant": "password", **keys}
    if log is not None:
        described["traffic_log"] = {"path": str(log)}
    return described


def get(*fields: str) -> bytes:
    """Build a request with these fields."""
    return "\r\n".join(["GET /api/v1/echo HTTP/1.1", "Host: proxy", *fields, "", ""]).encode()


def ask_as(user: str, password: str) -> bytes:
    """Build the request of a client that sends a login."""
    return get(f"Authorization: {build_basic(user, password)}")


def users_seen(simulator: Simulator) -> list[str | None]:
    """Return, for each request that arrived, whose token it had."""
    owners = {issued.value: issued.username for issued in simulator.tokens}
    return [owners.get(seen.bearer or "") for seen in simulator.requests]


async def test_a_basic_login_becomes_its_persons_token(simulator: Simulator, tmp_path: Path) -> None:
    """Each is served as himself; the login goes no further, and no log has the password."""
    log = tmp_path / "traffic.jsonl"
    async with running_proxy(document(simulator, log, from_client="basic"), with_tokens=False) as proxy:
        for user in ("alice", "bob", "alice"):
            answer = await proxy.talk(ask_as(user, PASSWORDS[user]))
            assert answer.startswith(b"HTTP/1.1 200 ")
        await proxy.stop()
        records = read_records(log)

        assert users_seen(simulator) == ["alice", "bob", "alice"]
        assert simulator.token_requests.total == 2
        assert [record["user"] for record in records] == ["alice", "bob", "alice"]
        text = log.read_text()
        for user, password in PASSWORDS.items():
            assert password not in text
            assert build_basic(user, password).removeprefix("Basic ") not in text
        assert all(name.lower() != "authorization" or value.startswith("Bearer ") for name, value in sent(simulator))


def sent(simulator: Simulator) -> list[tuple[str, str]]:
    """Return every field that RapidSOS got."""
    return [field for seen in simulator.requests for field in seen.headers]


async def test_a_hundred_requests_of_one_person_cost_one_token_call(simulator: Simulator) -> None:
    """Also when all of them come before there is a token."""
    async with running_proxy(document(simulator, from_client="basic"), with_tokens=False) as proxy:
        request = ask_as("alice", PASSWORDS["alice"])
        answers = await asyncio.gather(*(proxy.talk(request) for _ in range(100)))

        assert {answer.split()[1] for answer in answers} == {b"200"}
        assert simulator.token_requests.total == 1


@pytest.mark.parametrize("fields", [(), ("Authorization: Bearer something",), ("Authorization: Basic !",)])
async def test_without_a_login_the_client_is_asked_for_one(simulator: Simulator, fields: tuple[str, ...]) -> None:
    """401 with a challenge that any old client understands; RapidSOS hears nothing."""
    async with running_proxy(document(simulator, from_client="basic"), with_tokens=False) as proxy:
        answer = await proxy.talk(get(*fields))

        assert answer.startswith(b"HTTP/1.1 401 ")
        assert b'\r\nWWW-Authenticate: Basic realm="RapidSOS", charset="UTF-8"\r\n' in answer
        assert b"error:client_login" in answer
        assert b"set the CAD's HTTP (Basic) login to the dispatcher's RapidSOS user name and password" in answer
        assert simulator.token_requests.total == 0
        assert len(simulator.requests) == 0


async def test_a_wrong_password_is_told_and_tried_once(simulator: Simulator) -> None:
    """However often the client repeats it; a neighbour's guesses keep nobody out."""
    async with running_proxy(document(simulator, from_client="basic"), with_tokens=False) as proxy:
        wrong = [await proxy.talk(ask_as("alice", "guess")) for _ in range(5)]
        guesses = [await proxy.talk(ask_as("alice", f"guess {number}")) for number in range(20)]
        right = await proxy.talk(ask_as("alice", PASSWORDS["alice"]))

        assert {answer.split()[1] for answer in [*wrong, *guesses]} == {b"401"}
        assert right.startswith(b"HTTP/1.1 200 ")
        assert simulator.tokens.wrong_passwords == 21
        assert users_seen(simulator) == ["alice"]


async def test_the_record_of_a_wrong_login_says_whose_it_was(simulator: Simulator, tmp_path: Path) -> None:
    """Each time, also where RapidSOS is not asked again; the record of the call says so too."""
    log = tmp_path / "traffic.jsonl"
    async with running_proxy(document(simulator, log, from_client="basic"), with_tokens=False) as proxy:
        for _ in range(2):
            await proxy.talk(ask_as("alice", "guess"))
        await proxy.stop()
    records = read_records(log)
    calls = [json.loads(line) for line in log.read_text().splitlines() if '"token.fetched"' in line]

    assert [(record["user"], record["error"]) for record in records] == [("alice", "client_login")] * 2
    assert [(call["user"], call["reason"], call["outcome"]) for call in calls] == [("alice", "login", "refused")]


@pytest.mark.parametrize("fault", [{"kind": "reset"}, {"kind": "status", "status": 503}])
async def test_a_token_server_that_nobody_gets_a_token_from_unreadies_the_proxy(
    simulator: Simulator, fault: dict[str, Any]
) -> None:
    """Before anybody has asked it is ready; once all get 503 it is not, until somebody gets a token again."""
    described = document(simulator, from_client="basic")
    described["timeouts"] = {"token_wait": 1.5}
    async with running_proxy(described, with_tokens=False) as proxy:
        assert unready_reasons(proxy.service.status()) == []
        simulator.faults.add(Fault(where="token", **fault))
        answer = await proxy.talk(ask_as("alice", PASSWORDS["alice"]))
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert unready_reasons(proxy.service.status()) == ["no credential is usable"]
        simulator.faults.clear()
        answer = await proxy.talk(ask_as("alice", PASSWORDS["alice"]))

        assert answer.startswith(b"HTTP/1.1 200 ")
        assert unready_reasons(proxy.service.status()) == []


async def test_a_wrong_password_does_not_unready_the_proxy(simulator: Simulator) -> None:
    """Or anybody could take it out of service."""
    async with running_proxy(document(simulator, from_client="basic"), with_tokens=False) as proxy:
        await proxy.talk(ask_as("alice", "guess"))

        assert unready_reasons(proxy.service.status()) == []


async def wait_token_calls(simulator: Simulator, count: int) -> None:
    """Wait until so many token calls have arrived."""
    async with asyncio.timeout(10):
        while simulator.token_requests.total < count:  # noqa: ASYNC110 (the simulator tells nobody)
            await asyncio.sleep(0.005)


async def leave_soon(proxy: RunningProxy, request: bytes, calls: int, simulator: Simulator) -> None:
    """Send a request, and cut the connection once the token server has had so many calls in all."""
    client = await proxy.connect()
    client.send(request)
    await wait_token_calls(simulator, calls)
    client.reset()


async def test_a_token_server_slower_than_the_wait_serves_the_next_request(
    simulator: Simulator, tmp_path: Path
) -> None:
    """The call that the first request began goes on to its end, and is recorded; nobody is locked out."""
    log = tmp_path / "traffic.jsonl"
    described = document(simulator, log, from_client="basic")
    described["timeouts"] = {"token_wait": 0.2}
    simulator.faults.add(Fault(where="token", kind="slow", delay_s=0.6))
    async with running_proxy(described, with_tokens=False) as proxy:
        request = ask_as("alice", PASSWORDS["alice"])
        first = await proxy.talk(request)
        await proxy.recorder.wait_fetches(1)
        second = await proxy.talk(request)

        assert first.startswith(b"HTTP/1.1 503 ")
        assert second.startswith(b"HTTP/1.1 200 ")
        assert simulator.token_requests.total == 1
        assert proxy.service.status().credentials[0].fetches == 1


async def test_clients_that_leave_early_cost_one_token_call(simulator: Simulator) -> None:
    """The next one waits for the call that is under way."""
    simulator.faults.add(Fault(where="token", kind="slow", delay_s=0.5))
    async with running_proxy(document(simulator, from_client="basic"), with_tokens=False) as proxy:
        request = ask_as("alice", PASSWORDS["alice"])
        for _ in range(5):
            await leave_soon(proxy, request, 1, simulator)
        answer = await proxy.talk(request)

        assert answer.startswith(b"HTTP/1.1 200 ")
        assert simulator.token_requests.total == 1


async def test_a_retry_after_outlives_the_request_that_learned_of_it(simulator: Simulator) -> None:
    """Whoever asks on with the same login costs the token server nothing until then."""
    described = document(simulator, from_client="basic")
    described["timeouts"] = {"token_wait": 0.1}
    simulator.faults.add(Fault(where="token", kind="status", status=429, retry_after=15))
    async with running_proxy(described, with_tokens=False) as proxy:
        request = ask_as("alice", PASSWORDS["alice"])
        answers = [await proxy.talk(request) for _ in range(5)]

        assert {answer.split()[1] for answer in answers} == {b"503"}
        assert simulator.token_requests.total == 1


async def test_a_wrong_client_secret_costs_one_call_a_minute_for_all(simulator: Simulator) -> None:
    """Whoever asks, and however often; it is not their passwords that are blamed."""
    described = document(simulator, from_client="basic")
    described["credential"]["core"]["client_secret"] = Secret("not-the-secret", "test")
    async with running_proxy(described, with_tokens=False) as proxy:
        first = await proxy.talk(ask_as("alice", PASSWORDS["alice"]))
        answers = [await proxy.talk(ask_as(user, PASSWORDS[user])) for user in ["alice", "bob"] * 10]

        assert {answer.split()[1] for answer in [first, *answers]} == {b"503"}
        assert all(b"invalid_client" in answer and b"\r\nRetry-After: " in answer for answer in answers)
        assert simulator.token_requests.total == 1


async def test_a_token_that_is_not_kept_is_not_asked_for_by_each_request(simulator: Simulator) -> None:
    """expires_in 0: those who wait together share one, and the next call waits a moment."""
    simulator.faults.add(Fault(where="token", kind="fields", fields={"expires_in": 0}))
    async with running_proxy(document(simulator, from_client="basic"), with_tokens=False) as proxy:
        request = ask_as("alice", PASSWORDS["alice"])
        for _ in range(3):
            answers = await asyncio.gather(*(proxy.talk(request) for _ in range(20)))
            assert {answer.split()[1] for answer in answers} == {b"200"}

        assert simulator.token_requests.total <= 6


async def test_a_shift_of_a_hundred_begins_behind_one_address() -> None:
    """All are served, each as himself, though each token call takes a while and they come at once."""
    passwords = {f"d{number}": f"password-of-d{number}" for number in range(100)}
    people = {name: Secret(password, "test") for name, password in passwords.items()}
    simulator = Simulator(SimulatorSettings(people=people))
    await simulator.start()
    simulator.faults.add(Fault(where="token", kind="slow", delay_s=1.0))
    async with running_proxy(document(simulator, from_client="basic"), with_tokens=False) as proxy:
        answers = await asyncio.gather(*(proxy.talk(ask_as(*login)) for login in passwords.items()))

        assert {answer.split()[1] for answer in answers} == {b"200"}
        assert sorted(map(str, users_seen(simulator))) == sorted(passwords)
        assert simulator.token_requests.total == 100
    await simulator.stop()


@pytest.mark.parametrize("body", ["gateway", "status"])
async def test_a_firewalls_403_is_no_wrong_password(simulator: Simulator, body: str) -> None:
    """The dispatcher gets 503, and is not sent to correct his login."""
    shape = {"shape": "gateway"} if body == "gateway" else {}
    simulator.faults.add(Fault(where="token", kind="status", status=403, **shape))
    async with running_proxy(document(simulator, from_client="basic"), with_tokens=False) as proxy:
        answer = await proxy.talk(ask_as("alice", PASSWORDS["alice"]))

        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"error:no_token" in answer


async def test_a_call_that_the_stop_cuts_is_recorded(simulator: Simulator, tmp_path: Path) -> None:
    """The token server has seen it, so the log says that it was made."""
    log = tmp_path / "traffic.jsonl"
    simulator.faults.add(Fault(where="token", kind="slow", delay_s=8.0))
    async with running_proxy(document(simulator, log, from_client="basic"), with_tokens=False) as proxy:
        await leave_soon(proxy, ask_as("alice", PASSWORDS["alice"]), 1, simulator)
        await proxy.stop()
    calls = [json.loads(line) for line in log.read_text().splitlines() if '"token.fetched"' in line]

    assert [(call["user"], call["reason"], call["outcome"]) for call in calls] == [("alice", "login", "stopped")]


async def test_a_revoked_persons_token_is_replaced_once(simulator: Simulator) -> None:
    """As any token is: the request still succeeds, as the same person."""
    async with running_proxy(document(simulator, from_client="basic"), with_tokens=False) as proxy:
        request = ask_as("alice", PASSWORDS["alice"])
        await proxy.talk(request)
        simulator.tokens.revoke_all()
        answer = await proxy.talk(request)

        assert answer.startswith(b"HTTP/1.1 200 ")
        assert users_seen(simulator)[-1] == "alice"
        assert simulator.token_requests.total == 2


async def test_a_connection_of_several_persons_serves_each_as_himself(simulator: Simulator, tmp_path: Path) -> None:
    """Requests of one connection, sent ahead: who made the last one says nothing of who makes the next."""
    log = tmp_path / "traffic.jsonl"
    people = ["alice", "bob", "bob", None, "alice", "mallory", "bob"]
    pipeline = [
        get(f"X-By: {user}", *([] if user is None else [f"Authorization: {login(user)}"])).replace(
            b"/echo", b"/echo/%d" % number
        )
        for number, user in enumerate(people)
    ]
    async with running_proxy(document(simulator, log, from_client="basic"), with_tokens=False) as proxy:
        client = await proxy.connect()
        client.send(b"".join(pipeline))
        statuses = [(await client.read_answer())[0].split()[1] for _ in people]
        await proxy.stop()
        records = read_records(log)

    assert statuses == [b"200" if user in PASSWORDS else b"401" for user in people]
    assert users_seen(simulator) == [user for user in people if user in PASSWORDS]
    assert [dict(seen.headers)["X-By"] for seen in simulator.requests] == users_seen(simulator)
    assert [record["user"] for record in records] == people
    assert simulator.token_requests.total == 3


def login(user: str) -> str:
    """Build the login of a user; one whom nobody knows has a password, too."""
    return build_basic(user, PASSWORDS.get(user, "a-password-of-nobody"))


async def test_an_old_client_that_keeps_its_connection_is_served_person_by_person(simulator: Simulator) -> None:
    """HTTP/1.0 with Connection: keep-alive; a refused login does not end the connection, so that it can be mended."""
    people = ["alice", None, "bob", "alice"]
    async with running_proxy(document(simulator, from_client="basic"), with_tokens=False) as proxy:
        client = await proxy.connect()
        heads = []
        for user in people:
            fields = ["Connection: keep-alive", *([] if user is None else [f"Authorization: {login(user)}"])]
            client.send(get(*fields).replace(b"HTTP/1.1", b"HTTP/1.0"))
            head, _ = await client.read_answer()
            heads.append(head)

        assert [head.split()[1] for head in heads] == [b"200", b"401", b"200", b"200"]
        assert all(b"\r\nConnection: keep-alive\r\n" in head for head in heads)
        assert users_seen(simulator) == ["alice", "bob", "alice"]
        assert simulator.token_requests.total == 2


@pytest.fixture
async def by_name(simulator: Simulator, tmp_path: Path) -> AsyncIterator[RunningProxy]:
    """Run a proxy whose clients name a user; those of one network may."""
    users = {
        name: {"username": Secret(name, "test"), "password": Secret(password, "test")}
        for name, password in PASSWORDS.items()
    }
    keys = {"from_client": "header:X-Dispatcher", "users": users, "clients": ["127.0.0.1/32"]}
    async with running_proxy(document(simulator, tmp_path / "traffic.jsonl", **keys), with_tokens=False) as proxy:
        await proxy.recorder.wait_fetches(2)
        yield proxy


async def test_a_named_user_is_served_as_himself(simulator: Simulator, by_name: RunningProxy, tmp_path: Path) -> None:
    """His token was there before he asked; the field that names him does not reach RapidSOS, and stands in the log."""
    for user in ("bob", "alice"):
        answer = await by_name.talk(get(f"X-Dispatcher: {user}", "X-Other: stays"))
        assert answer.startswith(b"HTTP/1.1 200 ")
    await by_name.stop()
    records = read_records(tmp_path / "traffic.jsonl")

    assert users_seen(simulator) == ["bob", "alice"]
    assert simulator.token_requests.total == 2
    names = [name.lower() for name, _ in sent(simulator)]
    assert "x-dispatcher" not in names
    assert names.count("x-other") == 2
    assert [record["user"] for record in records] == ["bob", "alice"]
    assert ["X-Dispatcher", "bob"] in records[0]["request"]["headers"]


@pytest.mark.parametrize("encoding", ["utf-8", "iso-8859-1"])
async def test_a_name_outside_ascii_is_read_as_the_client_writes_it(simulator: Simulator, encoding: str) -> None:
    """The configuration is UTF-8; an old client may not be."""
    login = {"username": Secret("alice", "test"), "password": Secret(PASSWORDS["alice"], "test")}
    keys = {"from_client": "header:X-Dispatcher", "users": {"josé": login}, "clients": ["127.0.0.1/32"]}
    async with running_proxy(document(simulator, **keys)) as proxy:
        answer = await proxy.talk(get("X-Dispatcher: josé").decode().encode(encoding))
        [exchange] = await proxy.recorder.wait_exchanges(1)

        assert answer.startswith(b"HTTP/1.1 200 ")
        assert exchange.user == "josé"
        assert users_seen(simulator) == ["alice"]


@pytest.mark.parametrize(
    ("fields", "status", "slug"),
    [
        ((), 400, "malformed"),
        (("X-Dispatcher: alice", "X-Dispatcher: bob"), 400, "malformed"),
        (("X-Dispatcher: mallory",), 403, "client_not_allowed"),
    ],
)
async def test_who_is_not_one_of_the_users_is_refused(
    simulator: Simulator, by_name: RunningProxy, fields: tuple[str, ...], status: int, slug: str
) -> None:
    """Nobody's request goes as somebody else's."""
    answer = await by_name.talk(get(*fields))

    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["type"].endswith(f":{slug}")
    assert len(simulator.requests) == 0


async def test_the_naming_fields_twin_does_not_go_on(simulator: Simulator, by_name: RunningProxy) -> None:
    """A CGI-like server would make the same variable of both."""
    answer = await by_name.talk(get("X-Dispatcher: alice", "X_Dispatcher: bob"))

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert users_seen(simulator) == ["alice"]
    assert all("dispatcher" not in name.lower() for name, _ in sent(simulator))


async def test_a_client_of_another_network_may_name_nobody(simulator: Simulator, by_name: RunningProxy) -> None:
    """Though the listener lets it in for other routes."""
    client = RawClient(*await asyncio.open_connection("127.0.0.1", by_name.port, local_addr=("127.0.0.9", 0)))
    client.send(get("X-Dispatcher: alice"))
    head, body = await client.read_answer()
    client.close()

    assert head.startswith(b"HTTP/1.1 403 ")
    assert b"client_not_allowed" in body
    assert len(simulator.requests) == 0


async def test_a_masked_name_is_nowhere_in_the_record(simulator: Simulator, tmp_path: Path) -> None:
    """``mask`` takes out the field that names the dispatcher, and what was read in it."""
    log = tmp_path / "traffic.jsonl"
    users = {"alice": {"username": Secret("alice", "test"), "password": Secret(PASSWORDS["alice"], "test")}}
    described = document(simulator, log, from_client="header:X-Dispatcher", users=users, clients=["127.0.0.1/32"])
    described["traffic_log"]["mask"] = ["X-Dispatcher"]
    async with running_proxy(described) as proxy:
        answer = await proxy.talk(get("X-Dispatcher: alice"))
        await proxy.stop()
        [record] = read_records(log)

        assert answer.startswith(b"HTTP/1.1 200 ")
        assert record["user"] == "***"
        assert "alice" not in json.dumps(record)

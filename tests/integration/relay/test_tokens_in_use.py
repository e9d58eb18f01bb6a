"""Tokens on the data path: one flight however many wait, once more after a 401, never a request without a token."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, cast

import pytest
from harness.records import read_records
from harness.running import RunningProxy, build_document, running_proxy, until
from harness.upstream import Peer, answering, scripted_upstream

from proxy.simulator.faults import Fault
from proxy.tokens.token import fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from proxy.simulator.server import Simulator

CALLERS = 100
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET /api/v1/echo HTTP/1.1\r\nHost: proxy\r\n\r\n"


def document(simulator: Simulator) -> dict[str, object]:
    """Describe a proxy in front of a simulator."""
    return build_document(simulator.url, f"{simulator.url}/oauth/token")


async def ask_at_once(proxy: RunningProxy, request: bytes = GET) -> list[bytes]:
    """Send a request from each of many clients at once; return the status of each answer."""
    answers = await asyncio.gather(*(proxy.talk(request) for _ in range(CALLERS)))
    return [answer.split()[1] for answer in answers]


async def test_many_at_start_cause_one_token_call(simulator: Simulator) -> None:
    """While the first token is on its way all wait for the same flight."""
    simulator.faults.add(Fault(where="token", kind="stall"))
    async with running_proxy(document(simulator), with_tokens=False) as proxy:
        asking = asyncio.gather(*(proxy.talk(GET) for _ in range(CALLERS)))
        await until(lambda: proxy.service.status().in_flight == CALLERS)
        simulator.faults.clear()
        simulator.release()
        answers = await asking

        assert [answer.split()[1] for answer in answers] == [b"200"] * CALLERS
        assert simulator.token_requests.total == 1


async def test_many_at_the_refresh_cause_one_token_call(simulator: Simulator) -> None:
    """While the refresh is under way the old token serves all of them, and nobody makes a call of his own."""
    simulator.faults.add(Fault(where="token", kind="fields", fields={"expires_in": 4}, times=1))
    async with running_proxy(document(simulator)) as proxy:
        simulator.faults.add(Fault(where="token", kind="stall"))
        await until(lambda: simulator.token_requests.total == 2)
        statuses = await ask_at_once(proxy)

        assert statuses == [b"200"] * CALLERS
        assert simulator.token_requests.total == 2
        simulator.faults.clear()
        simulator.release()
        await proxy.recorder.wait_fetches(2)
        assert await ask_at_once(proxy) == [b"200"] * CALLERS
        assert [fetch.reason for fetch in proxy.recorder.fetches] == ["start", "refresh"]
        assert simulator.token_requests.total == 2


async def test_revocation_under_load_causes_one_token_call(simulator: Simulator) -> None:
    """Every one of them is refused once, and every one succeeds with the same new token."""
    async with running_proxy(document(simulator)) as proxy:
        await proxy.talk(GET)
        simulator.tokens.revoke_all()
        statuses = await ask_at_once(proxy)

        assert statuses == [b"200"] * CALLERS
        assert simulator.token_requests.total == 2


async def test_a_body_goes_again_after_401(simulator: Simulator) -> None:
    """A POST that the gateway refused was not acted on; it goes once more, whole, with the new token."""
    body = b"x" * 50_000
    post = b"POST /api/v1/echo HTTP/1.1\r\nHost: proxy\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    async with running_proxy(document(simulator)) as proxy:
        simulator.tokens.revoke_all()
        answer = await proxy.talk(post)

        assert answer.startswith(b"HTTP/1.1 200 ")
        [refused, taken] = simulator.requests
        assert (refused.authorized, taken.authorized) == (False, True)
        assert refused.body == taken.body == body
        [exchange] = await proxy.recorder.wait_exchanges(1)
        assert [attempt.status for attempt in exchange.attempts] == [401, 200]


async def test_a_body_too_large_to_keep_does_not_go_again(simulator: Simulator) -> None:
    """Its 401 is relayed; the token is replaced for those who come after."""
    body = b"x" * 5000
    post = b"POST /api/v1/echo HTTP/1.1\r\nHost: proxy\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    async with running_proxy({**document(simulator), "limits": {"replay": 4096}}) as proxy:
        simulator.tokens.revoke_all()
        answer = await proxy.talk(post)
        await proxy.recorder.wait_fetches(2)
        after = await proxy.talk(GET)

        assert answer.startswith(b"HTTP/1.1 401 ")
        assert after.startswith(b"HTTP/1.1 200 ")
        assert [seen.authorized for seen in simulator.requests] == [False, True]


@pytest.mark.parametrize("has_new_token", [True, False], ids=["goes again", "401 relayed"])
async def test_an_upstream_that_refused_early_gets_no_more_of_the_body(
    simulator: Simulator, *, has_new_token: bool
) -> None:
    """What comes while a new token is on its way is for the next try; pieces of it are nobody's request."""
    halves = [b"a" * 1000, b"b" * 1000]
    late: list[bytes] = []

    async def refuses_early(peer: Peer) -> None:
        await peer.read_head()
        await peer.read_exactly(1000)
        peer.send(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")
        late.append(await peer.wait_closed())

    async with scripted_upstream(refuses_early, answering(OK, body=2000)) as upstream:
        described = build_document(
            f"http://127.0.0.1:{upstream.port}", f"{simulator.url}/oauth/token", timeouts={"token_wait": 0.5}
        )
        async with running_proxy(described) as proxy:
            simulator.faults.add(Fault(where="token", kind="stall"))
            client = await proxy.connect()
            client.send(b"POST /api/x HTTP/1.1\r\nHost: proxy\r\nContent-Length: 2000\r\n\r\n" + halves[0])
            await until(lambda: simulator.token_requests.total == 2)
            client.send(halves[1])
            await proxy.talk(b"GET /nowhere HTTP/1.1\r\nHost: proxy\r\n\r\n")  # the turns that it takes to come in
            if has_new_token:
                simulator.faults.clear()
                simulator.release()
            head, body = await client.read_answer()
            await until(lambda: bool(late))

            assert (head.split()[1], body) == ((b"200", b"ok") if has_new_token else (b"401", b"no"))
            assert late == [b""]
            assert [peer.received.partition(b"\r\n\r\n")[2] for peer in upstream.peers[1:]] == (
                [b"".join(halves)] if has_new_token else []
            )


@pytest.mark.parametrize(
    ("refusal", "connections"),
    [(b"Content-Length: 2\r\n\r\nno", 1), (b"Content-Length: 9\r\n\r\nno", 2), (b"Content-Length: 1\r\n\r\nno", 2)],
    ids=["whole", "not whole", "more than whole"],
)
async def test_a_refusal_that_is_thrown_away_leaves_nothing_behind(
    simulator: Simulator, refusal: bytes, connections: int
) -> None:
    """Its connection goes on only where all of it had come and no more: the rest would be the next one's answer."""
    answers = iter([b"HTTP/1.1 401 Unauthorized\r\n" + refusal, OK, OK])

    async def script(peer: Peer) -> None:
        while True:
            await peer.read_head()
            peer.send(next(answers))

    async with scripted_upstream(script) as upstream:
        described = build_document(f"http://127.0.0.1:{upstream.port}", f"{simulator.url}/oauth/token")
        async with running_proxy(described) as proxy:
            got = [await proxy.talk(GET) for _ in range(2)]

            assert [answer.partition(b"\r\n\r\n")[2] for answer in got] == [b"ok", b"ok"]
            assert len(upstream.peers) == connections


@pytest.mark.parametrize("size", [100, 100_000])
async def test_without_replay_nothing_goes_twice_and_nothing_is_kept_for_it(simulator: Simulator, size: int) -> None:
    """A route may say so: the 401 is relayed, the token replaced, and memory has only what the log wants."""
    kept = min(size, 1000)
    answers = iter([b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", OK])

    async def script(peer: Peer) -> None:
        while True:
            await peer.read_head()
            await peer.read_exactly(size)
            peer.send(next(answers))

    async with scripted_upstream(script) as upstream:
        settings = {**document(simulator), "traffic_log": {"path": "/dev/null", "bodies": 1000}}
        [route] = cast("list[dict[str, object]]", settings["route"])
        route |= {"upstream": f"http://127.0.0.1:{upstream.port}", "replay": False}
        async with running_proxy(settings) as proxy:
            post = b"POST /api/x HTTP/1.1\r\nHost: proxy\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size
            refused = await proxy.talk(post)
            await proxy.recorder.wait_fetches(2)
            taken = await proxy.talk(post)
            exchanges = await proxy.recorder.wait_exchanges(2)

            assert refused.startswith(b"HTTP/1.1 401 ")
            assert taken.endswith(b"\r\n\r\nok")
            bodies = [exchange.request_body for exchange in exchanges]
            assert [(body.total, body.kept, len(body.joined())) for body in bodies] == [(size, kept, kept)] * 2


async def test_401_for_ever_is_relayed_after_one_new_token(simulator: Simulator) -> None:
    """RapidSOS says 401 for a missing product too: minting on would hammer its token server."""
    simulator.faults.add(Fault(where="api", kind="unauthorized"))
    async with running_proxy(document(simulator)) as proxy:
        answers = [await proxy.talk(GET) for _ in range(5)]

        assert all(answer.startswith(b"HTTP/1.1 401 ") for answer in answers)
        assert all(b"fault" in answer for answer in answers)
        assert simulator.token_requests.total == 2


@pytest.mark.parametrize(
    ("retried", "statuses", "calls"),
    [(b"404", [b"404", b"200"], 3), (b"500", [b"500", b"401"], 2), (b"503", [b"503", b"401"], 2)],
)
async def test_a_server_error_says_nothing_of_a_new_token(
    simulator: Simulator, retried: bytes, statuses: list[bytes], calls: int
) -> None:
    """Any other answer proves it, so that the next 401 is a matter of a new token again; a 5xx leaves it in doubt."""
    answers = iter([b"401", retried, b"401", b"200"])

    async def script(peer: Peer) -> None:
        while True:
            await peer.read_head()
            peer.send(b"HTTP/1.1 " + next(answers) + b" So\r\nContent-Length: 0\r\n\r\n")

    async with scripted_upstream(script) as upstream:
        described = build_document(f"http://127.0.0.1:{upstream.port}", f"{simulator.url}/oauth/token")
        async with running_proxy(described) as proxy:
            got = [(await proxy.talk(GET)).split()[1] for _ in range(2)]

            assert got == statuses
            assert simulator.token_requests.total == calls


async def test_403_and_404_are_relayed_and_mint_nothing(simulator: Simulator) -> None:
    """They speak of rights and of records, not of the token."""
    async with running_proxy(document(simulator)) as proxy:
        for status in (b"403", b"404"):
            answer = await proxy.talk(b"GET /api/v1/status/" + status + b" HTTP/1.1\r\nHost: proxy\r\n\r\n")
            assert answer.split()[1] == status

        assert simulator.token_requests.total == 1
        assert len(simulator.requests) == 2


async def test_without_a_token_nothing_is_forwarded(simulator: Simulator) -> None:
    """503 and a problem document that says why and when to come again; the upstream hears nothing."""
    simulator.faults.add(Fault(where="token", kind="status", status=401))
    async with running_proxy(document(simulator)) as proxy:
        answer = await proxy.talk(GET)

        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nRetry-After: " in answer
        assert b"error:no_token" in answer
        assert len(simulator.requests) == 0


async def test_a_dead_token_server_is_not_noticed_while_the_token_lives(simulator: Simulator) -> None:
    """Requests go on with the token in hand."""
    async with running_proxy(document(simulator)) as proxy:
        simulator.faults.add(Fault(where="token", kind="reset"))
        statuses = await ask_at_once(proxy)

        assert statuses == [b"200"] * CALLERS


async def test_401_with_a_dead_token_server_is_relayed(simulator: Simulator) -> None:
    """Without a new token the upstream's own answer is the best that there is."""
    async with running_proxy({**document(simulator), "timeouts": {"token_wait": 0.2}}) as proxy:
        simulator.faults.add(Fault(where="token", kind="reset"))
        simulator.tokens.revoke_all()
        answer = await proxy.talk(GET)

        assert answer.startswith(b"HTTP/1.1 401 ")
        assert b"Invalid Access Token" in answer


async def test_a_token_without_a_life_serves_whoever_waited_for_it(simulator: Simulator) -> None:
    """Also an exchange that has to dial first: the token cannot be asked for again, and is good for this once."""
    simulator.faults.add(Fault(where="token", kind="fields", fields={"expires_in": 0}))
    async with running_proxy(document(simulator)) as proxy:
        answer = await proxy.talk(GET)

        assert answer.startswith(b"HTTP/1.1 200 ")
        assert [fetch.reason for fetch in proxy.recorder.fetches] == ["start", "wait"]


async def test_a_token_in_the_query_reaches_the_upstream_and_no_record(simulator: Simulator, tmp_path: Path) -> None:
    """RFC 6750, section 2.3: the client's own is taken out, no Authorization goes along, and the log masks it."""
    log = tmp_path / "traffic.jsonl"
    async with scripted_upstream(answering(OK)) as upstream:
        settings = {**document(simulator), "traffic_log": {"path": str(log)}}
        [route] = cast("list[dict[str, object]]", settings["route"])
        route |= {"upstream": f"http://127.0.0.1:{upstream.port}", "place": "query:token"}
        async with running_proxy(settings) as proxy:
            answer = await proxy.talk(
                b"GET /api/v1?event_types=a,b&token=mine HTTP/1.1\r\nHost: proxy\r\nAuthorization: Bearer mine\r\n\r\n"
            )
            await proxy.stop()
            [token] = [issued.value for issued in simulator.tokens]
            [peer] = upstream.peers
            [record] = read_records(log)

            assert answer.endswith(b"ok")
            assert peer.received.startswith(f"GET /v1?event_types=a,b&token={token} HTTP/1.1\r\n".encode())
            assert b"uthorization" not in peer.received
            assert record["attempts"][0]["url"].endswith("/v1?event_types=a,b&token=***")
            assert record["attempts"][0]["token"] == fingerprint(token)
            assert token not in log.read_text()


async def test_a_token_in_the_query_that_was_refused_is_replaced_in_the_query(
    simulator: Simulator, tmp_path: Path
) -> None:
    """Each try has the token of its own, once; the record tells them apart and shows neither."""
    log = tmp_path / "traffic.jsonl"
    answers = iter([b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", OK])

    async def script(peer: Peer) -> None:
        while True:
            await peer.read_head()
            peer.send(next(answers))

    async with scripted_upstream(script) as upstream:
        settings = {**document(simulator), "traffic_log": {"path": str(log)}}
        [route] = cast("list[dict[str, object]]", settings["route"])
        route |= {"upstream": f"http://127.0.0.1:{upstream.port}", "place": "query:ticket"}
        async with running_proxy(settings) as proxy:
            answer = await proxy.talk(b"GET /api/v1?a=b HTTP/1.1\r\nHost: proxy\r\n\r\n")
            await proxy.stop()
        tokens = [issued.value for issued in simulator.tokens]
        [record] = read_records(log)
        received = b"".join(peer.received for peer in upstream.peers)

    assert answer.endswith(b"ok")
    lines = [line.decode() for line in received.split(b"\r\n") if line.startswith(b"GET ")]
    assert lines == [f"GET /v1?a=b&ticket={token} HTTP/1.1" for token in tokens]
    assert [attempt["token"] for attempt in record["attempts"]] == [fingerprint(token) for token in tokens]
    assert {attempt["url"].partition("/v1")[2] for attempt in record["attempts"]} == {"?a=b&ticket=***"}
    assert len(tokens) == 2
    assert not any(token in log.read_text() for token in tokens)


@pytest.mark.parametrize("shown", ["full", "fingerprint"])
async def test_an_upstream_that_repeats_the_query_gives_no_token_away(
    simulator: Simulator, tmp_path: Path, shown: str
) -> None:
    """Heads come back without it; the body is relayed as it is, and the log shows it nowhere, in either mode."""
    log = tmp_path / "traffic.jsonl"

    async def script(peer: Peer) -> None:
        target = (await peer.read_head()).split(b" ")[1]
        early = b"HTTP/1.1 103 Early Hints\r\nLink: <%s>\r\n\r\n" % target
        fields = b"Location: /other%s\r\nRefresh: 1; url=%s\r\nX-Url: %s\r\n" % (target, target, target)
        peer.send(early + b"HTTP/1.1 301 Moved\r\n" + fields + b"Content-Length: %d\r\n\r\n" % len(target) + target)

    async with scripted_upstream(script) as upstream:
        described = build_document(f"http://127.0.0.1:{upstream.port}", f"{simulator.url}/oauth/token")
        described["route"][0]["place"] = "query:ticket"
        described["traffic_log"] = {"path": str(log), "token": shown}
        async with running_proxy(described) as proxy:
            answer = await proxy.talk(b"GET /api/v1?b=%2F HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\n\r\n")
            await proxy.stop()
            [token] = [issued.value for issued in simulator.tokens]
            heads, _, body = answer.rpartition(b"\r\n\r\n")
            [record] = read_records(log)

            assert token.encode() not in heads
            assert b"Location: /other/v1?b=%2F&ticket=***\r\n" in heads
            assert b"Link: </v1?b=%2F&ticket=***>" in heads
            assert body == f"/v1?b=%2F&ticket={token}".encode()
            assert record["response"]["body"] == "/v1?b=%2F&ticket=***"
            assert token not in log.read_text()


async def test_a_client_with_oauth_of_its_own_works_and_its_secret_stays(simulator: Simulator, tmp_path: Path) -> None:
    """It asks the listener for a token, gets one that opens nothing, and is served with ours."""
    log = tmp_path / "traffic.jsonl"
    settings = {**document(simulator), "traffic_log": {"path": str(log)}}
    settings["listener"] = [{"name": "cad", "bind": "127.0.0.1:0", "stub_token": True}]
    form = b"grant_type=client_credentials&client_id=cad&client_secret=a-secret-of-the-cad"
    async with running_proxy(settings) as proxy:
        answer = await proxy.talk(
            b"POST /api/oauth/token HTTP/1.1\r\nHost: proxy\r\nContent-Type: application/x-www-form-urlencoded\r\n"
            b"Content-Length: %d\r\n\r\n" % len(form) + form
        )
        stub = json.loads(answer.partition(b"\r\n\r\n")[2])["access_token"]
        served = await proxy.talk(GET.replace(b"\r\n\r\n", f"\r\nAuthorization: Bearer {stub}\r\n\r\n".encode()))
        await proxy.stop()
        asked, _ = read_records(log)

        assert answer.startswith(b"HTTP/1.1 200 ")
        assert served.startswith(b"HTTP/1.1 200 ")
        [seen] = simulator.requests
        assert seen.authorized
        assert simulator.token_requests.total == 1
        assert (asked["outcome"], asked["route"], asked["attempts"]) == ("answered_here", None, [])
        assert b"a-secret-of-the-cad" not in log.read_bytes()


CAD_SECRET = "a-secret-of-the-cad"
TOKEN_CALLS = {
    "a form with escapes in its names": ("/oauth/token", "", f"grant_type=x&client%5Fsecret={CAD_SECRET}"),
    "JSON with escapes in its names": ("/oauth/token", "", f'{{"client\\u005fsecret":"{CAD_SECRET}"}}'),
    "multipart": (
        "/oauth/token",
        "Content-Type: multipart/form-data; boundary=b\r\n",
        f'--b\r\nContent-Disposition: form-data; name="client_secret"\r\n\r\n{CAD_SECRET}\r\n--b--\r\n',
    ),
    "text": ("/api/oauth/token", "", f"client_secret: {CAD_SECRET}"),
    "another name": ("/api/oauth/token", "", f"code={CAD_SECRET}"),
    "the query": (f"/oauth/token?client%5Fsecret={CAD_SECRET}&code={CAD_SECRET}", "", ""),
    "a field": ("/oauth/token", f"Client-Secret: {CAD_SECRET}\r\nX-Client-Secret: {CAD_SECRET}\r\n", ""),
    "a path that no route names": ("/nowhere/at/all/oauth/token", "", f"code={CAD_SECRET}"),
}


@pytest.mark.parametrize("call", TOKEN_CALLS.values(), ids=TOKEN_CALLS)
async def test_however_a_client_proves_itself_to_the_stub_no_record_has_it(
    simulator: Simulator, tmp_path: Path, call: tuple[str, str, str]
) -> None:
    """Bodies, queries and fields of token calls stay out of the log; only known paths are answered."""
    target, fields, body = call
    log = tmp_path / "traffic.jsonl"
    settings = {**document(simulator), "traffic_log": {"path": str(log)}}
    settings["listener"] = [{"name": "cad", "bind": "127.0.0.1:0", "stub_token": True}]
    head = f"POST {target} HTTP/1.1\r\nHost: proxy\r\n{fields}Content-Length: {len(body)}\r\n\r\n"
    async with running_proxy(settings) as proxy:
        answer = await proxy.talk((head + body).encode())
        await proxy.stop()

        assert answer.startswith(b"HTTP/1.1 404 " if "nowhere" in target else b"HTTP/1.1 200 ")
        assert len(read_records(log)) == 1
        assert CAD_SECRET not in log.read_text()


async def test_without_stub_token_a_token_request_is_like_any_other(proxy: RunningProxy) -> None:
    """What no route names is refused."""
    answer = await proxy.talk(b"POST /oauth/token HTTP/1.1\r\nHost: proxy\r\nContent-Length: 0\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 404 ")


async def test_an_answer_that_names_the_token_makes_it_suspect(simulator: Simulator) -> None:
    """Where ``dead_token`` says so: 403 with RFC 6750's words is replaced, 403 without them is relayed."""
    answers = iter(
        [
            b'HTTP/1.1 403 Forbidden\r\nWWW-Authenticate: Bearer error="invalid_token"\r\nContent-Length: 0\r\n\r\n',
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
        ]
    )

    async def script(peer: Peer) -> None:
        while True:
            await peer.read_head()
            peer.send(next(answers))

    async with scripted_upstream(script) as upstream:
        described = build_document(f"http://127.0.0.1:{upstream.port}", f"{simulator.url}/oauth/token")
        described["route"][0]["dead_token"] = [{"status": 403, "www_authenticate": "invalid_token"}]
        async with running_proxy(described) as proxy:
            replaced, relayed = await proxy.talk(GET), await proxy.talk(GET)

            assert replaced.startswith(b"HTTP/1.1 200 ")
            assert relayed.startswith(b"HTTP/1.1 403 ")
            assert simulator.token_requests.total == 2


EXPIRED = b'{"detail":"Token expired."}'
OTHER = b'{"detail":"caller_id is missing."}'


def by_length(body: bytes) -> bytes:
    """Build a 400 whose body has a length."""
    return b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def by_chunks(body: bytes) -> bytes:
    """Build a 400 whose body comes in chunks of five bytes."""
    chunks = (b"%x\r\n%b\r\n" % (len(body[i : i + 5]), body[i : i + 5]) for i in range(0, len(body), 5))
    return b"HTTP/1.1 400 Bad Request\r\nTransfer-Encoding: chunked\r\n\r\n" + b"".join(chunks) + b"0\r\n\r\n"


def looking_into_bodies(port: int, simulator: Simulator, **sections: Any) -> dict[str, Any]:
    """Describe a proxy whose upstream says in the body that a token is dead."""
    described = build_document(f"http://127.0.0.1:{port}", f"{simulator.url}/oauth/token", **sections)
    described["route"][0]["dead_token"] = [{"status": 400, "body": "token expired"}]
    return described


@pytest.mark.parametrize("build", [by_length, by_chunks])
async def test_a_body_that_names_the_token_makes_it_suspect(
    simulator: Simulator, build: Callable[[bytes], bytes]
) -> None:
    """The answer is held until it is known; any other one is relayed whole, on connections that go on."""
    answers = iter([build(EXPIRED), OK, build(OTHER), build(OTHER + bytes(10_000)), OK])

    async def script(peer: Peer) -> None:
        while True:
            await peer.read_head()
            peer.send(next(answers))

    async with (
        scripted_upstream(script) as upstream,
        running_proxy(looking_into_bodies(upstream.port, simulator)) as proxy,
    ):
        replaced, other, long, after = [await proxy.talk(GET.replace(b"1.1", b"1.0")) for _ in range(4)]

        assert replaced.endswith(b"\r\n\r\nok")
        assert other.startswith(b"HTTP/1.1 400 ")
        assert other.partition(b"\r\n\r\n")[2] == OTHER
        assert long.partition(b"\r\n\r\n")[2] == OTHER + bytes(10_000)
        assert after.endswith(b"\r\n\r\nok")
        assert simulator.token_requests.total == 2
        assert len(upstream.peers) == 1


async def test_without_a_new_token_the_answer_that_was_looked_at_is_relayed_whole(simulator: Simulator) -> None:
    """Head and body as they came, the part that was held included."""

    async def script(peer: Peer) -> None:
        await peer.read_head()
        peer.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n" % (len(EXPIRED) + 50_000) + EXPIRED)
        peer.send(bytes(50_000))
        await peer.wait_closed()

    async with scripted_upstream(script) as upstream:
        timeouts = {"token_wait": 0.2}
        async with running_proxy(looking_into_bodies(upstream.port, simulator, timeouts=timeouts)) as proxy:
            simulator.faults.add(Fault(where="token", kind="reset"))
            answer = await proxy.talk(GET)

            assert answer.startswith(b"HTTP/1.1 400 ")
            assert answer.partition(b"\r\n\r\n")[2] == EXPIRED + bytes(50_000)


async def test_a_body_that_a_close_ends_is_looked_at_too(simulator: Simulator) -> None:
    """Nothing is left to hold, so it is relayed; the token is replaced for those who come after."""

    async def script(peer: Peer) -> None:
        await peer.read_head()
        peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n{")
        peer.close()

    async with (
        scripted_upstream(script) as upstream,
        running_proxy(looking_into_bodies(upstream.port, simulator)) as proxy,
    ):
        answer = await proxy.talk(GET.replace(b"1.1", b"1.0"))

        assert answer.partition(b"\r\n\r\n")[2] == b"{"


async def test_a_token_that_has_served_is_replaced_at_once_when_it_is_revoked(simulator: Simulator) -> None:
    """Though it took the place of a revoked one, and whoever asked for it had left: any answer proves it."""
    async with running_proxy({**document(simulator), "timeouts": {"token_wait": 0.3}}) as proxy:
        simulator.faults.add(Fault(where="token", kind="status", status=503))
        simulator.tokens.revoke_all()
        refused = await proxy.talk(GET)
        simulator.faults.clear()
        await until(lambda: proxy.recorder.fetches[-1].outcome == "ok" and len(proxy.recorder.fetches) > 1)
        served = await proxy.talk(GET)
        simulator.tokens.revoke_all()
        again = await proxy.talk(GET)

        assert [answer.split()[1] for answer in (refused, served, again)] == [b"401", b"200", b"200"]

"""Every fault, as a client on a real socket meets it."""

from __future__ import annotations

import asyncio
import json
import ssl

import pytest
import trustme
import uvloop
from structlog.testing import capture_logs

from proxy.simulator.faults import Fault
from proxy.simulator.server import Simulator
from proxy.tasks import Tasks

FORM = {"grant_type": "client_credentials", "client_id": "simulator-client", "client_secret": "planted-secret"}
FORM_BODY = "&".join(f"{name}={value}" for name, value in FORM.items()).encode()


@pytest.fixture
async def simulator(start):
    """Return a simulator whose client's secret is planted."""
    return await start(client_secret="planted-secret")


@pytest.fixture
async def token(simulator, session):
    """Return a live token."""
    async with session.post(f"{simulator.url}/oauth/token", data=FORM) as response:
        return (await response.json())["access_token"]


@pytest.fixture
async def tasks():
    """Return an owner for tasks, which end with the test."""
    tasks = Tasks()
    yield tasks
    await tasks.stop()


async def ask_token(simulator, session):
    """Make a token call; return the answer and its body."""
    async with session.post(f"{simulator.url}/oauth/token", data=FORM, allow_redirects=False) as response:
        return response, await response.read()


async def get(simulator, session, token, path="/v1/echo"):
    """Make an API call; return the answer and its body."""
    headers = {"Authorization": f"Bearer {token}"}
    async with session.get(simulator.url + path, headers=headers) as response:
        return response, await response.read()


async def read_raw(simulator, request: bytes, ssl_context=None) -> tuple[bytes, str]:
    """Send ``request``; return all that came back and how it ended: ``closed`` or ``reset``."""
    reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port, ssl=ssl_context)
    writer.write(request)
    received = b""
    try:
        while piece := await reader.read(65536):
            received += piece
    except ConnectionResetError:
        return received, "reset"
    else:
        return received, "closed"
    finally:
        writer.close()


def build_get(token, path="/v1/echo") -> bytes:
    """Build an API call's bytes."""
    return f"GET {path} HTTP/1.1\r\nHost: simulator\r\nAuthorization: Bearer {token}\r\n\r\n".encode()


@pytest.mark.parametrize(
    ("fault", "status", "body"),
    [
        ({"kind": "status"}, 500, {"detail": "Simulated fault, status 500."}),
        ({"kind": "status", "status": 429}, 429, {"detail": "Too many requests. Please try again later"}),
        ({"kind": "unauthorized"}, 401, {"ErrorCode": "invalid_client", "Error": "ClientId is Invalid"}),
        ({"kind": "redirect"}, 307, {"detail": "Moved."}),
        ({"kind": "redirect", "status": 302}, 302, {"detail": "Moved."}),
    ],
)
async def test_refusals_of_the_token_call(simulator, session, fault, status, body):
    """A token call is refused in the shape asked for, is counted, and issues nothing."""
    simulator.faults.add(Fault(where="token", **fault))
    response, received = await ask_token(simulator, session)

    assert (response.status, json.loads(received)) == (status, body)
    assert (simulator.token_requests.total, len(simulator.tokens)) == (1, 0)


async def test_redirect_names_the_other_place(simulator, session):
    """The redirect of a token call points where it was told to."""
    simulator.faults.add(Fault(where="token", kind="redirect", location="http://127.0.0.1:1/steal"))

    assert (await ask_token(simulator, session))[0].headers["Location"] == "http://127.0.0.1:1/steal"


@pytest.mark.parametrize(("retry_after", "field"), [(None, None), (7, "7"), ("soon", "soon")])
async def test_retry_after(simulator, session, retry_after, field):
    """A 429 comes with the Retry-After asked for, or with none."""
    simulator.faults.add(Fault(where="token", kind="status", status=429, retry_after=retry_after))

    assert (await ask_token(simulator, session))[0].headers.get("Retry-After") == field


async def test_gateway_says_quota_with_500(simulator, session, token):
    """Old gateways send a spent quota as 500."""
    simulator.faults.add(Fault(where="api", kind="status", shape="gateway"))
    response, body = await get(simulator, session, token)

    assert response.status == 500
    assert json.loads(body)["fault"]["detail"]["errorcode"] == "policies.ratelimit.QuotaViolation"


@pytest.mark.parametrize("kind", ["garbage", "html", "empty"])
async def test_answers_that_are_no_json(simulator, session, kind):
    """A 200 whose body cannot be read as JSON."""
    simulator.faults.add(Fault(where="token", kind=kind))
    response, body = await ask_token(simulator, session)

    assert response.status == 200
    assert (response.content_type == "text/html") == (kind == "html")
    with pytest.raises(json.JSONDecodeError):
        json.loads(body)


@pytest.mark.parametrize("value", [0, -5, "3599", "abc", 10**18, 1.5, None])
async def test_wrong_lifetime(simulator, session, value):
    """``fields`` replaces part of the answer; the token in it works."""
    simulator.faults.add(Fault(where="token", kind="fields", fields={"expires_in": value}))
    answer = json.loads((await ask_token(simulator, session))[1])

    assert answer["expires_in"] == value
    assert (await get(simulator, session, answer["access_token"]))[0].status == 200


async def test_missing_token(simulator, session):
    """``drop`` leaves part of the answer out."""
    simulator.faults.add(Fault(where="token", kind="fields", fields={"note": "a\r\nb"}, drop=("access_token",)))
    answer = json.loads((await ask_token(simulator, session))[1])

    assert answer.keys() == {"token_type", "issued_at", "expires_in", "note"}


async def test_oversize_token_answer(simulator, session):
    """Six megabytes of valid JSON, the token in front."""
    simulator.faults.add(Fault(where="token", kind="oversize"))
    _, body = await ask_token(simulator, session)

    assert len(body) > 6_000_000
    assert len(json.loads(body)["access_token"]) == 28


async def test_echo_of_the_secret(simulator, session):
    """The server quotes what it was sent, secret and all, as servers do when debugging was left on."""
    simulator.faults.add(Fault(where="token", kind="echo_secret"))
    response, body = await ask_token(simulator, session)

    assert response.status == 401
    assert b"planted-secret" in body


async def test_revocation_meets_the_request_under_way(simulator, session, token):
    """All tokens die at once: the request that meets it is 401 though its token was good on arrival."""
    simulator.faults.add(Fault(where="api", kind="revoke", times=1))
    statuses = [(await get(simulator, session, token))[0].status for _ in range(2)]

    assert statuses == [401, 401]
    assert [seen.authorized for seen in simulator.requests] == [True, False]
    assert len(simulator.tokens) == 0


async def test_unauthorized_whatever_the_token(simulator, session, token):
    """401 with the gateway's body, for as long as the fault is on."""
    simulator.faults.add(Fault(where="api", kind="unauthorized", times=2))
    answers = [await get(simulator, session, token) for _ in range(3)]

    assert [response.status for response, _ in answers] == [401, 401, 200]
    assert b"invalid_access_token" in answers[0][1]


async def test_fault_of_one_path(simulator, session, token):
    """A fault for a path leaves the others alone."""
    simulator.faults.add(Fault(where="api", kind="status", path="/v1/alerts"))

    assert (await get(simulator, session, token))[0].status == 200
    assert (await get(simulator, session, token, "/v1/alerts"))[0].status == 500


async def test_slow_then_usual(simulator, session, token):
    """A slow answer is the usual one."""
    simulator.faults.add(Fault(where="api", kind="slow", delay_s=0.001))

    assert (await get(simulator, session, token))[0].status == 200


async def test_stall_holds_until_release(simulator, session, tasks):
    """Stalled token calls are all counted and none answered; released, each gets its token."""
    simulator.faults.add(Fault(where="token", kind="stall"))
    calls = [tasks.start(ask_token(simulator, session), name=f"call-{number}") for number in range(5)]
    await simulator.token_requests.reached(5)
    held = [call.done() for call in calls]
    simulator.release()
    answers = await asyncio.gather(*calls)

    assert held == [False] * 5
    assert [response.status for response, _ in answers] == [200] * 5
    assert len(simulator.tokens) == 5


@pytest.mark.parametrize("chunked", [False, True])
async def test_stall_in_the_body(simulator, token, chunked):
    """Half of the body comes, then nothing until release, then the rest."""
    simulator.faults.add(Fault(where="api", kind="stall_body", size_bytes=100, chunked=chunked))
    reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
    writer.write(build_get(token))
    head = await reader.readuntil(b"\r\n\r\n")
    half = await reader.readuntil(b"x" * 49)
    simulator.release()
    rest = await reader.readuntil(b'x"')
    writer.close()

    assert (b"Transfer-Encoding: chunked" in head) == chunked
    assert (b"Content-Length: 100" in head) != chunked
    assert half.endswith(b'"' + b"x" * 49)
    assert rest.count(b"x") == 49


@pytest.mark.parametrize(("kind", "ending"), [("reset", "reset"), ("close", "closed")])
async def test_no_answer_at_all(simulator, token, kind, ending):
    """The request is taken and counted; then the connection is reset, or closed in order, without a byte."""
    simulator.faults.add(Fault(where="api", kind=kind))

    assert await read_raw(simulator, build_get(token)) == (b"", ending)
    assert simulator.requests.total == 1


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(("kind", "ending"), [("reset_body", "reset"), ("close_body", "closed")])
async def test_cut_in_the_body(simulator, token, kind, ending, chunked):
    """Half of the body arrives before the connection is reset or closed, and it never looks whole."""
    simulator.faults.add(Fault(where="api", kind=kind, size_bytes=1000, chunked=chunked))
    received, how = await read_raw(simulator, build_get(token))
    head, _, body = received.partition(b"\r\n\r\n")

    assert how == ending
    assert head.startswith(b"HTTP/1.1 200 ")
    assert body.count(b"x") == 499
    assert not body.endswith(b"0\r\n\r\n")


async def test_cut_over_tls(start):
    """Over TLS too half of the body arrives before the reset."""
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    simulator = await start(ssl_context=server, client_secret="planted-secret")
    simulator.faults.add(Fault(where="token", kind="reset_body", times=1), Fault(where="token", kind="reset"))
    request = (
        b"POST /oauth/token HTTP/1.1\r\nHost: simulator\r\nContent-Length: %d\r\n\r\n" % len(FORM_BODY) + FORM_BODY
    )
    received, _ = await read_raw(simulator, request, client)

    assert received.count(b"x") == 499
    assert await read_raw(simulator, request, client) == (b"", "reset")


def test_resets_on_uvloop():
    """On uvloop, which writes later than asyncio does, half of the body arrives too."""

    async def cut() -> tuple[bytes, str]:
        simulator = Simulator()
        simulator.faults.add(Fault(where="token", kind="reset_body"))
        await simulator.start()
        request = b"POST /oauth/token HTTP/1.1\r\nHost: simulator\r\nContent-Length: 0\r\n\r\n"
        try:
            return await read_raw(simulator, request)
        finally:
            await simulator.stop()

    received, ending = uvloop.run(cut())

    assert ending == "reset"
    assert received.count(b"x") == 499


async def test_hang_up_in_the_body(simulator, token, caplog):
    """A connection lost just before the next write is a client that left, not an error of the server."""
    simulator.faults.add(Fault(where="api", kind="stall_body", size_bytes=100))
    reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
    writer.write(build_get(token))
    await reader.readuntil(b"x" * 49)
    with capture_logs() as events:
        simulator.release()
        simulator.hang_up()
        rest = await reader.read()
    writer.close()

    assert rest == b""
    assert [event["status"] for event in events] == [499]
    assert caplog.text == ""


async def test_stop_ends_what_is_stalled(simulator, tasks):
    """Stopping does not wait for answers that will never come."""
    simulator.faults.add(Fault(where="token", kind="stall"))
    request = b"POST /oauth/token HTTP/1.1\r\nHost: simulator\r\nContent-Length: 0\r\n\r\n"
    call = tasks.start(read_raw(simulator, request), name="call")
    await simulator.token_requests.reached(1)
    await simulator.stop()

    assert (await call)[0] == b""


async def test_client_that_leaves_in_mid_body(simulator, session, token):
    """A request whose body never became whole is not among the requests, and is among the unfinished."""
    _, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
    head = f"POST /v1/echo HTTP/1.1\r\nHost: s\r\nAuthorization: Bearer {token}\r\nContent-Length: 10\r\n\r\n"
    writer.write(head.encode() + b"12345")
    await writer.drain()
    async with session.get(f"{simulator.url}/_simulator") as response:  # by now the head has been read
        await response.read()
    writer.close()
    await simulator.unfinished.reached(1)

    assert simulator.unfinished[0].values("Content-Length") == ["10"]
    assert simulator.requests.total == 0

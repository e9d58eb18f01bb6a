"""The control URLs."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from proxy.simulator.faults import Fault

HTTP_500 = {"where": "api", "kind": "status"}


async def control(simulator, session, method, path="", **options):
    """Make a control call; return status and JSON."""
    async with session.request(method, f"{simulator.url}/_simulator{path}", **options) as response:
        return response.status, await response.json()


async def test_state_has_no_secret(simulator, session, token):
    """The state tells of tokens by fingerprint, and of no secret."""
    status, state = await control(simulator, session, "GET")
    text = repr(state)

    assert status == 200
    assert (state["family"], state["token_requests"], state["alerts"]) == ("both", 1, 2)
    assert state["tokens"][0].keys() == {"fingerprint", "grant", "client_id", "expires_in_s"}
    assert token not in text
    assert "simulator-secret" not in text


async def test_control_is_not_counted(simulator, session):
    """Control calls are no requests, and no fault meets them."""
    simulator.faults.add(Fault(where="api", kind="status"))
    status, state = await control(simulator, session, "GET")

    assert (status, state["requests"], simulator.requests.total) == (200, 0, 0)


async def test_faults_are_switched_on_and_off(simulator, session, call):
    """Faults are added one or several at a time, shown, met, and cleared."""
    await control(simulator, session, "POST", "/faults", json={**HTTP_500, "times": 1})
    _, shown = await control(simulator, session, "POST", "/faults", json=[{"where": "api", "kind": "unauthorized"}])
    statuses = [(await call("GET", "/v1/echo"))[0] for _ in range(2)]
    cleared = await control(simulator, session, "DELETE", "/faults")

    assert shown == {"faults": [{**HTTP_500, "times": 1}, {"where": "api", "kind": "unauthorized"}]}
    assert statuses == [500, 401]
    assert cleared == (200, {"faults": []})
    assert (await call("GET", "/v1/echo"))[0] == 200


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"data": b"{"}, "not valid JSON"),
        ({"json": [HTTP_500, {"where": "api", "kind": "statuss"}]}, "fault 1.kind: "),
        ({"json": {**HTTP_500, "delay": 1}}, "fault 0.delay: "),
    ],
)
async def test_bad_faults_are_explained(simulator, session, options, hint):
    """A fault that cannot be read is 400, names the field, and switches nothing on."""
    status, body = await control(simulator, session, "POST", "/faults", **options)

    assert status == 400
    assert hint in body["detail"]
    assert len(simulator.faults) == 0


async def test_the_client_secret_is_changed(simulator, session, call):
    """The old one is refused from then on; tokens that it brought live on, and a reset brings it back."""
    form = {"grant_type": "client_credentials", "client_id": "simulator-client"}

    async def ask(secret):
        async with session.post(f"{simulator.url}/oauth/token", data={**form, "client_secret": secret}) as response:
            return response.status

    changed = await control(simulator, session, "POST", "/secret", json={"client_secret": "another"})
    statuses = [await ask("simulator-secret"), await ask("another"), (await call("GET", "/v1/echo"))[0]]
    simulator.reset()

    assert changed == (200, {})
    assert statuses == [401, 200, 200]
    assert (await ask("simulator-secret"), await ask("another")) == (200, 401)


@pytest.mark.parametrize("data", [b"{", b"[]", b"{}", b'{"client_secret": 1}', b'{"client_secret": ""}'])
async def test_a_bad_secret_is_refused(simulator, session, data):
    """The old one stays."""
    status, body = await control(simulator, session, "POST", "/secret", data=data)

    assert status == 400
    assert body["detail"]


async def test_revoke(simulator, session, call):
    """Every token dies at once."""
    revoked = await control(simulator, session, "POST", "/revoke")

    assert revoked == (200, {"revoked": 1})
    assert (await call("GET", "/v1/echo"))[0] == 401


@pytest.mark.parametrize(("method", "path"), [("POST", "/release"), ("POST", "/reset"), ("DELETE", "/faults")])
async def test_what_is_stalled_goes_on(simulator, session, call, method, path):
    """Release, reset and clearing the faults let a stalled request go on."""
    simulator.faults.add(Fault(where="api", kind="stall"))
    async with asyncio.TaskGroup() as group:
        stalled = group.create_task(call("GET", "/v3"))
        await simulator.requests.reached(1)
        await control(simulator, session, method, path)

    assert stalled.result()[0] == 404


async def test_reset_begins_again(start, session):
    """After a reset the configured faults are on, nothing was seen, and no token lives."""
    simulator = await start(faults=(Fault(where="api", kind="status", times=1),))
    async with session.get(f"{simulator.url}/v1/echo") as response:
        first = response.status
    _, state = await control(simulator, session, "POST", "/reset")

    assert first == 500
    assert (state["requests"], state["token_requests"], state["tokens"]) == (0, 0, [])
    assert state["faults"] == [{**HTTP_500, "times": 1}]


async def test_one_line_a_request(call):
    """Each request is one event in the log, without its query."""
    with capture_logs() as events:
        await call("GET", "/v1/location?caller_id=15555550100")
    (event,) = events

    assert (event["event"], event["method"], event["path"]) == ("simulator.answered", "GET", "/v1/location")
    assert (event["status"], event["fault"], event["family"]) == (200, None, "both")
    assert "15555550100" not in repr(event)

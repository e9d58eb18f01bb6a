"""The documented endpoints over real sockets, with every error body."""

from __future__ import annotations

import ssl
from xml.etree import ElementTree as ET

import aiohttp
import pytest
import trustme

from proxy.simulator.server import SERVER, Simulator
from proxy.simulator.world import World

INVALID = {
    "fault": {
        "faultstring": "Invalid Access Token",
        "detail": {"errorcode": "keymanagement.service.invalid_access_token"},
    }
}
TRIGGER = {
    "callflow": "sim",
    "variables": {"user": {"phone_number": "+15555550188"}, "location": {"latitude": 1, "longitude": 2}},
}
LOGIN = {"Authorization": aiohttp.encode_basic_auth("simulator-lis", "simulator-lis-password")}
HOOK = "/v1/rem/trigger/hook/bogota/trigger?caller_id=%2B15555550100&case_id=7"
LOCATION_REQUEST = (
    '<locationRequest xmlns="urn:ietf:params:xml:ns:geopriv:held">'
    '<device xmlns="urn:ietf:params:xml:ns:geopriv:held:id"><uri>tel:+{}</uri></device></locationRequest>'
)


async def test_trigger_appears_as_an_alert(call):
    """What is pushed in by ingress is pulled out by egress, accepted, talked about and closed."""
    _, triggered = await call("POST", "/v1/rem/trigger", json=TRIGGER)
    path = f"/v1/alerts/{triggered['alert_id']}"
    _, listed = await call("GET", "/v1/alerts?limit=100")
    accepted = await call("PATCH", path, json={"status": "ACCEPTED"})
    declined = await call("PATCH", path, json={"status": "DECLINED"})
    canceled = await call("PATCH", path, json={"status": "CANCELED"})
    said = await call(
        "POST", f"{path}/log_messages", json={"message": "x", "message_type": "CHAT_MESSAGE", "sender_id": "41"}
    )
    log = await call("GET", f"{path}/log_messages?page=1&limit=5")
    _, shown = await call("GET", f"{path}?extra=logs")

    assert listed["alerts"][-1]["alert_id"] == triggered["alert_id"]
    assert [status for status, _ in (accepted, declined, canceled)] == [200, 409, 403]
    assert said[1]["sender_id"] == "RapidSOS-41"
    assert log[1] == {"total_records": 1, "log_messages": shown["logs"]}
    assert shown["status"]["name"] == "ACCEPTED"


async def test_hosts_share_a_world_and_no_tokens(start, session, clock):
    """Core and alerts host see the same alerts; a token of one is nothing to the other."""
    world = World(clock)
    core, edx = await start(world, family="core"), await start(world, family="edx")
    bearer = {}
    for host in (core, edx):
        fields = {
            "grant_type": "client_credentials",
            "client_id": "simulator-client",
            "client_secret": "simulator-secret",
        }
        async with session.post(f"{host.url}/oauth/token", data=fields) as response:
            bearer[host] = {"Authorization": f"Bearer {(await response.json())['access_token']}"}
    async with session.post(f"{core.url}/v1/rem/trigger", json=TRIGGER, headers=bearer[core]) as response:
        alert_id = (await response.json())["alert_id"]
    statuses = []
    for host, headers in ((edx, bearer[edx]), (edx, bearer[core]), (core, bearer[core])):
        async with session.get(f"{host.url}/v1/alerts/{alert_id}", headers=headers) as response:
            statuses.append(response.status)

    assert statuses == [200, 401, 404]


async def test_person_may_not_trigger(simulator, session, call):
    """A trigger needs a client's token; a person's is 403."""
    fields = {"grant_type": "password", "client_id": "simulator-client", "client_secret": "simulator-secret"}
    fields |= {"username": "dispatcher@psap.example", "password": "simulator-password"}
    async with session.post(f"{simulator.url}/oauth/v2/token", data=fields) as response:
        bearer = (await response.json())["access_token"]

    assert await call("POST", "/v1/rem/trigger", bearer=bearer, json=TRIGGER) == (
        403,
        {"detail": "A client token is required."},
    )


@pytest.mark.parametrize("bearer", [None, "x"])
@pytest.mark.parametrize("path", ["/v1/alerts", "/v1/location?caller_id=15555550100", "/v1/echo"])
async def test_no_good_token(call, simulator, path, bearer):
    """Without a token, or with an unknown one, the gateway answers 401, and the request shows as not authorized."""
    assert await call("GET", path, bearer=bearer) == (401, INVALID)
    assert (simulator.requests[-1].bearer, simulator.requests[-1].authorized) == (bearer, False)


async def test_expired_token(call, clock):
    """A token past its life is 401, and the body says so."""
    clock.advance(3599)
    status, body = await call("GET", "/v1/alerts")

    assert (status, body["fault"]["detail"]["errorcode"]) == (401, "keymanagement.service.access_token_expired")


async def test_two_credentials_are_none(simulator, session, token):
    """Two Authorization fields are refused, though the first is good: a proxy must send exactly one."""
    headers = [("Authorization", f"Bearer {token}"), ("Authorization", "Bearer x")]
    async with session.get(f"{simulator.url}/v1/echo", headers=headers) as response:
        status = response.status

    assert status == 401


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "body"),
    [
        ("GET", "/v1/location", {}, 400, "caller_id is required: digits only, country code included."),
        ("GET", "/v1/location?caller_id=15555555555", {}, 404, "Not found."),
        ("GET", "/v1/lei/location?caller_id=15555550100&limit=x", {}, 400, "limit must be an integer."),
        ("DELETE", "/v1/location", {}, 405, 'Method "DELETE" not allowed.'),
        ("POST", "/v1/rem/trigger", {"data": b"{"}, 400, "Request body is not valid JSON."),
        ("POST", "/v1/rem/trigger", {"json": []}, 400, "Request body must be a JSON object."),
        ("POST", "/v1/rem/trigger", {"json": {}}, 400, "callflow is required."),
        ("GET", "/v1/alerts?start=9&end=5", {}, 400, "end must not be before start."),
        ("GET", "/v1/alerts?limit=101", {}, 400, "limit must be between 1 and 100."),
        ("GET", "/v1/alerts/alert-0", {}, 404, "Not found."),
        ("PATCH", "/v1/alerts/alert-0", {"json": {"status": "ACCEPTED"}}, 404, "Not found."),
        ("GET", "/v3/incidents", {}, 404, "Not found."),
    ],
)
async def test_errors_of_the_api(call, method, path, options, status, body):
    """The API's own errors are JSON with a detail."""
    assert await call(method, path, **options) == (status, {"detail": body})


@pytest.mark.parametrize(
    ("method", "path", "options"),
    [
        ("GET", "/v1/location?caller_id=15555550100", {}),
        ("POST", "/v1/location?caller_id=15555550100", {}),
        ("POST", "/v1/lei/location", {"json": {"caller_id": 15555550100}}),
        ("POST", "/v1/location", {"data": {"caller_id": "15555550100"}}),
    ],
)
async def test_location(call, method, path, options):
    """A caller's position can be asked for by query, JSON or form."""
    status, body = await call(method, path, **options)

    assert (status, body["caller_id"], body["time"]) == (200, "15555550100", 1_000_000)


async def test_listing_may_be_restricted(start, session, clock):
    """RapidSOS forbids polling; when told so the simulator answers a second list with 429."""
    simulator = await start(list_interval_s=30)
    fields = {"grant_type": "client_credentials", "client_id": "simulator-client", "client_secret": "simulator-secret"}
    async with session.post(f"{simulator.url}/oauth/token", data=fields) as response:
        headers = {"Authorization": f"Bearer {(await response.json())['access_token']}"}
    statuses = []
    for seconds in (0, 29, 1):
        clock.advance(seconds)
        async with session.get(f"{simulator.url}/v1/alerts", headers=headers) as response:
            statuses.append(response.status)

    assert statuses == [200, 429, 200]


async def test_lis_takes_basic_alone(simulator, session, token):
    """LIS answers a good login with PIDF-LO, and 401 to a Bearer token or a wrong password."""
    url, body = f"{simulator.url}/v1/lis", LOCATION_REQUEST.format("15555550100")
    async with session.post(url, data=body, headers=LOGIN) as response:
        found = ET.fromstring(await response.read())
    async with session.post(url, data=body, headers={"Authorization": f"Bearer {token}"}) as bearer:
        refused = await bearer.json()
    async with session.post(
        url, data=body, headers={"Authorization": aiohttp.encode_basic_auth("simulator-lis", "x")}
    ) as wrong:
        pass

    assert (response.status, response.content_type) == (200, "application/held+xml")
    assert found.tag.endswith("locationResponse")
    assert (bearer.status, refused) == (401, {"detail": "Invalid user credentials."})
    assert wrong.headers["WWW-Authenticate"].startswith("Basic ")
    assert [seen.authorized for seen in simulator.requests] == [True, False, False]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (LOCATION_REQUEST.format("15555555555"), "locationUnknown"),
        (LOCATION_REQUEST.format("x"), "requestError"),
        ("<", "xmlError"),
    ],
)
async def test_lis_errors_have_status_200(simulator, session, body, code):
    """HELD says its errors in XML."""
    async with session.post(f"{simulator.url}/v1/lis", data=body, headers=LOGIN) as response:
        root = ET.fromstring(await response.read())

    assert (response.status, root.attrib["code"]) == (200, code)


async def test_hook(simulator, session):
    """The ELS hook answers with text for numbers and seconds for the time; an unknown phone is 404."""
    async with session.post(simulator.url + HOOK, headers=LOGIN) as response:
        (result,) = (await response.json())["results"]
    async with session.post(simulator.url + HOOK.replace("0100", "0999"), headers=LOGIN) as unknown:
        pass
    async with session.post(simulator.url + HOOK) as stranger:
        pass

    assert (result["caller_id"], result["latitude"], result["location_time"]) == ("+15555550100", "40.7128", 1000.0)
    assert result["case_id"] == "7"
    assert (unknown.status, stranger.status) == (404, 401)


async def test_request_is_kept_as_received(simulator, call, token):
    """Target, field order, case and repetitions, and a body that says it is packed, stay as they came."""
    headers = {"X-oDd": "1", "Content-Encoding": "gzip", "Content-Type": "x/y"}
    path = "/v1/echo/a%2Fb//c%41+d?k=1&k=2&q=%7e"
    await call("POST", path, headers=headers, data=b"\x00not gzip")
    seen = simulator.requests[-1]

    assert (seen.method, seen.raw_path, seen.body) == ("POST", path, b"\x00not gzip")
    assert ("X-oDd", "1") in seen.headers
    assert (seen.bearer, seen.authorized) == (token, True)


async def test_body_beyond_the_bound_is_refused(start, session):
    """A body longer than what is kept is 413 with a detail."""
    simulator = await start(keep_bytes=1000)
    async with session.post(f"{simulator.url}/v1/rem/trigger", data=b"x" * 1001) as response:
        body = await response.json()

    assert response.status == 413
    assert body == {"detail": "Request Entity Too Large"}


async def test_server_does_not_name_its_software(simulator, session):
    """Every answer carries the simulator's own Server."""
    async with session.get(f"{simulator.url}/v3") as response:
        assert response.headers["Server"] == SERVER


async def test_serves_tls(start):
    """With a context the simulator serves https, and its URL says so."""
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    simulator = await start(ssl_context=server)
    async with aiohttp.ClientSession() as session, session.get(f"{simulator.url}/_simulator", ssl=client) as response:
        status = response.status

    assert simulator.url.startswith("https://127.0.0.1:")
    assert status == 200


async def test_stop_and_start_again(simulator, session, token):
    """A stopped simulator refuses connections; started again on its port it knows its tokens still."""
    port = simulator.port
    headers = {"Authorization": f"Bearer {token}"}
    url = f"{simulator.url}/v1/echo"
    await simulator.stop()
    with pytest.raises(aiohttp.ClientConnectorError):
        await session.get(url)
    await simulator.start("127.0.0.1", port)
    async with session.get(url, headers=headers) as response:
        status = response.status

    assert status == 200


async def test_stop_is_harmless_twice():
    """Stopping what never started, or twice, does nothing."""
    simulator = Simulator()
    await simulator.stop()

    assert (simulator.url, simulator.port, simulator.connections) == ("", 0, 0)
    assert repr(simulator) == "<Simulator both stopped requests=0>"


async def test_hang_up_closes_idle_connections(simulator):
    """A pooled connection that the host closes while idle: the client's next request needs a new one."""
    async with aiohttp.ClientSession() as session:
        url = f"{simulator.url}/_simulator"
        async with session.get(url) as response:
            before = (await response.json())["connections"]
        simulator.hang_up()
        async with session.get(url) as response:
            after = response.status

    assert (before, after) == (1, 200)


async def test_port_in_use(simulator):
    """A second simulator on the same port fails at once and leaves nothing behind."""
    second = Simulator()
    with pytest.raises(OSError, match="in use"):
        await second.start("127.0.0.1", simulator.port)

    assert second.url == ""

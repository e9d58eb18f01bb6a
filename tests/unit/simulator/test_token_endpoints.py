"""The token endpoints over real sockets: every documented way to ask, and every way to be refused."""

from __future__ import annotations

import json

import aiohttp
import pytest

CLIENT = {"client_id": "simulator-client", "client_secret": "simulator-secret"}
FORM = {"grant_type": "client_credentials", **CLIENT}
PERSON = {"username": "dispatcher@psap.example", "password": "simulator-password"}
PASSWORD = {"grant_type": "password", **CLIENT, **PERSON}
BASIC = {"Authorization": aiohttp.encode_basic_auth(*CLIENT.values())}
FORM_LABEL = {"Content-Type": "application/x-www-form-urlencoded"}


async def ask(session, url, **options):
    """Return status and JSON of a token call."""
    async with session.post(url, **options) as response:
        return response.status, await response.json(content_type=None)


@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("/oauth/token", {"data": FORM}),
        ("/oauth/token/", {"data": FORM}),
        ("/oauth/token", {"json": FORM}),
        ("/oauth/token", {"data": json.dumps(FORM), "headers": FORM_LABEL}),
        ("/oauth/token", {"data": {"grant_type": "client_credentials"}, "headers": BASIC}),
        ("/oauth/token", {"json": {"grant_type": "client_credentials"}, "headers": BASIC}),
        ("/oauth/token", {"data": PASSWORD}),
        ("/oauth/v2/token", {"data": PASSWORD}),
        ("/oauth/v2/token", {"json": PASSWORD}),
    ],
)
async def test_token_is_issued(simulator, session, path, options):
    """Form or JSON, client in body or header, for a client or a person: a token, and it works."""
    status, answer = await ask(session, simulator.url + path, **options)
    headers = {"Authorization": f"Bearer {answer['access_token']}"}
    async with session.get(f"{simulator.url}/v1/echo", headers=headers) as response:
        echo_status = response.status

    assert (status, echo_status) == (200, 200)
    assert answer["expires_in"] == 3599


@pytest.mark.parametrize(
    ("path", "fields", "status", "body"),
    [
        (
            "/oauth/token",
            {**FORM, "client_id": "x"},
            401,
            {"ErrorCode": "invalid_client", "Error": "ClientId is Invalid"},
        ),
        (
            "/oauth/token",
            {**FORM, "client_secret": "x"},
            401,
            {"ErrorCode": "invalid_client", "Error": "ClientId is Invalid"},
        ),
        (
            "/oauth/token",
            {"grant_type": "client_credentials"},
            401,
            {"ErrorCode": "invalid_client", "Error": "ClientId is Invalid"},
        ),
        ("/oauth/v2/token", {**PASSWORD, "password": "x"}, 401, {"detail": "Invalid user credentials."}),
        ("/oauth/v2/token", {**PASSWORD, "username": "x"}, 401, {"detail": "Invalid user credentials."}),
        ("/oauth/v2/token", FORM, 400, {"detail": "Unsupported or missing grant_type."}),
        ("/oauth/token", CLIENT, 400, {"detail": "Unsupported or missing grant_type."}),
        (
            "/oauth/token",
            {**FORM, "grant_type": "refresh_token"},
            400,
            {"detail": "Unsupported or missing grant_type."},
        ),
    ],
)
async def test_token_is_refused(simulator, session, path, fields, status, body):
    """A client or a person not believed is 401, a request that cannot be used 400, in the documented shapes."""
    assert await ask(session, simulator.url + path, data=fields) == (status, body)
    assert len(simulator.tokens) == 0


@pytest.mark.parametrize(
    ("token_body", "options", "status"),
    [
        ("strict_form", {"data": FORM}, 200),
        ("strict_form", {"json": FORM}, 400),
        ("strict_form", {"data": json.dumps(FORM), "headers": FORM_LABEL}, 400),
        ("json", {"json": FORM}, 200),
        ("json", {"data": FORM}, 400),
        ("json", {"data": json.dumps(FORM), "headers": FORM_LABEL}, 400),
        ("either", {"data": b""}, 400),
        ("either", {"data": b"{"}, 400),
    ],
)
async def test_strictness_about_the_body(start, session, token_body, options, status):
    """A strict server takes one encoding, labelled rightly; no server takes an unreadable body."""
    simulator = await start(token_body=token_body)

    assert (await ask(session, f"{simulator.url}/oauth/token", **options))[0] == status


@pytest.mark.parametrize(
    ("client_auth", "options", "status"),
    [
        ("body", {"data": FORM}, 200),
        ("body", {"data": {"grant_type": "client_credentials"}, "headers": BASIC}, 401),
        ("basic", {"data": FORM}, 401),
        ("basic", {"data": {"grant_type": "client_credentials"}, "headers": BASIC}, 200),
        ("either", {"data": FORM, "headers": BASIC}, 400),
    ],
)
async def test_client_authentication(start, session, client_auth, options, status):
    """A server may insist on one way for a client to prove itself; two at once are one too many."""
    simulator = await start(client_auth=client_auth)

    assert (await ask(session, f"{simulator.url}/oauth/token", **options))[0] == status


async def test_cognito_refuses_in_its_own_way(start, session):
    """The alerts host's token server says invalid_client with 400."""
    simulator = await start(family="edx", token_variant="cognito")

    answer = await ask(session, f"{simulator.url}/oauth/token", data={**FORM, "client_secret": "x"})

    assert answer == (400, {"error": "invalid_client"})


@pytest.mark.parametrize(("path", "status"), [("/oauth/token", 400), ("/oauth/v2/token", 404)])
async def test_alerts_host_knows_no_people(start, session, path, status):
    """The EDX family has client tokens alone."""
    simulator = await start(family="edx")

    assert (await ask(session, simulator.url + path, data=PASSWORD))[0] == status


async def test_calls_are_written_down_without_secrets(simulator, session):
    """A token call shows who asked and how, and neither secret nor password nor Basic credential."""
    await ask(session, f"{simulator.url}/oauth/v2/token", data={**PASSWORD, "scope": "alerts"})
    await ask(session, f"{simulator.url}/oauth/token", data={"grant_type": "client_credentials"}, headers=BASIC)
    person, client = simulator.token_requests

    assert (person.grant, person.client_id, person.username) == ("password", "simulator-client", PERSON["username"])
    assert (person.client_auth, person.encoding, person.fields["scope"]) == ("body", "form", "alerts")
    assert (client.grant, client.client_id, client.client_auth) == ("client_credentials", "simulator-client", "basic")
    assert ("Authorization", "***") in client.headers
    assert not {"client_secret", "password"} & person.fields.keys()
    assert simulator.requests.total == 0


async def test_get_is_no_token_request(simulator, session):
    """Only POST asks for a token; GET is 405 and counted as a call all the same."""
    async with session.get(f"{simulator.url}/oauth/token") as response:
        body = await response.json()

    assert (response.status, response.headers["Allow"]) == (405, "POST")
    assert body == {"detail": 'Method "GET" not allowed.'}

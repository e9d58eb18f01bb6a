"""Token requests, as a strict authorization server wants them."""

from __future__ import annotations

import base64
import json
from urllib.parse import parse_qsl

import pytest

from proxy.config.secret import Secret
from proxy.errors import ConfigError
from proxy.tokens.grants import build_token_request, printable_url


def test_client_credentials_form(make_credential):
    """The default is a form with grant, id and secret (RFC 6749, section 4.4.2)."""
    request = build_token_request(make_credential())

    assert request.url == "https://api.example/oauth/token"
    assert request.headers == {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
    assert request.body == b"grant_type=client_credentials&client_id=an-id&client_secret=a-secret"


def test_password_form(make_credential):
    """The password grant adds the person's name and password (section 4.3.2)."""
    credential = make_credential(
        grant="password", username=Secret("a@b.example", "test"), password=Secret("p&=%+ é", "test")
    )

    request = build_token_request(credential)

    assert parse_qsl(request.body.decode(), strict_parsing=True) == [
        ("grant_type", "password"),
        ("client_id", "an-id"),
        ("client_secret", "a-secret"),
        ("username", "a@b.example"),
        ("password", "p&=%+ é"),
    ]


def test_json_body_says_that_it_is_json(make_credential):
    """A JSON body has the same members and its own Content-Type."""
    request = build_token_request(make_credential(request="json", client_secret=Secret('a"\\é', "test")))

    assert request.headers["Content-Type"] == "application/json"
    assert json.loads(request.body) == {
        "grant_type": "client_credentials",
        "client_id": "an-id",
        "client_secret": 'a"\\é',
    }


def test_client_basic_encodes_before_base64(make_credential):
    """In Basic, id and secret are form-encoded first (section 2.3.1)."""
    credential = make_credential(
        client_auth="basic", client_id=Secret("id:1", "test"), client_secret=Secret("+ /%é", "test")
    )

    authorization = build_token_request(credential).headers["Authorization"]

    assert base64.b64decode(authorization.removeprefix("Basic ")) == b"id%3A1:%2B+%2F%25%C3%A9"


@pytest.mark.parametrize("request_form", ["form", "json"])
def test_client_basic_is_the_only_authentication(make_credential, request_form):
    """With Basic neither id nor secret is in the body: two ways at once are an error (section 2.3)."""
    request = build_token_request(make_credential(client_auth="basic", request=request_form))

    assert b"client" not in request.body.replace(b"client_credentials", b"")
    assert b"a-secret" not in request.body


def test_client_body_sends_no_basic(make_credential):
    """With the client's login in the body there is no Authorization."""
    assert "Authorization" not in build_token_request(make_credential()).headers


def test_scope_and_extra(make_credential):
    """Scope and extra parameters are sent along."""
    request = build_token_request(make_credential(scope="alerts rad", extra={"audience": "edx"}))

    assert request.body.endswith(b"&scope=alerts+rad&audience=edx")


def test_request_without_token_url(make_credential):
    """A credential without a token endpoint is a mistake of the configuration."""
    with pytest.raises(ConfigError, match="token_url"):
        build_token_request(make_credential(token_url=None))


@pytest.mark.parametrize("client_auth", ["body", "basic"])
def test_repr_hides_the_request(make_credential, client_auth):
    """The repr of a request shows its URL and nothing else."""
    text = repr(build_token_request(make_credential(client_auth=client_auth)))

    assert text == "TokenRequest(url='https://api.example/oauth/token')"


@pytest.mark.parametrize(
    ("url", "printable"),
    [
        ("https://api.example/oauth/token", "https://api.example/oauth/token"),
        ("https://user:secret@api.example:8443/t?key=secret#secret", "https://api.example:8443/t"),
        ("http://[::1]:8080/t", "http://[::1]:8080/t"),
        ("", ""),
    ],
)
def test_printable_url(url, printable):
    """A URL in the log has no user information, no query and no fragment."""
    assert printable_url(url) == printable

"""Taking a token request apart."""

from __future__ import annotations

import base64

import pytest

from proxy.simulator.parameters import FORM, JSON
from proxy.simulator.token_call import parse_token_call

PATH = "/oauth/token"
FORM_BODY = b"grant_type=client_credentials&client_id=a%20b&client_secret=s%2B%26"


def basic(text: str) -> str:
    """Build a Basic credential."""
    return f"Basic {base64.b64encode(text.encode()).decode()}"


def test_form():
    """A form's fields are decoded."""
    call = parse_token_call(PATH, f"{FORM}; charset=utf-8", "", FORM_BODY)

    assert (call.encoding, call.labelled, call.client_auth) == ("form", "form", "body")
    assert call.fields == {"grant_type": "client_credentials", "client_id": "a b", "client_secret": "s+&"}


def test_json_under_a_form_header():
    """What the body is and what its header says are told apart."""
    call = parse_token_call(PATH, FORM, "", b' {"grant_type": "password", "n": 1}')

    assert (call.encoding, call.labelled) == ("json", "form")
    assert call.fields == {"grant_type": "password"}


@pytest.mark.parametrize("body", [b"", b"{", b'{"a": '])
def test_unreadable_body(body):
    """A body that is neither is unreadable, not an error."""
    call = parse_token_call(PATH, JSON, "", body)

    assert (call.encoding, call.fields, call.client_auth) == ("unreadable", {}, "none")


def test_client_in_the_header():
    """Basic client authentication gives id and secret as sent; a colon belongs to the secret."""
    call = parse_token_call(PATH, FORM, basic("id:se:cret"), b"grant_type=client_credentials")

    assert call.basic == ("id", "se:cret")
    assert (call.client_id, call.client_auth) == ("id", "basic")


def test_client_twice():
    """A secret in both places shows as both."""
    assert parse_token_call(PATH, FORM, basic("id:s"), FORM_BODY).client_auth == "both"


@pytest.mark.parametrize("value", ["Bearer abc", "Basic ***", "Basic", basic("no-colon"), "Basic //79"])
def test_no_basic_credential(value):
    """Anything but a well-formed Basic credential counts as none."""
    assert parse_token_call(PATH, FORM, value, b"a=b").basic is None


def test_secrets_do_not_show():
    """The repr has no field and no credential."""
    shown = repr(parse_token_call(PATH, FORM, basic("id:planted"), b"client_secret=planted&password=planted"))

    assert "planted" not in shown

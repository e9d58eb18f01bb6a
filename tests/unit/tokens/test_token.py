"""Tokens and the keys they are kept under."""

from __future__ import annotations

import base64
import math

import pytest

from proxy.config.models import Credential
from proxy.config.secret import Secret
from proxy.tokens.token import build_basic_token, build_token, build_token_key, fingerprint

CHANGES = {
    "grant": "password",
    "token_url": "https://edx.example/oauth/token",
    "client_id": Secret("other-id", "test"),
    "client_secret": Secret("other-secret", "test"),
    "username": Secret("dispatcher", "test"),
    "password": Secret("pass phrase", "test"),
    "request": "json",
    "client_auth": "basic",
    "scope": "alerts",
    "extra": {"audience": "edx"},
}


NOT_SENT = {"allow_plain_http", "from_client", "users", "clients"}
"""Keys that do not change the token call; those about persons decide which call is made."""


def test_token_dates():
    """Expiry, send margin and refresh are counted from the sending of the request."""
    token = build_token("abc", 3600.0, sent_at=1000.0, dice=0.5)

    assert token.authorization == "Bearer abc"
    assert (token.expires_at, token.usable_until, token.refresh_at) == (4600.0, 4595.0, 2800.0)


def test_token_life_is_clamped():
    """No token is believed to live for more than a day."""
    assert build_token("abc", math.inf, sent_at=0.0, dice=0.5).expires_at == 86_400.0


def test_repr_hides_the_token():
    """The repr of a token shows its fingerprint and not itself."""
    text = repr(build_token("a-live-token", 3600.0, sent_at=0.0, dice=0.5))

    assert "a-live-token" not in text
    assert fingerprint("a-live-token") in text


def test_basic_token_is_utf_8():
    """Basic credentials are encoded as UTF-8 (RFC 7617) and never expire."""
    token = build_basic_token(Secret("zoë", "test"), Secret("pa:ss", "test"))

    assert base64.b64decode(token.authorization.removeprefix("Basic ")).decode() == "zoë:pa:ss"
    assert token.usable_until == math.inf
    assert token.fingerprint is None


@pytest.mark.parametrize("name", sorted(set(Credential.model_fields) - NOT_SENT))
def test_key_depends_on_every_parameter(make_credential, name):
    """A credential that differs in any parameter of the token call has a key of its own."""
    changed = make_credential(**{name: CHANGES[name]})

    assert build_token_key(changed, b"key") != build_token_key(make_credential(), b"key")


def test_key_is_the_same_for_the_same(make_credential):
    """Equal credentials have equal keys, whatever the order of their extras."""
    one = make_credential(extra={"a": "1", "b": "2"})
    other = make_credential(extra={"b": "2", "a": "1"})

    assert build_token_key(one, b"key") == build_token_key(other, b"key")


def test_key_keeps_parameters_apart(make_credential):
    """What one parameter ends with is not what the next begins with."""
    one = make_credential(client_id=Secret("ab", "test"), client_secret=Secret("c", "test"))
    other = make_credential(client_id=Secret("a", "test"), client_secret=Secret("bc", "test"))

    assert build_token_key(one, b"key") != build_token_key(other, b"key")


def test_key_is_keyed_and_holds_no_secret(make_credential):
    """A key cannot be computed, nor a secret guessed from it, without the hash key."""
    key = build_token_key(make_credential(), b"key")

    assert key != build_token_key(make_credential(), b"another key")
    assert "a-secret" not in key
    assert "an-id" not in key

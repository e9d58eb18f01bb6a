"""The authorization server's rules."""

from __future__ import annotations

import base64
import json

import pytest

from proxy.simulator.parameters import FORM
from proxy.simulator.refusals import RefusalError
from proxy.simulator.settings import SimulatorSettings
from proxy.simulator.token_answer import build_token_answer
from proxy.simulator.token_call import parse_token_call
from proxy.simulator.tokens import TokenServer

CLIENT = b"grant_type=client_credentials&client_id=simulator-client&client_secret=simulator-secret"


def call(body=CLIENT, path="/oauth/token", authorization=""):
    """Build a token request."""
    return parse_token_call(path, FORM, authorization, body)


@pytest.fixture
def tokens(clock):
    """Return an authorization server whose tokens live 20 s."""
    return TokenServer(SimulatorSettings(token_life_s=20), clock)


def refusal_of(action, *arguments) -> RefusalError:
    """Return the refusal that ``action`` raises."""
    with pytest.raises(RefusalError) as caught:
        action(*arguments)
    return caught.value


def test_token_lives_and_expires(tokens, clock):
    """A token is good until its life is over, and is then told apart from an unknown one."""
    token = tokens.issue(call())

    assert tokens.check(token.value) is token
    clock.advance(19.9)
    assert list(tokens) == [token]
    assert token in tokens
    clock.advance(0.1)
    assert len(tokens) == 0
    assert "access_token_expired" in str(refusal_of(tokens.check, token.value))


def test_long_dead_tokens_are_forgotten(tokens, clock):
    """A simulator that runs for days does not grow: an hour after its end a token is unknown."""
    token = tokens.issue(call())
    clock.advance(3700)
    tokens.issue(call())

    assert "invalid_access_token" in str(refusal_of(tokens.check, token.value))


def test_revocation(tokens):
    """One token can be revoked, or all."""
    first, second, third = (tokens.issue(call()) for _ in range(3))

    assert tokens.revoke(first.value)
    assert not tokens.revoke(first.value)
    assert list(tokens) == [second, third]
    assert tokens.revoke_all() == 2
    assert refusal_of(tokens.check, third.value).status == 401


def test_tokens_of_another_host_are_unknown(tokens, clock):
    """The two families' token servers do not know each other's tokens."""
    other = TokenServer(SimulatorSettings(family="edx"), clock)

    assert refusal_of(tokens.check, other.issue(call()).value).status == 401


@pytest.mark.parametrize("secret", ["a+b", "a%2Bb", "ü/=&?"])
def test_secret_in_basic_is_taken_raw_or_form_encoded(secret, clock):
    """RFC 6749, section 2.3.1 encodes id and secret before Basic; many clients do not, and both are taken."""
    tokens = TokenServer(SimulatorSettings(client_secret=secret), clock)
    for sent in (secret, "".join(f"%{octet:02X}" for octet in secret.encode())):
        packed = base64.b64encode(f"simulator-client:{sent}".encode()).decode()

        assert tokens.issue(call(b"grant_type=client_credentials", authorization=f"Basic {packed}"))


def test_secret_in_a_form_is_decoded_once(clock):
    """A client that encodes its secret twice is not believed."""
    tokens = TokenServer(SimulatorSettings(client_secret="a+b"), clock)
    body = b"grant_type=client_credentials&client_id=simulator-client&client_secret="

    assert tokens.issue(call(body + b"a%2Bb"))
    assert refusal_of(tokens.issue, call(body + b"a%252Bb")).status == 401
    assert refusal_of(tokens.issue, call(body + b"a+b")).status == 401


def test_wrong_passwords_are_counted(tokens):
    """A refused password counts: RapidSOS may lock the account."""
    body = CLIENT.replace(b"client_credentials", b"password") + b"&username=dispatcher%40psap.example&password=wrong"

    assert refusal_of(tokens.issue, call(body)).body == {"detail": "Invalid user credentials."}
    assert tokens.wrong_passwords == 1


def answer(variant, clock):
    """Return the answer in one variant."""
    settings = SimulatorSettings(token_variant=variant)
    token = TokenServer(settings, clock).issue(call())
    return token, build_token_answer(token, settings)


@pytest.mark.parametrize(
    ("variant", "shape"),
    [
        ("documented", {"token_type": "Bearer", "issued_at": 1_000_000, "expires_in": 3599}),
        ("issued_at_in_seconds", {"token_type": "Bearer", "issued_at": 1000, "expires_in": 3599}),
        ("no_issued_at", {"token_type": "Bearer", "expires_in": 3599}),
        ("no_expires_in", {"token_type": "Bearer", "issued_at": 1_000_000}),
        ("cognito", {"token_type": "Bearer", "expires_in": 3599}),
        ("cognito_without_expires_in", {"token_type": "Bearer"}),
    ],
)
def test_variants_of_the_answer(variant, shape, clock):
    """Each variant has the fields of the place where it was seen."""
    token, found = answer(variant, clock)

    assert found == {"access_token": token.value, **shape}


def test_misspelt_variant(clock):
    """The misspelling of RapidSOS's own page replaces the right key."""
    token, found = answer("misspelt", clock)

    assert found["acces_token"] == token.value
    assert "access_token" not in found


def test_variant_of_strings(clock):
    """RapidSOS's Android SDK has seen numbers as text, BearerToken, and a refresh token."""
    _, found = answer("strings", clock)

    assert (found["token_type"], found["issued_at"], found["expires_in"]) == ("BearerToken", "1000000", "3599")
    assert found["refresh_token_expires_in"] == "0"


def test_cognito_token_is_a_jwt(clock):
    """Its exp tells when it dies, for clients that are given no expires_in."""
    token, _ = answer("cognito", clock)
    claims = token.value.split(".")[1]

    assert json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["exp"] == 4599


def test_core_token_is_opaque(tokens):
    """The core host's tokens have 28 characters, and no two are alike."""
    values = {tokens.issue(call()).value for _ in range(3)}

    assert {len(value) for value in values} == {28}
    assert len(values) == 3


def test_secrets_do_not_show(tokens):
    """Neither the settings nor a token print what must stay secret."""
    token = tokens.issue(call())

    assert token.value not in repr(token)
    assert "simulator-secret" not in repr(SimulatorSettings())

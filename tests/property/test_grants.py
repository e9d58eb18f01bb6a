"""Token requests and answers under arbitrary input."""

from __future__ import annotations

import base64
import json
import re
from urllib.parse import parse_qsl, unquote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.models import Credential
from proxy.config.secret import Secret
from proxy.errors import FetchError
from proxy.tokens.answers import TokenAnswer, parse_http_date, parse_retry_after, parse_token_answer
from proxy.tokens.grants import build_token_request
from proxy.tokens.token import REFUSED, STATUS, UNREADABLE, build_token

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
NAMES = ["access_token", "acces_token", "token_type", "expires_in", "issued_at", "error", "ErrorCode", "detail"]
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.from_regex(r"[A-Za-z0-9._-]+", fullmatch=True)
)
OBJECTS = st.dictionaries(st.one_of(st.sampled_from(NAMES), st.text()), st.recursive(VALUES, st.lists, max_leaves=3))
STATUSES = st.one_of(st.sampled_from([200, 201, 302, 400, 401, 403, 429, 500, 503]), st.integers(100, 599))
SECRETS = ["client_id", "client_secret", "username", "password"]
ECHO = "an-echoed-secret"


def check_answer(answer):
    """Check that ``answer`` holds a token that can be sent, or is a FetchError; return all that is told of it."""
    try:
        parsed = parse_token_answer(answer, 1e9)
    except FetchError as caught:
        return check_error(caught, answer.status)
    token = build_token(parsed.access_token, parsed.life_s, sent_at=1000.0, dice=0.5)

    assert 200 <= answer.status < 300
    assert re.fullmatch(r"[A-Za-z0-9._~+/-]+=*", parsed.access_token)
    assert 0 <= parsed.life_s <= 86_400
    assert 1000.0 <= token.refresh_at <= token.usable_until <= token.expires_at
    return " ".join(parsed.oddities)


def check_error(error, status):
    """Check that ``error`` holds together; return all that is told of it."""
    assert error.kind in {REFUSED, STATUS, UNREADABLE}
    assert error.refused == (error.kind == REFUSED)
    assert error.status == status
    assert error.retry_after_s is None or error.retry_after_s >= 0
    return str(error) + repr(vars(error))


@given(status=STATUSES, body=st.binary(max_size=300), retry_after=st.none() | st.text(), date=st.none() | st.text())
def test_any_bytes(status, body, retry_after, date):
    """Whatever bytes an answer is made of, it is a token or a FetchError."""
    check_answer(TokenAnswer(status, body, retry_after, date))


@given(status=STATUSES, members=OBJECTS)
def test_any_object(status, members):
    """Whatever members an answer has, it is a token or a FetchError."""
    check_answer(TokenAnswer(status, json.dumps(members).encode()))


@given(status=STATUSES, name=st.sampled_from(NAMES), members=OBJECTS, wrap=st.sampled_from(["{}", " {}", '"{}"']))
def test_echo_is_never_told(status, name, members, wrap):
    """Wherever an answer echoes the secret, neither an error nor a note about oddities holds it."""
    body = json.dumps(members | {name: wrap.format(ECHO)}).encode()

    assert ECHO not in check_answer(TokenAnswer(status, body, ECHO, ECHO))


@given(value=st.text(), now=st.floats(0, 1e10))
def test_any_date(value, now):
    """Whatever Date and Retry-After say, they are a time or nothing."""
    moment = parse_http_date(value)
    pause_s = parse_retry_after(value, now)

    assert moment is None or isinstance(moment, float)
    assert pause_s is None or pause_s >= 0


@pytest.mark.parametrize("client_auth", ["body", "basic"])
@pytest.mark.parametrize("request_form", ["form", "json"])
@given(texts=st.fixed_dictionaries(dict.fromkeys(SECRETS, TEXT)), scope=TEXT)
def test_request_holds_what_it_was_given(client_auth, request_form, texts, scope):
    """Whatever the secrets are made of, the server reads just them, and the client's login once."""
    credential = Credential(
        grant="password",
        token_url="https://api.example/oauth/v2/token",
        request=request_form,
        client_auth=client_auth,
        scope=scope,
        **{name: Secret(text, "test") for name, text in texts.items()},
    )
    request = build_token_request(credential)
    text = request.body.decode()
    fields = json.loads(text) if request_form == "json" else dict(parse_qsl(text, keep_blank_values=True))

    if client_auth == "basic":
        assert fields.keys().isdisjoint({"client_id", "client_secret"})
        pair = base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")).decode().split(":")
        fields |= zip(("client_id", "client_secret"), map(unquote_plus, pair), strict=True)
    assert ("Authorization" in request.headers) == (client_auth == "basic")
    assert fields == {"grant_type": "password", "scope": scope} | texts

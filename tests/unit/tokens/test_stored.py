"""A token as it is stored, and back."""

import math

import pytest

from proxy.tokens.stored import (
    StoredToken,
    build_json,
    build_stored,
    dump_token,
    parse_json,
    parse_token,
    restore_token,
)
from proxy.tokens.token import build_token

STORED = StoredToken("a-token", life_s=3600.0, age_s=600.0)


def test_a_token_comes_back_on_another_clock():
    """Its age is what counts, not what the clock showed."""
    token = build_token("a-token", 3600.0, sent_at=1000.0, dice=0.5)

    back = restore_token(build_stored(token, 1600.0), 50_000.0, 0.5)

    assert back.authorization == "Bearer a-token"
    assert back.fingerprint == token.fingerprint
    assert back.expires_at == pytest.approx(50_000.0 + 3000.0)
    assert back.usable_until == pytest.approx(50_000.0 + 2995.0)
    assert back.refresh_at == pytest.approx(50_000.0 + 1200.0)


def test_what_is_written_is_read():
    """With whatever is added to it."""
    members = parse_json(build_json(dump_token(STORED, issued_at=5.0)))

    assert members["issued_at"] == 5.0
    assert parse_token(members, 600.0) == STORED


@pytest.mark.parametrize("age_s", [-0.1, -3600.0, 3600.0, 1e9, math.inf, math.nan])
def test_an_age_that_cannot_be_true_is_no_token(age_s):
    """Issued in the future, or dead: a clock was stepped, or too much time has passed."""
    assert parse_token(dump_token(STORED), age_s) is None


@pytest.mark.parametrize("life_s", [0, -1, 86_401, math.inf, math.nan, "3600", True, None])
def test_a_life_that_cannot_be_true_is_no_token(life_s):
    """No token lives longer than a day."""
    assert parse_token({"access_token": "a-token", "life_s": life_s}, 0.0) is None


@pytest.mark.parametrize("access_token", ["", "a b", "a\r\nX: y", "é", None, 5, ["a"]])
def test_a_token_that_could_not_be_sent_is_none(access_token):
    """It is checked as a server's answer is."""
    assert parse_token({"access_token": access_token, "life_s": 3600}, 0.0) is None


@pytest.mark.parametrize("members", [None, [], "x", 5, {}])
def test_anything_else_is_no_token(members):
    """Whatever somebody has put there."""
    assert parse_token(members, 0.0) is None


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_nothing(data):
    """And never an exception."""
    assert parse_json(data) is None


def test_no_repr_shows_the_token():
    """Nor what it was made of."""
    assert "a-token" not in repr(STORED)

"""The numbers of the token policy, against the table in the documentation."""

from __future__ import annotations

import math

import pytest

from proxy.errors import FetchError
from proxy.tokens import policy
from proxy.tokens.token import NETWORK, REFUSED, STATUS

DOWN = FetchError(NETWORK, "down")
REFUSAL = FetchError(REFUSED, "refused", refused=True)


@pytest.mark.parametrize(("life_s", "margin_s"), [(3600.0, 5.0), (100.0, 5.0), (20.0, 1.0), (0.0, 0.0)])
def test_send_margin(life_s, margin_s):
    """The send margin is 5 seconds, or 5 % of a life below 100 seconds."""
    assert policy.send_margin(life_s) == margin_s


@pytest.mark.parametrize(("dice", "age_s"), [(0.0, 1710.0), (0.5, 1800.0), (1.0, 1890.0)])
def test_refresh_after(dice, age_s):
    """A token is replaced at half its life, 5 % either way."""
    assert policy.refresh_after(3600.0, dice) == pytest.approx(age_s)


@pytest.mark.parametrize(
    ("failures", "longest_s"), [(1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0), (5, 8.0), (6, 15.0), (10_000, 15.0)]
)
def test_backoff_while_a_token_serves(failures, longest_s):
    """The backoff doubles from 0.5 to 15 seconds, with full jitter, and no pause is below a quarter of a second."""
    assert policy.pause_after(DOWN, failures, 1.0, is_person=False).relaxed_s == longest_s
    assert policy.pause_after(DOWN, failures, 0.5, is_person=False).relaxed_s == longest_s / 2
    assert policy.pause_after(DOWN, failures, 0.0, is_person=False).relaxed_s == 0.25


@pytest.mark.parametrize(("failures", "longest_s"), [(1, 0.5), (2, 1.0), (3, 1.0), (10_000, 1.0)])
def test_backoff_while_none_is_valid(failures, longest_s):
    """Without a valid token attempts come every second or sooner."""
    assert policy.pause_after(DOWN, failures, 1.0, is_person=True).urgent_s == longest_s


@pytest.mark.parametrize(
    ("asked_s", "urgent_s", "relaxed_s"), [(0.0, 0.5, 0.5), (10.0, 10.0, 10.0), (30.0, 15.0, 30.0), (900, 15.0, 60.0)]
)
def test_retry_after(asked_s, urgent_s, relaxed_s):
    """Retry-After is honoured up to a minute, and up to 15 seconds while people wait."""
    error = FetchError(STATUS, "429", status=429, retry_after_s=asked_s)

    assert policy.pause_after(error, 1, 1.0, is_person=False) == policy.Pause(urgent_s, relaxed_s)


def test_refused_pause():
    """A refused credential is tried once a minute; a person's never again."""
    assert policy.pause_after(REFUSAL, 1, 0.0, is_person=False) == policy.Pause(60.0, 60.0)
    assert policy.pause_after(REFUSAL, 1, 0.0, is_person=True) == policy.Pause(math.inf, math.inf)


@pytest.mark.parametrize(
    ("code", "is_whose"),
    [
        (None, True),
        ("invalid_grant", True),
        ("access_denied", True),
        ("invalid_client", False),
        ("unauthorized_client", False),
        ("unsupported_grant_type", False),
        ("invalid_scope", False),
    ],
)
def test_a_refused_client_key_is_no_refused_person(code, is_whose):
    """What the server says of the client locks no account: it is tried once a minute beside a person's login too."""
    error = FetchError(REFUSED, "refused", refused=True, code=code)

    assert policy.is_person_refused(error, is_person=True) is is_whose
    assert not policy.is_person_refused(error, is_person=False)
    assert policy.pause_after(error, 1, 0.0, is_person=True).urgent_s == (math.inf if is_whose else 60.0)


@pytest.mark.parametrize(("useless", "pause_s"), [(1, 10.0), (2, 20.0), (3, 40.0), (4, 60.0), (10_000, 60.0)])
def test_remint_pause(useless, pause_s):
    """Replacements that do not help are paused for 10 seconds, doubling to a minute."""
    assert policy.remint_pause(useless) == pause_s


@pytest.mark.parametrize(
    ("life_s", "clamped_s"), [(3600.0, 3600.0), (math.inf, 86_400.0), (0.0, 0.0), (-1.0, 0.0), (-math.inf, 0.0)]
)
def test_clamp_life(life_s, clamped_s):
    """No life is believed beyond a day, and none is below zero."""
    assert policy.clamp_life(life_s) == clamped_s


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_by_status_alone_passes(status):
    """A person's waits as for a server that asks for patience, a client's a minute; his password is not blamed."""
    error = FetchError(REFUSED, "refused", status=status, refused=True, is_vague=True)

    assert not policy.is_person_refused(error, is_person=True)
    assert not policy.is_client_refused(error)
    assert policy.pause_after(error, 1, 0.0, is_person=True) == policy.Pause(15.0, 60.0)
    assert policy.pause_after(error, 1, 0.0, is_person=False) == policy.Pause(60.0, 60.0)

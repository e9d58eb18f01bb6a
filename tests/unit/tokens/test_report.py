"""What is told about a token source."""

from __future__ import annotations

import pytest

from proxy.errors import FetchError
from proxy.tokens.history import History
from proxy.tokens.report import build_fetch, build_no_token, build_status, build_subject
from proxy.tokens.schedule import Schedule
from proxy.tokens.token import NETWORK, REFUSED, build_token

DOWN = FetchError(NETWORK, "the authorization server could not be reached", status=None)


@pytest.fixture
def subject(make_credential):
    """Return what may be told of a credential whose URL holds a login."""
    return build_subject("core", make_credential(token_url="https://user:pa55word@api.example/oauth/token?x=y"))


def test_a_subject_shows_no_login(subject):
    """Nor a query."""
    assert (subject.name, subject.grant, subject.token_url) == (
        "core",
        "client_credentials",
        "https://api.example/oauth/token",
    )


def test_a_status_counts_from_now(subject):
    """To the expiry and to the next call, and since the last failure."""
    schedule, history = Schedule(is_person=False), History("core")
    schedule.succeed(1000.0, 2800.0)
    history.note_failure(DOWN, 1100.0, 60.0)

    status = build_status(subject, build_token("abc", 3600.0, sent_at=1000.0, dice=0.5), schedule, history, 1500.0)

    assert (status.usable, status.expires_in_s, status.next_refresh_in_s) == (True, 3100.0, 1300.0)
    assert (status.last_error, status.last_error_ago_s) == (DOWN.detail, 400.0)


def test_a_status_without_a_token(subject):
    """While its call is under way nothing is planned."""
    schedule = Schedule(is_person=False)
    schedule.send()

    status = build_status(subject, None, schedule, History("core"), 5.0)

    assert (status.usable, status.expires_in_s, status.next_refresh_in_s, status.last_error) == (
        False,
        None,
        None,
        None,
    )


def test_a_fetch_is_a_token_or_a_failure(subject):
    """Never both."""
    token = build_token("abc", 3600.0, sent_at=0.0, dice=0.5)
    good = build_fetch(subject, token, status=200, reason="start", seconds=0.1)
    bad = build_fetch(subject, DOWN, status=None, reason="wait", seconds=5.0)

    assert (good.outcome, good.fingerprint, good.life_s, good.detail) == ("ok", token.fingerprint, 3600.0, "")
    assert (bad.outcome, bad.fingerprint, bad.authorization, bad.detail) == (NETWORK, None, None, DOWN.detail)
    assert "abc" not in repr(good)


def test_how_long_to_wait_is_told_in_whole_seconds(subject):
    """Up to the next call, never less than one."""
    schedule, history = Schedule(is_person=False), History("core")
    schedule.fail(1000.0, FetchError("status", "no", retry_after_s=10.0), None, 0.5)

    assert build_no_token(subject, schedule, history, 1002.5).retry_after_s == 8
    assert build_no_token(subject, schedule, history, 1009.9).retry_after_s == 1


def test_a_persons_refused_password_needs_a_person(subject):
    """No call is planned, and the detail says so."""
    schedule, history = Schedule(is_person=True), History("core")
    refusal = FetchError(REFUSED, "the authorization server refused the credential (401)", refused=True)
    schedule.fail(0.0, refusal, None, 0.5)
    history.note_failure(refusal, 0.0, None)

    error = build_no_token(subject, schedule, history, 0.0)

    assert error.retry_after_s == 60
    assert "change it" in error.detail

"""What the operational log says of token calls: failure, alarm, recovery, and no line a second."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from proxy.errors import FetchError
from proxy.tokens.answers import ParsedToken
from proxy.tokens.history import History
from proxy.tokens.token import NETWORK, REFUSED, STATUS, build_token

DOWN = FetchError(NETWORK, "the authorization server could not be reached")
REFUSAL = FetchError(REFUSED, "the authorization server refused the credential (401)", status=401, refused=True)


@pytest.fixture
def history():
    """Return the history of credential core."""
    return History("core")


def succeed(history, now, **answer):
    """Note a success at ``now``."""
    parsed = ParsedToken(access_token="abc", life_s=3600.0, **answer)
    history.note_success(build_token("abc", 3600.0, sent_at=now, dice=0.5), parsed, now)


def test_success_is_told(history):
    """A token is told by its fingerprint and life, never by itself."""
    with capture_logs() as logs:
        succeed(history, 1.0)

    assert logs == [
        {
            "event": "token.fetched",
            "log_level": "info",
            "credential": "core",
            "fingerprint": "ba7816bf8f01",
            "life_s": 3600.0,
        }
    ]


def test_recovery_is_told(history):
    """The first success after failures is told with their number and the length of the outage."""
    history.note_failure(DOWN, 10.0, None)
    history.note_failure(DOWN, 11.0, None)

    with capture_logs() as logs:
        succeed(history, 12.5)
        succeed(history, 13.0)

    recovered = [entry for entry in logs if entry["event"] == "token.recovered"]
    assert [(entry["failures"], entry["outage_s"], entry["log_level"]) for entry in recovered] == [(2, 2.5, "warning")]
    assert history.last_error is None


def test_failure_warns_while_a_token_serves(history):
    """A failure is a warning as long as a token serves, and says for how long."""
    with capture_logs() as logs:
        history.note_failure(DOWN, 10.0, 1234.5678)

    (entry,) = logs
    assert (entry["event"], entry["log_level"], entry["usable_for_s"]) == ("token.failed", "warning", 1234.568)


def test_failure_without_a_token_is_an_error(history):
    """A failure while requests fail is an error."""
    with capture_logs() as logs:
        history.note_failure(DOWN, 10.0, None)

    assert [(entry["log_level"], entry["usable_for_s"]) for entry in logs] == [("error", None)]


def test_long_outage_is_told_ever_less_often(history):
    """A thousand failures in a row write ten lines; a failure of another kind is told at once."""
    with capture_logs() as logs:
        for number in range(1000):
            history.note_failure(DOWN, float(number), None)
        history.note_failure(FetchError(STATUS, "the authorization server answered 500", status=500), 1000.0, None)

    assert [entry["failures"] for entry in logs] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1001]
    assert history.failures == 1001


def test_every_refusal_is_an_alarm(history):
    """Each refusal is an error in the log, though a token still serves."""
    with capture_logs() as logs:
        for number in range(3):
            history.note_failure(REFUSAL, float(number), 100.0)

    assert [(entry["event"], entry["log_level"]) for entry in logs] == [("token.refused", "error")] * 3


def test_oddity_is_told_once(history):
    """What is odd about the answers is told the first time it is seen."""
    with capture_logs() as logs:
        succeed(history, 1.0, oddities=("the token is called acces_token",))
        succeed(history, 2.0, oddities=("the token is called acces_token", "expires_in is missing"))

    odd = [entry["oddity"] for entry in logs if entry["event"] == "token.odd_answer_accepted"]
    assert odd == ["the token is called acces_token", "expires_in is missing"]


def test_skew_is_kept(history):
    """The last skew that was told stays, when an answer tells none."""
    succeed(history, 1.0, skew_s=-3.0)
    succeed(history, 2.0)

    assert history.skew_s == -3.0


def test_clocks_that_are_apart_are_told_once(history):
    """With what to do about it; and once more when they agree again."""
    with capture_logs() as logs:
        for skew_s in (2.0, 45.0, -45.0, 31.0, 29.0, None, -60.0):
            succeed(history, 1.0, skew_s=skew_s)

    told = [
        (entry["event"], entry["log_level"], entry["skew_s"]) for entry in logs if entry["event"].startswith("clock.")
    ]
    assert told == [
        ("clock.skewed", "warning", 45.0),
        ("clock.agreed", "info", 29.0),
        ("clock.skewed", "warning", -60.0),
    ]
    assert history.skew_s == -60.0


def test_drift_of_seconds_is_no_alarm(history):
    """A Date has whole seconds, and its answer took some: peers' defect 27 is 1 to 3 s."""
    with capture_logs() as logs:
        succeed(history, 1.0, skew_s=3.0)

    assert [entry["event"] for entry in logs] == ["token.fetched"]
    assert history.skew_s == 3.0


def test_a_token_from_the_store_ends_an_outage(history):
    """It is told as recovery is, though nothing was fetched."""
    history.note_failure(DOWN, 1.0, None)
    with capture_logs() as logs:
        history.note_adopted(build_token("abc", 3600.0, sent_at=5.0, dice=0.5), 11.0)

    assert [(entry["event"], entry.get("age_s")) for entry in logs] == [
        ("token.adopted", 6.0),
        ("token.recovered", None),
    ]
    assert history.last_error is None

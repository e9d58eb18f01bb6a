"""When requests to an upstream are refused at once, and when no longer."""

import pytest

from proxy.config.models import Breaker as Settings
from proxy.relay.breaker import EVERYONE, MOST_CLIENTS, Breaker, BreakerStatus

CAD, DESK = "10.0.0.1", "10.0.0.2"
SETTINGS = Settings(connections=3, unanswered=3, statuses=(503,), pause=4.0)


@pytest.fixture
def breaker():
    """Return a breaker that opens at the third failure, whose dice give a half."""
    return Breaker(SETTINGS, lambda: 0.5)


def fail(breaker, clock, times, client=EVERYONE, *, each_s=1.0):
    """Let something fail so many times, each taking a second; return what is told of the last."""
    opened = False
    for _ in range(times):
        begun = clock.now
        clock.advance(each_s)
        opened = breaker.fail(clock.now, begun, client)
    return opened


def test_it_opens_at_the_last_of_the_failures_in_a_row(breaker, clock):
    """Until then everybody goes through; from then on nobody, whichever client it is."""
    assert not fail(breaker, clock, 2)
    assert breaker.enter(clock.now, CAD) == 0.0
    assert fail(breaker, clock, 1)

    assert breaker.enter(clock.now, CAD) == breaker.enter(clock.now, DESK) == pytest.approx(0.5)
    assert breaker.status(clock.now) == BreakerStatus("open", failures=3)


def test_one_goes_through_when_the_pause_is_over(breaker, clock):
    """The others are refused until it is known what becomes of it, which may be soon."""
    fail(breaker, clock, 3)
    clock.advance(0.5)

    assert breaker.status(clock.now).state == "half_open"
    assert breaker.enter(clock.now, CAD) == 0.0
    assert breaker.enter(clock.now, DESK) == 1.0
    assert breaker.status(clock.now).state == "half_open"


def test_pauses_double_up_to_the_longest_as_long_as_those_let_through_fail(breaker, clock):
    """With the dice at a half: half of 1, 2, 4 and 4 s."""
    fail(breaker, clock, 3)
    pauses = [breaker.enter(clock.now, CAD)]
    for _ in range(3):
        clock.advance(pauses[-1])
        assert breaker.enter(clock.now, CAD) == 0.0
        assert not fail(breaker, clock, 1)
        pauses.append(breaker.enter(clock.now, CAD))

    assert pauses == pytest.approx([0.5, 1.0, 2.0, 2.0])


def test_what_was_under_way_before_lengthens_no_pause(breaker, clock):
    """It tells nothing new."""
    fail(breaker, clock, 3)
    before = clock.now - 1.5
    assert not breaker.fail(clock.now, before)

    assert breaker.enter(clock.now, CAD) == pytest.approx(0.5)


def test_one_of_which_nothing_is_heard_keeps_nobody_out_for_long(breaker, clock):
    """Its client may stall, or have left: after the longest pause the next one goes through."""
    fail(breaker, clock, 3)
    clock.advance(0.5)
    assert breaker.enter(clock.now, CAD) == 0.0
    clock.advance(4.0)

    assert breaker.enter(clock.now, DESK) == 0.0


def test_an_answer_closes_it(breaker, clock):
    """Whoever got it; and counting begins anew."""
    fail(breaker, clock, 3)
    opened_at = clock.now
    breaker.answered_at = clock.now

    assert breaker.enter(clock.now, CAD) == 0.0
    assert breaker.settle() == opened_at
    assert breaker.settle() is None
    assert breaker.status(clock.now) == BreakerStatus()
    assert not fail(breaker, clock, 2)


def test_a_connection_closes_what_missing_ones_have_opened(breaker, clock):
    """The request on it has yet to be answered, which is another matter."""
    fail(breaker, clock, 3)
    fail(breaker, clock, 3, CAD)

    assert breaker.connect() is not None
    assert breaker.connect() is None
    assert breaker.enter(clock.now, DESK) == 0.0
    assert breaker.enter(clock.now, CAD) > 0.0


def test_what_was_answered_meanwhile_outweighs_a_failure(breaker, clock):
    """Five that hang side by side, and end at once, are no proof while a sixth was answered in between."""
    begun = clock.now
    breaker.answered_at = begun + 10.0
    clock.advance(25.0)

    assert [breaker.fail(clock.now, begun) for _ in range(9)] == [False] * 9
    assert breaker.status(clock.now) == BreakerStatus()


def test_an_answer_between_failures_begins_the_count_anew(breaker, clock):
    """In a row means that nothing was answered to anybody."""
    for _ in range(5):
        assert not fail(breaker, clock, 2)
        breaker.answered_at = clock.now
        clock.advance(0.1)


def test_a_burst_is_one_observation(breaker, clock):
    """However many requests meet the one moment in which an upstream restarts."""
    begun = clock.now
    clock.advance(0.01)

    assert [breaker.fail(clock.now, begun) for _ in range(50)] == [False] * 50
    clock.advance(2.0)
    assert breaker.fail(clock.now, clock.now)


def test_requests_without_an_answer_speak_for_their_client_alone(breaker, clock):
    """Whatever one client sends, it cannot have another one refused."""
    assert fail(breaker, clock, 3, CAD)
    fail(breaker, clock, 30, CAD)

    assert breaker.enter(clock.now, CAD) > 0.0
    assert breaker.enter(clock.now, DESK) == 0.0
    assert breaker.status(clock.now) == BreakerStatus("closed", clients=1)


def test_clients_are_counted_up_to_a_bound(breaker, clock):
    """The requests of those beyond it are never refused."""
    for number in range(MOST_CLIENTS + 100):
        breaker.fail(clock.now, clock.now, f"client {number}")

    assert len(breaker._streaks) <= MOST_CLIENTS + 1
    assert not fail(breaker, clock, 9, CAD)


def test_only_the_statuses_that_are_named_count_as_failures(breaker):
    """An API that answers 500 to one bad request is there for the others."""
    assert [breaker.is_failure(status) for status in (500, 502, 503)] == [False, False, True]


@pytest.mark.parametrize(
    ("settings", "client"),
    [
        (Settings(enabled=False, unanswered=1), EVERYONE),
        (Settings(enabled=False, unanswered=1), CAD),
        (Settings(), CAD),
    ],
    ids=["not enabled", "not enabled, a client", "requests without an answer, by default"],
)
def test_what_is_not_wanted_never_opens_it(clock, settings, client):
    """By default a request that waits is left to wait: it may have been the request's own doing."""
    breaker = Breaker(settings, lambda: 0.5)

    assert not fail(breaker, clock, 100, client)
    assert breaker.enter(clock.now, client) == 0.0

"""The pure state machines: when a call is due, and when a rejected token may be replaced."""

from __future__ import annotations

import math

import pytest

from proxy.errors import FetchError
from proxy.tokens.schedule import RemintGuard, Schedule
from proxy.tokens.token import NETWORK, REFUSED, build_token

DOWN = FetchError(NETWORK, "down")


@pytest.fixture
def schedule():
    """Return a schedule whose first call is under way."""
    schedule = Schedule(is_person=False)
    schedule.send()
    return schedule


def test_first_call_is_due_at_once():
    """A new schedule is due, whatever the clock shows."""
    assert Schedule(is_person=False).due_at == -math.inf


def test_nothing_is_due_during_a_call(schedule):
    """While a call is under way no other is due, and nobody can hasten one."""
    schedule.hasten(5.0)

    assert schedule.due_at == math.inf


def test_next_call_after_a_success(schedule):
    """After a success the next call is due when the token wants replacing, or when somebody needs one."""
    schedule.succeed(0.0, 1800.0)
    assert schedule.due_at == 1800.0

    schedule.hasten(100.0)

    assert schedule.due_at == 100.0


def test_no_call_right_after_a_success(schedule):
    """No need is so urgent that a call follows a success at once."""
    schedule.succeed(0.0, 0.01)
    assert schedule.due_at == 0.25

    schedule.hasten(0.0)

    assert schedule.due_at == 0.25


def test_success_without_a_token_to_keep(schedule):
    """After a token that was not kept the next call comes only when it is needed."""
    schedule.succeed(0.0, None)
    assert schedule.due_at == math.inf

    schedule.hasten(0.1)

    assert schedule.due_at == 0.25


def test_failure_is_forgotten_after_a_success(schedule):
    """A success ends the count of failures, and a refusal."""
    schedule.fail(0.0, FetchError(REFUSED, "refused", refused=True), None, 0.5)
    assert (schedule.failures, schedule.is_refused) == (1, True)

    schedule.succeed(60.0, 1800.0)

    assert (schedule.failures, schedule.is_refused) == (0, False)


def test_failure_with_a_token_at_hand(schedule):
    """With a token at hand the backoff is the patient one, but ends when the token does."""
    for _ in range(6):
        schedule.fail(100.0, DOWN, 1000.0, 1.0)
    assert schedule.due_at == 115.0

    schedule.fail(100.0, DOWN, 103.0, 1.0)

    assert schedule.due_at == 103.0


def test_need_shortens_the_patient_backoff(schedule):
    """Whoever needs a token in a patient backoff gets a call as soon as an urgent one would have come."""
    for _ in range(6):
        schedule.fail(100.0, DOWN, 1000.0, 1.0)

    schedule.hasten(100.5)

    assert schedule.due_at == 101.0


NO = FetchError(REFUSED, "no", refused=True)


@pytest.mark.parametrize("is_person", [False, True])
def test_a_renewed_secret_is_tried_at_once_after_a_refusal(is_person):
    """Also a person's, whose refused password is never sent again: it is another one."""
    schedule = Schedule(is_person=is_person)
    schedule.send()
    schedule.fail(10.0, NO, None, 0.5)
    assert schedule.due_at == (math.inf if is_person else 70.0)

    schedule.renew(20.0)

    assert (schedule.due_at, schedule.is_refused) == (20.0, False)


def test_a_renewed_secret_waits_for_the_refresh_where_the_old_one_was_good(schedule):
    """The token in hand is good, and the authorization server has said nothing else."""
    schedule.succeed(0.0, 1800.0)
    schedule.renew(20.0)

    assert schedule.due_at == 1800.0


def test_a_refusal_of_the_old_secret_that_comes_late_is_no_refusal(schedule):
    """The call was under way when the secret changed; the next one sends the new secret, and soon."""
    schedule.renew(5.0)
    schedule.fail(10.0, NO, None, 0.5)
    assert (schedule.due_at, schedule.is_refused) == (10.25, False)

    schedule.send()
    schedule.fail(11.0, NO, None, 0.5)

    assert (schedule.due_at, schedule.is_refused) == (71.0, True)


def test_another_replicas_call_is_looked_at_soon(schedule):
    """Ten times a second while people wait, once a second while a token serves, and at the latest when it dies."""
    schedule.leave(0.0, None)
    assert schedule.due_at == 0.1

    schedule.leave(10.0, 1000.0)
    assert schedule.due_at == 11.0

    schedule.leave(20.0, 20.5)
    assert schedule.due_at == 20.5
    assert not schedule.in_flight


def test_a_need_hurries_the_look_and_not_the_call(schedule):
    """The patient look becomes an urgent one."""
    schedule.leave(0.0, 1000.0)

    schedule.hasten(0.05)

    assert schedule.due_at == 0.1


def test_patience_with_another_replica_ends(schedule):
    """After half of what a request waits, counted from the first look in vain; a look without need does not count."""
    schedule.leave(0.0, 1000.0)
    assert not schedule.is_tired(100.0, 5.0)

    schedule.leave(100.0, None)
    schedule.leave(102.0, None)

    assert not schedule.is_tired(102.4, 5.0)
    assert schedule.is_tired(102.5, 5.0)


def test_patience_begins_anew_once_a_token_serves(schedule):
    """Another replica may be slow twice: nobody waited in between."""
    schedule.leave(0.0, None)
    schedule.leave(1.0, 1000.0)
    assert not schedule.is_tired(100.0, 5.0)

    schedule.leave(100.0, None)

    assert not schedule.is_tired(102.4, 5.0)
    assert schedule.is_tired(102.5, 5.0)


@pytest.mark.parametrize(
    "end", [lambda schedule: schedule.succeed(1.0, 2.0), lambda schedule: schedule.fail(1.0, DOWN, None, 0.5)]
)
def test_patience_begins_anew_after_a_call(schedule, end):
    """Whatever came of it."""
    schedule.leave(0.0, None)

    end(schedule)

    assert not schedule.is_tired(100.0, 5.0)


def test_repr(schedule):
    """The repr tells the state."""
    assert repr(schedule) == "<Schedule due_at=inf in_flight=True failures=0 is_refused=False>"


def test_guard_allows_a_token_that_was_not_minted_for_it():
    """The first rejection is answered at once, and so is one of a token that came by an ordinary refresh."""
    guard = RemintGuard()
    first, second, third = (build_token(name, 3600.0, sent_at=0.0, dice=0.5) for name in ("1", "2", "3"))

    assert guard.allows(first, 0.0)
    guard.minted(second, 0.0)
    assert guard.allows(third, 1.0)


def test_guard_pauses_once_for_each_useless_token():
    """A useless token starts one pause; after it, the same token may be replaced."""
    guard = RemintGuard()
    token = build_token("1", 3600.0, sent_at=0.0, dice=0.5)
    guard.minted(token, 0.0)

    assert [guard.allows(token, now) for now in (1.0, 5.0, 10.9, 11.0, 11.1)] == [False, False, False, True, True]


def test_guard_ignores_proof_of_another_token():
    """Only the token minted last can be proved."""
    guard = RemintGuard()
    old, new = (build_token(name, 3600.0, sent_at=0.0, dice=0.5) for name in ("old", "new"))
    guard.minted(new, 0.0)
    guard.prove(old)

    assert not guard.allows(new, 1.0)

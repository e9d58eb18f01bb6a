"""The token policy under arbitrary lives, dice and sequences of outcomes."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import FetchError
from proxy.tokens import policy
from proxy.tokens.schedule import RemintGuard, Schedule
from proxy.tokens.token import NETWORK, REFUSED, STATUS, build_token

DICE = st.floats(0, 1, exclude_max=True)
LIVES = st.floats(allow_nan=False)
FAILURES = st.one_of(
    st.just(FetchError(NETWORK, "down")),
    st.just(FetchError(REFUSED, "refused", refused=True)),
    st.builds(lambda asked: FetchError(STATUS, "429", retry_after_s=asked), st.none() | st.floats(0, 1e9)),
)
STEPS = st.lists(st.tuples(FAILURES | st.floats(0.01, 86_400.0), DICE, st.floats(0, 100)), max_size=40)


@given(life_s=LIVES, dice=DICE, sent_at=st.floats(0, 1e9))
def test_dates_are_in_order(life_s, dice, sent_at):
    """Whatever life a server states, a token is replaced before its margin, and its margin is before its expiry."""
    token = build_token("abc", life_s, sent_at=sent_at, dice=dice)

    assert sent_at <= token.refresh_at <= token.usable_until <= token.expires_at <= sent_at + 86_400
    assert token.expires_at - token.usable_until <= 5.0 + 1e-6


@given(error=FAILURES, failures=st.integers(1, 10**9), dice=DICE)
def test_pauses_are_bounded(error, failures, dice):
    """Every pause is at least a quarter of a second, and at most what the policy says."""
    pause = policy.pause_after(error, failures, dice, is_person=False)

    assert 0.25 <= pause.urgent_s <= (60 if error.refused else 15)
    assert pause.urgent_s <= pause.relaxed_s <= 60


@given(steps=STEPS)
def test_calls_are_never_close(steps):
    """Whatever the outcomes are, and however impatient the callers, two calls are a quarter of a second apart."""
    schedule, now, good_until = Schedule(is_person=False), 0.0, None
    for outcome, dice, until_needed in steps:
        schedule.send()
        if isinstance(outcome, FetchError):
            schedule.fail(now, outcome, good_until, dice)
        else:
            token = build_token("abc", outcome, sent_at=now, dice=dice)
            good_until = token.usable_until
            schedule.succeed(now, token.refresh_at)
        ended, now = now, min(schedule.due_at, now + until_needed)
        schedule.hasten(now)

        assert schedule.due_at >= ended + 0.25
        assert schedule.due_at <= max(now, ended + 60.0)
        now = schedule.due_at
        good_until = good_until if good_until is not None and good_until > now else None


@given(steps=STEPS)
def test_a_call_is_due_when_the_token_ends(steps):
    """With a failing server the next call comes at the end of the token at hand, or as soon after as is allowed."""
    schedule = Schedule(is_person=False)
    for number, (outcome, dice, good_for) in enumerate(steps):
        if isinstance(outcome, FetchError):
            now = 1000.0 * number
            schedule.send()
            schedule.fail(now, outcome, now + good_for, dice)

            assert schedule.due_at <= max(now + good_for, now + (60.0 if outcome.refused else 15.0))


@given(dice=DICE, needs=st.lists(st.floats(0, 1e9), max_size=20))
def test_refused_password_is_never_due(dice, needs):
    """After the refusal of a person's password no need makes another call due."""
    schedule = Schedule(is_person=True)
    schedule.send()
    schedule.fail(0.0, FetchError(REFUSED, "refused", refused=True), None, dice)
    for now in needs:
        schedule.hasten(now)

    assert schedule.due_at == math.inf


@given(pauses=st.lists(st.floats(0, 30), max_size=200), proved=st.lists(st.booleans(), min_size=200, max_size=200))
def test_useless_replacements_are_rare(pauses, proved):
    """Where replacements never help, at most one in ten seconds is made; one that helped frees the next."""
    guard, now, minted_at, was_proved = RemintGuard(), 0.0, -math.inf, False
    token = build_token("0", 3600.0, sent_at=0.0, dice=0.5)
    for number, (pause, helps) in enumerate(zip(pauses, proved, strict=False)):
        now += pause
        if guard.allows(token, now):
            assert was_proved or now - minted_at >= 10.0
            token = build_token(str(number + 1), 3600.0, sent_at=now, dice=0.5)
            guard.minted(token, now)
            minted_at, was_proved = now, helps
            if helps:
                guard.prove(token)

"""Live tokens: found in every form, forgotten in time, and as cheap when there are a thousand."""

import base64
import random

import pytest

from proxy.tokens.people import MOST_PEOPLE
from proxy.traffic.live import FEW, HEAD, LEAST_LIFE_S, LIVE_TOKENS, LiveTokens
from proxy.traffic.redact import TAIL_LEAST, Redactions, Redactor

KINDS = {
    "hex": lambda dice: dice.randbytes(14).hex(),
    "JWT": lambda dice: "eyJhbGciOiJIUzI1NiJ9." + base64.urlsafe_b64encode(dice.randbytes(300)).decode().rstrip("="),
    "Base64": lambda dice: base64.b64encode(dice.randbytes(20)).decode(),
    "short": lambda dice: dice.randbytes(5).hex(),
    "six": lambda dice: dice.randbytes(3).hex(),
}


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self):
        """Start at zero."""
        self.now = 0.0

    def __call__(self):
        """Return the moment."""
        return self.now


@pytest.fixture
def clock():
    """Return a clock."""
    return Clock()


def know(kind, count, clock=lambda: 0.0):
    """Return a set that knows so many tokens, and the tokens."""
    dice = random.Random(1)
    tokens = [KINDS[kind](dice) for _ in range(count)]
    live = LiveTokens(clock)
    for token in tokens:
        live.learn(token, 3600.0)
    return live, tokens


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [1, FEW, FEW + 1, 200])
def test_a_token_is_found_wherever_it_stands(kind, count):
    """At each offset of a text, and as Base64, however many others are known."""
    live, tokens = know(kind, count)
    token = tokens[-1].encode()

    for before in range(33):
        text = b"." * before + token + b"."
        encoded = base64.b64encode(text)

        assert live.is_in(text)
        assert token in live.find(text)
        assert live.is_in(encoded)
        assert live.is_in(token + b"." * before)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_token_is_not_found(kind):
    """A part of one is not enough, nor what looks like one."""
    live, tokens = know(kind, 50)

    assert not live.is_in(b"")
    assert not live.is_in(b'{"a caller": "said 15555550100"}' * 100)
    assert not live.is_in(tokens[0][:-1].encode() + b"!")
    assert live.find(tokens[0][1:].encode()) == set()


def test_a_token_too_short_to_be_told_from_words_is_left_out():
    """As with secrets."""
    live = LiveTokens(lambda: 0.0)
    live.learn("token", 3600.0)

    assert len(live) == 0
    assert not live.is_in(b"a token")


@pytest.mark.parametrize("kind", ["hex", "JWT"])
def test_to_learn_one_more_of_a_thousand_costs_what_one_more_of_ten_costs(kind, count_calls):
    """All that was known was worked out anew for each token once: 32 ms of the event loop with 64 of them."""
    dice = random.Random(2)
    few, _ = know(kind, FEW + 1)
    many, _ = know(kind, MOST_PEOPLE)

    assert (
        count_calls(lambda: many.learn(KINDS[kind](dice), 3600.0))
        <= count_calls(lambda: few.learn(KINDS[kind](dice), 3600.0)) + 20
    )


def test_a_record_without_tokens_costs_the_same_with_a_thousand_known(count_calls):
    """The search hangs on the text alone."""
    line = b'{"body":"' + b"nothing of it " * 200 + b'"}'
    few, many = (Redactor((), Redactions(), tokens=know("hex", count)[0]) for count in (FEW + 1, MOST_PEOPLE))

    assert count_calls(lambda: many.redact({}, line)) == count_calls(lambda: few.redact({}, line))


def test_an_expired_token_makes_room(clock):
    """It is forgotten with the next one that comes, and whoever lacks a life keeps for a while."""
    live, (first,) = know("hex", 1, clock)
    live.learn("a-token-without-a-life", None)
    clock.now = LEAST_LIFE_S + 1
    live.learn("another-token-of-today", 3600.0)

    assert first in live
    assert "a-token-without-a-life" not in live
    assert not live.is_in(b"a-token-without-a-life")
    clock.now = 3601.0
    live.learn("a-token-of-the-day-after", 3600.0)
    assert first not in live
    assert live.find(first.encode()) == set()
    assert not live.is_beginning(first[:20].encode())
    assert live.is_in(b"another-token-of-today")


def test_a_token_that_its_server_prolongs_is_kept_until_its_last_end(clock):
    """Some give the same token again while it lives; an earlier end takes nothing back."""
    live, (token,) = know("hex", 1, clock)
    clock.now = 1800.0
    for life_s in (3600.0, 400.0, None):
        live.learn(token, life_s)
    clock.now = 3650.0
    live.learn("another-credentials-token", 300.0)

    assert token in live
    assert live.is_in(token.encode())
    clock.now = 5401.0
    live.learn("the-token-of-the-hour-after", 3600.0)
    assert token not in live
    assert not live.is_in(token.encode())
    assert live.is_in(b"the-token-of-the-hour-after")


def test_a_token_prolonged_again_and_again_takes_no_more_room(clock):
    """A token in a query is learnt with each request; those that were not prolonged make room first."""
    live = LiveTokens(clock, most=3)
    for number in range(3):
        live.learn(f"token-number-{number}", 3600.0)
    for _ in range(10_000):
        clock.now += 0.1
        live.learn("token-number-0", 3600.0)
    live.learn("token-number-3", 3600.0)
    live.learn("token-number-4", 3600.0)

    assert len(live) == 3
    assert [number for number in range(5) if f"token-number-{number}" in live] == [0, 3, 4]


def test_of_too_many_the_one_that_expires_first_makes_room():
    """Somebody who is given tokens without an end must not fill the memory."""
    live = LiveTokens(lambda: 0.0, most=10)
    for number in range(40):
        live.learn(f"token-number-{number:010}", 3600.0 + number)

    assert len(live) == 10
    assert live.is_in(b"token-number-0000000039")
    assert live.is_in(b"token-number-0000000030")
    assert not live.is_in(b"token-number-0000000029")


def test_tokens_that_are_alike_do_not_take_each_other_along(clock):
    """They share all their words but the last."""
    live = LiveTokens(clock)
    live.learn("a" * 40, 400.0)
    live.learn("a" * 41, 4000.0)
    clock.now = 500.0
    live.learn("b" * 40, 4000.0)

    assert ("a" * 40 in live, "a" * 41 in live) == (False, True)
    assert live.find(b"a" * 41) == {b"a" * 41}
    assert live.find(b"a" * 40) == set()


def test_there_is_room_for_every_dispatcher():
    """Of two credentials, each with the token in hand, the one before and the one that an upstream refused."""
    assert LIVE_TOKENS >= 2 * 3 * MOST_PEOPLE
    assert HEAD == TAIL_LEAST


def test_tokens_are_masked_with_the_secrets_of_a_redactor(make_redactor):
    """Also those that were learnt later, behind escapes, and at a cut."""
    redactor, redactions = make_redactor("a-configured-secret")
    live, _ = know("hex", 100)
    strict = redactor.with_tokens(live)
    live.learn("4f1d/8a+0b.c2e7-token", 3600.0)

    assert strict.mask("a-configured-secret, 4f1d/8a+0b.c2e7-token") == "***, ***"
    assert strict.mask("x=4f1d%2F8a%2B0b.c2e7-token&y") == "x=***&y"
    assert strict.mask(r'{"t":"4f1d\/8a\u002B0b.c2e7-token"}') == '{"t":"***"}'
    assert strict.mask_tail("at the end 4f1d/8a+0b") == "at the end ***"
    assert redactor.mask("4f1d/8a+0b.c2e7-token") == "4f1d/8a+0b.c2e7-token"
    assert redactions.count == 5


def test_a_repr_shows_none():
    """It may end up in a log."""
    live, (token,) = know("hex", 1)

    assert token not in repr(live)

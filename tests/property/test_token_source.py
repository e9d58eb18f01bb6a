"""The token source against arbitrary days: servers that fail, stall and lie, 401s, clients that leave, sleep, a stop.

Each example is a day.  Its rules are what can happen; after each of them, and after each timer that fires in it, the
source is held against the contract (harness/contract.py).  The clock, the timers and the dice are the example's, and
so is the event loop: the same example is the same day again.
"""

from __future__ import annotations

import asyncio
import dataclasses
import math
import random
from dataclasses import dataclass

import pytest
from harness.contract import (
    FIRST_REMINT_PAUSE_S,
    LONGEST_REMINT_PAUSE_S,
    LONGEST_URGENT_BACKOFF_S,
    REFUSED_PAUSE_S,
    Past,
)
from harness.moody import Mood, MoodyServer, giving
from harness.timeline import Timeline
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from structlog.testing import capture_logs

from proxy.config.models import Credential
from proxy.config.secret import Secret
from proxy.errors import NoToken, RefreshPaused
from proxy.tokens.bearer import BearerSource, Shared
from proxy.tokens.cache import build_cache
from proxy.tokens.token import CredentialStatus, Token, build_token_key, fingerprint

WAIT_S = 5.0
"""timeouts.token_wait."""
LONGEST_WAIT_S = 4000.0
"""More than an hour, and not so much that an outage of it takes long to go through."""
SLACK_S = 1e-6
"""Of floating point; nothing else is late on a timeline."""

WELL = giving(3599.0)
ENDLESS = giving(86_400.0, written="1e308")
GOOD = st.one_of(st.floats(0.5, 120.0).map(giving), st.sampled_from([WELL, giving(3599.0, written='"3599"'), ENDLESS]))
LIARS = st.sampled_from(
    [
        giving(0.0, written="0"),
        giving(0.0, written="-5"),
        giving(0.01),
        giving(86_400.0, written='"999999999999"'),
        giving(300.0, written=""),
        giving(300.0, written="null"),
        giving(300.0, written='"NaN"'),
        giving(300.0, written="true"),
        giving(300.0, written="[]"),
        giving(60.0, is_stuck=True),
    ]
)
FAILING = st.sampled_from(
    [
        Mood(0),
        Mood(-1),
        Mood(200),
        Mood(200, "<html>"),
        Mood(200, '{"access_token": ""}'),
        Mood(200, '{"access_token": "a\\r\\nb", "expires_in": 3599}'),
        Mood(302),
        Mood(500),
        Mood(503, retry_after="0"),
        Mood(429, retry_after="3", asked_s=3.0),
        Mood(429, retry_after="30", asked_s=30.0),
        Mood(503, retry_after="86400", asked_s=86_400.0),
        Mood(503, retry_after="soon"),
    ]
)
REFUSING = st.sampled_from(
    [Mood(401, is_refusal=True), Mood(403, is_refusal=True), Mood(400, '{"error": "invalid_grant"}', is_refusal=True)]
)
ANY = st.one_of(GOOD, LIARS, FAILING, REFUSING)
DELAYS = st.sampled_from([0.0, 0.0, 0.0, 0.3, 4.0, 8.0, 12.0, math.inf])


@dataclass(frozen=True, slots=True)
class Client:
    """A request that waits for a token.

    Attributes:
        began_awake: Since when, on the clock that stands still in suspend.
        suspect: The token that an upstream rejected; None for a request that has had none.
    """

    task: asyncio.Task[Token | None]
    began_awake: float
    suspect: Token | None


@dataclass(frozen=True, slots=True)
class Operator:
    """Somebody who wants a new token, and waits for the outcome of a call.

    Attributes:
        began_awake: Since when, on the clock that stands still in suspend.
        calls: How many had ended when he came.
    """

    task: asyncio.Task[CredentialStatus]
    began_awake: float
    calls: int


class Day(RuleBasedStateMachine):
    """One credential's source, its authorization server, and whoever asks for its token."""

    def __init__(self):
        """Begin before the start of the source."""
        super().__init__()
        self._logs = capture_logs()
        self._logs.__enter__()
        self.loop = asyncio.new_event_loop()
        self.timeline = Timeline()
        self.server = MoodyServer(self.timeline, WELL)
        self.clients: list[Client] = []
        self.operators: list[Operator] = []
        self.is_stopped = False
        self.secrets = 0
        self.calls_noted = 0
        self.slept_s_at_end = 0.0
        self.unproved: str | None = None
        self.reminted_at = self.paused_until = -math.inf

    @initialize(is_person=st.booleans(), seed=st.integers(0, 2**32), mood=ANY, delay_s=DELAYS)
    def start(self, is_person, seed, mood, delay_s):
        """Start the source."""
        self.server.mood, self.server.delay_s = mood, delay_s
        self.past = Past(is_person)
        self.source = build_source(self.timeline, self.server, random.Random(seed), is_person=is_person)
        self.loop.run_until_complete(self.source.start())
        self.settle()

        assert len(self.server.calls) == 1

    # What the server does.

    @rule(mood=ANY, delay_s=DELAYS)
    def change(self, mood, delay_s):
        """The server gives tokens, with lives that may be absurd, or fails, or refuses the credential."""
        self.server.mood, self.server.delay_s = mood, delay_s

    @rule()
    def let_go(self):
        """The server answers what it has left lying."""
        self.server.let_go()
        self.settle()

    # Who asks.

    @rule()
    def use(self):
        """A request takes the token that is there, or waits; what overslept is made up for."""
        usable = self.past.find_usable(self.timeline.now())
        token = self.source.current()

        assert not usable if token is None else self.may_be_sent(token)
        if token is None:
            self.admit(self.source.wait())
        self.settle()
        if not self.is_stopped and not self.server.under_way:
            assert self.timeline.now() <= self.past.find_latest() + SLACK_S

    @rule(count=st.integers(2, 100))
    def crowd(self, count):
        """Many requests come at once; with a token at hand none of them waits."""
        token = self.take()
        tasks = [self.admit(self.source.wait()) for _ in range(count)]
        self.settle()

        assert not token or all(task.done() and task.exception() is None for task in tasks)

    @precondition(lambda self: self.past.find_usable(self.timeline.now()))
    @rule(count=st.sampled_from([1, 1, 3]))
    def reject(self, count):
        """An upstream says 401 to requests that bore the token in hand."""
        suspect = self.take()
        is_paused = self.is_paused(suspect)
        was_suspect, calls = self.past.is_suspect, self.calls_noted
        self.past.is_suspect = True
        tasks = [self.admit(self.source.replace(suspect), suspect) for _ in range(count)]
        self.settle()

        is_vain = all(task.done() and task.result() is None for task in tasks)
        if is_vain and self.calls_noted == calls:  # the source does not believe that it is the token's fault
            self.past.is_suspect = was_suspect
        assert is_vain or not is_paused

    @rule(number=st.integers(0, 20))
    def reject_late(self, number):
        """An upstream says 401 to a token that has been replaced meanwhile: the present one is there at once."""
        in_hand = self.take()
        minted = [call.minted.authorization for call in self.server.calls if call.minted]
        others = [authorization for authorization in minted if in_hand and authorization != in_hand.authorization]
        if others:
            late = dataclasses.replace(in_hand, authorization=others[-1 - number % len(others)])
            task = self.admit(self.source.replace(late), late)
            self.settle()

            assert task.result() is in_hand

    @rule()
    def prove(self):
        """An upstream takes the token in hand."""
        token = self.take()
        if token is not None:
            self.source.prove(token)
            self.unproved = None if token.authorization == self.unproved else self.unproved

    @precondition(lambda self: not self.is_stopped)
    @rule(force=st.booleans())
    def ask(self, force):
        """An operator wants a new token now: there is a call, unless the last outcome forbids it for over a second."""
        awaited = self.timeline.now() if force else self.past.find_urgent() if self.past.last else -math.inf
        task = self.loop.create_task(self.source.refresh(force=force))
        if not self.server.under_way and (force or awaited <= self.timeline.now() + LONGEST_URGENT_BACKOFF_S):
            self.past.is_asked, self.past.is_forced = True, force
        self.operators.append(Operator(task, self.timeline.now() - self.timeline.slept_s, self.calls_noted))
        self.settle()

    @rule(is_new=st.booleans())
    def renew(self, is_new):
        """The secret is set: the token in hand serves on, and a refusal of the old one is no reason to wait."""
        self.secrets += is_new
        credential = build_credential(f"secret-{self.secrets}", is_person=self.past.is_person)
        self.past.renew(self.timeline.now(), in_flight=bool(self.server.under_way))
        self.source.renew_credential(credential, build_token_key(credential, b"key"))
        self.settle()

    @precondition(lambda self: self.clients)
    @rule(number=st.integers(0, 100))
    def leave(self, number):
        """A client that waits gives up."""
        client = self.clients.pop(number % len(self.clients))
        client.task.cancel()
        self.settle()

        assert client.task.done()

    # Time.

    @rule(seconds=st.floats(0.0, 20.0))
    def wait(self, seconds):
        """Time passes."""
        self.advance_to(self.timeline.now() + seconds)

    @rule()
    def wait_for_timer(self):
        """Time passes up to the next timer."""
        if self.timeline.next_at is not None:
            self.advance_to(self.timeline.next_at)

    @rule(mood=st.none() | ANY)
    def wait_for_call(self, mood):
        """Time passes up to the next token call, if that is not half a day away; the server may change meanwhile."""
        self.server.mood = mood or self.server.mood
        left_s = self.source.status().next_refresh_in_s
        if left_s is not None:
            self.advance_to(self.timeline.now() + min(left_s, LONGEST_WAIT_S))

    @rule(mood=st.none() | FAILING | REFUSING, late_s=st.sampled_from([-3.0, -1e-3, 0.0, 1e-3, 20.0]))
    def wait_for_expiry(self, mood, late_s):
        """Time passes up to the end of the token in hand, shortly before or after; the server may fail meanwhile."""
        self.server.mood = mood or self.server.mood
        now = self.timeline.now()
        end = max((token.usable_until + late_s for token in self.past.find_usable(now)), default=now)
        self.advance_to(min(max(now, end), now + LONGEST_WAIT_S))

    @rule(seconds=st.sampled_from([1.0, 61.0, 2000.0, 3600.0, 100_000.0]))
    def sleep(self, seconds):
        """The machine is suspended: the clock runs on, timers stand still."""
        self.timeline.suspend(seconds)

    @precondition(lambda self: not self.is_stopped and not (self.past.is_person and self.past.is_refused))
    @precondition(lambda self: self.server.mood is not WELL)
    @rule()
    def recover(self):
        """The server is well again: within the policy's interval there is a token."""
        self.server.mood = WELL
        self.let_go()
        self.use()
        longest = self.past.last.ended_at + REFUSED_PAUSE_S
        self.advance_to(max(self.timeline.now(), min(self.past.find_latest(), longest)))
        self.use()

        assert self.source.current() is not None

    @precondition(lambda self: not self.is_stopped)
    @rule()
    def stop(self):
        """The source stops: nobody waits any more, no task and no timer is left, and no call is made again."""
        self.is_stopped = True
        self.loop.run_until_complete(self.source.stop())
        self.settle()
        calls = len(self.server.calls)

        assert not self.clients
        assert not self.operators
        assert not asyncio.all_tasks(self.loop)
        assert self.timeline.next_at is None
        self.use()
        self.advance_to(self.timeline.now() + 120.0)
        assert len(self.server.calls) == calls

    def teardown(self):
        """Stop, if the day has not ended so."""
        try:
            if hasattr(self, "source") and not self.is_stopped:
                self.stop()
        finally:
            self.loop.close()
            self._logs.__exit__(None, None, None)

    # What must hold at any moment.

    @invariant()
    def check(self):
        """The source is as the contract says that it should be by now."""
        self.note_calls()
        self.note_clients()
        self.note_operators()
        now = self.timeline.now()
        awake = now - self.timeline.slept_s
        status = self.source.status()
        usable = {fingerprint(token.authorization.removeprefix("Bearer ")) for token in self.past.find_usable(now)}

        assert self.server.most_at_once <= 1
        assert status.fingerprint in usable if usable else not status.usable
        assert not usable or all(client.suspect for client in self.clients)
        assert all(awake < client.began_awake + WAIT_S for client in self.clients)
        if not self.is_stopped and not self.server.under_way:
            assert awake <= self.find_latest_awake() + SLACK_S

    def note_calls(self):
        """Take note of the calls that have begun or ended, and hold each against the one before."""
        for call in self.server.calls[self.calls_noted :]:
            assert call.began_at >= self.past.find_earliest(call.began_at) - SLACK_S
            assert call.began_awake <= self.find_latest_awake() + SLACK_S
            if call.ended_at is None:
                break
            was_suspect = self.past.is_suspect
            self.past.note_end(call)
            if was_suspect and self.past.has_succeeded:
                self.unproved, self.reminted_at = call.minted.authorization, call.ended_at
            self.slept_s_at_end = self.timeline.slept_s
            self.calls_noted += 1

    def note_clients(self):
        """Hold against the contract what those who wait have got."""
        waiting = [client for client in self.clients if not client.task.done()]
        for client in (client for client in self.clients if client.task.done()):
            error = client.task.exception()
            token = None if error else client.task.result()

            assert error is None or isinstance(error, NoToken)
            if token is None:
                assert self.may_go_without(client)
            else:
                assert self.may_be_sent(token)
                assert not client.suspect or token.authorization != client.suspect.authorization
        self.clients = waiting

    def note_operators(self):
        """Hold against the contract what operators were told."""
        for operator in (operator for operator in self.operators if operator.task.done()):
            error = operator.task.exception()

            assert error is None or isinstance(error, RefreshPaused)
            assert error is None or self.past.find_urgent() > self.timeline.now() + LONGEST_URGENT_BACKOFF_S
        self.operators = [operator for operator in self.operators if not operator.task.done()]

        assert all(operator.calls == self.calls_noted for operator in self.operators)

    def may_be_sent(self, token):
        """Return whether a token is alive, or is a used-up one that was got this moment for those who wait."""
        now, last = self.timeline.now(), self.past.last
        is_used_up = last.ended_at == now and last.minted and not last.minted.life_s
        if is_used_up and last.minted.authorization == token.authorization:
            return True
        return token.authorization in {minted.authorization for minted in self.past.find_usable(now)}

    def may_go_without(self, client):
        """Return whether a client that got no token, this moment, had to go without one."""
        now, last = self.timeline.now(), self.past.last
        if self.is_stopped or self.past.is_refused:
            return client.suspect is not None or not self.past.find_usable(now)
        if now - self.timeline.slept_s >= client.began_awake + WAIT_S - SLACK_S:
            return True
        if client.suspect is None:
            return False
        is_same = last.ended_at == now and last.minted and last.minted.authorization == client.suspect.authorization
        return is_same or now - self.reminted_at <= 2 * LONGEST_REMINT_PAUSE_S

    def is_paused(self, suspect):
        """Return whether the replacement of ``suspect`` has to wait, as the one before it did not help."""
        now = self.timeline.now()
        if suspect.authorization == self.unproved and now - self.reminted_at <= LONGEST_REMINT_PAUSE_S:
            self.paused_until = max(self.paused_until, now + FIRST_REMINT_PAUSE_S)
            self.unproved = None
        return now < self.paused_until

    def find_latest_awake(self):
        """Return when the next call has to have begun, on the clock that stands still in suspend."""
        if self.past.last is None:
            return math.inf
        latest, urgent = (moment - self.slept_s_at_end for moment in (self.past.find_latest(), self.past.find_urgent()))
        waited_for = [max(urgent, client.began_awake) for client in self.clients]
        return min([latest, *waited_for, *(max(urgent, operator.began_awake) for operator in self.operators)])

    # Means.

    def admit(self, work, suspect=None):
        """Begin a client's waiting."""
        task = self.loop.create_task(work)
        self.clients.append(Client(task, self.timeline.now() - self.timeline.slept_s, suspect))
        return task

    def take(self):
        """Return the token in hand, after a refresh that overslept."""
        self.source.current()
        self.settle()
        return self.source.current()

    def settle(self):
        """Let everything get as far as it can without time passing, and look at it."""
        self.loop.run_until_complete(self.timeline.settle())
        self.check()

    def advance_to(self, end):
        """Let time pass timer by timer, and look after each."""
        while (moment := self.timeline.next_at) is not None and moment <= end:
            self.loop.run_until_complete(self.timeline.advance_to(moment))
            self.check()
        self.loop.run_until_complete(self.timeline.advance_to(end))
        self.check()


class Deaf:
    """An observer that does not care."""

    def token_fetched(self, fetch):
        """See ``TokenObserver``."""


def build_source(timeline, server, dice, *, is_person):
    """Build the source of a client's credential, or of a person's."""
    credential = build_credential("secret-0", is_person=is_person)
    shared = Shared(
        cache=build_cache(timeline.now, 1),
        fetch=server,
        clock=timeline,
        observer=Deaf(),
        wait_s=WAIT_S,
        dice=dice.random,
    )
    return BearerSource("core", credential, build_token_key(credential, b"key"), shared)


def build_credential(secret, *, is_person):
    """Build a client's credential, or a person's."""
    return Credential(
        grant="password" if is_person else "client_credentials",
        token_url="https://api.example/oauth/token",
        client_id=Secret("an-id", "test"),
        client_secret=Secret(secret, "test"),
        username=Secret("a-user", "test") if is_person else None,
        password=Secret("a-password", "test") if is_person else None,
    )


REMEMBERED = {
    "a token of a second pushes out one of an hour": [
        (Day.change, {"mood": giving(1.0), "delay_s": 0.0}),
        (Day.wait_for_call, {"mood": None}),
        (Day.change, {"mood": Mood(0), "delay_s": 0.0}),
        (Day.wait, {"seconds": 20.0}),
    ],
    "a life of years is believed": [
        (Day.change, {"mood": ENDLESS, "delay_s": 0.0}),
        (Day.wait_for_call, {"mood": None}),
        (Day.sleep, {"seconds": 100_000.0}),
    ],
    "a second operator takes the first one's wish away": [
        (Day.change, {"mood": giving(60.0), "delay_s": 0.3}),
        (Day.ask, {"force": True}),
        (Day.ask, {"force": False}),
        (Day.wait, {"seconds": 1.0}),
        (Day.wait_for_expiry, {"mood": Mood(0), "late_s": 20.0}),
    ],
}
"""Days that went wrong once, here or in a version of the source that was spoilt on purpose."""


@pytest.mark.parametrize("name", REMEMBERED)
def test_remembered_days(name):
    """What went wrong once goes well, from a start with a token of an hour in hand."""
    day = Day()
    day.start(is_person=False, seed=1, mood=WELL, delay_s=0.0)
    try:
        for event, details in REMEMBERED[name]:
            event(day, **details)
            day.check()
    finally:
        day.teardown()


TestDay = Day.TestCase
TestDay.settings = settings(max_examples=300, stateful_step_count=50, deadline=None, derandomize=True)

"""The persons of a credential through arbitrary days: right and wrong logins, a moody server, clients that leave."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import pytest
from harness.timeline import Timeline
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from structlog.testing import capture_logs

from proxy.config.models import Credential
from proxy.config.secret import Secret
from proxy.errors import ClientLimit, ClientLogin, FetchError, NoToken, Overloaded
from proxy.tokens import people as module
from proxy.tokens.answers import ParsedToken
from proxy.tokens.bearer import Shared
from proxy.tokens.cache import build_cache
from proxy.tokens.people import People
from proxy.tokens.policy import LONGEST_URGENT_RETRY_AFTER_S, REFUSED_PAUSE_S, SHORTEST_PAUSE_S
from proxy.tokens.token import NETWORK, REFUSED, STOPPED, TIMEOUT

if TYPE_CHECKING:
    from proxy.tokens.grants import TokenRequest
    from proxy.tokens.token import Token, TokenFetch

WAIT_S = 5.0
CALL_LIMIT_S = 10.0
SLACK_S = 1e-6
NAMES = ("alice", "bob", "carol", "dave", "erin")
RIGHT = "right"
LOGINS = st.tuples(st.sampled_from(NAMES), st.sampled_from([RIGHT, RIGHT, "wrong", "wrong too"]))
CLIENTS = st.sampled_from(["10.20.3.7", "10.20.3.8", "10.20.3.9"])
DOWN = FetchError(NETWORK, "down")
BUSY = FetchError(NETWORK, "busy", retry_after_s=10.0)
FORBIDDEN = FetchError(REFUSED, "forbidden", status=403, refused=True, is_vague=True)
DISBELIEVED = FetchError(REFUSED, "refused", status=401, refused=True)
NO_CLIENT = FetchError(REFUSED, "no client", status=401, refused=True, code="invalid_client")
MOODS = st.sampled_from([None, None, DOWN, BUSY, FORBIDDEN])
DELAYS = st.sampled_from([0.0, 0.0, 0.3, 2.0, 6.0, 9.9, 12.0])
LIVES = st.sampled_from([0.0, 2.0, 60.0, 3600.0])


@dataclass
class Call:
    """A token call as the server sees it.

    Attributes:
        ended_at: None while it is under way.
        error: None where it brought a token, or has not ended.
        life_s: Of its token.
    """

    pair: tuple[str, str]
    secret: str
    began_at: float
    ended_at: float | None = None
    error: FetchError | None = None
    life_s: float = 0.0

    @property
    def pause_s(self) -> float:
        """How long the pair is left alone after it, at the least."""
        if self.error is DISBELIEVED:
            return REFUSED_PAUSE_S
        if self.error is FORBIDDEN:
            return LONGEST_URGENT_RETRY_AFTER_S
        return 10.0 if self.error is BUSY else SHORTEST_PAUSE_S


class Server:
    """Answers token calls by the login that is in them; notes all."""

    def __init__(self, timeline: Timeline) -> None:
        """Be well, and quick."""
        self._timeline = timeline
        self.mood: FetchError | None = None
        self.delay_s = 0.0
        self.life_s = 3600.0
        self.secret = "secret-0"
        self.calls: list[Call] = []
        self.owners: dict[str, tuple[str, str]] = {}

    async def __call__(self, request: TokenRequest) -> ParsedToken:
        """See ``Fetch``."""
        form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        call = Call((form["username"], form["password"]), form["client_secret"], self._timeline.now())
        self.calls.append(call)
        error: FetchError | None = None
        try:
            if self.delay_s:
                await self._timeline.sleep(min(self.delay_s, CALL_LIMIT_S))
            error = self._judge(call)
        finally:
            call.ended_at, call.error, call.life_s = self._timeline.now(), error, self.life_s
        if error is not None:
            raise error
        token = f"token-{len(self.owners)}"
        self.owners[f"Bearer {token}"] = call.pair
        return ParsedToken(token, self.life_s)

    def _judge(self, call: Call) -> FetchError | None:
        if self.delay_s > CALL_LIMIT_S:
            return FetchError(TIMEOUT, "no answer in time")
        if self.mood is not None:
            return self.mood
        if call.secret != self.secret:
            return NO_CLIENT
        return None if call.pair[1] == RIGHT else DISBELIEVED


@dataclass
class Waiting:
    """A request that waits."""

    task: asyncio.Task[Token]
    pair: tuple[str, str]
    began_at: float


class Ledger:
    """An observer that counts."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.fetches: list[TokenFetch] = []

    def token_fetched(self, fetch: TokenFetch) -> None:
        """See ``TokenObserver``."""
        self.fetches.append(fetch)


class Day(RuleBasedStateMachine):
    """People, from the first request on."""

    @initialize(dice=st.floats(0.0, 1.0, exclude_max=True), is_narrow=st.booleans())
    def start(self, dice: float, *, is_narrow: bool) -> None:
        """Begin with nobody.

        Args:
            dice: What they always show.
            is_narrow: Whether there is room for a few alone, so that some give way, and their pauses with them.
        """
        self._logs = capture_logs()
        self._logs.__enter__()
        self.loop = asyncio.new_event_loop()
        self.timeline = Timeline()
        self.server = Server(self.timeline)
        self.ledger = Ledger()
        self.secret = "secret-0"
        self.is_narrow = is_narrow
        self.is_stopped = False
        self.waiting: list[Waiting] = []
        self.renewed_at = -math.inf
        self.calls_noted = 0
        self.people = self.build(dice)

    def build(self, dice: float) -> People:
        """Build them, with room for a few or for all."""
        shared = Shared(
            cache=build_cache(self.timeline.now, 1),
            fetch=self.server,
            clock=self.timeline,
            observer=self.ledger,
            wait_s=WAIT_S,
            dice=lambda: dice,
        )
        with pytest.MonkeyPatch.context() as patch:
            if self.is_narrow:
                patch.setattr(module, "MOST_UNPROVED", 4)
                patch.setattr(module, "MOST_UNPROVED_OF_ONE", 3)
                patch.setattr(module, "CALLS_AT_ONCE", 2)
                patch.setattr(module, "CALLS_OF_REFUSED", 1)
            return People("dispatchers", self.build_credential(), shared, b"key")

    def build_credential(self) -> Credential:
        """Build the credential with the present secret."""
        return Credential(
            grant="password",
            from_client="basic",
            token_url="https://api.example/oauth/token",
            client_id=Secret("an-id", "test"),
            client_secret=Secret(self.secret, "test"),
        )

    # What happens.

    @rule(pair=LOGINS, client=CLIENTS)
    def ask(self, pair: tuple[str, str], client: str) -> None:
        """A request comes with a login."""
        self.request(pair, client)

    @rule(pairs=st.lists(LOGINS, min_size=2, max_size=12), client=CLIENTS)
    def crowd_in(self, pairs: list[tuple[str, str]], client: str) -> None:
        """Several come in the same turn of the loop."""
        self.run(self.find_all(pairs, client))

    @precondition(lambda self: self.waiting)
    @rule(number=st.integers(0, 100), comes=st.booleans())
    def leave(self, number: int, *, comes: bool) -> None:
        """A client that waits leaves; another of the same login may come in the same turn."""
        gone = self.waiting.pop(number % len(self.waiting))
        gone.task.cancel()
        self.run(self.find_all([gone.pair] if comes else [], "10.20.3.7"))

    @rule(pair=LOGINS, mood=MOODS, delay_s=DELAYS, stays_s=st.sampled_from([0.0, 0.1, 1.5, 4.0]))
    def come_and_go(self, pair: tuple[str, str], mood: FetchError | None, delay_s: float, stays_s: float) -> None:
        """A client with little patience asks again and again, while the server is as it is."""
        self.change(mood, delay_s, 3600.0)
        for _ in range(4):
            self.request(pair, "10.20.3.7")
            self.advance(stays_s)
            for waiting in self.waiting:
                waiting.task.cancel()
            self.waiting = []
            self.settle()
            self.advance(1.1)
            self.look()

    @rule(mood=MOODS, delay_s=DELAYS, life_s=LIVES)
    def change(self, mood: FetchError | None, delay_s: float, life_s: float) -> None:
        """The server changes."""
        self.server.mood, self.server.delay_s, self.server.life_s = mood, delay_s, life_s

    @rule()
    def switch_secret(self) -> None:
        """RapidSOS takes another client secret from now on."""
        self.server.secret = f"{self.server.secret}+"

    @rule()
    def renew(self) -> None:
        """The proxy sends the secret that RapidSOS takes."""
        self.secret = self.server.secret
        self.renewed_at = self.timeline.now()
        self.people.renew(self.build_credential())
        self.settle()

    @rule(seconds=st.floats(0.0, 20.0) | st.sampled_from([61.0, 400.0]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.advance(seconds)

    @rule()
    def look(self) -> None:
        """Those who have gone are forgotten."""
        self.run(self.forget())

    @precondition(lambda self: not self.is_narrow)
    @rule()
    def recover(self) -> None:
        """All is well again: whoever has the right password and goes on asking has a token in little over a minute."""
        self.change(None, 0.0, 3600.0)
        self.renew()
        for seconds in (
            16.0,
            16.0,
            16.0,
            16.0,
            1.0,
        ):  # each beyond a call's limit, and beyond what a server may ask for
            self.run(self.find_all([(name, RIGHT) for name in NAMES], "10.20.3.7"))
            self.advance(seconds)
        for name in NAMES:
            assert self.find_token((name, RIGHT)) is not None

    @precondition(lambda self: not self.is_narrow and self.server.mood is None)
    @rule(name=st.sampled_from(NAMES))
    def is_served_on_his_next_request(self, name: str) -> None:
        """Whose call has brought a token that still lives has it at once, whoever waited for the call."""
        pair = (name, RIGHT)
        ended = [call for call in self.server.calls if call.pair == pair and call.ended_at is not None]
        if ended and ended[-1].error is None:
            usable_until = ended[-1].began_at + 0.95 * ended[-1].life_s - 5.0
            if self.timeline.now() < usable_until:
                assert self.find_token(pair) is not None

    # What must hold at any moment.

    @invariant()
    def check(self) -> None:
        """Nobody is served as somebody else, kept out or kept waiting; the server is asked as seldom as it must be."""
        if not hasattr(self, "people"):
            return
        self.note_waiting()
        self.note_calls()
        under_way = sum(call.ended_at is None for call in self.server.calls)
        status = self.people.status()

        assert status.fetches == len(self.server.calls)
        assert len(self.ledger.fetches) == len(self.server.calls) - under_way
        assert all(fetch.outcome != STOPPED for fetch in self.ledger.fetches)
        assert len(self.people) <= len(NAMES) + 4 if self.is_narrow else len(self.people) <= 3 * len(NAMES)

    def note_waiting(self) -> None:
        """Hold against the contract what those who waited have got."""
        for waiting in (one for one in self.waiting if one.task.done()):
            error = waiting.task.exception()
            if error is None:
                assert self.server.owners[waiting.task.result().authorization] == waiting.pair
                assert waiting.pair[1] == RIGHT
            elif isinstance(error, ClientLogin):
                assert waiting.pair[1] != RIGHT
            else:
                assert isinstance(error, NoToken) or (self.is_narrow and isinstance(error, Overloaded))
        self.waiting = [one for one in self.waiting if not one.task.done()]

        assert all(self.timeline.now() <= one.began_at + WAIT_S for one in self.waiting)

    def note_calls(self) -> None:
        """Hold each new call against those that had ended before it."""
        for number in range(self.calls_noted, len(self.server.calls)):
            call = self.server.calls[number]
            before = [past for past in self.server.calls[:number] if past.pair == call.pair]
            assert all(past.ended_at is not None for past in before)
            if before and not self.is_narrow:
                pause_s = before[-1].pause_s
                if pause_s <= SHORTEST_PAUSE_S or self.renewed_at < before[-1].began_at:
                    assert call.began_at >= before[-1].ended_at + min(pause_s, self.find_lifted_s(pause_s)) - SLACK_S
            self.check_client(number)
        self.calls_noted = len(self.server.calls)

    def find_lifted_s(self, pause_s: float) -> float:
        """Return the pause that is left where the client's refusal has been lifted meanwhile."""
        has_refusal = any(call.error is NO_CLIENT for call in self.server.calls)
        return SHORTEST_PAUSE_S if has_refusal and pause_s == LONGEST_URGENT_RETRY_AFTER_S else pause_s

    def check_client(self, number: int) -> None:
        """Once the client's key has been refused nobody calls for a minute."""
        call = self.server.calls[number]
        ended = [past for past in self.server.calls if past.ended_at is not None and past.ended_at < call.began_at]
        refusals = [past.ended_at for past in ended if past.error is NO_CLIENT and past.secret == call.secret]
        if not refusals:
            return
        last = max(refusals)
        is_believed = any(past.ended_at > last and past.error in {None, DISBELIEVED} for past in ended)
        assert is_believed or self.renewed_at >= last or call.began_at >= last + REFUSED_PAUSE_S - SLACK_S

    # Means.

    async def find_all(self, pairs: list[tuple[str, str]], client: str) -> None:
        """Let a request of each come, and wait where there is no token."""
        for pair in pairs:
            try:
                person = self.people.find(*pair, client)
            except ClientLogin:
                assert pair[1] != RIGHT
            except (ClientLimit, Overloaded):
                assert self.is_narrow
            else:
                token = person.current()
                if token is not None:
                    assert self.server.owners[token.authorization] == pair
                else:
                    task = self.loop.create_task(person.wait())
                    self.waiting.append(Waiting(task, pair, self.timeline.now()))

    def request(self, pair: tuple[str, str], client: str) -> None:
        """Let a request come."""
        self.run(self.find_all([pair], client))

    def find_token(self, pair: tuple[str, str]) -> Token | None:
        """Return what a request would be sent with at once."""

        async def find() -> Token | None:
            return self.people.find(*pair, "10.20.3.7").current()

        token = self.loop.run_until_complete(find())
        self.settle()
        return token

    async def forget(self) -> None:
        """Let those who have gone be forgotten."""
        self.people.forget_the_gone()

    def run(self, work: Any) -> None:
        """Do something, and see what comes of it at once."""
        self.loop.run_until_complete(work)
        self.settle()

    def settle(self) -> None:
        """Let everything get as far as it can without time passing."""
        for _ in range(4):
            self.loop.run_until_complete(self.timeline.settle())
        self.check()

    def advance(self, seconds: float) -> None:
        """Let time pass timer by timer, and look after each."""
        end = self.timeline.now() + seconds
        while (moment := self.timeline.next_at) is not None and moment <= end:
            self.loop.run_until_complete(self.timeline.advance_to(moment))
            self.settle()
        self.loop.run_until_complete(self.timeline.advance_to(end))
        self.settle()

    def teardown(self) -> None:
        """Stop: nobody waits, no task and no timer is left, and each call has its record."""
        if not hasattr(self, "people"):
            return
        try:
            self.loop.run_until_complete(self.people.stop())
            self.loop.run_until_complete(self.timeline.settle())
            self.note_waiting()

            assert not self.waiting
            assert len(self.ledger.fetches) == len(self.server.calls)
            assert len(self.people) == 0
            assert not asyncio.all_tasks(self.loop)
            assert self.timeline.next_at is None
        finally:
            self.loop.close()
            self._logs.__exit__(None, None, None)


TestDay = Day.TestCase
TestDay.settings = settings(max_examples=100, stateful_step_count=40, deadline=None, derandomize=True)

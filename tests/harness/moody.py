"""An authorization server in changing moods, at the seam of ``Fetch``; answers pass through the real parser."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from proxy.errors import FetchError
from proxy.tokens.answers import ParsedToken, TokenAnswer, parse_token_answer
from proxy.tokens.token import NETWORK, TIMEOUT

if TYPE_CHECKING:
    from harness.timeline import Timeline
    from proxy.tokens.grants import TokenRequest

CALL_LIMIT_S = 10.0
"""What timeouts.token allows a call."""


@dataclass(frozen=True, slots=True)
class Mood:
    """How the server treats a call.

    Attributes:
        status: Of its answer; 0 where it breaks the connection, -1 where the proxy itself breaks on the answer.
        body: With ``TOKEN`` where a token goes.
        life_s: What the contract makes of the life that ``body`` states; None where no token can be taken from it.
        retry_after: The field's value.
        asked_s: What the contract makes of that value.
        is_refusal: Whether the contract reads the answer as a refusal of the credential.
        is_stuck: Whether the token is the same as last time.
    """

    status: int
    body: str = ""
    life_s: float | None = None
    retry_after: str | None = None
    asked_s: float = 0.0
    is_refusal: bool = False
    is_stuck: bool = False


def giving(life_s: float, *, written: str | None = None, is_stuck: bool = False) -> Mood:
    """Describe a server that gives tokens.

    Args:
        life_s: What the contract makes of ``written``.
        written: The life as it stands in the answer; empty for no such member, None for ``life_s`` itself.
        is_stuck: Whether it gives the last token once more.
    """
    written = repr(life_s) if written is None else written
    member = f', "expires_in": {written}' if written else ""
    return Mood(200, f'{{"access_token": "TOKEN"{member}}}', life_s, is_stuck=is_stuck)


@dataclass(frozen=True, slots=True)
class Minted:
    """A token that the server gave out.

    Attributes:
        authorization: As it is sent to an upstream.
        sent_at: When it was asked for.
        life_s: As the contract reads it.
    """

    authorization: str
    sent_at: float
    life_s: float

    @property
    def usable_until(self) -> float:
        """Its expiry less the contract's send margin."""
        return self.sent_at + self.life_s - min(5.0, 0.05 * self.life_s)


@dataclass(slots=True)
class Call:
    """One token call.

    Attributes:
        began_awake: On the clock that stands still in suspend.
        ended_at: None while it is under way.
        mood: That it met; None while it is under way, and when it was given up.
        minted: The token that it brought, if it did.
    """

    began_at: float
    began_awake: float
    ended_at: float | None = None
    mood: Mood | None = None
    minted: Minted | None = None


@dataclass(slots=True)
class MoodyServer:
    """Treats token calls as it is in the mood to.

    Attributes:
        mood: For the calls that it answers from now on.
        delay_s: Before it answers; infinite to leave calls without an answer until ``let_go``.
        calls: All so far.
        under_way: Calls that have begun and not ended.
        most_at_once: The highest that ``under_way`` has been.
    """

    timeline: Timeline
    mood: Mood
    delay_s: float = 0.0
    calls: list[Call] = field(default_factory=list)
    under_way: int = 0
    most_at_once: int = 0
    _delayed: set[asyncio.Event] = field(default_factory=set)
    _tokens: int = 0

    def let_go(self) -> None:
        """Answer at once the calls that are under way, and those that come."""
        self.delay_s = 0.0
        for event in self._delayed:
            event.set()

    async def __call__(self, request: TokenRequest) -> ParsedToken:
        """See ``Fetch``."""
        assert request.body
        call = Call(self.timeline.now(), self.timeline.now() - self.timeline.slept_s)
        self.calls.append(call)
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)
        try:
            await self._delay()
            call.mood = self.mood
            return self._answer(call, self.mood)
        finally:
            self.under_way -= 1
            call.ended_at = self.timeline.now()

    async def _delay(self) -> None:
        if not self.delay_s:
            return
        over, limit = asyncio.Event(), asyncio.Event()
        self._delayed.add(over)
        timers = [self.timeline.call_later(CALL_LIMIT_S, limit.set)]
        timers.append(self.timeline.call_later(min(self.delay_s, CALL_LIMIT_S), over.set))
        try:
            await over.wait()
        finally:
            self._delayed.discard(over)
            for timer in timers:
                timer.cancel()
        if limit.is_set():
            raise FetchError(TIMEOUT, f"the authorization server did not answer within {CALL_LIMIT_S:g} s")

    def _answer(self, call: Call, mood: Mood) -> ParsedToken:
        if mood.status < 0:
            message = "a defect of the proxy's own"
            raise RuntimeError(message)
        if not mood.status:
            raise FetchError(NETWORK, "the authorization server could not be reached")
        self._tokens += not mood.is_stuck or not self._tokens
        token = f"token-{self._tokens}"
        answer = TokenAnswer(mood.status, mood.body.replace("TOKEN", token).encode(), mood.retry_after)
        if mood.life_s is not None:
            call.minted = Minted(f"Bearer {token}", call.began_at, mood.life_s)
        return parse_token_answer(answer, 0.0)

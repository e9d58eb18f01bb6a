"""The token source of one credential that gets its tokens from an authorization server.

The rule of this file: a token call belongs to no request.  One task of the source's own makes every call, and asks
the store before and tells it after, so there is never more than one flight, and a client that leaves takes nothing with
it.  While a valid token is at hand nobody waits, whatever the calls and the store do.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Final

import structlog

from proxy.errors import FetchError, RefreshPaused
from proxy.tasks import Tasks
from proxy.tokens import policy
from proxy.tokens.explain import explain_pause
from proxy.tokens.grants import build_token_request
from proxy.tokens.history import History
from proxy.tokens.report import build_fetch, build_no_token, build_status, build_subject
from proxy.tokens.schedule import RemintGuard, Schedule
from proxy.tokens.store import MemoryStore
from proxy.tokens.stored import build_stored, restore_token
from proxy.tokens.token import ADOPTED, STOPPED, UNREADABLE, CredentialStatus, Token, build_token
from proxy.tokens.waiters import Waiters

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.config.models import Credential
    from proxy.tokens.answers import ParsedToken
    from proxy.tokens.cache import TokenCache
    from proxy.tokens.clock import Clock
    from proxy.tokens.fetch import Fetch
    from proxy.tokens.source import TokenObserver
    from proxy.tokens.store import Store
    from proxy.tokens.stored import StoredToken
    from proxy.tokens.token import TokenKey

log = structlog.get_logger(__name__)

LONGEST_NAP_S: Final = 60.0
"""Timers stand still in suspend: look at the clock at least this often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What all token sources of a process have in common.

    Attributes:
        wait_s: How long a request waits for a token at most.
        dice: Gives a number from 0 up to 1, for the jitter.
        store: Where tokens are kept beyond the cache.
    """

    cache: TokenCache
    fetch: Fetch
    clock: Clock
    observer: TokenObserver
    wait_s: float
    dice: Callable[[], float] = random.random
    store: Store = field(default_factory=MemoryStore)


class BearerSource:
    """One credential's token: fetched at start, replaced at half its life, shared by all who ask."""

    first_reason: ClassVar[str] = "start"
    """Why the first call is made; see ``TokenFetch``."""

    def __init__(
        self, name: str, credential: Credential, key: TokenKey, shared: Shared, *, user: str | None = None
    ) -> None:
        """Prepare; ``start`` begins.

        Args:
            name: Of the credential, for logs and people.
            credential: What is sent to the authorization server.
            key: Under which the token is kept.
            shared: What the sources of the process have in common.
            user: Whose token it is, where clients say so.
        """
        self.name = name
        self._credential = credential
        self._subject = build_subject(name, credential, user)
        self._shared = shared
        self._tokens = shared.cache
        self._key = key
        self._now = shared.clock.now
        self._schedule = Schedule(is_person=credential.grant == "password")
        self._guard = RemintGuard()
        self._waiters = Waiters(shared.clock)
        self._wake = asyncio.Event()
        self._tasks = Tasks()
        self._store = shared.store
        self._is_out_of_step = True
        self._suspect: Token | None = None
        self._suspects: deque[str | None] = deque(maxlen=policy.MOST_SUSPECTS)
        self._is_asked = False
        self._call_ended = asyncio.Event()
        self._is_stopped = False
        self._history = History(name)

    def __repr__(self) -> str:
        """Show the state, and no token."""
        return f"<BearerSource {self.name} usable={self._held() is not None} {self._schedule!r}>"

    @property
    def key(self) -> TokenKey:
        """Under which the token is kept."""
        return self._key

    @property
    def is_refused(self) -> bool:
        """Whether the authorization server does not accept the credential."""
        return self._schedule.is_refused

    def share(self, shared: Shared) -> None:
        """See ``Source``; cache, store and clock are the same."""
        self._shared = shared

    def current(self) -> Token | None:
        """Return the token to send now, or None if there is none; wakes the refresher if it overslept.

        The clock is asked at each use, so that a machine that was suspended never sends a dead token.
        """
        if self._now() >= self._schedule.due_at:
            self._wake.set()
        try:  # what _held does, written out: this runs once a request, and a call is a fifth of it
            return self._tokens[self._key]
        except KeyError:
            return None

    async def wait(self) -> Token:
        """Wait for a token: over as many calls as fit into the time limit.

        Raises:
            NoToken: If none came in time; at once if the credential is refused.
        """
        token = self.current()
        if token is None and not self._is_hopeless():
            self._hasten()
            token = await self._waiters.join(self._shared.wait_s)
        if token is None:
            raise build_no_token(self._subject, self._schedule, self._history, self._now())
        return token

    async def replace(self, suspect: Token) -> Token | None:
        """Return another token than ``suspect``, which an upstream rejected.

        However many call it, one token call is made; the suspect stays current until its successor is in hand.

        Returns:
            None if the credential is refused, no call brought a token in time, or the last replacement was
            rejected as well and the next one is paused.
        """
        token = self.current()
        if token is not None and token.authorization != suspect.authorization:
            return token
        if not self.suspect(suspect):
            return None
        token = await self._waiters.join(self._shared.wait_s)
        return None if token is None or token.authorization == suspect.authorization else token

    def suspect(self, token: Token) -> bool:
        """Have ``token``, which an upstream rejected, replaced; return whether it will be."""
        if token.fingerprint not in self._suspects:
            self._suspects.append(token.fingerprint)
        held = self.current()
        if held is not None and held.authorization != token.authorization:
            return False
        if self._schedule.is_refused or self._is_stopped or not self._may_replace(token):
            return False
        self._suspect = token
        self._hasten()
        return True

    def _may_replace(self, token: Token) -> bool:
        paused_until = self._guard.paused_until
        is_allowed = self._guard.allows(token, self._now())
        if self._guard.paused_until != paused_until:
            pause_s = round(self._guard.paused_until - self._now())
            reason = "the new token was rejected like the one before; is it a product that the credential lacks?"
            log.warning("token.replacement_paused", credential=self.name, pause_s=pause_s, reason=reason)
        return is_allowed

    def prove(self, token: Token) -> None:
        """An upstream took ``token`` where it had rejected the one before: the replacement was right."""
        self._guard.prove(token)

    def renew_credential(self, credential: Credential, key: TokenKey) -> None:
        """Send another secret from the next call on: at once if the old one was refused, else at the next refresh.

        The token in hand serves on until the new secret has brought one.
        """
        token = self._held()
        self._credential, self._key = credential, key
        found = self._held()
        # There is one of another source, or of a time when this was the secret before: the longer one serves.
        if token is not None and (found is None or found.usable_until < token.usable_until):
            self._tokens[key] = token
        self._schedule.renew(self._now())
        self.resync()

    def resync(self) -> None:
        """The store is there again, or another name is: store the token in hand, or take what others have there."""
        self._is_out_of_step = True
        self._wake.set()

    async def refresh(self, *, force: bool = False) -> CredentialStatus:
        """Replace the token now, since an operator asks; the one in hand serves meanwhile.

        Joins the call that is under way, if one is, and waits for its outcome, which the status tells.

        Args:
            force: Whether to call in spite of what the last outcome forbids.

        Raises:
            RefreshPaused: If that is a while, and ``force`` does not lift it.
        """
        pause_s = self._schedule.pause_s(self._now())
        if force:
            self._schedule.lift_pause(self._now())
        elif pause_s > policy.LONGEST_URGENT_BACKOFF_S:
            raise RefreshPaused(explain_pause(self._history.last_error, pause_s), pause_s)
        if not self._is_stopped:
            self._is_asked = self._is_asked or not self._schedule.in_flight
            self._hasten()
            await self._call_ended.wait()
        return self.status()

    async def start(self) -> None:
        """Start the refresher, which looks into the store, or makes the first call, at once; does not wait for it."""
        _ = self._tasks.keep(self._run, name=f"token {self.name}")

    async def stop(self) -> None:
        """Stop the refresher; those who wait get NoToken."""
        self._is_stopped = True
        await self._tasks.stop()
        self._waiters.release(None)
        self._end_call()

    def status(self) -> CredentialStatus:
        """Return how the credential stands."""
        return build_status(self._subject, self._held(), self._schedule, self._history, self._now())

    def _held(self) -> Token | None:
        try:
            return self._tokens[self._key]
        except KeyError:
            return None

    def _hasten(self) -> None:
        self._schedule.hasten(self._now())
        self._wake.set()

    async def _run(self) -> None:
        """Make every token call of this credential, for as long as the source runs."""
        while not self._is_stopped:  # what a library does with a cancellation must not keep the proxy from ending
            await self._until_due()
            try:
                await (self._agree() if self._is_out_of_step else self._take_turn())
            except Exception:  # a defect of ours must not end the refresher: no token would ever come again
                log.exception("token.call_broke", credential=self.name)
                if self._schedule.in_flight:
                    self._fail(FetchError(UNREADABLE, "the proxy failed on it; see its log"))

    def _end_call(self) -> None:
        """Tell the operators who wait that there is an outcome; those who come now wait for the next."""
        self._is_asked = False
        self._call_ended.set()
        self._call_ended = asyncio.Event()

    def _is_hopeless(self) -> bool:
        """Return whether who waits now waits in vain."""
        return self._schedule.is_refused or self._is_stopped

    def _due_at(self) -> float:
        """Return when the next call is due, in clock seconds."""
        return self._schedule.due_at

    async def _until_due(self) -> None:
        while not self._is_out_of_step and (delay_s := self._due_at() - self._now()) > 0:
            self._wake.clear()
            timer = self._shared.clock.call_later(min(delay_s, LONGEST_NAP_S), self._wake.set)
            try:
                await self._wake.wait()
            finally:
                timer.cancel()

    async def _agree(self) -> None:
        """Agree with the store on a token: at start, and when the store is back after it was lost."""
        self._is_out_of_step = False
        held = self._held()
        mine = None if held is None or self._is_suspect(held) else build_stored(held, self._now())
        found = await self._store.agree(self._key, mine)
        self._adopt(found, is_agreed=mine is not None)

    async def _take_turn(self) -> None:
        """Replace the token: by a newer one that is stored, or else by a call, one replica at a time."""
        reason, key = self._reason(), self._key  # another secret may come meanwhile, and with it another key
        is_tired = self._schedule.is_tired(self._now(), self._shared.wait_s)
        self._schedule.send()
        turn = await self._store.take_turn(key, steal=is_tired)
        token: Token | None = None
        try:
            if self._adopt(turn.found):
                return
            if turn.claim is None:
                self._schedule.leave(self._now(), self._good_until())
                return
            token = await self._call(reason)
        finally:
            if turn.claim is not None:
                stored = None if token is None else build_stored(token, self._now())
                await self._store.end_turn(key, turn.claim, stored)

    async def _call(self, reason: str) -> Token | None:
        """Make a token call; return a token that is worth storing."""
        sent_at = self._now()
        self._history.note_begin()
        try:
            parsed = await self._shared.fetch(build_token_request(self._credential))
            token = self._accept(parsed, sent_at)
        except FetchError as error:
            self._fail(error)
            self._tell(error, error.status, reason, sent_at)
            return None
        except asyncio.CancelledError:
            self._history.note_stopped()
            self._tell(FetchError(STOPPED, "the proxy stopped before there was an answer"), None, reason, sent_at)
            raise
        self._succeed(token, parsed)
        self._tell(token, parsed.status, reason, sent_at)
        return token if self._held() is token else None

    def _adopt(self, found: StoredToken | None, *, is_agreed: bool = False) -> bool:
        """Take a stored token, if it can be sent and is newer than the one in hand; return whether it was taken.

        One that was rejected here is never taken again, whatever the store says of its age.

        Args:
            found: What is stored.
            is_agreed: Whether the store has compared the two.  Of tokens of the same moment each replica would
                otherwise hold its own for the newer one.
        """
        if found is None:
            return False
        now = self._now()
        token, held = restore_token(found, now, self._shared.dice()), self._held()
        if token.usable_until <= now or token.fingerprint in self._suspects:
            return False
        if held is not None and token.authorization == held.authorization:
            return False
        if held is not None and token.sent_at <= held.sent_at and not is_agreed:
            return False
        self._keep(token, is_agreed=is_agreed)
        self._history.note_adopted(token, now)
        self._tell(token, None, ADOPTED, now)
        return True

    def _reason(self) -> str:
        if self._suspect is not None:
            return "rejected"
        if self._is_asked:
            return "asked"
        if not self._history.fetches:
            return self.first_reason
        return "refresh" if self._held() is not None else "wait"

    def _accept(self, parsed: ParsedToken, sent_at: float) -> Token:
        """Build the token of an answer.

        Raises:
            FetchError: If it has died on its way here, as after a suspend in the middle of the call.
        """
        token = build_token(parsed.access_token, parsed.life_s, sent_at=sent_at, dice=self._shared.dice())
        if token.life_s > 0 and token.usable_until <= self._now():
            detail = f"the authorization server's token lives {token.life_s:g} s, and its answer took longer"
            raise FetchError(UNREADABLE, detail)
        return token

    def _succeed(self, token: Token, parsed: ParsedToken) -> None:
        self._keep(token)
        self._history.note_success(token, parsed, self._now())

    def _keep(self, token: Token, *, is_agreed: bool = False) -> None:
        """Make a token that has just come the current one, and give it to those who wait."""
        now = self._now()
        held = self._held()
        if token.life_s > 0 and (held is None or is_agreed or self._pushes_out(token, held)):
            self._tokens[self._key] = token
            self._schedule.succeed(now, token.refresh_at)
        else:
            # It serves those who wait, and must not push out one that still serves everybody.
            self._schedule.succeed(now, None if held is None else (now + held.usable_until) / 2)
        if self._suspect is not None:
            self._suspect = None
            self._guard.minted(token, now)
        self._waiters.release(token)
        self._end_call()

    def _pushes_out(self, token: Token, held: Token) -> bool:
        """Return whether ``token`` takes the place of the one in hand: unasked not where that serves longer."""
        is_same = token.authorization == held.authorization  # then the server's last word on its life counts
        return self._is_asked or self._is_suspect(held) or is_same or token.usable_until >= held.usable_until

    def _fail(self, error: FetchError) -> None:
        now = self._now()
        token = self._held()
        self._schedule.fail(now, error, self._good_until(), self._shared.dice())
        if self._schedule.is_refused:
            self._waiters.release(None)
        self._history.note_failure(error, now, None if token is None else token.usable_until - now)
        self._end_call()

    def _good_until(self) -> float | None:
        """Return until when a token serves that nobody suspects; None without one: people wait, or soon will."""
        held = self._held()
        return None if held is None or self._is_suspect(held) else held.usable_until

    def _is_suspect(self, token: Token) -> bool:
        return self._suspect is not None and self._suspect.authorization == token.authorization

    def _tell(self, result: Token | FetchError, status: int | None, reason: str, sent_at: float) -> None:
        seconds = self._now() - sent_at
        fetch = build_fetch(self._subject, result, status=status, reason=reason, seconds=seconds)
        self._shared.observer.token_fetched(fetch)

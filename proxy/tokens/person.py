"""One person's token, who proves himself with every request.

The rule of this file: as in ``bearer``, a token call belongs to no request.  It is begun because somebody waits for it
and goes on to its end whoever leaves; then he stays for as long as the schedule of his calls forbids the next.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Final

from proxy.errors import ClientLogin, NoToken, Overloaded
from proxy.tokens import policy
from proxy.tokens.bearer import BearerSource
from proxy.tokens.explain import explain_no_token
from proxy.tokens.logins import LoginHistory
from proxy.tokens.token import build_token_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.config.models import Credential
    from proxy.errors import FetchError
    from proxy.tokens.bearer import Shared
    from proxy.tokens.logins import Logins
    from proxy.tokens.token import Token, TokenKey
    from proxy.tokens.turnstile import Turnstile

ON_HIS_WAY_S: Final = 1.0
"""Between the moment that a request has found its person and the one that it waits for him; far more than it takes."""


@dataclass(frozen=True, slots=True)
class Login:
    """A person's login, and what comes of it.

    Attributes:
        user: His name.
        pair: What he is kept under: a keyed hash of the name and the password.
        client: Whose share his first token call counts against.
        logins: Those of the credential, where his calls are counted.
        turnstile: Where his calls wait for their turn until he is proved.
        proved: Called when the authorization server has believed him for the first time.
        refused: Called when it does not, and he has no token either.
    """

    user: str
    pair: bytes
    client: str
    logins: Logins
    turnstile: Turnstile
    proved: Callable[[Person], None]
    refused: Callable[[Person], None]


class Person(BearerSource):
    """One person's token.

    Attributes:
        asked_at: Clock seconds of his last request.
        is_proved: Whether the authorization server has believed him.
    """

    first_reason: ClassVar[str] = "login"

    def __init__(self, name: str, credential: Credential, key: TokenKey, shared: Shared, login: Login) -> None:
        """Prepare; see ``BearerSource``."""
        super().__init__(name, credential, key, shared, user=login.user)
        self._history = LoginHistory(name, login.user, login.logins)
        self._login = login
        self._has_given_way = False
        self.asked_at = shared.clock.now()
        self.is_proved = False

    @property
    def pair(self) -> bytes:
        """What he is kept under."""
        return self._login.pair

    @property
    def client(self) -> str:
        """Whose share he counts against while he is not proved."""
        return self._login.client

    @property
    def has_token(self) -> bool:
        """Whether his next request is served at once."""
        return self._held() is not None

    @property
    def is_waited_for(self) -> bool:
        """Whether a request waits for his token."""
        return len(self._waiters) > 0

    @property
    def is_calling(self) -> bool:
        """Whether a token call is under way."""
        return self._schedule.in_flight

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way, and nobody waits or is about to."""
        is_expected = self._now() - self.asked_at < ON_HIS_WAY_S
        return not (self.is_calling or self.is_waited_for or is_expected)

    @property
    def is_gone(self) -> bool:
        """Whether he can be forgotten: nothing is lost with him, neither a token nor a pause that must be kept."""
        if not self.is_idle:
            return False
        if self.is_proved or self.has_token:
            token = self._held()
            life_s = policy.DEFAULT_LIFE_S if token is None else token.life_s
            return self._now() - self.asked_at > life_s
        return self._schedule.pause_s(self._now()) <= 0

    async def wait(self) -> Token:
        """Wait for a token.

        Raises:
            ClientLogin: If the name and the password are refused.
            Overloaded: If his place was needed.
            NoToken: If none came in time, for another reason.
        """
        try:
            return await super().wait()
        except NoToken as error:
            raise self._explain(error) from None

    def give_way(self) -> None:
        """His place is needed: whoever waits will be told so when he stops."""
        self._has_given_way = True

    def client_changed(self, *, is_refused: bool) -> None:
        """The client's key was refused, or is worth another try.

        Args:
            is_refused: Whether nobody may call for a while, so that nobody need wait.
        """
        if is_refused:
            if not self.is_calling:
                self._waiters.release(None)
        elif not self._is_disbelieved:
            self._schedule.lift_refusal(self._now())
        self._wake.set()

    def wait_for(self, wait_s: float) -> None:
        """Let requests wait for so long from now on."""
        self._shared = replace(self._shared, wait_s=wait_s)

    def renew_client(self, credential: Credential, hash_key: bytes) -> None:
        """Send another client id or secret from the next call on."""
        own = {"username": self._credential.username, "password": self._credential.password, "from_client": None}
        credential = credential.model_copy(update=own)
        self.renew_credential(credential, build_token_key(credential, hash_key))

    @property
    def _is_disbelieved(self) -> bool:
        """Whether it is the person that was refused, and not the client id that the proxy sent along."""
        error = self._history.last_error
        return error is not None and policy.is_person_refused(error, is_person=True)

    def _explain(self, error: NoToken) -> Exception:
        if self._has_given_way:
            return Overloaded(
                "too many new logins are being tried; send the request again in a moment", retry_after_s=1
            )
        if self._is_disbelieved:
            if not self.has_token:  # it has died since
                self._login.refused(self)
            return build_refusal()
        refusal = self._login.logins.client_refusal
        if refusal is None:
            return error
        detail = explain_no_token(self.name, refusal, is_given_up=False)
        return NoToken(detail, retry_after_s=max(1, math.ceil(self._login.logins.pause_s())))

    def _is_hopeless(self) -> bool:
        """Return whether who waits now waits in vain: while a refusal forbids calls, and not when its time is over."""
        own_s = self._schedule.pause_s(self._now()) if self._schedule.is_refused else 0.0
        return self._is_stopped or max(own_s, self._login.logins.pause_s()) > policy.LONGEST_URGENT_BACKOFF_S

    def _due_at(self) -> float:
        """Return when the next call is due: never, while he has no token and nobody waits for one."""
        is_wanted = self.is_waited_for or self.has_token or self._is_asked
        if self._has_given_way or not is_wanted:
            return math.inf
        return max(self._schedule.due_at, self._login.logins.due_at())

    async def _take_turn(self) -> None:
        """Make a call; until he is proved, when it is his client's turn, if anybody still waits then."""
        if self.is_proved:
            await super()._take_turn()
            return
        async with self._login.turnstile.turn(self.client):
            if self._due_at() <= self._now():
                await super()._take_turn()

    def _keep(self, token: Token, *, is_agreed: bool = False) -> None:
        super()._keep(token, is_agreed=is_agreed)
        if not self.is_proved:
            self.is_proved = True
            self._login.proved(self)

    def _fail(self, error: FetchError) -> None:
        super()._fail(error)
        if self._is_disbelieved and not self.has_token:
            self._login.refused(self)


def build_refusal() -> ClientLogin:
    """Build the error for a name and a password that were refused."""
    detail = (
        "RapidSOS does not accept this name and password, and the same pair is not tried again for a minute; "
        "correct the login in the CAD"
    )
    return ClientLogin(detail)

"""What the token calls for all persons of one credential came to, and what is told of one person's.

The rule of this file: a person whom the authorization server does not believe is no failure of the credential.  That it
said so shows that it is there, and takes the client's key.  A key that it does not take is everybody's trouble: one
call a minute then finds out for all whether it takes it again.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import structlog

from proxy.tokens import policy
from proxy.tokens.history import History

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.errors import FetchError
    from proxy.tokens.answers import ParsedToken
    from proxy.tokens.token import Token

log = structlog.get_logger(__name__)

LONGEST_NAME: Final = 100
"""Characters of a name in the operational log: whoever makes names up must not fill it.  The record has them all."""


class Logins:
    """The calls for all persons of one credential, also for those who have gone.

    Attributes:
        fetches: Calls, those under way included.
        failures: Calls that failed, persons who were refused included.
        last_error: Of the last call; None if it brought a token, or refused a person.
        last_error_at: Clock seconds.
        skew_s: The server's clock less ours at the last success that told it.
        client_refusal: That the client's key was refused; None since a call has shown that it is taken.
        secret_number: Of the client's secret, the first being 0; a refusal of an old one says nothing of the new.
    """

    def __init__(self, now: Callable[[], float], changed: Callable[[], None]) -> None:
        """Begin with nobody.

        Args:
            now: The clock.
            changed: Called when calls are forbidden, or allowed again.
        """
        self._now = now
        self._changed = changed
        self._not_before = -math.inf
        self._trying: History | None = None
        self.fetches = 0
        self.failures = 0
        self.last_error: FetchError | None = None
        self.last_error_at = 0.0
        self.skew_s: float | None = None
        self.client_refusal: FetchError | None = None
        self.secret_number = 0

    def due_at(self) -> float:
        """Return when anybody's next call may be made, in clock seconds; infinite while one is tried for all."""
        if self.client_refusal is None:
            return -math.inf
        return self._not_before if self._trying is None else math.inf

    def pause_s(self) -> float:
        """Return for how long nobody may call, in seconds; 0 as well while one tries, whose outcome is worth a wait."""
        return max(0.0, self._not_before - self._now()) if self.client_refusal and self._trying is None else 0.0

    def note_begin(self, who: History) -> None:
        """A call begins."""
        self.fetches += 1
        if self.client_refusal is not None:
            self._trying = who

    def note_stopped(self, who: History) -> None:
        """A call was cut short."""
        self.failures += 1
        self._end(who)

    def note_success(self, who: History, parsed: ParsedToken) -> None:
        """A call brought a person's token."""
        self.last_error = None
        self.skew_s = self.skew_s if parsed.skew_s is None else parsed.skew_s
        self._believe()
        self._end(who)

    def note_failure(self, who: History, error: FetchError, secret_number: int) -> None:
        """A person's call failed, or refused him.

        Args:
            who: Whose.
            error: How.
            secret_number: Of the client's secret that was sent.
        """
        self.failures += 1
        self.last_error_at = self._now()
        if policy.is_person_refused(error, is_person=True):
            self.last_error = None
            self._believe()
        else:
            self.last_error = error
            if policy.is_client_refused(error) and secret_number == self.secret_number:
                self._disbelieve(error)
        self._end(who)

    def renew(self) -> None:
        """The client has another secret: what was refused is not what will be sent."""
        self.secret_number += 1
        self._trying = None
        if self.client_refusal is not None:
            self._not_before = -math.inf
            self._changed()

    def forget_error(self) -> None:
        """Nobody is here any more who asks again: what went wrong last is no news."""
        self.last_error = None

    def _believe(self) -> None:
        if self.client_refusal is not None:
            self.client_refusal = None
            self._trying = None
            self._changed()

    def _disbelieve(self, error: FetchError) -> None:
        self.client_refusal = error
        self._trying = None
        self._not_before = self._now() + policy.REFUSED_PAUSE_S
        self._changed()

    def _end(self, who: History) -> None:
        """Let another try, if this one has found nothing out."""
        if self._trying is who:
            self._trying = None
            self._not_before = self._now() + policy.SHORTEST_PAUSE_S
            self._changed()


class LoginHistory(History):
    """The calls of one person, who proves himself with each request."""

    def __init__(self, name: str, user: str, logins: Logins) -> None:
        """Begin with nothing.

        Args:
            name: Of the credential.
            user: The person's name, as he gave it.
            logins: Where it is counted with all others'.
        """
        super().__init__(name)
        self._user = user[:LONGEST_NAME]
        self._logins = logins
        self._secret_number = 0

    def note_begin(self) -> None:
        """See ``History``."""
        super().note_begin()
        self._secret_number = self._logins.secret_number
        self._logins.note_begin(self)

    def note_stopped(self) -> None:
        """See ``History``."""
        super().note_stopped()
        self._logins.note_stopped(self)

    def note_success(self, token: Token, parsed: ParsedToken, now: float) -> None:
        """See ``History``."""
        super().note_success(token, parsed, now)
        self._logins.note_success(self, parsed)

    def note_failure(self, error: FetchError, now: float, usable_for_s: float | None) -> None:
        """See ``History``."""
        super().note_failure(error, now, usable_for_s)
        self._logins.note_failure(self, error, self._secret_number)

    def _tell(self, error: FetchError, usable_for_s: float | None) -> None:
        """Tell of a mistyped password as such: nobody has to be woken for it, as for a dead key of the agency's."""
        if not policy.is_person_refused(error, is_person=True):
            super()._tell(error, usable_for_s)
            return
        detail = f"RapidSOS refused the login of user {self._user}"
        log.warning("login.refused", credential=self._name, user=self._user, detail=detail, status=error.status)

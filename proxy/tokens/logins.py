"""What the token calls for all persons of one credential came to, and what is told of one person's.

The rule of this file: a person whom the authorization server does not believe is no failure of the credential.  That it
said so shows that it is there, and takes the client's key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from proxy.tokens import policy
from proxy.tokens.history import History

if TYPE_CHECKING:
    from proxy.errors import FetchError
    from proxy.tokens.answers import ParsedToken
    from proxy.tokens.token import Token

log = structlog.get_logger(__name__)

LONGEST_NAME: Final = 100
"""Characters of a name in the operational log: whoever makes names up must not fill it.  The record has them all."""


class Logins:
    """The calls for all persons of one credential, also for those who have gone.

    Attributes:
        fetches: Calls that have ended.
        failures: Calls that failed, persons who were refused included.
        last_error: Of the last call; None if it brought a token, or refused a person.
        last_error_at: Clock seconds.
        skew_s: The server's clock less ours at the last success that told it.
    """

    def __init__(self) -> None:
        """Begin with nobody."""
        self.fetches = 0
        self.failures = 0
        self.last_error: FetchError | None = None
        self.last_error_at = 0.0
        self.skew_s: float | None = None

    def note_success(self, parsed: ParsedToken) -> None:
        """A call brought a person's token."""
        self.fetches += 1
        self.last_error = None
        self.skew_s = self.skew_s if parsed.skew_s is None else parsed.skew_s

    def note_failure(self, error: FetchError, now: float) -> None:
        """A person's call failed, or refused him."""
        self.fetches += 1
        self.failures += 1
        self.last_error = None if policy.is_person_refused(error, is_person=True) else error
        self.last_error_at = now

    def forget_error(self) -> None:
        """Nobody is here any more who asks again: what went wrong last is no news."""
        self.last_error = None


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

    def note_success(self, token: Token, parsed: ParsedToken, now: float) -> None:
        """See ``History``."""
        super().note_success(token, parsed, now)
        self._logins.note_success(parsed)

    def note_failure(self, error: FetchError, now: float, usable_for_s: float | None) -> None:
        """See ``History``."""
        super().note_failure(error, now, usable_for_s)
        self._logins.note_failure(error, now)

    def _tell(self, error: FetchError, usable_for_s: float | None) -> None:
        """Tell of a mistyped password as such: nobody has to be woken for it, as for a dead key of the agency's."""
        if not policy.is_person_refused(error, is_person=True):
            super()._tell(error, usable_for_s)
            return
        detail = f"RapidSOS refused the login of user {self._user}"
        log.warning("login.refused", credential=self._name, user=self._user, detail=detail, status=error.status)

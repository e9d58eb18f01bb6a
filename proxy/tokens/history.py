"""What the token calls of one credential came to: counted for its status, and told in the operational log.

The rule of this file: recovery is an event just as failure is, and an outage of hours does not write a line a second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from proxy.tokens import policy

if TYPE_CHECKING:
    from proxy.errors import FetchError
    from proxy.tokens.answers import ParsedToken
    from proxy.tokens.token import Token

log = structlog.get_logger(__name__)


class History:
    """The calls of one credential so far.

    Attributes:
        fetches: Calls, the failed ones and the one under way included.
        failures: Calls that failed.
        last_error: Of the last call; None if it succeeded.
        last_error_at: Clock seconds.
        skew_s: The server's clock less ours at the last success that told it.
    """

    def __init__(self, name: str) -> None:
        """Begin with nothing; ``name`` is the credential's."""
        self._name = name
        self._failed_since = 0.0
        self._failed_in_a_row = 0
        self._oddities: set[str] = set()
        self.fetches = 0
        self.failures = 0
        self.last_error: FetchError | None = None
        self.last_error_at = 0.0
        self.skew_s: float | None = None

    def note_begin(self) -> None:
        """A call begins."""
        self.fetches += 1

    def note_stopped(self) -> None:
        """A call was cut short since the source stops: it is counted, and says nothing of the server."""
        self.failures += 1

    def note_success(self, token: Token, parsed: ParsedToken, now: float) -> None:
        """A call brought a token."""
        log.info("token.fetched", credential=self._name, fingerprint=token.fingerprint, life_s=token.life_s)
        self._note_recovery(now)
        for oddity in set(parsed.oddities) - self._oddities:
            log.warning("token.odd_answer_accepted", credential=self._name, oddity=oddity)
            self._oddities.add(oddity)
        if parsed.skew_s is not None:
            self._note_skew(parsed.skew_s)

    def note_adopted(self, token: Token, now: float) -> None:
        """A token came from the store, without a call."""
        age_s = round(now - token.sent_at, 3)
        log.info("token.adopted", credential=self._name, fingerprint=token.fingerprint, age_s=age_s)
        self._note_recovery(now)

    def note_failure(self, error: FetchError, now: float, usable_for_s: float | None) -> None:
        """A call failed.

        Args:
            error: How.
            now: Clock seconds.
            usable_for_s: How long the token in hand still serves; None without one, when requests fail.
        """
        if self.last_error is None:
            self._failed_since = now
        is_news = self.last_error is None or self.last_error.kind != error.kind
        self._failed_in_a_row += 1
        self.failures += 1
        self.last_error = error
        self.last_error_at = now
        # Every failure at first, then ever fewer of the same; each is a record of the traffic log all the same.
        if is_news or error.refused or self._failed_in_a_row.bit_count() == 1:
            self._tell(error, usable_for_s)

    def _note_recovery(self, now: float) -> None:
        if self.last_error is not None:
            outage_s = round(now - self._failed_since, 3)
            log.warning("token.recovered", credential=self._name, failures=self._failed_in_a_row, outage_s=outage_s)
        self._failed_in_a_row = 0
        self.last_error = None

    def _note_skew(self, skew_s: float) -> None:
        """Tell of clocks that are apart, once, and when they agree again."""
        was_apart = self.skew_s is not None and abs(self.skew_s) > policy.SKEW_WARNING_S
        is_apart = abs(skew_s) > policy.SKEW_WARNING_S
        self.skew_s = skew_s
        if is_apart and not was_apart:
            fix = "set this machine's clock (NTP); if it is right, the authorization server's is wrong: tell RapidSOS"
            log.warning("clock.skewed", credential=self._name, skew_s=round(skew_s, 1), fix=fix)
        elif was_apart and not is_apart:
            log.info("clock.agreed", credential=self._name, skew_s=round(skew_s, 1))

    def _tell(self, error: FetchError, usable_for_s: float | None) -> None:
        event = "token.refused" if error.refused else "token.failed"
        # An alarm where people are, or soon will be, without a token until somebody acts.
        tell = log.error if error.refused or usable_for_s is None else log.warning
        tell(
            event,
            credential=self._name,
            kind=error.kind,
            detail=error.detail,
            failures=self._failed_in_a_row,
            usable_for_s=None if usable_for_s is None else round(usable_for_s, 3),
        )

"""What the contract's token policy makes of an authorization server's past.

The rule of this file: the policy's numbers stand here once more, from the contract and not from the product, so that
a change of the product's own shows.  Seconds throughout.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.moody import Call, Minted

LEAST_PAUSE_S = 0.25
EARLIEST_REFRESH, LATEST_REFRESH = 0.475, 0.525
"""Half of the life, with 5 % of jitter."""
LONGEST_BACKOFF_S, LONGEST_RETRY_AFTER_S = 15.0, 60.0
LONGEST_URGENT_BACKOFF_S, LONGEST_URGENT_RETRY_AFTER_S = 1.0, 15.0
"""While no token is valid."""
REFUSED_PAUSE_S = 60.0
FIRST_REMINT_PAUSE_S, LONGEST_REMINT_PAUSE_S = 10.0, 60.0


@dataclass(slots=True)
class Past:
    """The token calls that have ended, and what follows from them.

    Attributes:
        is_person: Whether the credential is a person's, whose refused password is never sent again.
        is_suspect: Whether an upstream has rejected the token in hand, and no call has brought another since.
        is_asked: Whether an operator wants a call, and none has begun since.
        is_forced: Whether he wants it in spite of what the last outcome forbids.
        last: The call that ended last.
    """

    is_person: bool
    is_suspect: bool = False
    is_asked: bool = False
    is_forced: bool = False
    last: Call | None = None
    _forgiven_at: float | None = None
    _is_next_forgiven: bool = False
    _kept: list[Minted] = field(default_factory=list)
    _served_until: float | None = None

    @property
    def is_refused(self) -> bool:
        """Whether the last call found the credential refused, and that is still the one to send."""
        has_refused = self.last is not None and self.last.mood is not None and self.last.mood.is_refusal
        return has_refused and self._forgiven_at is None

    @property
    def has_succeeded(self) -> bool:
        """Whether the last call brought a token that was alive when it came."""
        return self.last is not None and self.last.minted is not None and self._is_alive(self.last)

    def note_end(self, call: Call) -> None:
        """Take note of a call that has ended."""
        self.last = call
        self._forgiven_at = call.ended_at if self._is_next_forgiven else None
        self._is_next_forgiven = False
        if self.has_succeeded:
            self._keep(call.minted)
        self.is_asked = self.is_forced = False
        good = () if self.is_suspect else self.find_usable(call.ended_at)
        self._served_until = max((token.usable_until for token in good), default=None)

    def renew(self, now: float, *, in_flight: bool) -> None:
        """Take note of a new secret: the old one's refusal says nothing any more, nor does one that is on its way."""
        self._is_next_forgiven = in_flight
        if self.is_refused:
            self._forgiven_at = now

    def _keep(self, token: Minted) -> None:
        if token.life_s:
            old = sorted(self._kept, key=lambda one: one.usable_until)
            is_same = bool(old) and token.authorization == old[-1].authorization
            # A rejection, an operator, and a server's last word on a token's life rule out all that came before.
            if self.is_suspect or self.is_asked or is_same:
                old = []
            self._kept = [*(one for one in old if one.authorization != token.authorization), token]
        self.is_suspect = False

    def find_usable(self, now: float) -> list[Minted]:
        """Return the tokens that could serve ``now``; while there is one, nobody waits."""
        return [token for token in self._kept if now < token.usable_until]

    def find_earliest(self, now: float) -> float:
        """Return the earliest moment at which the next call might begin; it does begin ``now``."""
        call = self.last
        if call is None:
            return -math.inf
        if self.is_forced or self._is_forgiven:
            return call.ended_at
        is_served = bool(self.find_usable(now)) and not (self.is_suspect or self.is_asked)
        if self.has_succeeded:
            return max(self._find_refresh(EARLIEST_REFRESH) if is_served else -math.inf, self.find_urgent())
        if self.is_refused and not self._is_vague:
            return math.inf if self.is_person else call.ended_at + REFUSED_PAUSE_S
        longest_s = LONGEST_RETRY_AFTER_S if is_served else LONGEST_URGENT_RETRY_AFTER_S
        return call.ended_at + max(LEAST_PAUSE_S, min(self._asked_s, longest_s))

    def find_latest(self) -> float:
        """Return the latest moment at which the next call has to begin, though nobody waits for it."""
        call, served_until = self.last, self._served_until
        if self.has_succeeded:
            return max(self._find_refresh(LATEST_REFRESH), self.find_urgent())
        if served_until is None or (self.is_refused and not self._is_vague) or self._is_forgiven:
            return self.find_urgent()
        patient = call.ended_at + max(LONGEST_BACKOFF_S, min(self._asked_s, LONGEST_RETRY_AFTER_S))
        return min(patient, max(served_until, self.find_urgent()))

    def find_urgent(self) -> float:
        """Return the latest moment at which the next call has to begin while somebody waits for it."""
        call = self.last
        if self.has_succeeded:
            return call.ended_at + LEAST_PAUSE_S
        if self._is_forgiven:
            return max(call.ended_at + LEAST_PAUSE_S, self._forgiven_at)
        if self.is_refused and not self._is_vague:
            return math.inf if self.is_person else call.ended_at + REFUSED_PAUSE_S
        return call.ended_at + max(LONGEST_URGENT_BACKOFF_S, min(self._asked_s, LONGEST_URGENT_RETRY_AFTER_S))

    @property
    def _is_vague(self) -> bool:
        """Whether a person was refused by a status alone, as any gateway may: it counts as asking for patience."""
        mood = self.last.mood
        return self.is_person and mood is not None and mood.status in {401, 403} and not mood.body

    @property
    def _asked_s(self) -> float:
        """How much patience the last answer asks for."""
        mood = self.last.mood
        if mood is None:
            return 0.0
        return REFUSED_PAUSE_S if mood.is_refusal and self._is_vague else mood.asked_s

    @property
    def _is_forgiven(self) -> bool:
        return self._forgiven_at is not None and self.last.mood is not None and self.last.mood.is_refusal

    def _find_refresh(self, share: float) -> float:
        """Return when a share has passed of the new token's life, or of what was left of one that outlives it."""
        new, ended_at = self.last.minted, self.last.ended_at
        if self._served_until is None:
            return math.inf
        if new.life_s and new.usable_until >= self._served_until:
            return new.sent_at + share * new.life_s
        return ended_at + share * (self._served_until - ended_at)

    @staticmethod
    def _is_alive(call: Call) -> bool:
        return not call.minted.life_s or call.ended_at < call.minted.usable_until

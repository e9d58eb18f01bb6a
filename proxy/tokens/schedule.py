"""When the next token call is due, and whether a rejected token may be replaced.

The rule of this file: pure state machines.  They are told what happened and when, and are asked; they start nothing.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from proxy.tokens import policy

if TYPE_CHECKING:
    from proxy.errors import FetchError
    from proxy.tokens.token import Token


class Schedule:
    """When one credential's next token call is due.

    Attributes:
        due_at: Clock seconds; infinite while a call is under way, and when none is planned.
        failures: Calls that failed since the last success.
        is_refused: Whether the last call found the credential itself refused.
    """

    __slots__ = (
        "_is_person",
        "_is_renewed",
        "_left_at",
        "_not_before",
        "due_at",
        "failures",
        "in_flight",
        "is_refused",
    )

    def __init__(self, *, is_person: bool) -> None:
        """Be due at once: tokens are fetched at start.

        Args:
            is_person: Whether the credential is a person's, whose refused password is never sent again.
        """
        self._is_person = is_person
        self._is_renewed = False
        self._not_before = -math.inf
        self._left_at: float | None = None
        self.due_at = -math.inf
        self.failures = 0
        self.in_flight = False
        self.is_refused = False

    def __repr__(self) -> str:
        """Show the state."""
        return (
            f"<Schedule due_at={self.due_at} in_flight={self.in_flight} failures={self.failures} "
            f"is_refused={self.is_refused}>"
        )

    def send(self) -> None:
        """A call has begun; the next is due when its outcome is known."""
        self.in_flight = True
        self._is_renewed = False
        self.due_at = math.inf

    def leave(self, now: float, good_until: float | None) -> None:
        """Another replica is making the call: look again soon what came of it.

        Args:
            now: Clock seconds.
            good_until: As for ``fail``.
        """
        self.in_flight = False
        self._not_before = now + policy.URGENT_LOOK_S
        if good_until is None:
            self._left_at = now if self._left_at is None else self._left_at
            self.due_at = self._not_before
        else:
            self._left_at = None
            self.due_at = min(now + policy.RELAXED_LOOK_S, max(good_until, self._not_before))

    def is_tired(self, now: float, wait_s: float) -> bool:
        """Return whether people have waited for another replica's call for as long as half of them can bear.

        Args:
            now: Clock seconds.
            wait_s: How long a request waits at most.
        """
        return self._left_at is not None and now - self._left_at >= policy.PATIENCE_SHARE * wait_s

    def succeed(self, now: float, refresh_at: float | None) -> None:
        """A call brought a token.

        Args:
            now: Clock seconds.
            refresh_at: When the token wants replacing; None when it is not kept, and the next call comes only when
                somebody waits for it.
        """
        self.in_flight = False
        self._left_at = None
        self.failures = 0
        self.is_refused = False
        self._not_before = now + policy.SHORTEST_PAUSE_S
        self.due_at = math.inf if refresh_at is None else max(refresh_at, self._not_before)

    def fail(self, now: float, error: FetchError, good_until: float | None, dice: float) -> None:
        """A call failed.

        Args:
            now: Clock seconds.
            error: How.
            good_until: Until when a token serves that nobody suspects; None without one.
            dice: For the jitter.
        """
        self.in_flight = False
        self._left_at = None
        self.failures += 1
        self.is_refused = error.refused and not self._is_renewed
        if error.refused and self._is_renewed:  # what was refused is not what will be sent
            self.due_at = self._not_before = now + policy.SHORTEST_PAUSE_S
            return
        pause = policy.pause_after(error, self.failures, dice, is_person=self._is_person)
        self._not_before = now + pause.urgent_s
        if good_until is None:
            self.due_at = self._not_before
        else:
            # Patience ends with the token in hand: from then on people wait.
            self.due_at = min(now + pause.relaxed_s, max(good_until, self._not_before))

    def renew(self, now: float) -> None:
        """The credential's secret has changed: a refusal, also one that is under way, was of the old one."""
        self._is_renewed = self.in_flight
        self.lift_refusal(now)

    def lift_refusal(self, now: float) -> None:
        """What was refused has changed, or is taken again as another call has shown: forget the refusal."""
        if self.is_refused:
            self.is_refused = False
            self._not_before = now
            self.hasten(now)

    def hasten(self, now: float) -> None:
        """Somebody needs a token: make the next call as soon as the last outcome allows."""
        if not self.in_flight:
            self.due_at = min(self.due_at, max(now, self._not_before))

    def pause_s(self, now: float) -> float:
        """Return for how long the last outcome forbids a call; 0 when one may be made, or is under way."""
        return 0.0 if self.in_flight else max(0.0, self._not_before - now)

    def lift_pause(self, now: float) -> None:
        """Somebody who may decide so wants a call in spite of the last outcome."""
        self._not_before = min(self._not_before, now)


class RemintGuard:
    """Whether a token that an upstream rejected may be replaced now.

    Once, at once.  When the new token is rejected too the cause is not the token, and the next replacement waits; by
    the time a new token has gone unblamed for longer than the longest pause it counts as proved.

    Attributes:
        paused_until: Clock seconds; no rejected token is replaced before.
    """

    __slots__ = ("_minted_at", "_unproved", "_useless", "paused_until")

    def __init__(self) -> None:
        """Allow the first."""
        self.paused_until = -math.inf
        self._minted_at = -math.inf
        self._unproved: str | None = None
        self._useless = 0

    def allows(self, suspect: Token, now: float) -> bool:
        """Return whether ``suspect``, just rejected by an upstream, may be replaced."""
        if now < self.paused_until:
            return False
        if now - max(self._minted_at, self.paused_until) > policy.LONGEST_REMINT_PAUSE_S:
            self._forget()
        if self._unproved is not None and suspect.fingerprint == self._unproved:
            self._unproved = None
            self._useless += 1
            self.paused_until = now + policy.remint_pause(self._useless)
            return False
        return True

    def minted(self, token: Token, now: float) -> None:
        """``token`` took the place of a rejected one."""
        self._unproved = token.fingerprint
        self._minted_at = now

    def prove(self, token: Token) -> None:
        """An upstream took ``token`` where it had rejected the one before."""
        if self._unproved is not None and token.fingerprint == self._unproved:
            self._forget()

    def _forget(self) -> None:
        self._unproved = None
        self._useless = 0

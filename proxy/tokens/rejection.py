"""Whether an upstream's answer says that the token it was sent is dead.

The rule of this file: pure, and by the head alone.  To look into a body would mean to hold it back from the client.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.config.models import DeadToken
    from proxy.http.head import ResponseHead

CHALLENGE = "www-authenticate"
"""RFC 6750, section 3: where a server says ``error="invalid_token"``."""


@dataclass(frozen=True, slots=True)
class Rejections:
    """The answers of a route that make the token sent suspect.

    Attributes:
        statuses: Those of all such answers: any other status needs no second look.
        certain: Those that say so by themselves.
        rules: The others, each with what its challenge must hold, in lower case.
    """

    statuses: frozenset[int]
    certain: frozenset[int]
    rules: tuple[tuple[int, str], ...]

    def is_dead_token(self, head: ResponseHead) -> bool:
        """Return whether an answer says that the token is dead."""
        if head.status in self.certain:
            return True
        challenges = [value.lower() for value in head.all(CHALLENGE)]
        return any(
            head.status == status and any(words in challenge for challenge in challenges)
            for status, words in self.rules
        )


def build_rejections(statuses: Iterable[int], rules: Iterable[DeadToken]) -> Rejections:
    """Build them from a route's ``dead_token_status`` and ``dead_token``."""
    certain = frozenset(statuses)
    pairs = tuple((rule.status, rule.www_authenticate.lower()) for rule in rules)
    return Rejections(certain | {status for status, _ in pairs}, certain, pairs)

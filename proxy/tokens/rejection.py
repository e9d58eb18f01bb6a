"""Whether an upstream's answer says that the token it was sent is dead.

The rule of this file: pure, and the head decides wherever it can.  To look into a body means to hold it back from the
client, so that is done for the statuses alone of which a rule speaks, and no further than ``LOOKED_AT`` bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.config.models import DeadToken
    from proxy.http.framing import BodyReader
    from proxy.http.head import ResponseHead

CHALLENGE = "www-authenticate"
"""RFC 6750, section 3: where a server says ``error="invalid_token"``."""
LOOKED_AT = 4096
"""Bytes of a body; an error that says what it is says so at its beginning."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What an answer must be like; in lower case.

    Attributes:
        challenge: Words that a WWW-Authenticate field must hold; empty for any, or none.
        body: Words that the body must hold near its beginning; empty for any body.
    """

    status: int
    challenge: str
    body: bytes

    def suits(self, head: ResponseHead) -> bool:
        """Return whether the head is as it must be."""
        return head.status == self.status and (
            not self.challenge or any(self.challenge in value.lower() for value in head.all(CHALLENGE))
        )


@dataclass(frozen=True, slots=True)
class Rejections:
    """The answers of a route that make the token sent suspect.

    Attributes:
        statuses: Those of all such answers: any other status needs no second look.
        certain: Those that say so by themselves.
        rules: The others.
    """

    statuses: frozenset[int]
    certain: frozenset[int]
    rules: tuple[Rule, ...]

    def is_dead_token(self, head: ResponseHead) -> bool:
        """Return whether an answer's head alone says that the token is dead."""
        return head.status in self.certain or any(not rule.body and rule.suits(head) for rule in self.rules)

    def find_words(self, head: ResponseHead) -> tuple[bytes, ...]:
        """Return the words, one of which in the body would say so; none where it need not be looked at."""
        return tuple(rule.body for rule in self.rules if rule.body and rule.suits(head))


class BodyLook:
    """A look into the beginning of a body.

    Attributes:
        head: The answer's.
        body: Its reader.
        seen: What has come of the body, all of it held back.
    """

    __slots__ = ("_words", "body", "head", "seen")

    def __init__(self, head: ResponseHead, body: BodyReader, words: tuple[bytes, ...]) -> None:
        """Look for ``words``."""
        self._words = words
        self.head = head
        self.body = body
        self.seen = b""

    def take(self, data: bytes) -> bool:
        """Take more of the body; return whether there is enough of it to decide."""
        self.seen += data
        return self.finds_it or len(self.seen) >= LOOKED_AT or self.body.is_complete

    @property
    def finds_it(self) -> bool:
        """Whether the body says that the token is dead."""
        beginning = self.seen[:LOOKED_AT].lower()
        return any(words in beginning for words in self._words)


def build_rejections(statuses: Iterable[int], rules: Iterable[DeadToken]) -> Rejections:
    """Build them from a route's ``dead_token_status`` and ``dead_token``."""
    certain = frozenset(statuses)
    built = tuple(
        Rule(rule.status, (rule.www_authenticate or "").lower(), (rule.body or "").lower().encode()) for rule in rules
    )
    return Rejections(certain | {rule.status for rule in built}, certain, built)

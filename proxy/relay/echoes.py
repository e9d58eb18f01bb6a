"""What an answer's head tells of a token that went into the query: nothing, once it is here.

A redirect of a server that knows nothing of tokens repeats the query that it was asked with, ours in it.  The client's
side never sees a token, so it is masked; the client that follows gets another one put in.

The rule of this file: heads alone.  Bodies are relayed as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.http.fields import build_section
from proxy.http.head import ResponseHead
from proxy.traffic.live import LiveTokens
from proxy.traffic.redact import Redactions, Redactor, may_have_escapes

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.tokens.token import Token


class Echoes:
    """Keeps the tokens that went into queries from coming back."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Begin with none; ``clock`` gives monotonic seconds."""
        self._tokens = LiveTokens(clock)
        self._redactor = Redactor((), Redactions(), tokens=self._tokens)

    def expect(self, token: Token) -> None:
        """Take note of a token that goes into a query."""
        self._tokens.learn(token.value, token.life_s)

    def hide(self, head: ResponseHead) -> ResponseHead:
        """Return a head in which none of the tokens stands, in any encoding; the same one, if it has none."""
        text = "\n".join((head.reason, *(value for _, value in head.fields)))
        if not may_have_escapes(text) and not self._tokens.is_in(text.encode()):
            return head
        fields = [(name, self._redactor.mask(value)) for name, value in head.fields]
        reason = self._redactor.mask(head.reason)
        if fields == head.fields and reason == head.reason:
            return head
        return ResponseHead(head.minor, build_section(fields), head.size, head.status, reason)

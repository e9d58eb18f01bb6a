"""The request's way to the upstream: its body as it comes, and as much of it as a second try needs.

The rule of this file: what an upstream gets is whole or is seen to be cut, in the framing that the client chose.  A
body is kept for a second try while it is small; of a large one only what the log wants is left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.errors import BodyTooLarge
from proxy.http.framing import LAST_CHUNK, ChunkedBody, build_chunk

if TYPE_CHECKING:
    from proxy.exchange import Exchange
    from proxy.http.framing import BodyReader
    from proxy.relay.answering import ClientSide
    from proxy.relay.relay import Relay
    from proxy.relay.upstream import AnswerTaker, UpstreamConnection


class Asking:
    """One exchange's request.

    Attributes:
        is_chunked: Whether its body is framed in chunks, on both sides.
        is_done: Whether all of it has come from the client.
        is_stalled: Whether the upstream cannot take more of it for now.
    """

    __slots__ = (
        "_body",
        "_client",
        "_connection",
        "_keep",
        "_limits",
        "_log_bytes",
        "is_chunked",
        "is_done",
        "is_stalled",
    )

    def __init__(self, relay: Relay, client: ClientSide, exchange: Exchange, body: BodyReader) -> None:
        """Prepare; ``body`` tells how the request's body is framed."""
        self._limits = relay.limits  # those that it began with, whatever is reloaded
        self._log_bytes = relay.log_bytes
        self._client = client
        self._body = exchange.request_body
        self._connection: UpstreamConnection | None = None
        self._keep = self._limits.replay
        self.is_chunked = isinstance(body, ChunkedBody)
        self.is_done = False
        self.is_stalled = False

    @property
    def is_under_way(self) -> bool:
        """Whether a connection takes the body as it comes."""
        return self._connection is not None

    @property
    def is_at_hand(self) -> bool:
        """Whether the body, as far as it has come, can be sent again."""
        return self._body.is_whole and self._body.total <= self._limits.replay

    def forgo_replay(self) -> None:
        """Keep no more than the log wants: the route sends nothing twice."""
        self._keep = self._log_bytes

    def begin(self, connection: UpstreamConnection, taker: AnswerTaker, method: str, head: bytes) -> None:
        """Send the head and what there is of the body, in one write."""
        self._connection = connection
        self.is_stalled = False
        body = self._body
        data = head + self._frame(body.joined(), last=self.is_done) if body.total or self.is_chunked else head
        connection.begin(taker, method, data, done=self.is_done)
        self._forget_what_is_sent()
        if not (self.is_done or self.is_stalled):
            self._client.resume_reading()

    def take(self, data: bytes, *, done: bool) -> None:
        """Take more of the body, framing removed; ``done`` with the last of it.

        Raises:
            BodyTooLarge: If it grows beyond limits.body.
        """
        self.is_done = done
        body, limits = self._body, self._limits
        if body.total + len(data) > limits.body:
            detail = f"the body is larger than {limits.body} bytes; have the client send less, or raise limits.body"
            raise BodyTooLarge(detail)
        if body.is_whole:
            body.add(data)
        else:
            body.add_up_to(data, self._log_bytes)
        if self._connection is not None:
            self._connection.send(self._frame(data, last=done), done=done)
            self._forget_what_is_sent()
        elif body.kept >= limits.replay and not done:
            self._client.pause_reading()

    def let_go(self) -> None:
        """Send no more of the body to the connection that took it, whatever becomes of that connection."""
        self._connection = None

    def writable(self, *, writable: bool) -> None:
        """Hold the client back while the upstream cannot take more."""
        self.is_stalled = not writable
        if writable:
            self._client.resume_reading()
        else:
            self._client.pause_reading()

    def _frame(self, data: bytes, *, last: bool) -> bytes:
        if not self.is_chunked:
            return data
        framed = build_chunk(data) if data else b""
        return framed + LAST_CHUNK if last else framed

    def _forget_what_is_sent(self) -> None:
        body = self._body
        if body.is_whole and body.kept > self._keep:
            body.trim(self._log_bytes)

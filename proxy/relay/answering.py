"""The answer's way to the client: the upstream's relayed as it comes, or one of our own.

The rule of this file: what the client gets can be read in one way only.  A head leaves once, with the framing that
this client understands; an answer cut short looks cut short; and the head waits for the first of the body, so that
until then the client can still be told in full what went wrong.
"""

from __future__ import annotations

from email.utils import formatdate
from typing import TYPE_CHECKING, Protocol

from proxy.errors import UpstreamProtocol
from proxy.exchange import Body
from proxy.http.framing import LAST_CHUNK, ChunkedBody, CloseBody, build_chunk
from proxy.http.headers import build_client_head, build_interim_head, build_own_head, wants_keep_alive

if TYPE_CHECKING:
    from proxy.exchange import Exchange
    from proxy.http.framing import BodyReader
    from proxy.http.head import ResponseHead
    from proxy.http.problem import Answer
    from proxy.relay.relay import Relay

MOST_INTERIM = 32
"""1xx answers to one request; real servers send one or two, an endless run of them would hold the client for ever."""
SWITCHING_PROTOCOLS = 101


class ClientSide(Protocol):
    """What an exchange needs of the client's connection."""

    def send(self, data: bytes) -> None:
        """Send bytes to the client."""
        ...

    def pause_reading(self) -> None:
        """Let the request's body wait in the kernel."""
        ...

    def resume_reading(self) -> None:
        """Go on with the request's body."""
        ...

    def count_waiting(self) -> int:
        """Return how many bytes the client has been sent and has not taken."""
        ...

    def took_some(self) -> bool:
        """Return whether the client has taken any of its answer since this was last asked."""
        ...

    def exchange_over(self, *, keep_alive: bool) -> None:
        """The exchange has ended; the connection serves the next request, or closes."""
        ...

    def cut(self, *, reset: bool) -> None:
        """Close so that the client sees a broken answer; ``reset`` where a mere close would look complete."""
        ...


class Answering:
    """One exchange's answer.

    Attributes:
        has_begun: Whether the upstream's final head has come; it may still wait for its body.
    """

    __slots__ = (
        "_client",
        "_ends_by_close",
        "_exchange",
        "_head",
        "_interim",
        "_is_chunked",
        "_minor",
        "_relay",
        "_wants_keep_alive",
        "has_begun",
    )

    def __init__(self, relay: Relay, client: ClientSide, exchange: Exchange) -> None:
        """Answer ``client``."""
        request = exchange.request
        self._relay = relay
        self._client = client
        self._exchange = exchange
        self._minor = 1 if request is None else request.minor
        self._wants_keep_alive = request is not None and wants_keep_alive(request)
        self._interim = 0
        self._head = b""
        self._is_chunked = False
        self._ends_by_close = False
        self.has_begun = False

    @property
    def is_under_way(self) -> bool:
        """Whether the client has seen a part of the upstream's answer."""
        return self.has_begun and not self._head

    def keeps_alive(self, *, request_done: bool) -> bool:
        """Return whether the client's connection can carry another exchange after this one."""
        return request_done and self._wants_keep_alive and not self._ends_by_close and not self._relay.is_draining

    def close_after(self) -> None:
        """Let this be the connection's last exchange; the client is told, if its answer has not begun."""
        self._wants_keep_alive = False

    def take_interim(self, head: ResponseHead) -> None:
        """Relay a 1xx (RFC 9110, section 15.2); HTTP/1.0 clients know none.

        Raises:
            UpstreamProtocol: If it is one that nobody asked for, or one too many.
        """
        self._interim += 1
        if head.status == SWITCHING_PROTOCOLS:
            detail = f"the upstream switched protocols without being asked to; {UpstreamProtocol.step}"
            raise UpstreamProtocol(detail)
        if self._interim > MOST_INTERIM:
            detail = f"the upstream sent more than {MOST_INTERIM} interim answers; {UpstreamProtocol.step}"
            raise UpstreamProtocol(detail)
        if self._minor:
            self._client.send(build_interim_head(head))

    def take_head(self, head: ResponseHead, body: BodyReader, *, request_done: bool) -> None:
        """Take the upstream's final head.

        A client that is still sending its request is told that the connection closes: nobody could say where the
        next request begins.
        """
        if isinstance(body, ChunkedBody | CloseBody):
            self._is_chunked = self._minor == 1
            self._ends_by_close = not self._is_chunked
        self.has_begun = True
        self._exchange.response = head
        self._head = build_client_head(
            head,
            self._relay.pseudonym,
            chunked=self._is_chunked,
            connection=self._connection_field(request_done=request_done),
            date=None if "date" in head.section.names else formatdate(self._relay.wall_clock(), usegmt=True),
        )

    def take_body(self, data: bytes) -> None:
        """Relay body bytes, which may be none, with the head before the first of them."""
        if data:
            self._exchange.response_body.add_up_to(data, self._relay.log_bytes)
            if self._is_chunked:
                data = build_chunk(data)
        if self._head:
            data = self._head + data
            self._head = b""
        if data:
            self._client.send(data)

    def end(self) -> None:
        """The upstream's answer is whole."""
        if self._is_chunked:
            self._client.send(LAST_CHUNK)

    def cut(self, *, reset: bool = False) -> None:
        """Break off what is under way; ``reset`` where the client is to get no more of what waits for it."""
        self._client.cut(reset=reset or self._ends_by_close)

    def send_own(self, answer: Answer, *, request_done: bool) -> None:
        """Send an answer of the proxy's own, in place of one whose head the client has not seen."""
        exchange = self._exchange
        exchange.response = answer.head
        exchange.response_body = Body()
        exchange.response_body.add(answer.body)
        data = build_own_head(answer.head, connection=self._connection_field(request_done=request_done))
        without_body = exchange.request is not None and exchange.request.method == "HEAD"
        self._client.send(data if without_body else data + answer.body)

    def send_connected(self, answer: Answer) -> None:
        """Send the answer that opens a tunnel: the connection goes on, whatever the client's version says of it."""
        self._exchange.response = answer.head
        self._client.send(build_own_head(answer.head, connection=None))

    def _connection_field(self, *, request_done: bool) -> str | None:
        if not self.keeps_alive(request_done=request_done):
            return "close"
        return None if self._minor else "keep-alive"

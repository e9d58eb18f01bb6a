"""One connection of the doctor's, which is the relay's own kind: a question, its answer, the end.

The rule of this file: what is asked changes nothing at the other side, and of the answer no more is read than is
needed to judge it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from proxy.relay.upstream import UpstreamConnection

if TYPE_CHECKING:
    import ssl

    from proxy.config.models import Limits
    from proxy.errors import ExchangeError
    from proxy.http.framing import BodyReader
    from proxy.http.head import ResponseHead
    from proxy.relay.turn import Turn

MOST_BODY_BYTES = 4096
"""Of an answer: an error of RapidSOS's gateway is a few hundred."""


@dataclass(frozen=True, slots=True)
class Handshake:
    """What TLS has agreed on.

    Attributes:
        version: ``TLSv1.3``.
        certificate: Of the server, in DER form; empty when it showed none.
    """

    version: str
    certificate: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of an upstream.

    Attributes:
        date: Value of Date, None without one.
        is_page: Whether it is a web page, which no API sends.
        body: Its beginning.
    """

    status: int
    date: str | None
    is_page: bool
    body: bytes


class Line(UpstreamConnection):
    """A connection that keeps what its TLS has agreed on.

    Attributes:
        handshake: None over plain TCP.
    """

    def __init__(self, turn: Turn, limits: Limits) -> None:
        """Read no more of a head than the relay would."""
        super().__init__(_Nobody(), turn, limits.head, limits.fields)
        self.handshake: Handshake | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Look at the TLS, if there is some."""
        super().connection_made(transport)
        tls = cast("ssl.SSLObject | None", transport.get_extra_info("ssl_object"))
        if tls is not None:
            self.handshake = Handshake(tls.version() or "", tls.getpeercert(binary_form=True) or b"")

    async def ask(self, method: str, data: bytes) -> Reply:
        """Send a request without a body, and wait for its answer.

        Raises:
            ExchangeError: If the answer is no HTTP, or not whole.
        """
        answer = _Answer()
        self.begin(answer, method, data, done=True)
        return await answer.reply


class _Answer:
    """Takes one answer; more of its body than is wanted counts as all of it."""

    def __init__(self) -> None:
        self.reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._head: ResponseHead | None = None
        self._body = b""

    def answer_interim(self, _head: ResponseHead) -> None:
        """Wait for the final one."""

    def answer_head(self, head: ResponseHead, _body: BodyReader) -> None:
        self._head = head

    def answer_body(self, data: bytes) -> None:
        self._body += data
        if len(self._body) >= MOST_BODY_BYTES:
            self.answer_done()

    def answer_done(self) -> None:
        head = self._head
        if head is None or self.reply.done():
            return
        kinds = head.all("content-type")
        is_page = bool(kinds) and kinds[0].lower().startswith("text/html")
        date = next(iter(head.all("date")), None)
        self.reply.set_result(Reply(head.status, date, is_page, self._body[:MOST_BODY_BYTES]))

    def answer_failed(self, error: ExchangeError) -> None:
        if not self.reply.done():
            self.reply.set_exception(error)

    def upstream_writable(self, *, writable: bool) -> None:
        """Go on: the request is a few hundred bytes."""


class _Nobody:
    """Keeps no connection."""

    def put_back(self, connection: UpstreamConnection) -> None:
        connection.close()

    def forget(self, connection: UpstreamConnection) -> None:
        """There is nothing to forget."""

"""The way of requests and answers through the proxy, from bytes to bytes, without a socket.

The rule of this file: it calls what the relay calls (relay/client.py, relay/asking.py, relay/upstream.py,
relay/answering.py), in the same order, and decides nothing itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING

from proxy.config.models import Limits, Listener, Match, Route
from proxy.errors import ClientError, UpstreamProtocol
from proxy.http.admission import Admission
from proxy.http.framing import (
    LAST_CHUNK,
    NO_BODY,
    ChunkedBody,
    CloseBody,
    build_chunk,
    request_body,
    response_body,
)
from proxy.http.head import HEAD_END, check_unfinished_answer, parse_request_head, parse_response_head
from proxy.http.headers import build_client_head, build_interim_head, build_upstream_head
from proxy.http.scan import HeadScanner
from proxy.routing.table import RouteTable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.http.framing import BodyReader
    from proxy.http.head import RequestHead, ResponseHead

LISTENER = Listener(name="cad", bind="127.0.0.1:8080")
UPSTREAM_HOST = "api.example"
AUTHORIZATION = "Bearer t0k3n"
PSEUDONYM = "rapidsos-proxy"
CLIENT = ip_address("127.0.0.1")
LIMITS = Limits(head=2048, line=1024)
SWITCHING_PROTOCOLS = 101
FIRST_FINAL_STATUS = 200


def _build_route(name: str, strip: str, **match: str) -> Route:
    return Route(name=name, match=Match(**match), upstream=f"https://{UPSTREAM_HOST}", credential="core", strip=strip)


ROUTES = RouteTable([_build_route("ingress", "/ingress", path="/ingress/"), _build_route("all", "")], [LISTENER])
ADMISSION = Admission(
    names=["cad"], routed_hosts=[UPSTREAM_HOST], allow_origins=["https://cad.example"], pseudonym=PSEUDONYM
)


@dataclass
class Passed:
    """A request, and what of it goes on.

    Attributes:
        path: As the route leaves it.
        sent: The bytes that the upstream gets.
        is_whole: Whether its end has come.
    """

    head: RequestHead
    path: str
    body: bytes = b""
    sent: bytes = b""
    is_whole: bool = False


@dataclass
class RequestPassage:
    """One client's connection.

    Attributes:
        passed: The requests that went on.
        error: What ended the connection; None while it lives.
    """

    passed: list[Passed] = field(default_factory=list)
    error: ClientError | None = None
    _buffer: bytes = b""
    _body: BodyReader = NO_BODY
    _scanner: HeadScanner = field(default_factory=lambda: HeadScanner(LIMITS))

    def feed(self, data: bytes) -> None:
        """Take bytes from the client."""
        if self.error is not None:
            return
        try:
            if not self._body.is_complete:
                data = self._take_body(data)
            data = self._buffer + data
            while data:
                data = self._scanner.skip_empty_lines(data)
                end = self._scanner.find_end(data)
                if end < 0:
                    break
                self._take_head(parse_request_head(data[:end]))
                data = self._take_body(data[end:])
                if not self._body.is_complete:
                    break
            self._buffer = data
        except ClientError as error:
            self.error = error

    def _take_head(self, head: RequestHead) -> None:
        body = request_body(head)
        target = ADMISSION.admit(head)
        matched = ROUTES.match(LISTENER.name, head, target, CLIENT)
        is_chunked = isinstance(body, ChunkedBody)
        built = build_upstream_head(head, matched.path, UPSTREAM_HOST, AUTHORIZATION, PSEUDONYM, chunked=is_chunked)
        self._body = body
        self.passed.append(Passed(head, matched.path, sent=built))

    def _take_body(self, data: bytes) -> bytes:
        """Take body bytes; return what lies behind the request."""
        body, passed = self._body, self.passed[-1]
        payload, rest = body.feed(data)
        passed.body += payload
        if isinstance(body, ChunkedBody):
            passed.sent += build_chunk(payload) if payload else b""
            passed.sent += LAST_CHUNK if body.is_complete else b""
        else:
            passed.sent += payload
        passed.is_whole = body.is_complete
        return rest


@dataclass
class AnswerPassage:
    """The answer to one request.

    Attributes:
        method: Of that request.
        minor: Of the client's HTTP.
        interim: The 1xx that went on.
        head: The final head; None before it has come.
        sent: The bytes that the client gets of the final answer.
        rest: What the upstream has sent behind it.
        error: What ended it; None while it goes well.
    """

    method: str
    minor: int
    interim: list[bytes] = field(default_factory=list)
    head: ResponseHead | None = None
    body: bytes = b""
    sent: bytes = b""
    rest: bytes = b""
    is_whole: bool = False
    is_chunked: bool = False
    ends_by_close: bool = False
    error: UpstreamProtocol | None = None
    _buffer: bytes = b""
    _body: BodyReader = NO_BODY

    def feed(self, data: bytes) -> None:
        """Take bytes from the upstream."""
        if self.error is not None:
            return
        try:
            if self.head is None:
                data = self._take_heads(data)
            if self.head is not None and not self.is_whole:
                data = self._take_body(data)
            self.rest += data
        except UpstreamProtocol as error:
            self.error = error

    def feed_eof(self) -> None:
        """Take the end of the upstream's connection."""
        if self.error is None and self.head is not None and not self.is_whole:
            self._body.feed_eof()
            self._end_if_whole()

    def _take_heads(self, data: bytes) -> bytes:
        start = max(0, len(self._buffer) - 3)
        data, self._buffer = self._buffer + data, b""
        while self.head is None:
            end = data.find(HEAD_END, start)
            if end < 0:
                check_unfinished_answer(data, start)
                self._buffer = data
                return b""
            self._take_head(parse_response_head(data[: end + 4]))
            data, start = data[end + 4 :], 0
        return data

    def _take_head(self, head: ResponseHead) -> None:
        if head.status == SWITCHING_PROTOCOLS:
            detail = "nobody asked for it"
            raise UpstreamProtocol(detail)
        if head.status < FIRST_FINAL_STATUS:
            self.interim.append(build_interim_head(head))
            return
        self._body = body = response_body(self.method, head)
        self.head = head
        if isinstance(body, ChunkedBody | CloseBody):
            self.is_chunked = self.minor == 1
            self.ends_by_close = not self.is_chunked
        connection = "close" if self.ends_by_close else None
        self.sent = build_client_head(head, PSEUDONYM, chunked=self.is_chunked, connection=connection)

    def _take_body(self, data: bytes) -> bytes:
        payload, rest = self._body.feed(data)
        self.body += payload
        self.sent += build_chunk(payload) if payload and self.is_chunked else payload
        self._end_if_whole()
        return rest

    def _end_if_whole(self) -> None:
        if self._body.is_complete:
            self.is_whole = True
            self.sent += LAST_CHUNK if self.is_chunked else b""


def pass_requests(pieces: Iterable[bytes]) -> RequestPassage:
    """Return what becomes of what a client sends in pieces."""
    passage = RequestPassage()
    for piece in pieces:
        passage.feed(piece)
    return passage


def pass_answer(method: str, minor: int, pieces: Iterable[bytes], *, eof: bool = False) -> AnswerPassage:
    """Return what becomes of what an upstream sends in pieces, and then closes if ``eof``."""
    passage = AnswerPassage(method, minor)
    for piece in pieces:
        passage.feed(piece)
    if eof:
        passage.feed_eof()
    return passage

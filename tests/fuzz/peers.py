"""How other parsers read the same bytes: httptools (llhttp), aiohttp's C parser, h11.

The rule of this file: it asks them and judges nothing.  A parser that refuses before it has read a whole message gives
None: whoever refuses cannot be misled.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import h11
import httptools
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParser, HttpResponseParser

if TYPE_CHECKING:
    from collections.abc import Callable

MOST = 1 << 20
"""Bytes of a line, a field and a head that the others are to take, since it is not their limits that are looked at."""


@dataclass
class Message:
    """A message as somebody reads it.

    Attributes:
        first: Method and target, or the status.
        fields: Name in lower case, value.
        is_whole: Whether its end has been seen.
    """

    first: tuple[bytes, ...]
    fields: list[tuple[bytes, bytes]]
    body: bytes = b""
    is_whole: bool = False


Reading = list[Message] | None


@dataclass
class _Noted:
    """What httptools has called back with."""

    parser: Any = None
    target: bytes = b""
    fields: list[tuple[bytes, bytes]] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)

    def on_message_begin(self) -> None:
        """Take the beginning of a message."""
        self.target, self.fields = b"", []

    def on_url(self, url: bytes) -> None:
        """Take a part of the target."""
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one field line; llhttp leaves the white space behind a value to its user."""
        self.fields.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        """Take the end of a head."""
        is_request = isinstance(self.parser, httptools.HttpRequestParser)
        first = (self.parser.get_method(), self.target) if is_request else (b"%d" % self.parser.get_status_code(),)
        self.messages.append(Message(first, list(self.fields)))

    def on_body(self, data: bytes) -> None:
        """Take a part of a body."""
        self.messages[-1].body += data

    def on_message_complete(self) -> None:
        """Take the end of a message."""
        self.messages[-1].is_whole = True


def _read_with_httptools(build: Callable[[Any], Any], data: bytes) -> Reading:
    noted = _Noted()
    noted.parser = build(noted)
    try:
        noted.parser.feed_data(data)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        return noted.messages if any(message.is_whole for message in noted.messages) else None
    return noted.messages


@lru_cache(maxsize=1)
def _protocol() -> BaseProtocol:
    """Give what aiohttp's parser wants beside the bytes; nothing ever runs on that loop."""
    loop = asyncio.new_event_loop()
    loop.close()
    return BaseProtocol(loop)


def _read_with_aiohttp(parser: Any, data: bytes, *, is_request: bool) -> Reading:
    try:
        heads = parser.feed_data(data)[0]
    except HttpProcessingError:
        return None
    with contextlib.suppress(Exception):
        parser.feed_eof()
    messages = []
    for head, payload in heads:
        first = (
            (head.method.encode(), head.path.encode("utf-8", "surrogateescape")) if is_request else (b"%d" % head.code,)
        )
        fields = [(name.lower(), value) for name, value in head.raw_headers]
        body = b"".join(getattr(payload, "_buffer", ()))
        is_whole = payload.is_eof() and payload.exception() is None
        messages.append(Message(first, fields, body, is_whole))
    return messages


def _read_with_h11(connection: h11.Connection, data: bytes) -> Reading:
    """Read messages up to the end of a final one; what is left behind it stands for what follows."""
    connection.receive_data(data)
    messages: list[Message] = []
    try:
        while (event := connection.next_event()) is not h11.NEED_DATA:
            _note_event(messages, event)
            if isinstance(event, h11.EndOfMessage):
                break
    except h11.RemoteProtocolError:
        return None
    is_over = bool(messages) and messages[-1].is_whole and connection.their_state is not h11.SEND_RESPONSE
    rest = connection.trailing_data[0] if is_over else b""
    return [*messages, Message((rest,), [])] if rest else messages


def _note_event(messages: list[Message], event: Any) -> None:
    match event:
        case h11.Request():
            messages.append(Message((event.method, event.target), list(event.headers)))
        case h11.Response() | h11.InformationalResponse():
            is_interim = isinstance(event, h11.InformationalResponse)
            messages.append(Message((b"%d" % event.status_code,), list(event.headers), is_whole=is_interim))
        case h11.Data():
            messages[-1].body += bytes(event.data)
        case h11.EndOfMessage():
            messages[-1].is_whole = True


def read_requests(data: bytes) -> dict[str, Reading]:
    """Return the requests that each of them reads; of what follows the first, h11 gives the bytes alone."""
    limits = {"max_line_size": MOST, "max_headers": MOST, "max_field_size": MOST}
    protocol = _protocol()
    aiohttp_parser = HttpRequestParser(protocol, protocol._loop, MOST, auto_decompress=False, **limits)
    return {
        "httptools": _read_with_httptools(httptools.HttpRequestParser, data),
        "aiohttp": _read_with_aiohttp(aiohttp_parser, data, is_request=True),
        "h11": _read_with_h11(h11.Connection(h11.SERVER, max_incomplete_event_size=MOST), data),
    }


def read_answers(method: bytes, data: bytes) -> dict[str, Reading]:
    """Return the answers that each of them reads where one to ``method`` is due; httptools knows no HEAD."""
    limits = {"max_line_size": MOST, "max_headers": MOST, "max_field_size": MOST}
    protocol = _protocol()
    without_body = method == b"HEAD"
    aiohttp_parser = HttpResponseParser(
        protocol,
        protocol._loop,
        MOST,
        auto_decompress=False,
        response_with_body=not without_body,
        read_until_eof=True,
        **limits,
    )
    client = h11.Connection(h11.CLIENT, max_incomplete_event_size=MOST)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
    client.send(h11.EndOfMessage())
    readings = {
        "aiohttp": _read_with_aiohttp(aiohttp_parser, data, is_request=False),
        "h11": _read_with_h11(client, data),
    }
    if not without_body:
        readings["httptools"] = _read_with_httptools(httptools.HttpResponseParser, data)
    return readings

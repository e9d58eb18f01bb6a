"""Fields on their way through: what is taken out, what is put in, and the head that leaves (RFC 9110, section 7.6).

The rule of this file: what the proxy itself decides (Host, Authorization, framing, Via) is written after everything
a peer named in Connection is gone, so that ``Connection: Authorization`` cannot strip the token.  All else keeps its
order, its case and its duplicates.

Towards the upstream we are a gateway, not a mere proxy: replacing Authorization is our purpose (RFC 9110, 11.6.2).
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.http.head import RequestHead, ResponseHead

HOP_BY_HOP = frozenset(
    {
        "connection",
        "http2-settings",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""RFC 9110, section 7.6.1; ``Trailer`` too, since trailers are dropped (framing.py)."""
NOT_TO_UPSTREAM = HOP_BY_HOP | {"authorization", "forwarded", "host"}
"""And ``X-Forwarded-*``: a legacy client has nothing true to say there, and the site's inside is not RapidSOS's
business.  Host is written anew."""
PLAIN_OPTIONS = frozenset({"close", "keep-alive"})
"""Connection options that name no field which another rule does not take out already."""
FRAMING = frozenset({"content-length"})
"""Never taken out because Connection names it: the body would lose its end."""


_NUMBER = re.compile(r"[1-9][0-9]{0,8}")


class _PassesUpstream(dict[str, bool]):
    """Whether a field called so goes to the upstream; asked once a name, then looked up."""

    MOST = 2048

    def __missing__(self, lower: str) -> bool:
        passes = lower not in NOT_TO_UPSTREAM and not lower.startswith("x-forwarded-")
        if len(self) < self.MOST:
            self[lower] = passes
        return passes


_passes_upstream = _PassesUpstream()


_NO_OPTIONS: frozenset[str] = frozenset()


def connection_options(head: RequestHead | ResponseHead) -> frozenset[str]:
    """Return the options of every Connection field, in lower case (RFC 9110, section 7.6.1)."""
    names = head.names
    if "connection" not in names:
        return _NO_OPTIONS
    if names.count("connection") == 1:
        return _parse_options(head.fields[names.index("connection")][1])
    return _parse_options(",".join(head.all("connection")))


@lru_cache(maxsize=256)
def _parse_options(value: str) -> frozenset[str]:
    """Parse one Connection field; nearly all are ``close`` or ``keep-alive``."""
    return frozenset(option.strip(" \t").lower() for option in value.split(",")) - {""}


def wants_keep_alive(head: RequestHead) -> bool:
    """Return whether the client's connection may carry another request (RFC 9112, section 9.3)."""
    options = connection_options(head)
    if "close" in options:
        return False
    return head.minor == 1 or "keep-alive" in options


def allows_reuse(head: ResponseHead) -> bool:
    """Return whether the upstream's connection may carry another request.

    HTTP/1.0 with keep-alive would be allowed to; such a peer is not worth the risk.
    """
    return head.minor == 1 and "close" not in connection_options(head)


def build_upstream_head(
    head: RequestHead, path: str, host: str, authorization: str, via: str, *, chunked: bool
) -> bytes:
    """Build the head that goes to the upstream.

    Args:
        head: As received from the client.
        path: Path and query, byte for byte as the route leaves them.
        host: Value of Host.
        authorization: Value of Authorization; the client's own never passes.
        via: Our pseudonym (RFC 9110, section 7.6.3).
        chunked: Whether the body is framed in chunks; otherwise its Content-Length, if any, is passed on.
    """
    named = connection_options(head) - FRAMING
    if head.method == "OPTIONS" and "max-forwards" in head.names:
        head = _decrement_max_forwards(head)
    lines = [f"{head.method} {path} HTTP/1.1\r\nHost: {host}"]
    lines += [
        wire for wire, name in zip(head.wires, head.names, strict=True) if _passes_upstream[name] and name not in named
    ]
    if chunked:
        lines.append("Transfer-Encoding: chunked")
    lines.append(f"Via: 1.{head.minor} {via}\r\nAuthorization: {authorization}\r\n\r\n")
    return "\r\n".join(lines).encode("latin-1")


def _decrement_max_forwards(head: RequestHead) -> RequestHead:
    """Count one hop down (RFC 9110, section 7.6.2); a value that is no number stays as it is."""
    wires = [
        f"{name}: {int(value) - 1}" if lower == "max-forwards" and _NUMBER.fullmatch(value) else f"{name}: {value}"
        for (name, value), lower in zip(head.fields, head.names, strict=True)
    ]
    return replace(head, wires=wires)


def build_client_head(head: ResponseHead, via: str, *, chunked: bool, connection: str | None) -> bytes:
    """Build the head that goes to the client.

    Args:
        head: As received from the upstream.
        via: Our pseudonym.
        chunked: Whether the body is framed in chunks.
        connection: Value of Connection, None for no such field.
    """
    dropped = HOP_BY_HOP
    options = connection_options(head)
    if not options <= PLAIN_OPTIONS:
        dropped |= options - FRAMING
    if head.status == 204:  # noqa: PLR2004 (RFC 9110, section 8.6: a 204 must not have a length, and some clients wait for it)
        dropped |= FRAMING
    lines = [f"HTTP/1.1 {head.status} {head.reason}"]
    lines += [wire for wire, name in zip(head.wires, head.names, strict=True) if name not in dropped]
    lines.append(f"Via: 1.{head.minor} {via}")
    return _join(lines, chunked=chunked, connection=connection)


def build_own_head(head: ResponseHead, *, connection: str | None) -> bytes:
    """Build the head of an answer of the proxy's own."""
    lines = [f"HTTP/1.1 {head.status} {head.reason}", *head.wires]
    return _join(lines, chunked=False, connection=connection)


def build_interim_head(head: ResponseHead) -> bytes:
    """Build a 1xx on its way to the client (RFC 9110, section 15.2)."""
    lines = [f"HTTP/1.1 {head.status} {head.reason}"]
    dropped = HOP_BY_HOP | FRAMING | connection_options(head)
    lines += [wire for wire, name in zip(head.wires, head.names, strict=True) if name not in dropped]
    return _join(lines, chunked=False, connection=None)


def _join(lines: list[str], *, chunked: bool, connection: str | None) -> bytes:
    if chunked:
        lines.append("Transfer-Encoding: chunked")
    if connection is not None:
        lines.append(f"Connection: {connection}")
    lines.append("\r\n")
    return "\r\n".join(lines).encode("latin-1")

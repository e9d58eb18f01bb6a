"""Fields on their way through: what is taken out, what is put in, and the head that leaves (RFC 9110, section 7.6).

The rule of this file: what the proxy itself decides (Host, Authorization, framing, Via) is written after everything
a peer named in Connection is gone, so that ``Connection: Authorization`` cannot strip the token.  All else keeps its
order, its case and its duplicates.

Towards the upstream we are a gateway, not a mere proxy: replacing Authorization is our purpose (RFC 9110, 11.6.2).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from proxy.http.fields import build_section

if TYPE_CHECKING:
    from collections.abc import Container

    from proxy.http.fields import FieldSection
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
NOT_TO_UPSTREAM = HOP_BY_HOP | {
    "authorization",
    "content_length",
    "forwarded",
    "host",
    "true-client-ip",
    "x-client-ip",
    "x-host",
    "x-http-host-override",
    "x-original-host",
    "x-original-uri",
    "x-original-url",
    "x-real-ip",
    "x-rewrite-url",
}
"""And ``X-Forwarded-*``.  Host is written anew.  Who the client is, a legacy client has nothing true to say about, and
the site's inside is not RapidSOS's business.  A URL or a host in a field would lead frameworks that heed it (Symfony,
Zend, ASP.NET behind ARR) elsewhere than the route we matched and logged.  Each is taken out with ``_`` for ``-`` too,
since CGI and its heirs make the same variable of both.  Method overrides stay: without its field, a DELETE would be
done as a POST; a route that asks for methods reads them (routing/table.py)."""
METHOD_OVERRIDES = frozenset({"x-http-method", "x-http-method-override", "x-method-override"})
"""Another method than the request line has, for servers that heed it."""
FRAMING = frozenset({"content-length"})
"""Never taken out because Connection names it: the body would lose its end."""
NO_CONTENT = 204
"""Has no length (RFC 9110, section 8.6), and some clients would wait for what one announces."""


_MAX_FORWARDS = re.compile(r"(?im)^(max-forwards: )0*([1-9][0-9]{0,8})\r\n")


def connection_options(section: FieldSection) -> frozenset[str]:
    """Return the options of every Connection field, in lower case (RFC 9110, section 7.6.1)."""
    options = ",".join(section.all("connection")).split(",")
    return frozenset(option.strip(" \t").lower() for option in options) - {""}


def wants_keep_alive(head: RequestHead) -> bool:
    """Return whether the client's connection may carry another request (RFC 9112, section 9.3)."""
    options = head.section.derive(connection_options)
    if "close" in options:
        return False
    return head.minor == 1 or "keep-alive" in options


def allows_reuse(head: ResponseHead) -> bool:
    """Return whether the upstream's connection may carry another request.

    HTTP/1.0 with keep-alive would be allowed to; such a peer is not worth the risk.
    """
    return head.minor == 1 and "close" not in head.section.derive(connection_options)


def without_field(head: RequestHead, name: str) -> RequestHead:
    """Return a head that lacks the fields of a name in lower case, and their underscore twins, as CGI reads both."""
    section = head.section
    twin = name.replace("_", "-")
    kept = [
        field for field, lower in zip(section.fields, section.names, strict=True) if lower.replace("_", "-") != twin
    ]
    return head.with_section(build_section(kept))


def build_upstream_head(
    head: RequestHead, path: str, host: str, authorization: str | None, via: str, *, chunked: bool
) -> bytes:
    """Build the head that goes to the upstream.

    Args:
        head: As received from the client.
        path: Path and query, byte for byte as the route leaves them.
        host: Value of Host.
        authorization: Value of Authorization, None where the token is elsewhere; the client's own never passes.
        via: Our pseudonym (RFC 9110, section 7.6.3).
        chunked: Whether the body is framed in chunks; otherwise its Content-Length, if any, is passed on.
    """
    lines = head.section.derive(_lines_to_upstream if head.minor else _lines_of_an_old_client)
    if head.method == "OPTIONS" and "max-forwards" in head.names:
        lines = _MAX_FORWARDS.sub(_count_down, lines)
    coding = "Transfer-Encoding: chunked\r\n" if chunked else ""
    proof = "" if authorization is None else f"Authorization: {authorization}\r\n"
    return (
        f"{head.method} {path} HTTP/1.1\r\nHost: {host}\r\n{lines}{coding}Via: 1.{head.minor} {via}\r\n{proof}\r\n"
    ).encode("latin-1")


def _lines_to_upstream(section: FieldSection) -> str:
    return _join(section, _not_to_upstream(section))


def _lines_of_an_old_client(section: FieldSection) -> str:
    """Leave out Expect as well: in HTTP/1.0 it means nothing (RFC 9110, section 10.1.1), and we send HTTP/1.1 on."""
    return _join(section, _not_to_upstream(section) | {"expect"})


def _not_to_upstream(section: FieldSection) -> frozenset[str]:
    return (connection_options(section) - FRAMING) | {name for name in section.names if _is_ours_to_say(name)}


def _is_ours_to_say(name: str) -> bool:
    twin = name.replace("_", "-")
    return name in NOT_TO_UPSTREAM or twin in NOT_TO_UPSTREAM or twin.startswith("x-forwarded-")


def _count_down(match: re.Match[str]) -> str:
    """Count one hop down (RFC 9110, section 7.6.2); zero is answered by us, and what is no number stays as it is."""
    return f"{match[1]}{int(match[2]) - 1}\r\n"


def build_client_head(
    head: ResponseHead, via: str, *, chunked: bool, connection: str | None, date: str | None = None
) -> bytes:
    """Build the head that goes to the client.

    Args:
        head: As received from the upstream.
        via: Our pseudonym.
        chunked: Whether the body is framed in chunks.
        connection: Value of Connection, None for no such field.
        date: Value of Date where the upstream has sent none; whoever forwards such an answer must add it (RFC 9110,
            section 6.6.1).
    """
    lines = head.section.derive(_lines_to_client if head.status != NO_CONTENT else _lines_without_length)
    coding = "Transfer-Encoding: chunked\r\n" if chunked else ""
    closing = "" if connection is None else f"Connection: {connection}\r\n"
    if date is not None:
        lines += f"Date: {date}\r\n"
    return (
        f"HTTP/1.1 {head.status} {head.reason}\r\n{lines}Via: 1.{head.minor} {via}\r\n{coding}{closing}\r\n"
    ).encode("latin-1")


def _lines_to_client(section: FieldSection) -> str:
    return _join(section, HOP_BY_HOP | (connection_options(section) - FRAMING))


def _lines_without_length(section: FieldSection) -> str:
    return _join(section, HOP_BY_HOP | connection_options(section) | FRAMING)


def build_own_head(head: ResponseHead, *, connection: str | None) -> bytes:
    """Build the head of an answer of the proxy's own."""
    closing = "" if connection is None else f"Connection: {connection}\r\n"
    return f"HTTP/1.1 {head.status} {head.reason}\r\n{_join(head.section, ())}{closing}\r\n".encode("latin-1")


def build_interim_head(head: ResponseHead) -> bytes:
    """Build a 1xx on its way to the client (RFC 9110, section 15.2)."""
    lines = head.section.derive(_lines_without_length)
    return f"HTTP/1.1 {head.status} {head.reason}\r\n{lines}\r\n".encode("latin-1")


def _join(section: FieldSection, dropped: Container[str]) -> str:
    """Write the lines of a section again, without those of some names."""
    return "".join(
        f"{name}: {value}\r\n"
        for (name, value), lower in zip(section.fields, section.names, strict=True)
        if lower not in dropped
    )

"""The proxy's own answers: problem documents, and OPTIONS that ends here.

The rule of this file: whatever a detail holds, the answer stays well-formed; and it asks for a login only where a
route takes one, since any other client has none to give.

``type`` is ``urn:rapidsos-auth-proxy:error:`` and the error's slug.  It names the kind of the problem for good and
cannot be fetched (RFC 9457, section 3.1.1).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from proxy.errors import ClientLogin, MethodNotAllowed
from proxy.http.admission import ALLOWED_METHODS
from proxy.http.fields import Fields, build_section
from proxy.http.head import ResponseHead

if TYPE_CHECKING:
    from proxy.errors import ExchangeError
    from proxy.http.head import RequestHead
    from proxy.http.targets import Target

TYPE_PREFIX: Final = "urn:rapidsos-auth-proxy:error:"
PROXY_NAME: Final = "rapidsos-proxy"
"""Our name in Proxy-Status."""
LONGEST_DETAILS = 256
"""Characters of a detail in Proxy-Status; the document has all of it."""
_ALLOW: Final = ("Allow", ", ".join(ALLOWED_METHODS))
_CHALLENGE: Final = ("WWW-Authenticate", 'Basic realm="RapidSOS", charset="UTF-8"')
"""RFC 7617, section 2."""
_ZERO = re.compile(r"0+")
_NOT_IN_STRING = re.compile(r"[^ -~]")


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the proxy's own; to a HEAD request its head alone is sent."""

    head: ResponseHead
    body: bytes


def build_problem(error: ExchangeError, exchange_id: str, *, now: float) -> Answer:
    """Build the problem document that ends an exchange (RFC 9457).

    Args:
        error: Its status, slug, title and detail are what the client is told.
        exchange_id: By which the exchange is found in the traffic log.
        now: Wall time, in seconds since the epoch.
    """
    document = {
        "type": f"{TYPE_PREFIX}{error.slug}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "exchange_id": exchange_id,
    }
    fields = [
        ("Content-Type", "application/problem+json"),
        ("Proxy-Status", _build_proxy_status(error)),
        ("X-Content-Type-Options", "nosniff"),
    ]
    if error.retry_after_s is not None:
        fields.append(("Retry-After", str(error.retry_after_s)))
    if isinstance(error, MethodNotAllowed):
        fields.append(("Allow", ", ".join(error.allow)) if error.allow else _ALLOW)  # RFC 9110, section 15.5.6
    if isinstance(error, ClientLogin):
        fields.append(_CHALLENGE)
    # Escaped to ASCII: a detail may quote what no UTF-8 encoder takes.
    return build_answer(error.status, fields, json.dumps(document).encode("ascii"), now)


def is_answered_here(head: RequestHead, target: Target) -> bool:
    """Return whether an OPTIONS request asks for the proxy itself.

    That is ``OPTIONS *`` sent to us, and any with ``Max-Forwards: 0`` (RFC 9110, section 7.6.2).
    """
    if head.method != "OPTIONS":
        return False
    return target.form == "asterisk" or any(_ZERO.fullmatch(value) for value in head.all("max-forwards"))


def build_options_answer(*, now: float) -> Answer:
    """Build the answer to such a request (RFC 9110, section 9.3.7).

    Args:
        now: Wall time, in seconds since the epoch.
    """
    return build_answer(HTTPStatus.OK, [_ALLOW], b"", now)


def build_connect_answer(*, now: float) -> Answer:
    """Build the answer to a CONNECT; what follows it is no body, so nothing says how long it is (RFC 9110, 9.3.6).

    Args:
        now: Wall time, in seconds since the epoch.
    """
    reason = "Connection Established"
    fields = [("Date", formatdate(now, usegmt=True))]
    size = len(f"HTTP/1.1 200 {reason}\r\n") + sum(len(f"{name}: {value}\r\n") for name, value in fields) + len("\r\n")
    return Answer(ResponseHead(1, build_section(fields), size, HTTPStatus.OK, reason), b"")


def build_answer(status: int, fields: Fields, body: bytes, now: float) -> Answer:
    """Build an answer with the fields that all of ours have, and those of its own."""
    fields = [
        ("Date", formatdate(now, usegmt=True)),
        *fields,
        ("Cache-Control", "no-store"),
        ("Content-Length", str(len(body))),
    ]
    reason = HTTPStatus(status).phrase
    line = len(f"HTTP/1.1 {status} {reason}\r\n")
    size = line + sum(len(name) + len(value) + len(": \r\n") for name, value in fields) + len("\r\n")
    return Answer(ResponseHead(1, build_section(fields), size, status, reason), body)


def _build_proxy_status(error: ExchangeError) -> str:
    """Build a Proxy-Status of one member (RFC 9209, section 2)."""
    return f"{PROXY_NAME}; error={error.proxy_status}; details={_build_string(error.detail[:LONGEST_DETAILS])}"


def _build_string(text: str) -> str:
    r"""Build a String of RFC 8941, section 3.3.3: visible ASCII and SP, ``"`` and ``\`` escaped; all else is ``?``."""
    return '"' + _NOT_IN_STRING.sub("?", text).replace("\\", r"\\").replace('"', r"\"") + '"'

"""What a request is for: its target and its Host, read as one URI (RFC 9112, sections 3.2 and 3.3).

The rule of this file: syntax alone.  Whether a host may be asked for is admission.py's to say, where a path leads the
route table's.  Path and query are never decoded, normalised or encoded: they leave as they came.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NoReturn

from proxy.errors import Malformed
from proxy.http.authority import DEFAULT_PORTS, Authority, parse_authority

if TYPE_CHECKING:
    from proxy.http.fields import FieldSection

Form = Literal["origin", "absolute", "asterisk", "authority"]

_ABSOLUTE = re.compile(r"([A-Za-z][0-9A-Za-z+.-]*)://([^/?]*)(.*)")


@dataclass(slots=True, init=False)  # one is made for each request; see exchange.py
class Target:
    """The target URI of one request.

    Attributes:
        form: How the client wrote it.
        scheme: ``http`` or ``https``, of the absolute form alone.
        host: The effective host: the absolute form's own, else the Host field's; in lower case, without brackets.
            None when an HTTP/1.0 client named none.
        port: The port written beside that host, or None.
        path: Path and query, byte for byte.  It begins with ``/``, or is ``*`` for OPTIONS of a whole server, or is
            empty for CONNECT.
    """

    form: Form
    scheme: str | None
    host: str | None
    port: int | None
    path: str

    def __init__(self, form: Form, scheme: str | None, host: str | None, port: int | None, path: str) -> None:
        """Take what was read."""
        self.form: Form = form
        self.scheme = scheme
        self.host = host
        self.port = port
        self.path = path


def parse_host(section: FieldSection) -> Authority | None:
    """Parse the Host field (RFC 9110, section 7.2).

    Returns:
        None when there is none.

    Raises:
        Malformed: If there is more than one, or one that is not a host with an optional port; a server must answer
            each of these with 400 (RFC 9112, section 3.2).
    """
    values = section.all("host")
    if len(values) > 1:
        _refuse("there is more than one Host field")
    return _read_authority(values[0], "Host") if values else None


def parse_target(method: str, target: str, host: Authority | None = None) -> Target:
    """Parse a request target, and complete it with the Host field (RFC 9112, section 3.3).

    Args:
        method: It decides which forms are allowed: ``*`` is for OPTIONS, ``host:port`` for CONNECT.
        target: As received; visible ASCII.
        host: The Host field; the absolute form's own authority wins over it (RFC 9112, section 3.2.2).

    Raises:
        Malformed: If it has none of the four forms, or one that the method does not have.
    """
    if "#" in target:
        _refuse("a request target has no fragment", "write # as %23 in the client's URL")
    if method == "CONNECT":
        return _parse_authority_form(target)
    if target.startswith("/"):
        return _complete("origin", target, host)
    if target == "*":
        if method != "OPTIONS":
            _refuse("the target * is for OPTIONS alone")
        return _complete("asterisk", target, host)
    return _parse_absolute_form(method, target)


def _complete(form: Form, path: str, host: Authority | None) -> Target:
    if host is None:
        return Target(form, None, None, None, path)
    return Target(form, None, host.host, host.port, path)


def _parse_absolute_form(method: str, target: str) -> Target:
    match = _ABSOLUTE.fullmatch(target)
    if match is None:
        _refuse("the request target is neither a path, which begins with /, nor a URL, which begins with http://")
    scheme, authority, path = match[1].lower(), match[2], match[3]
    if scheme not in DEFAULT_PORTS:
        _refuse("only http:// and https:// targets are forwarded", "correct the client's URL")
    host = _read_authority(authority, "the request target")
    if not path:
        # RFC 9112, section 3.2.4: OPTIONS of a URL without a path asks for the server as a whole.
        path = "*" if method == "OPTIONS" else "/"
    elif path[0] == "?":
        path = f"/{path}"
    return Target("absolute", scheme, host.host, host.port, path)


def _parse_authority_form(target: str) -> Target:
    host = _read_authority(target, "the target of CONNECT")
    if host.port is None:
        _refuse("the target of CONNECT is host:port")
    return Target("authority", None, host.host, host.port, "")


def _read_authority(text: str, where: str) -> Authority:
    try:
        return parse_authority(text)
    except ValueError as error:
        detail = f"{where}: {error}; correct the client's URL"
        raise Malformed(detail) from None


def _refuse(what: str, step: str = Malformed.step) -> NoReturn:
    detail = f"{what}; {step}"
    raise Malformed(detail)

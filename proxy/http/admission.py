"""Who may be asked for, and by whom: what a listener refuses before it looks for a route.

The rule of this file: it protects the centre from its own browsers and from mistakes.  A web page that a dispatcher
has open must not reach RapidSOS through us, be it by a cross-site request or by a DNS name that its owner has pointed
at us (rebinding); a request for a foreign host must not be sent anywhere; one that is going round must stop.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from proxy.errors import CrossSite, Loop, Malformed, MethodNotAllowed, TargetNotAllowed, WrongHost
from proxy.http.authority import DEFAULT_PORTS, Authority, is_address, parse_authority
from proxy.http.targets import Target, parse_host, parse_target

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.http.fields import FieldSection
    from proxy.http.head import RequestHead

ALLOWED_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
"""For the Allow field; other methods are forwarded as well, except these two."""
REFUSED_METHODS: Final = {
    "CONNECT": "the client asks for a tunnel (CONNECT), and no token can be put into a tunnel; change https:// to "
    "http:// in the client's RapidSOS URLs, or set intercept = true on the listener",
    "TRACE": "TRACE is not forwarded, since its answer would show the token to the client; have the client, or the "
    "scanner, use another method",
}
"""With what the client is told.  TRACE would echo the token (RFC 9110, section 9.3.8)."""

_NO_HOST = f"an HTTP/1.1 request has exactly one Host field; {Malformed.step}"
_ORIGIN = re.compile(r"(https?)://([^/?#]+)", re.IGNORECASE)
_COMMENT = re.compile(r"\([^()]*\)")
MOST_NESTED_COMMENTS = 8
_TELLING = frozenset({"origin", "sec-fetch-site", "via"})


@dataclass(slots=True)
class _Seen:
    """What the fields of a request tell.

    Attributes:
        host: None without a Host field.
        is_own: Whether the host may be asked for in origin-form.
        is_plain: Whether no field tells of a web page or of another proxy.
    """

    host: Authority | None
    is_own: bool
    is_plain: bool


class Admission:
    """The rules of one listener."""

    def __init__(
        self,
        *,
        names: Iterable[str],
        routed_hosts: Iterable[str],
        allow_origins: Iterable[str],
        pseudonym: str,
        trusts_local_names: bool = True,
        intercepts: bool = False,
    ) -> None:
        """Keep what the rules compare with.

        Args:
            names: The listener's ``names``, and those of the machine itself.
            routed_hosts: Hosts that this listener's routes name.
            allow_origins: Web origins whose pages may send requests here, ``https://cad.example``.
            pseudonym: Our name in Via.
            trusts_local_names: Whether any single label and any local name is ours. Public DNS never answers one, but a
                neighbour on the network can (mDNS, LLMNR), so where a login is to be had they are not.
            intercepts: Whether CONNECT to a routed host is allowed.
        """
        self._trusts_local_names = trusts_local_names
        self._intercepts = intercepts
        self._routed = frozenset(host.lower() for host in routed_hosts)
        self._own = frozenset(name.lower() for name in names) | self._routed
        self._origins = frozenset(origin.lower() for origin in allow_origins)
        self._pseudonym = pseudonym
        self._look = self._look_at  # bound once: FieldSection.derive keeps what it finds under it

    def admit(self, head: RequestHead) -> Target:
        """Read what ``head`` asks for, if it may.

        Raises:
            MethodNotAllowed: For TRACE, and for CONNECT unless the listener intercepts.
            Malformed: If the target or the Host field is.
            TargetNotAllowed: If the host of CONNECT, or of an absolute-form target, is not a routed one.
            WrongHost: If Host could be a rebound DNS name.
            CrossSite: If a web page of another origin speaks.
            Loop: If the request has been here before.
        """
        if head.method in REFUSED_METHODS:
            return self._admit_connect(head)
        seen = head.section.derive(self._look)
        host = seen.host
        if host is None and head.minor == 1:
            raise Malformed(_NO_HOST)
        target = parse_target(head.method, head.target, host)
        if target.form == "absolute":
            self._check_target(target)
        elif host is not None and not seen.is_own:
            detail = f'Host is {host.host}; to allow it, set names = ["{host.host}"] on the listener'
            raise WrongHost(detail)
        if not seen.is_plain:
            self._check_sender(head, target)
        return target

    def _admit_connect(self, head: RequestHead) -> Target:
        """Read which host a CONNECT asks for; its own target wins over Host, which some clients fill in otherwise."""
        if head.method != "CONNECT" or not self._intercepts:
            raise MethodNotAllowed(REFUSED_METHODS[head.method])
        if head.section.derive(self._look).host is None and head.minor == 1:
            raise Malformed(_NO_HOST)
        if "transfer-encoding" in head.names or any(value.strip("0") for value in head.all("content-length")):
            detail = f"CONNECT has no body (RFC 9110, section 9.3.6); {Malformed.step}"
            raise Malformed(detail)
        target = parse_target(head.method, head.target)
        self._check_target(target)
        self._check_sender(head, target)
        return target

    def _look_at(self, section: FieldSection) -> _Seen:
        """Look at what does not hang on the target; once for a section that repeats."""
        host = parse_host(section)
        is_own = host is not None and self._is_own(host)
        return _Seen(host, is_own, is_plain=_TELLING.isdisjoint(section.names))

    def _is_own(self, host: Authority) -> bool:
        is_safe = host.is_local if self._trusts_local_names else is_address(host.host)
        return is_safe or host.host in self._own

    def _check_sender(self, head: RequestHead, target: Target) -> None:
        """Refuse foreign web pages, and what has been here before."""
        self._check_site(head, target)
        if has_own_via(head, self._pseudonym):
            detail = (
                "Via names this proxy, so it is its own upstream; "
                "correct what its machine resolves the upstream's name to, or set addresses on the route"
            )
            raise Loop(detail)

    def _check_target(self, target: Target) -> None:
        """Allow routed hosts alone; the port does not count, since it is the route that says where to go."""
        if target.host not in self._routed:
            detail = f'no route names {target.host}; to allow it, add a route with match = {{ host = "{target.host}" }}'
            raise TargetNotAllowed(detail)

    def _check_site(self, head: RequestHead, target: Target) -> None:
        origins = head.all("origin")
        foreign = [origin for origin in origins if not self._is_welcome(origin, target)]
        if foreign:
            detail = f"Origin is {foreign[0]}; to allow it, add it to allow_origins on the listener"
            raise CrossSite(detail)
        if not origins and any(value.lower() == "cross-site" for value in head.all("sec-fetch-site")):
            detail = (
                "Sec-Fetch-Site is cross-site, without an Origin; have the page send one, and add it to allow_origins"
            )
            raise CrossSite(detail)

    def _is_welcome(self, origin: str, target: Target) -> bool:
        return origin.lower() in self._origins or is_same_origin(origin, target)


def check_tunnelled(target: Target, host: str) -> None:
    """Hold a request to the host that its client has asked a tunnel for.

    One that names none is for that host: the tunnel names it.

    Raises:
        WrongHost: If it is for another (RFC 9110, section 7.4).
    """
    if target.host is None:
        target.host = host
    elif target.host != host:
        detail = f"the tunnel is to {host}, and the request in it for {target.host}; have the client ask for one each"
        raise WrongHost(detail)


def is_same_origin(origin: str, target: Target) -> bool:
    """Return whether ``origin`` (RFC 6454, section 7) has the authority that the request was sent to.

    ``null``, a list, and anything unreadable are foreign.  The scheme counts only for the port that it implies:
    whether TLS was taken off before us is not known here.
    """
    match = _ORIGIN.fullmatch(origin)
    if match is None:
        return False
    try:
        sender = parse_authority(match[2])
    except ValueError:
        return False
    default = DEFAULT_PORTS[match[1].lower()]
    return sender.host == target.host and (sender.port or default) == (target.port or default)


def has_own_via(head: RequestHead, pseudonym: str) -> bool:
    """Return whether a Via field names ``pseudonym`` as a recipient (RFC 9110, section 7.6.3)."""
    own = pseudonym.lower()
    return any(own in value.lower() and own in _via_recipients(value) for value in head.all("via"))


def _via_recipients(value: str) -> set[str]:
    """Return the second word of each entry, in lower case, comments left out."""
    for _ in range(MOST_NESTED_COMMENTS):
        value, count = _COMMENT.subn(" ", value)
        if not count:
            break
    return {words[1].lower() for entry in value.split(",") if len(words := entry.split()) > 1}

"""URLs of a configuration, and what their hosts tell."""

from __future__ import annotations

from dataclasses import dataclass

from proxy.http.authority import DEFAULT_PORTS, is_loopback, parse_authority

_RAPIDSOS = ".rapidsos.com"


@dataclass(frozen=True, slots=True)
class URL:
    """An http or https URL without a login.

    Attributes:
        host: Lower case, without brackets.
        port: Always a number.
        rest: Path and query.
    """

    scheme: str
    host: str
    port: int
    rest: str

    @property
    def is_loopback(self) -> bool:
        """Whether what is sent there stays on this machine."""
        return is_loopback(self.host)


def parse_url(text: str) -> URL:
    """Parse a URL.

    Raises:
        ValueError: If it is anything else; the message is for people, and does not quote a login.
    """
    scheme, _, rest = text.partition("://")
    scheme = scheme.lower()
    if scheme not in DEFAULT_PORTS:
        message = "it does not begin with https://"
        raise ValueError(message)
    if not rest.isprintable() or " " in rest or "#" in rest:
        message = "it has a space, a # or an invisible character"
        raise ValueError(message)
    end = min((place for mark in "/?" if (place := rest.find(mark)) >= 0), default=len(rest))
    authority = parse_authority(rest[:end])
    return URL(scheme, authority.host, authority.port or DEFAULT_PORTS[scheme], rest[end:] or "/")


def tell_environment(url: str | None) -> str | None:
    """Return which RapidSOS environment a URL belongs to; None when its host is not RapidSOS's own."""
    try:
        host = parse_url(url or "").host
    except ValueError:
        return None
    if not host.endswith(_RAPIDSOS):
        return None
    return next((name for name in ("sandbox", "staging") if f"-{name}." in host), "production")

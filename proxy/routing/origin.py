"""Where a URL of the configuration leads: scheme, host and port (RFC 6454, section 4).

The rule of this file: no message quotes a URL, since it may hold a login.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from proxy.http.authority import DEFAULT_PORTS, build_authority, is_loopback, parse_authority

_URL = re.compile(r"(https?)://([^/?]*)(.*)", re.IGNORECASE | re.DOTALL)
_BARE = re.compile(r"https?://[^/?#]*/?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Origin:
    """An upstream, a proxy or a server; hashable, so that a pool can be looked up by it.

    Attributes:
        scheme: ``http`` or ``https``.
        host: Lower case, without brackets.
        port: Always a number.
    """

    scheme: str
    host: str
    port: int

    @property
    def host_field(self) -> str:
        """The value of Host: the port is left out where the scheme implies it (RFC 9110, section 4.2.3)."""
        return build_authority(self.host, None if self.port == DEFAULT_PORTS[self.scheme] else self.port)

    @property
    def is_loopback(self) -> bool:
        """Whether what is sent there stays on this machine."""
        return is_loopback(self.host)

    def __str__(self) -> str:
        """Return it as a URL without a path."""
        return f"{self.scheme}://{self.host_field}"


def parse_origin(url: str) -> Origin:
    """Parse a URL that is an origin and no more; one ``/`` may follow the host.

    Raises:
        ValueError: If it is not http or https, or has a user name, path, query or fragment; the message says so.
    """
    if _BARE.fullmatch(url) is None:
        message = "an upstream is https://host or https://host:port, without path, query or fragment"
        raise ValueError(message)
    return parse_url_origin(url)


def parse_url_origin(url: str) -> Origin:
    """Parse the origin of a URL that may have a path and a query.

    Raises:
        ValueError: If it is not http or https, has a user name or a fragment, or is not printable; the message says so.
    """
    match = _URL.fullmatch(url)
    if match is None:
        message = "it does not begin with https://"
        raise ValueError(message)
    scheme = match[1].lower()
    authority = parse_authority(match[2])
    if not url.isprintable() or " " in url or "#" in url:
        message = "it has a space, a # or an invisible character"
        raise ValueError(message)
    return Origin(scheme, authority.host, authority.port or DEFAULT_PORTS[scheme])

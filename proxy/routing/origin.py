"""Where a route leads: scheme, host and port of an upstream (RFC 6454, section 4)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from proxy.http.authority import DEFAULT_PORTS, build_authority, parse_authority

_URL = re.compile(r"(https?)://([^/?#]*)/?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Origin:
    """An upstream; hashable, so that a pool can be looked up by it.

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

    def __str__(self) -> str:
        """Return it as a URL without a path."""
        return f"{self.scheme}://{self.host_field}"


def parse_origin(url: str) -> Origin:
    """Parse an upstream's URL; one ``/`` may follow the host.

    Raises:
        ValueError: If it is not http or https, or has a user name, path, query or fragment; the message says so.
    """
    match = _URL.fullmatch(url)
    if match is None:
        message = "an upstream is https://host or https://host:port, without path, query or fragment"
        raise ValueError(message)
    scheme = match[1].lower()
    authority = parse_authority(match[2])
    return Origin(scheme, authority.host, authority.port or DEFAULT_PORTS[scheme])

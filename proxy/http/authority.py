"""Hosts and ports as they stand in targets, Host fields and web origins (RFC 3986, section 3.2).

The rule of this file: only what every parser reads alike is a host.  Letters, digits, ``-``, ``_`` and dots, or an IP
address; RFC 3986 would also allow percent-encoding and ``!$&'()*+,;=``, which no host of this world has.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

_LABEL = r"[0-9A-Za-z_](?:[0-9A-Za-z_-]{0,61}[0-9A-Za-z_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
_PARTS = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:@]+))(?::([0-9]*))?")
LONGEST_NAME = 253
"""RFC 1035, section 2.3.4, without the final dot."""
MOST_PORT = 65_535
DEFAULT_PORTS: Final = {"http": 80, "https": 443}
IPV6_SHARE: Final = 64
"""Bits of an IPv6 address that tell a network; the rest is one machine's to choose (RFC 4291, section 2.5.1)."""

LOCAL_SUFFIXES = (".localhost", ".local", ".home.arpa", ".internal")
"""Names that public DNS never answers, so no page of the Internet can have one: RFC 6761, RFC 6762, RFC 8375, and
``.internal``, which ICANN has set aside for private use."""


@dataclass(frozen=True, slots=True)
class Authority:
    """A host and, where one is written, a port.

    Attributes:
        host: Lower case, without brackets and without a final dot.
        port: None when none is written.
        is_local: Whether no rebound DNS name can look like it: an address, a single label, a local name.
    """

    host: str
    port: int | None
    is_local: bool


@lru_cache(maxsize=1024)
def parse_authority(text: str) -> Authority:
    """Parse ``host`` or ``host:port``; an IPv6 address stands in brackets.

    The last thousand are remembered, since each request brings one and nearly all bring the same.

    Raises:
        ValueError: If it is anything else; the message is a sentence for the client.
    """
    match = _PARTS.fullmatch(text)
    if match is None:
        raise ValueError(_why_not(text))
    literal, name, port = match.groups()
    if literal is not None:
        return Authority(_parse_ipv6(literal), _parse_port(port), is_local=True)
    if _NAME.fullmatch(name) is None or len(name.rstrip(".")) > LONGEST_NAME:
        raise ValueError(_why_not(name))
    host = name.lower().removesuffix(".")
    return Authority(host, _parse_port(port), is_local_name(host))


def is_address(host: str) -> bool:
    """Return whether ``host`` is an IP address, written without brackets."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Return whether what is sent to ``host`` stays on this machine."""
    return ip_address(host).is_loopback if is_address(host) else host == "localhost"


@lru_cache(maxsize=1024)
def find_share(address: str) -> str:
    """Return what one client is counted by: its IPv4 address, or the IPv6 network that it can choose addresses from."""
    client = ip_address(address.partition("%")[0])
    if isinstance(client, IPv4Address):
        return address
    if client.ipv4_mapped is not None:
        return str(client.ipv4_mapped)
    return str(IPv6Network((client, IPV6_SHARE), strict=False))


def is_local_name(host: str) -> bool:
    """Return whether ``host``, in lower case, is an address or a name that public DNS never answers."""
    return "." not in host or host.endswith(LOCAL_SUFFIXES) or is_address(host)


def build_authority(host: str, port: int | None) -> str:
    """Build ``host:port``, with the brackets that an IPv6 address needs."""
    name = f"[{host}]" if ":" in host else host
    return name if port is None else f"{name}:{port}"


def _parse_ipv6(literal: str) -> str:
    try:
        return str(IPv6Address(literal))
    except ValueError:
        message = "what stands in brackets is not an IPv6 address"
        raise ValueError(message) from None


def _parse_port(port: str | None) -> int | None:
    """Read a port; an empty one is none (RFC 3986, section 3.2.3)."""
    if not port:
        return None
    number = int(port) if len(port) <= len(str(MOST_PORT)) else 0
    if not 1 <= number <= MOST_PORT:
        message = f"a port is a number from 1 to {MOST_PORT}"
        raise ValueError(message)
    return number


def _why_not(text: str) -> str:
    if not text.partition(":")[0] and not text.startswith("::"):
        return "the host is empty"
    if "@" in text:
        return "a user name or password before the host is not allowed"
    if not text.isascii():
        return "a host outside ASCII must be written in its xn-- form"
    if "%" in text:
        return "a host must not be percent-encoded"
    return "the host is not a name, an IPv4 address or an IPv6 address in brackets"

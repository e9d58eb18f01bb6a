"""Which addresses a name may lead to: public ones, and none where the proxy itself listens.

A name may be pointed anywhere by whoever answers our DNS, and behind us are the centre's own machines.

The rule of this file: it judges what a packet would reach in the end.  An IPv6 address that carries an IPv4 address
is judged by that where a network may carry it on rightly, and refused where only tricks are left of the form.  A
network's own NAT64 prefix (RFC 6052, section 2.2) cannot be told from any other address; its operator answers for it.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, Final

from proxy.errors import UpstreamRefused

if TYPE_CHECKING:
    from collections.abc import Collection

    from proxy.config.units import Address, SocketAddress

IPV4_MAPPED: Final = IPv6Network("::ffff:0:0/96")
"""RFC 4291, section 2.5.5.2: the system connects to the IPv4 address within."""
NAT64: Final = IPv6Network("64:ff9b::/96")
"""RFC 6052, section 2.1: how a network without IPv4 reaches IPv4 hosts, RapidSOS among them."""
GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
"""RFC 4291, section 2.4, and IANA's registry: nothing outside is given to anybody.

So these are refused: ``::/96`` (IPv4-compatible), ``::ffff:0:0:0/96`` (SIIT), ``64:ff9b:1::/48`` (local NAT64, whose
IPv4 address may stand anywhere in it), ``5f00::/16``, ``fc00::/7``, ``fe80::/10``, ``fec0::/10``, ``ff00::/8``.
"""
NOT_PUBLIC: Final = (
    IPv4Network("192.0.0.0/24"),  # RFC 6890: protocols' own; a cloud's metadata is at 192.0.0.192
    IPv4Network("192.88.99.0/24"),  # RFC 7526: relays of 6to4
    IPv4Network("224.0.0.0/4"),  # RFC 5771: multicast
    IPv4Network("168.63.129.16/32"),  # a public address that Azure answers on the machine's own host
    IPv6Network("2001::/23"),  # RFC 2928: protocols' own, Teredo (RFC 4380) and benchmarking among them
    IPv6Network("2001:db8::/32"),  # RFC 3849: documentation
    IPv6Network("2002::/16"),  # RFC 3056: 6to4
    IPv6Network("3fff::/20"),  # RFC 9637: documentation
)
"""Beside what Python's ``is_global`` knows, which differs from one version to the next."""


def check_address(
    host: str, address: str, port: int, listeners: Collection[SocketAddress], *, allow_private: bool
) -> None:
    """Let an address that ``host`` resolves to be dialled.

    Args:
        host: The upstream's name.
        address: What DNS says of it.
        port: The upstream's.
        listeners: Where the proxy itself listens.
        allow_private: Whether the route lets the name lead to an address that is not public.

    Raises:
        UpstreamRefused: If it may not; with the next step.
    """
    ip = ip_address(address.partition("%")[0])
    target = find_target(ip)
    shown = str(target) if target == ip else f"{ip}, which leads to {target}"
    if is_listener(target, port, listeners):
        detail = f"{host} resolves to the proxy itself ({shown}); point it at RapidSOS in the proxy's own DNS"
        raise UpstreamRefused(detail)
    if not allow_private and not is_public(target):
        detail = f"{host} resolves to {shown}, not a public address; set addresses or allow_private on the route"
        raise UpstreamRefused(detail)


def find_target(ip: Address) -> Address:
    """Return the address that ``ip`` stands for: the IPv4 one that it carries rightly, or itself."""
    if isinstance(ip, IPv6Address) and (ip in IPV4_MAPPED or ip in NAT64):
        return IPv4Address(ip.packed[-4:])
    return ip


def is_listener(ip: Address, port: int, listeners: Collection[SocketAddress]) -> bool:
    """Return whether a connection to ``ip`` and ``port`` would come back to the proxy.

    Any loopback address counts, since it may be an alias, and the unspecified one, since it leads to this machine.
    """
    return any(
        port == listener.port and (ip.is_loopback or ip.is_unspecified or ip == listener.address)
        for listener in listeners
    )


def is_public(ip: Address) -> bool:
    """Return whether ``ip`` is a host of the public Internet, and carries no other address."""
    if isinstance(ip, IPv6Address) and ip not in GLOBAL_UNICAST:
        return False
    return ip.is_global and not any(ip in network for network in NOT_PUBLIC)

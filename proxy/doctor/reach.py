"""The way to one host, link by link: name, TCP connection, the corporate proxy's tunnel, TLS.

The rule of this file: one dial by the dialler that `serve` uses decides; all else is for saying what is wrong.
"""

from __future__ import annotations

import errno
import re
from typing import TYPE_CHECKING

from proxy.doctor.check import Result
from proxy.doctor.finding import Cause, Place, Whose, skip
from proxy.doctor.handshake import explain_tls, judge_tls
from proxy.errors import UpstreamDNS, UpstreamError, UpstreamRefused, UpstreamTimeout, UpstreamTLS
from proxy.http.authority import build_authority, is_address, is_loopback
from proxy.relay.dial import Destination, Phases

if TYPE_CHECKING:
    from proxy.doctor.finding import Finding
    from proxy.doctor.instruments import Instruments
    from proxy.routing.origin import Origin

DNS, TCP, TUNNEL, TLS = Place("dns"), Place("tcp"), Place("tunnel"), Place("tls")
PROXY_SAID = re.compile(r"it said ([0-9]{3})\b")
NO_WAY = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN})
LOGIN_NEEDED = "407"
"""RFC 9110, section 15.5.8."""


def list_places(*, is_tunnelled: bool) -> tuple[Place, ...]:
    """List the links on the way to a host."""
    return (TUNNEL, TLS) if is_tunnelled else (DNS, TCP, TLS)


async def check_reach(destination: Destination, instruments: Instruments, *_: object) -> Result:
    """Dial a destination once, and tell of each link."""
    phases = Phases()
    is_tunnelled = instruments.is_tunnelled(destination.origin.host)
    places = list_places(is_tunnelled=is_tunnelled)
    try:
        line = await instruments.dial(destination, phases)
    except UpstreamError as error:
        place = find_broken(error, phases, is_tunnelled=is_tunnelled)
        at = places.index(place)
        before = await _tell_held(destination, phases, places[:at], "", instruments)
        broken = await _explain(place, error, destination, instruments)
        after = skip(places[at + 1 :], Cause(f"{place.link} ({_name(destination.origin)})"))
        return Result((*before, broken, *after))
    line.abandon()
    held_findings = await _tell_held(destination, phases, places[:-1], line.address, instruments)
    tls = judge_tls(destination.origin, line.handshake, instruments.wall())
    return Result((*held_findings, tls), value=destination)


async def check_corporate_proxy(proxy: Origin, instruments: Instruments) -> Result:
    """Look whether the corporate proxy can be reached; whether it opens tunnels is seen host by host."""
    phases = Phases()
    destination = Destination(proxy, allow_private=True)
    try:
        line = await instruments.dial_nearby(destination, phases)
    except UpstreamError as error:
        if find_broken(error, phases, is_tunnelled=False) is DNS:
            findings = (explain_proxy(DNS, error), *skip((TCP,), Cause(f"dns ({proxy})")))
        else:
            findings = (DNS.ok(_describe_name(destination, "")), explain_proxy(TCP, error))
        return Result(findings)
    line.abandon()
    return Result(
        tuple(await _tell_held(destination, phases, (DNS, TCP), line.address, instruments)), value=destination
    )


def explain_proxy(place: Place, error: UpstreamError) -> Finding:
    """Say why the corporate proxy cannot be reached."""
    fix = "check outbound.proxy with whoever runs the centre's proxy: its name, its port, and that it runs"
    return place.failed(f"the corporate proxy: {error.detail}", fix, Whose.NETWORK)


def find_broken(error: UpstreamError, phases: Phases, *, is_tunnelled: bool) -> Place:
    """Return the link that a dial broke at.

    An address that the guard forbids is refused like a connection, but no system call has failed then.
    """
    if isinstance(error, UpstreamTLS) or phases.tls_s is not None:
        return TLS
    if is_tunnelled:
        return TUNNEL
    if isinstance(error, UpstreamDNS) or (isinstance(error, UpstreamRefused) and error.__cause__ is None):
        return DNS
    return TCP


async def _explain(place: Place, error: UpstreamError, way: Destination, instruments: Instruments) -> Finding:
    """Say why a link is broken, whose it is, and what to do."""
    if place is TLS:
        return await explain_tls(error, way, instruments)
    if place is TUNNEL:
        return _explain_tunnel(error, way.origin)
    if place is DNS:
        return _explain_name(error, way.origin)
    return _explain_connection(error, way.origin)


def _explain_name(error: UpstreamError, origin: Origin) -> Finding:
    if isinstance(error, UpstreamDNS):
        fix = f"have the centre's DNS resolve {origin.host} on this machine; or, if it is misspelt, correct it"
        return DNS.failed(error.detail, fix, Whose.NETWORK)
    fix = (
        "DNS leads the name into this machine or network: give the route the real addresses of the host (addresses), "
        "or, where a gateway of the centre's stands there on purpose, allow_private = true"
    )
    return DNS.failed(error.detail, fix, Whose.NETWORK)


def _explain_connection(error: UpstreamError, origin: Origin) -> Finding:
    place = build_authority(origin.host, origin.port)
    whose = Whose.MACHINE if is_loopback(origin.host) else Whose.NETWORK
    number = getattr(error.__cause__, "errno", None)
    if isinstance(error, UpstreamTimeout):
        fix = f"allow TCP {origin.port} from this machine to {origin.host} in the firewall; it drops what it forbids"
    elif number in NO_WAY:
        fix = "check this machine's network: cable, gateway, VPN; there is no way to that address from here"
    elif is_loopback(origin.host):
        fix = f"start what should listen at {place}, or correct its port"
    else:
        fix = f"allow TCP {origin.port} from this machine to {origin.host} in the firewall; or correct the port"
    return TCP.failed(error.detail, fix, whose)


def _explain_tunnel(error: UpstreamError, origin: Origin) -> Finding:
    found = PROXY_SAID.search(error.detail)
    if found is not None and found[1] == LOGIN_NEEDED:
        fix = "set outbound.username and outbound.password to a login that the corporate proxy knows"
        return TUNNEL.failed(error.detail, fix, Whose.CONFIGURATION)
    place = build_authority(origin.host, origin.port)
    fix = f"have the corporate proxy allow CONNECT to {place}"
    return TUNNEL.failed(error.detail, fix, Whose.NETWORK)


async def _tell_held(
    destination: Destination, phases: Phases, places: tuple[Place, ...], address: str, instruments: Instruments
) -> list[Finding]:
    findings = []
    for place in places:
        if place is DNS:
            instead = await _find_instead(destination, instruments) if destination.addresses else ""
            findings.append(DNS.ok(_describe_name(destination, address) + instead))
        else:
            done = "the corporate proxy opened a tunnel" if place is TUNNEL else "connected"
            findings.append(place.ok(f"{done} in {1000 * (phases.connect_s or 0.0):.0f} ms"))
    return findings


def _describe_name(destination: Destination, address: str) -> str:
    if destination.addresses:
        return f"not asked, since addresses says {', '.join(destination.addresses)}"
    host = destination.origin.host
    if is_address(host):
        return "not needed, it is an address"
    return f"{host} resolves to {address.rpartition(':')[0]}" if address else f"{host} resolves"


async def _find_instead(destination: Destination, instruments: Instruments) -> str:
    """Say what DNS would have given in place of the pinned addresses."""
    try:
        found = await instruments.resolve(destination.origin.host, destination.origin.port)
    except OSError:
        return "; DNS does not know the name"
    return f"; DNS says {', '.join(found)}"


def _name(origin: Origin) -> str:
    return build_authority(origin.host, origin.port)

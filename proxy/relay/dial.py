"""A new connection to an upstream: name, address, TCP, corporate proxy, TLS; each phase with its time and its limit.

The rule of this file: every foreign exception of the network becomes one of ours here, and nowhere else; and no
address is dialled that the guard has not passed.  A name may be pointed anywhere by whoever answers our DNS, and
behind us are the centre's own machines.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohappyeyeballs

from proxy.errors import UpstreamDNS, UpstreamRefused, UpstreamTimeout, UpstreamTLS
from proxy.http.authority import build_authority, is_address, is_loopback
from proxy.http.basic import build_basic

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.config.models import Outbound, Timeouts
    from proxy.relay.upstream import UpstreamConnection
    from proxy.routing.origin import Origin

HAPPY_EYEBALLS_DELAY_S = 0.25
"""RFC 8305, section 5: the recommended head start of one address over the next."""
LONGEST_PROXY_ANSWER = 16_384
LAST_GOOD_ADDRESS_S = 3600.0
"""How long the addresses of a name are used on while DNS fails: an hour, the life of a token."""

AddressInfo = aiohappyeyeballs.AddrInfoType


@dataclass(frozen=True, slots=True)
class Destination:
    """What to dial, and what the configuration allows it to be.

    Attributes:
        addresses: ``ip`` or ``ip:port``, to be dialled in place of what DNS says.
        allow_private: Whether the name may resolve to an address that is not public.
    """

    origin: Origin
    addresses: tuple[str, ...] = ()
    allow_private: bool = False


@dataclass(slots=True)
class Phases:
    """How long each phase of a dial took, in seconds; None where there was none."""

    dns_s: float | None = None
    connect_s: float | None = None
    tls_s: float | None = None


class Dialer:
    """Opens connections to upstreams."""

    def __init__(self, timeouts: Timeouts, outbound: Outbound, tls: ssl.SSLContext, own_ports: frozenset[int]) -> None:
        """Dial within ``timeouts``, through ``outbound``'s proxy if it names one.

        Args:
            timeouts: Limits of each phase.
            outbound: The corporate proxy and its login.
            tls: Context that verifies; see tls.py.
            own_ports: The ports this process listens on: an upstream on one of them, on this machine, is us.
        """
        self._timeouts = timeouts
        self._outbound = outbound
        self._tls = tls
        self._own_ports = own_ports
        self._last_good: dict[tuple[str, int], tuple[float, list[AddressInfo]]] = {}

    async def dial(
        self, destination: Destination, factory: Callable[[], UpstreamConnection], phases: Phases
    ) -> UpstreamConnection:
        """Open one connection.

        Args:
            destination: What to dial.
            factory: Makes the connection's protocol.
            phases: Filled in as the dial goes on, so that a failed one tells how far it came.

        Raises:
            UpstreamDNS, UpstreamRefused, UpstreamTimeout, UpstreamTLS: By the phase that failed.
        """
        clock = time.monotonic
        origin = destination.origin
        started = clock()
        addresses = await self._find_addresses(destination)
        phases.dns_s = clock() - started
        started = clock()
        sock = await self._connect(origin, addresses)
        phases.connect_s = clock() - started
        try:
            peer = _find_peer(origin, sock)
            started = clock()
            connection = await self._wrap(origin, sock, factory)
        except BaseException:
            sock.close()
            raise
        if origin.scheme == "https":
            phases.tls_s = clock() - started
        connection.address = build_authority(peer[0], peer[1])
        return connection

    def _is_tunnelled(self, host: str) -> bool:
        """Return whether the corporate proxy stands in between; never for this machine itself."""
        return self._outbound.proxy is not None and not is_loopback(host)

    async def _find_addresses(self, destination: Destination) -> list[AddressInfo]:
        """Return what to connect to, the guard passed; the corporate proxy's addresses where there is one."""
        origin = destination.origin
        if self._outbound.proxy is not None and self._is_tunnelled(origin.host):
            return await self._resolve(self._outbound.proxy.host, self._outbound.proxy.port)
        if destination.addresses:
            return [_pinned(address, origin.port) for address in destination.addresses]
        found = await self._resolve(origin.host, origin.port)
        if is_address(origin.host) or origin.host == "localhost":
            return found
        return [info for info in found if self._check_address(destination, info)]

    async def _resolve(self, host: str, port: int) -> list[AddressInfo]:
        """Resolve ``host``; while DNS fails, the addresses it gave last are used on."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeouts.connect):
                found: list[AddressInfo] = [*await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        except (OSError, UnicodeError, TimeoutError) as error:
            kept = self._last_good.get((host, port))
            if kept is not None and time.monotonic() - kept[0] < LAST_GOOD_ADDRESS_S:
                return kept[1]
            reason = (
                "no answer in time" if isinstance(error, TimeoutError) else getattr(error, "strerror", None) or error
            )
            detail = f"the name {host} did not resolve ({reason}); check DNS on the proxy's machine"
            raise UpstreamDNS(detail) from error
        self._last_good[host, port] = (time.monotonic(), found)
        return found

    def _check_address(self, destination: Destination, info: AddressInfo) -> bool:
        """Pass a public address; refuse the dial for any other unless the route allows it."""
        ip = ipaddress.ip_address(info[4][0].partition("%")[0])
        mapped = getattr(ip, "ipv4_mapped", None)
        ip = mapped or ip
        host = destination.origin.host
        if (ip.is_loopback or ip.is_unspecified) and destination.origin.port in self._own_ports:
            detail = f"{host} resolves to the proxy itself ({ip}); point it at RapidSOS in the proxy's own DNS"
            raise UpstreamRefused(detail)
        if not ip.is_global and not destination.allow_private:
            detail = (
                f"{host} resolves to {ip}, which is not a public address; set addresses or allow_private on the route"
            )
            raise UpstreamRefused(detail)
        return True

    async def _connect(self, origin: Origin, addresses: list[AddressInfo]) -> socket.socket:
        """Connect to the first address that answers (RFC 8305), and through the corporate proxy if there is one."""
        try:
            async with asyncio.timeout(self._timeouts.connect):
                sock = await aiohappyeyeballs.start_connection(
                    addresses, happy_eyeballs_delay=HAPPY_EYEBALLS_DELAY_S, interleave=1
                )
        except TimeoutError as error:
            detail = f"{origin.host}:{origin.port} did not accept a connection within {self._timeouts.connect:g} s"
            raise UpstreamTimeout(detail) from error
        except OSError as error:
            detail = f"{origin.host}:{origin.port} refused the connection ({_describe(error)})"
            raise UpstreamRefused(detail) from error
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not self._is_tunnelled(origin.host):
            return sock
        try:
            async with asyncio.timeout(self._timeouts.connect):
                await self._open_tunnel(sock, origin)
        except TimeoutError as error:
            sock.close()
            detail = f"the corporate proxy did not open a tunnel within {self._timeouts.connect:g} s"
            raise UpstreamTimeout(detail) from error
        except BaseException:
            sock.close()
            raise
        return sock

    async def _open_tunnel(self, sock: socket.socket, origin: Origin) -> None:
        """Ask the corporate proxy for a tunnel (RFC 9110, section 9.3.6)."""
        loop = asyncio.get_running_loop()
        authority = build_authority(origin.host, origin.port)
        lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
        if self._outbound.username is not None and self._outbound.password is not None:
            login = build_basic(self._outbound.username.reveal(), self._outbound.password.reveal())
            lines.append(f"Proxy-Authorization: {login}")
        answer = b""
        try:
            await loop.sock_sendall(sock, "\r\n".join([*lines, "", ""]).encode())
            while b"\r\n\r\n" not in answer and len(answer) < LONGEST_PROXY_ANSWER:
                data = await loop.sock_recv(sock, 4096)
                if not data:
                    break
                answer += data
        except OSError as error:
            detail = f"the corporate proxy broke the connection ({_describe(error)})"
            raise UpstreamRefused(detail) from error
        status = answer[:15].split(b" ")[1:2]
        if not answer.startswith(b"HTTP/1.") or status != [b"200"] or not answer.endswith(b"\r\n\r\n"):
            said = status[0].decode("latin-1") if status else "nothing"
            fix = "; check outbound.username and outbound.password" if said == "407" else ""
            detail = f"the corporate proxy refused a tunnel to {authority} (it said {said}){fix}"
            raise UpstreamRefused(detail)

    async def _wrap(
        self, origin: Origin, sock: socket.socket, factory: Callable[[], UpstreamConnection]
    ) -> UpstreamConnection:
        """Give the socket its protocol, and TLS where the origin has it."""
        loop = asyncio.get_running_loop()
        if origin.scheme != "https":
            return (await loop.create_connection(factory, sock=sock))[1]
        name = f"{origin.host}:{origin.port}"
        try:
            _, connection = await loop.create_connection(
                factory,
                sock=sock,
                ssl=self._tls,
                server_hostname=origin.host,
                ssl_handshake_timeout=self._timeouts.tls,
            )
        except ssl.SSLCertVerificationError as error:
            detail = f"the certificate of {name} was not accepted: {error.verify_message}"
            raise UpstreamTLS(detail) from error
        except ssl.SSLError as error:
            detail = f"no TLS 1.2 or later could be agreed with {name} ({error.reason or 'handshake failed'})"
            raise UpstreamTLS(detail) from error
        except (OSError, TimeoutError) as error:
            detail = f"the TLS handshake with {name} did not finish ({_describe(error)})"
            raise UpstreamTLS(detail) from error
        return connection


def _find_peer(origin: Origin, sock: socket.socket) -> tuple[str, int]:
    """Return the address that took the connection, unless it has taken it back since."""
    try:
        host, port = sock.getpeername()[:2]
    except OSError as error:
        detail = f"{origin.host}:{origin.port} closed the connection at once ({_describe(error)})"
        raise UpstreamRefused(detail) from error
    return host, port


def _pinned(address: str, port: int) -> AddressInfo:
    """Read ``ip`` or ``ip:port`` (the configuration has checked it)."""
    host, _, own_port = address.rpartition(":") if address.count(":") == 1 or "]" in address else (address, "", "")
    ip = ipaddress.ip_address(host.strip("[]"))
    family = socket.AF_INET6 if ip.version == 6 else socket.AF_INET  # noqa: PLR2004 (an IP version)
    number = int(own_port) if own_port else port
    name: Any = (str(ip), number) if family == socket.AF_INET else (str(ip), number, 0, 0)
    return family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", name


def _describe(error: BaseException) -> str:
    """Describe a network error in few words; happy eyeballs may have gathered several."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__

"""A new connection to an upstream: name, address, TCP, corporate proxy, TLS; each phase with its time and its limit.

The rule of this file: every foreign exception of the network becomes one of ours here, and nowhere else; and no
address that DNS gave is dialled unless guard.py lets it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import aiohappyeyeballs

from proxy.errors import UpstreamDNS, UpstreamRefused, UpstreamTimeout, UpstreamTLS
from proxy.http.authority import build_authority, is_address, is_loopback
from proxy.http.basic import build_basic
from proxy.relay.guard import check_address
from proxy.resolver import read_address
from proxy.tls import explain_handshake

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Collection, Iterator

    from proxy.config.models import Outbound, Timeouts
    from proxy.config.units import SocketAddress
    from proxy.relay.upstream import UpstreamConnection
    from proxy.resolver import AddressInfo, Resolver
    from proxy.routing.origin import Origin

HAPPY_EYEBALLS_DELAY_S = 0.25
"""RFC 8305, section 5: the recommended head start of one address over the next."""
LONGEST_PROXY_ANSWER = 16_384

Phase = Literal["dns_s", "connect_s", "tls_s"]


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
    """How long each phase of a dial took, in seconds; None where it did not come to that.

    One that failed, or was cancelled, has its time as well.

    Attributes:
        dns_s: The name, or the wait for it until its last good addresses were taken.
        connect_s: TCP, and the corporate proxy's tunnel.
        tls_s: The TLS handshake.
    """

    dns_s: float | None = None
    connect_s: float | None = None
    tls_s: float | None = None
    _under_way: tuple[Phase, float] | None = None

    @contextlib.contextmanager
    def measure(self, phase: Phase) -> Iterator[None]:
        """Measure a phase, however it ends."""
        self._under_way = (phase, time.monotonic())
        try:
            yield
        finally:
            self.stop()

    def stop(self) -> None:
        """Take the time of the phase under way: nobody waits for its end any more."""
        if self._under_way is not None:
            phase, started = self._under_way
            setattr(self, phase, time.monotonic() - started)
            self._under_way = None


class Dialer:
    """Opens connections to upstreams."""

    def __init__(
        self,
        timeouts: Timeouts,
        outbound: Outbound,
        tls: ssl.SSLContext,
        resolver: Resolver,
        listeners: Collection[SocketAddress],
    ) -> None:
        """Dial within ``timeouts``, through ``outbound``'s proxy if it names one.

        Args:
            timeouts: Limits of each phase.
            outbound: The corporate proxy and its login.
            tls: Context that verifies; see tls.py.
            resolver: Looks names up, within its own time limit.
            listeners: Where this process listens: an upstream there is us.
        """
        self._timeouts = timeouts
        self._outbound = outbound
        self._tls = tls
        self._resolver = resolver
        self._listeners = listeners

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
        origin = destination.origin
        with phases.measure("dns_s"):
            addresses = await self._find_addresses(destination)
        with phases.measure("connect_s"):
            sock = await self._connect(origin, addresses)
        peer = _find_peer(origin, sock)
        try:
            if origin.scheme == "https":
                with phases.measure("tls_s"):
                    connection = await self._start_tls(origin, sock, factory)
            else:
                connection = await _start_plain(origin, sock, factory)
        except BaseException:
            _give_up(sock)
            raise
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
            return [info for address in destination.addresses for info in read_pinned(address, origin.port)]
        found = await self._resolve(origin.host, origin.port)
        if not (is_address(origin.host) or origin.host == "localhost"):
            for info in found:
                check_address(
                    origin.host, info[4][0], origin.port, self._listeners, allow_private=destination.allow_private
                )
        return found

    async def _resolve(self, host: str, port: int) -> list[AddressInfo]:
        try:
            return await self._resolver.resolve(host, port)
        except OSError as error:
            detail = f"the name {host} did not resolve ({error.strerror}); check DNS on the proxy's machine"
            raise UpstreamDNS(detail) from error

    async def _connect(self, origin: Origin, addresses: list[AddressInfo]) -> socket.socket:
        """Connect to the first address that answers (RFC 8305), and through the corporate proxy if there is one."""
        try:
            async with asyncio.timeout(self._timeouts.connect):
                sock = await aiohappyeyeballs.start_connection(
                    addresses, happy_eyeballs_delay=HAPPY_EYEBALLS_DELAY_S, interleave=1
                )
        except TimeoutError as error:
            detail = (
                f"{origin.host}:{origin.port} did not accept a connection within {self._timeouts.connect:g} s; "
                f"check the firewall, or whether it needs outbound.proxy"
            )
            raise UpstreamTimeout(detail) from error
        except (OSError, RuntimeError) as error:  # uvloop raises RuntimeError for some
            detail = f"{origin.host}:{origin.port} refused the connection ({_describe(error)}); {UpstreamRefused.step}"
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
            detail = (
                f"the corporate proxy did not open a tunnel within {self._timeouts.connect:g} s; check outbound.proxy"
            )
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
            detail = f"the corporate proxy broke the connection ({_describe(error)}); check outbound.proxy"
            raise UpstreamRefused(detail) from error
        status = answer[:15].split(b" ")[1:2]
        if not answer.startswith(b"HTTP/1.") or status != [b"200"] or not answer.endswith(b"\r\n\r\n"):
            said = status[0].decode("latin-1") if status else "nothing"
            fix = "check outbound.username and outbound.password" if said == "407" else "have it allow that host"
            detail = f"the corporate proxy refused a tunnel to {authority} (it said {said}); {fix}"
            raise UpstreamRefused(detail)

    async def _start_tls(
        self, origin: Origin, sock: socket.socket, factory: Callable[[], UpstreamConnection]
    ) -> UpstreamConnection:
        """Shake hands, and give the socket its protocol."""
        loop = asyncio.get_running_loop()
        name = f"{origin.host}:{origin.port}"
        limit_s = self._timeouts.tls
        try:
            async with asyncio.timeout(limit_s):
                _, connection = await loop.create_connection(  # type: ignore[type-var]  # as in upstream.py
                    factory,
                    sock=sock,
                    ssl=self._tls,
                    server_hostname=origin.host,
                    # Never the first to end it: its error could not be told from a connection that was cut.
                    ssl_handshake_timeout=2 * limit_s,
                )
        except TimeoutError as error:
            detail = f"{name} did not finish the TLS handshake within {limit_s:g} s; {UpstreamTimeout.step}"
            raise UpstreamTimeout(detail) from error
        except OSError as error:
            raise UpstreamTLS(explain_handshake(name, error)) from error
        return connection


async def _start_plain(
    origin: Origin, sock: socket.socket, factory: Callable[[], UpstreamConnection]
) -> UpstreamConnection:
    """Give the socket its protocol."""
    try:
        _, connection = await asyncio.get_running_loop().create_connection(  # type: ignore[type-var]  # as in upstream.py
            factory, sock=sock
        )
    except OSError as error:
        raise _build_lost(origin, error) from error
    return connection


def _find_peer(origin: Origin, sock: socket.socket) -> tuple[str, int]:
    """Return the address that took the connection, unless it has taken it back since."""
    try:
        host, port = sock.getpeername()[:2]
    except OSError as error:
        sock.close()
        raise _build_lost(origin, error) from error
    return host, port


def _give_up(sock: socket.socket) -> None:
    """End a connection whose socket a transport has.

    The transport closes it: closed here, its number would go to the next socket while the loop still watches it for
    this one.  A dial that is cancelled before the loop has begun the handshake leaves a transport that goes on
    (asyncio's close does nothing then); shut down, it meets the end of the connection and closes.
    """
    with contextlib.suppress(OSError):  # closed already, or by the peer
        sock.shutdown(socket.SHUT_RDWR)


def _build_lost(origin: Origin, error: OSError) -> UpstreamRefused:
    what = f"{origin.host}:{origin.port} closed the connection at once ({_describe(error)})"
    return UpstreamRefused(f"{what}; {UpstreamRefused.step}")


def read_pinned(address: str, port: int) -> list[AddressInfo]:
    """Read ``ip`` or ``ip:port`` (the configuration has checked it); ``port`` is for one that has none."""
    if address.startswith("[") or address.count(":") == 1:
        address, _, own_port = address.rpartition(":")
        port = int(own_port)
    return read_address(address.strip("[]"), port)


def _describe(error: BaseException) -> str:
    """Describe a network error in few words; happy eyeballs may have gathered several."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__

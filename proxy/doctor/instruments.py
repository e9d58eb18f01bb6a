"""What the doctor looks with: the dialler and the token call that `serve` uses, with shorter limits."""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.config.models import Outbound
from proxy.doctor.line import Line
from proxy.http.authority import is_loopback
from proxy.observer import Observers
from proxy.relay.dial import Dialer
from proxy.relay.turn import Turn
from proxy.resolver import Resolver
from proxy.tls import build_tls_context
from proxy.tokens.fetch import TokenFetcher

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.config.models import Config
    from proxy.relay.dial import Destination, Phases


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds; together less than ten, since whoever waits for the doctor has an outage.

    Attributes:
        connect_s: For a name, for a TCP connection and for a tunnel, each.
        tls_s: For a handshake.
        call_s: For a token call, or a request to an upstream.
        total_s: For everything.
    """

    connect_s: float = 2.0
    tls_s: float = 2.0
    call_s: float = 3.5
    total_s: float = 9.0


class Instruments:
    """Everything that opens a connection; needs a running event loop.

    Attributes:
        config: What is examined.
        fetch: Makes token calls.
        wall: Seconds since the epoch.
    """

    def __init__(self, config: Config, limits: Limits, wall: Callable[[], float] = time.time) -> None:
        """Prepare; nothing is opened yet.

        Raises:
            ConfigError: If outbound.ca_file cannot be used.
        """
        self.config = config
        self.limits = limits
        self.wall = wall
        self._turn = Turn(Observers(()))
        tls = build_tls_context(config.outbound.ca_file)
        self._timeouts = config.timeouts.model_copy(
            update={
                "connect": min(config.timeouts.connect, limits.connect_s),
                "tls": min(config.timeouts.tls, limits.tls_s),
            }
        )
        self._resolver = Resolver(self._timeouts.connect)
        self.fetch = TokenFetcher(config.outbound, limits.call_s, tls=tls, resolver=self._resolver, wall=wall)
        self._dialer = self._build_dialer(config.outbound, tls)
        self._nearby = self._build_dialer(Outbound(), tls)
        self._credulous = self._build_dialer(config.outbound, build_credulous_context())

    async def dial(self, destination: Destination, phases: Phases) -> Line:
        """Connect as `serve` would.

        Raises:
            UpstreamError: As ``Dialer.dial`` does.
        """
        return await self._open(self._dialer, destination, phases)

    async def dial_nearby(self, destination: Destination, phases: Phases) -> Line:
        """Connect to the corporate proxy itself.

        Raises:
            UpstreamError: As ``Dialer.dial`` does.
        """
        return await self._open(self._nearby, destination, phases)

    async def dial_credulously(self, destination: Destination, phases: Phases) -> Line:
        """Connect as `serve` never would, believing any certificate, to see what is shown; nothing is sent over it.

        Raises:
            UpstreamError: As ``Dialer.dial`` does.
        """
        return await self._open(self._credulous, destination, phases)

    async def resolve(self, host: str, port: int) -> list[str]:
        """Return the addresses that DNS gives a name.

        Raises:
            OSError: If it gives none, or none in time.
        """
        return sorted({str(info[4][0]) for info in await self._resolver.resolve(host, port)})

    def is_tunnelled(self, host: str) -> bool:
        """Return whether the corporate proxy stands on the way to ``host``."""
        return self.config.outbound.proxy is not None and not is_loopback(host)

    async def close(self) -> None:
        """Close what is kept open."""
        await self.fetch.close()

    def _build_dialer(self, outbound: Outbound, tls: ssl.SSLContext) -> Dialer:
        listeners = frozenset(item.bind for item in self.config.listener)
        return Dialer(self._timeouts, outbound, tls, self._resolver, listeners)

    async def _open(self, dialer: Dialer, destination: Destination, phases: Phases) -> Line:
        connection = await dialer.dial(destination, self._build_line, phases)
        assert isinstance(connection, Line)  # noqa: S101 (the factory made it) # nosec B101
        return connection

    def _build_line(self) -> Line:
        return Line(self._turn, self.config.limits)


def build_credulous_context() -> ssl.SSLContext:
    """Build a context that takes any certificate and any TLS, however old, so that people can be told which it was."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context

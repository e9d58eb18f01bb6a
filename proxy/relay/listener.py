"""The sockets that clients connect to.

The rule of this file: a port that cannot be had is an error of the configuration, told before anything is served.  It
is taken first and opened last: what stands between, as the log of a proxy that runs already, is not touched in vain.
"""

from __future__ import annotations

import asyncio
import errno
from functools import partial
from typing import TYPE_CHECKING, Protocol

from proxy.errors import ConfigError
from proxy.relay.client import ClientConnection
from proxy.relay.secure import SecureConnection

if TYPE_CHECKING:
    import ssl

    from proxy.config.models import Listener
    from proxy.config.units import SocketAddress
    from proxy.relay.handshakes import Handshakes
    from proxy.relay.relay import Relay

BACKLOG = 1024
"""Connections that the kernel completes while the loop is busy; the kernel caps it at net.core.somaxconn."""


class ListeningSocket:
    """One listener's socket.

    Attributes:
        name: The listener's.
        scheme: ``http`` or ``https``.
        host: Address it is bound to.
        port: The port it has; of use where the configuration asked for port 0.
    """

    def __init__(self, name: str, address: SocketAddress, server: asyncio.Server, *, scheme: str) -> None:
        """Wrap a server that has its address, and does not listen yet."""
        self.name = name
        self.scheme = scheme
        self.host = address.host
        self.port: int = server.sockets[0].getsockname()[1]
        self._address = address
        self._server = server

    def __repr__(self) -> str:
        """Return name and address."""
        return f"<ListeningSocket {self.name} {self.host}:{self.port}>"

    @property
    def url(self) -> str:
        """The base URL for clients on this machine."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    async def listen(self) -> None:
        """Start to accept connections.

        Raises:
            ConfigError: If another process has begun to listen there meanwhile.
        """
        try:
            await self._server.start_serving()
        except OSError as error:
            raise build_bind_error(_name_key(self.name), self._address, error) from error

    def close(self) -> None:
        """Accept no further connection; those open stay."""
        self._server.close()


class Security(Protocol):
    """What a listener's handshakes are made with."""

    @property
    def context(self) -> ssl.SSLContext:
        """For the next connection."""
        ...

    @property
    def handshakes(self) -> Handshakes:
        """Is told of those that fail."""
        ...


async def bind(listener: Listener, relay: Relay, security: Security | None = None) -> ListeningSocket:
    """Take the address of a listener; nobody can connect before it is told to ``listen``.

    Args:
        listener: Its name and address.
        relay: What it serves.
        security: Makes it speak TLS; None is plain HTTP.

    Raises:
        ConfigError: If the address cannot be bound.
    """
    address = listener.bind
    try:
        server = await asyncio.get_running_loop().create_server(
            partial(_build_connection, relay, listener.name, security),
            address.host,
            address.port,
            backlog=BACKLOG,
            start_serving=False,
        )
    except OSError as error:
        raise build_bind_error(_name_key(listener.name), address, error) from error
    return ListeningSocket(listener.name, address, server, scheme="http" if security is None else "https")


def _build_connection(relay: Relay, listener: str, security: Security | None) -> ClientConnection | SecureConnection:
    client = ClientConnection(relay, listener)
    if security is None:
        return client
    return SecureConnection(client, security.context, security.handshakes, relay.timeouts.head)


def _name_key(listener: str) -> str:
    return f"listener {listener}: bind"


def build_bind_error(where: str, bind: SocketAddress, error: OSError) -> ConfigError:
    """Say why an address cannot be bound, and what to do about it."""
    match error.errno:
        case errno.EADDRINUSE:
            return ConfigError(where, f"{bind} is in use by another process", "stop it, or choose another port")
        case errno.EADDRNOTAVAIL:
            return ConfigError(where, f"this machine has no address {bind}", "use one of its own, or 127.0.0.1")
        case errno.EACCES:
            return ConfigError(where, f"{bind} may not be bound by this user", "use a port above 1023")
        case _:
            return ConfigError(where, f"{bind} cannot be bound ({error.strerror})", "choose another address or port")

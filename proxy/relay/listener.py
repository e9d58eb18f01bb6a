"""The sockets that clients connect to.

The rule of this file: a port that cannot be had is an error of the configuration, told before anything is served.  It
is taken first and opened last: what stands between, as the log of a proxy that runs already, is not touched in vain.
"""

from __future__ import annotations

import asyncio
import errno
from typing import TYPE_CHECKING, cast

from proxy.errors import ConfigError
from proxy.relay.client import ClientConnection
from proxy.relay.entrance import Entrance
from proxy.relay.secure import SecureConnection

if TYPE_CHECKING:
    from proxy.config.models import Listener
    from proxy.config.units import SocketAddress
    from proxy.relay.entrance import Security
    from proxy.relay.relay import Relay

BACKLOG = 1024
"""Connections that the kernel completes while the loop is busy; the kernel caps it at net.core.somaxconn."""


class ListeningSocket:
    """One listener's socket.

    Attributes:
        name: The listener's.
        host: Address it is bound to.
        port: The port it has; of use where the configuration asked for port 0.
        address: What the configuration asked for.
        entrance: What those come in by who connect now.
    """

    def __init__(self, listener: Listener, relay: Relay, entrance: Entrance) -> None:
        """Prepare; ``bind`` takes the address."""
        self.name = listener.name
        self.address = listener.bind
        self.host = listener.bind.host
        self.port = listener.bind.port
        self.entrance = entrance
        self._relay = relay
        self._server = cast("asyncio.Server", None)

    def __repr__(self) -> str:
        """Return name and address."""
        return f"<ListeningSocket {self.name} {self.host}:{self.port}>"

    @property
    def url(self) -> str:
        """The base URL for clients on this machine."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'http' if self.entrance.security is None else 'https'}://{host}:{self.port}"

    async def bind(self) -> None:
        """Take the address; nobody can connect yet.

        Raises:
            ConfigError: If it cannot be bound.
        """
        try:
            self._server = await asyncio.get_running_loop().create_server(
                self._build_connection, self.host, self.port, backlog=BACKLOG, start_serving=False
            )
        except OSError as error:
            raise build_bind_error(_name_key(self.name), self.address, error) from error
        self.port = self._server.sockets[0].getsockname()[1]

    def replace_entrance(self, security: Security | None) -> None:
        """Let those who connect from now on come in by another one; those who are here are the relay's to see off."""
        self._relay.close_entrance(self.entrance)
        self.entrance = Entrance(self.name, security)

    def _build_connection(self) -> ClientConnection | SecureConnection:
        client = ClientConnection(self._relay, self.entrance)
        security = self.entrance.security
        if security is None:
            return client
        return SecureConnection(client, security.context, security.handshakes, self._relay.timeouts.head)

    async def listen(self) -> None:
        """Start to accept connections.

        Raises:
            ConfigError: If another process has begun to listen there meanwhile.
        """
        try:
            await self._server.start_serving()
        except OSError as error:
            raise build_bind_error(_name_key(self.name), self.address, error) from error

    def close(self) -> None:
        """Accept no further connection; those open stay."""
        self._server.close()

    def retire(self) -> None:
        """Accept no further connection, and have those that are open closed as soon as nothing is under way."""
        self.close()
        self._relay.close_entrance(self.entrance)


async def bind(listener: Listener, relay: Relay, security: Security | None = None) -> ListeningSocket:
    """Take the address of a listener; nobody can connect before it is told to ``listen``.

    Args:
        listener: Its name and address.
        relay: What it serves.
        security: Makes it speak TLS; None is plain HTTP.

    Raises:
        ConfigError: If the address cannot be bound.
    """
    listening = ListeningSocket(listener, relay, Entrance(listener.name, security))
    await listening.bind()
    return listening


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

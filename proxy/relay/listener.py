"""The sockets that clients connect to.

The rule of this file: a port that cannot be had is an error of the configuration, told before anything is served.  It
is taken first and opened last: what stands between, as the log of a proxy that runs already, is not touched in vain.
"""

from __future__ import annotations

import asyncio
import errno
from dataclasses import replace
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
    """A listener's socket; which one's, and what connections come in by, may change while it is open.

    Attributes:
        host: Address it is bound to.
        port: The port it has; of use where the configuration asked for port 0.
        address: What the configuration asked for.
        entrance: What those come in by who connect now.
    """

    def __init__(self, address: SocketAddress, relay: Relay, entrance: Entrance) -> None:
        """Prepare; ``bind`` takes the address."""
        self.address = address
        self.host = address.host
        self.port = address.port
        self.entrance = entrance
        self._relay = relay
        self._server = cast("asyncio.Server", None)

    def __repr__(self) -> str:
        """Return name and address."""
        return f"<ListeningSocket {self.name} {self.host}:{self.port}>"

    @property
    def name(self) -> str:
        """Of the listener that it serves at present."""
        return self.entrance.listener

    @property
    def bound(self) -> SocketAddress:
        """The address that it has taken."""
        return replace(self.address, port=self.port)

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
                self._build_connection,  # type: ignore[arg-type]  # as in upstream.py
                self.host,
                self.port,
                backlog=BACKLOG,
                start_serving=False,
            )
        except OSError as error:
            raise build_bind_error(_name_key(self.name), self.address, error) from error
        self.port = self._server.sockets[0].getsockname()[1]

    def is_where(self, listener: Listener) -> bool:
        """Return whether this is the socket that a listener asks for; a port that the system chose is its own alone."""
        return self.address == listener.bind and (self.address.port != 0 or self.name == listener.name)

    def use(self, entrance: Entrance) -> None:
        """Let those who connect from now on come in by it; those who came in by another are the relay's to see off."""
        if entrance is not self.entrance:
            self._relay.close_entrance(self.entrance)
            self.entrance = entrance

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
    listening = ListeningSocket(listener.bind, relay, Entrance(listener.name, security))
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

"""What the connections of a listener come in by.

The rule of this file: a closed entrance stays closed.  A listener that is removed or renamed, or that changes between
plain HTTP and TLS or in whose certificates it believes, gets another one: no connection outlives what let it in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import ssl

    from proxy.relay.handshakes import Handshakes


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


class Entrance:
    """One listener's, for as long as it is served in the same way.

    Attributes:
        listener: Its name.
        security: Makes it speak TLS; None is plain HTTP.
        is_open: Whether its connections may begin another exchange.
    """

    __slots__ = ("is_open", "listener", "security")

    def __init__(self, listener: str, security: Security | None = None) -> None:
        """Begin open."""
        self.listener = listener
        self.security = security
        self.is_open = True

    def is_for(self, listener: str, security: Security | None) -> bool:
        """Return whether it lets in what a listener wants to be served in this way."""
        return self.listener == listener and self.security is security

    def __repr__(self) -> str:
        """Return whose it is, and its state."""
        return f"<Entrance {self.listener} {'open' if self.is_open else 'closed'}>"

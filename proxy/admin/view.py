"""What the admin listener needs to know of the running proxy.

The rule of this file: data only.  Whoever runs the proxy answers with copies that do not change any more, so that a
slow reader of an answer holds on to nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from proxy.relay.pool import PoolSnapshot
    from proxy.reload import ReloadStatus
    from proxy.renewal import CertificateStatus
    from proxy.tokens.store import StoreStatus
    from proxy.tokens.token import CredentialStatus
    from proxy.traffic.log import LogStats
    from proxy.traffic.tally import Tally


@dataclass(frozen=True, slots=True)
class ProxyStatus:
    """The state of the whole proxy at one moment.

    Attributes:
        version: Of this package.
        started_at: Wall time of the start, in seconds since the epoch.
        listening: Whether every listener of the configuration accepts connections.
        draining: Whether the proxy is stopping and takes no new exchanges.
        in_flight: Exchanges begun and not closed.
        client_connections: Open connections of clients, idle ones included.
        turned_away: Connections closed without an answer, far beyond a limit.
        credentials: One for each credential, in the configuration's order.
        pools: One for each upstream.
        log: The traffic log's counts.
        store: Where tokens are kept, and whether it can be used.
        config: How the configuration in use stands to its file.
        certificates: One for each listener of TLS.
    """

    version: str
    started_at: float
    listening: bool
    draining: bool
    in_flight: int
    client_connections: int
    turned_away: int
    credentials: tuple[CredentialStatus, ...]
    pools: tuple[PoolSnapshot, ...]
    log: LogStats
    store: StoreStatus
    config: ReloadStatus
    certificates: tuple[CertificateStatus, ...] = ()


class AdminView(Protocol):
    """The running proxy, as the admin listener sees it."""

    @property
    def tally(self) -> Tally:
        """Every exchange and token call counted so far."""
        ...

    def status(self) -> ProxyStatus:
        """Return the state now; called on the event loop, and must not block it."""
        ...

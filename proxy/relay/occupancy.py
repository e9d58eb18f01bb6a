"""Who is here: connections and exchanges, in all and of each client, and whether there is room for another.

The rule of this file: it counts.  No client may take all the room there is, and whoever may not be here at all takes
next to none: strangers share a few places among them, and what comes on top is closed without a word and counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.errors import ClientLimit, Overloaded
from proxy.http.authority import find_share

if TYPE_CHECKING:
    from proxy.config.models import Limits

RETRY_AFTER_S = 1
"""Told to a client beyond a limit: a second on, others will have been answered."""
TOLD = 64
"""Connections beyond a limit that are still answered, so that a client hears why; an answer takes a descriptor and
up to some seconds, and whoever opens thousands needs none."""


STRANGERS = "strangers"
"""Stands for every client that the listener does not allow."""


class Occupancy:
    """Counts of what is open.

    Attributes:
        limits: How much there may be.
        connections: Clients connected, refused ones included until they are gone; no strangers.
        in_flight: Exchanges under way.
        turned_away: Connections closed without an answer since the start.
    """

    def __init__(self, limits: Limits) -> None:
        """Start empty."""
        self.limits = limits
        self._connections_of: dict[str, int] = {}
        self._in_flight_of: dict[str, int] = {}
        self.connections = 0
        self.in_flight = 0
        self.turned_away = 0

    def __repr__(self) -> str:
        """Return the counts."""
        return f"<Occupancy connections={self.connections} in_flight={self.in_flight}>"

    def arrive(self, client: str) -> bool:
        """Count a new connection; False, and not counted among them, if it is to be closed at once."""
        client = client if client is STRANGERS else find_share(client)
        if client is STRANGERS:
            is_beyond = self._connections_of.get(STRANGERS, 0) >= TOLD
        else:
            limits = self.limits
            is_beyond = (
                self.connections >= limits.connections + TOLD
                or self._connections_of.get(client, 0) >= limits.client_connections + TOLD
            )
        if is_beyond:
            self.turned_away += 1
            return False
        _add_one(self._connections_of, client)
        self.connections += client is not STRANGERS
        return True

    def check_connections(self, client: str) -> None:
        """Find room for a connection that has arrived.

        Raises:
            Overloaded: If there are too many.
            ClientLimit: If this client has too many.
        """
        most, share = self.limits.connections, self.limits.client_connections
        if self.connections > most:
            detail = (
                f"more than {most} connections are open; find the client that opens them, or raise limits.connections"
            )
            raise Overloaded(detail, retry_after_s=RETRY_AFTER_S)
        if self._connections_of.get(find_share(client), 0) > share:
            detail = f"{client} has more than {share} connections open; mend it, or raise limits.client_connections"
            raise ClientLimit(detail, retry_after_s=RETRY_AFTER_S)

    def leave(self, client: str) -> None:
        """Count a connection that has gone."""
        self.connections -= client is not STRANGERS
        _take_one(self._connections_of, client if client is STRANGERS else find_share(client))

    def begin(self, client: str) -> None:
        """Count an exchange that is opened."""
        self.in_flight += 1
        _add_one(self._in_flight_of, find_share(client))

    def check_exchanges(self, client: str) -> None:
        """Find room for an exchange that has begun.

        Raises:
            Overloaded: If there are too many.
            ClientLimit: If this client has too many.
        """
        most, share = self.limits.in_flight, self.limits.client_in_flight
        if self.in_flight > most:
            detail = (
                f"more than {most} exchanges are in flight; see whether RapidSOS is slow, or raise limits.in_flight"
            )
            raise Overloaded(detail, retry_after_s=RETRY_AFTER_S)
        if self._in_flight_of.get(find_share(client), 0) > share:
            detail = f"{client} has more than {share} exchanges in flight; mend it, or raise limits.client_in_flight"
            raise ClientLimit(detail, retry_after_s=RETRY_AFTER_S)

    def end(self, client: str) -> None:
        """Count an exchange that has closed."""
        self.in_flight -= 1
        _take_one(self._in_flight_of, find_share(client))


def _add_one(counts: dict[str, int], client: str) -> None:
    counts[client] = counts.get(client, 0) + 1


def _take_one(counts: dict[str, int], client: str) -> None:
    """Count down, and forget a client of which nothing is left: there are many addresses in a network."""
    left = counts[client] - 1
    if left:
        counts[client] = left
    else:
        del counts[client]

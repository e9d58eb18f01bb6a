"""Whose token a request goes with, where that is for the client to say: by its Basic login, or by a name in a field.

The rule of this file: what proves or names a person is read once, strictly, and never reaches the upstream.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from proxy.errors import ClientLogin, ClientNotAllowed, Malformed
from proxy.http.authority import find_share
from proxy.http.basic import parse_basic

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ipaddress import IPv4Address, IPv6Address

    from proxy.config.units import Network
    from proxy.exchange import Exchange
    from proxy.http.head import RequestHead
    from proxy.tokens.people import People
    from proxy.tokens.source import Source

    Address = IPv4Address | IPv6Address


class Persons(ABC):
    """Finds the person of a request.

    Attributes:
        field: The field that names him, in lower case; it is kept from the upstream.
    """

    field: str

    @abstractmethod
    def choose(self, exchange: Exchange, head: RequestHead, client: Address) -> Source:
        """Return where the token comes from that the request goes with, and name its person in the exchange.

        Raises:
            ClientLogin: If it is not said, or not believed; the exchange names whom it was said to be.
            ClientNotAllowed: If this client may not say it.
        """


class ByLogin(Persons):
    """``from_client = "basic"``: the client sends the person's name and password."""

    field = "authorization"

    def __init__(self, people: People) -> None:
        """Find them among ``people``."""
        self._people = people

    def choose(self, exchange: Exchange, head: RequestHead, client: Address) -> Source:  # noqa: ARG002 (see below)
        """See ``Persons``; a password proves itself, whichever client sends it."""
        values = head.all("authorization")
        login = parse_basic(values[0]) if len(values) == 1 else None
        if login is None:
            detail = (
                "this route needs the login of a RapidSOS user; set the CAD's HTTP (Basic) login to the dispatcher's "
                "RapidSOS user name and password"
            )
            raise ClientLogin(detail)
        exchange.user, password = login  # before he is looked for: the record of a refusal says whose it was
        return self._people.find(exchange.user, password, find_share(exchange.client))


class ByName(Persons):
    """``from_client = "header:…"``: the client names a user whose password the configuration has."""

    def __init__(self, field: str, clients: tuple[Network, ...], users: Mapping[str, Source]) -> None:
        """Let ``clients`` name one of ``users`` in ``field``."""
        self.field = field.lower()
        self._name = field
        self._clients = clients
        self._users = users

    def choose(self, exchange: Exchange, head: RequestHead, client: Address) -> Source:
        """See ``Persons``."""
        if not any(client in network for network in self._clients):
            detail = f"{client} may not name a user; if it should, add its network to clients of the credential"
            raise ClientNotAllowed(detail)
        values = head.all(self.field)
        if len(values) != 1:
            detail = f"this route needs the name of a user; have the client send it in the field {self._name}, once"
            raise Malformed(detail)
        source = self._users.get(values[0])
        if source is None:
            detail = f"{self._name} names nobody; correct it in the client, or add the name to users of the credential"
            raise ClientNotAllowed(detail)
        exchange.user = values[0]
        return source

"""Whose token a request goes with, where that is for the client to say: by its Basic login, or by a name in a field.

The rule of this file: what proves or names a person is read once, strictly, and never reaches the upstream.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from proxy.errors import ClientLogin, ClientNotAllowed, Malformed
from proxy.http.authority import find_share, is_loopback
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

LOOPBACK: Final = "loopback"
"""The one share of all addresses of this machine: any program on it can choose among sixteen million of them."""


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
        return self._people.find(exchange.user, password, find_login_share(exchange.client))


class ByName(Persons):
    """``from_client = "header:…"``: the client names a user whose password the configuration has."""

    def __init__(self, field: str, clients: tuple[Network, ...], users: Mapping[str, Source]) -> None:
        """Let ``clients`` name one of ``users`` in ``field``."""
        self.field = field.lower()
        self._name = field
        self._clients = clients
        self._users = spell_users(users)

    def choose(self, exchange: Exchange, head: RequestHead, client: Address) -> Source:
        """See ``Persons``."""
        if not any(client in network for network in self._clients):
            detail = f"{client} may not name a user; if it should, add its network to clients of the credential"
            raise ClientNotAllowed(detail)
        values = head.all(self.field)
        if len(values) != 1:
            detail = f"this route needs the name of a user; have the client send it in the field {self._name}, once"
            raise Malformed(detail)
        found = self._users.get(values[0])
        if found is None:
            detail = f"{self._name} names nobody; correct it in the client, or add the name to users of the credential"
            raise ClientNotAllowed(detail)
        exchange.user, source = found
        return source


def spell_users(users: Mapping[str, Source]) -> dict[str, tuple[str, Source]]:
    """Return each user by every text that his name can arrive as: written in UTF-8, or in ISO 8859-1.

    A head is read byte for byte as ISO 8859-1 (RFC 9110, section 5.5), and nothing tells in which of the two a client
    writes.  What could be the names of two users names neither.
    """
    spelt: dict[str, tuple[str, Source]] = {}
    twins: set[str] = set()
    for name, source in users.items():
        for text in {name, name.encode().decode("latin-1")}:  # a name beyond ISO 8859-1 is no text of a head: harmless
            if text in spelt:
                twins.add(text)
            spelt[text] = name, source
    return {text: found for text, found in spelt.items() if text not in twins}


@lru_cache(maxsize=1024)
def find_login_share(address: str) -> str:
    """Return whose share of new logins a client counts against: all of this machine's addresses are one client's."""
    share = find_share(address)
    return LOOPBACK if is_loopback(address) or is_loopback(share) else share

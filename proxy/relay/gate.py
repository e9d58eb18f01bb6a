"""The door: who may send what, which route takes it, and with whose token it goes on.

The rule of this file: it decides and raises; it sends nothing.  The order matters: a stranger is refused before a byte
of his is read, and a request that is refused has cost no token, no connection and no look-up of a name.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING

from proxy.errors import ClientNotAllowed, Draining, LogFull, MethodNotAllowed
from proxy.exchange import Connect
from proxy.http.admission import Admission, check_tunnelled
from proxy.http.problem import build_options_answer, is_answered_here
from proxy.http.stub import build_stub_token_answer, find_base
from proxy.relay.persons import Persons
from proxy.relay.tunnel import Interceptor, Tunnel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from proxy.config.units import Network
    from proxy.exchange import Exchange
    from proxy.http.head import RequestHead
    from proxy.http.problem import Answer
    from proxy.http.targets import Target
    from proxy.relay.pool import Pool
    from proxy.routing.table import CompiledRoute, RouteTable
    from proxy.tokens.source import Source

    Address = IPv4Address | IPv6Address

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
STUB_TOKEN_BYTES = 14
"""As long in hex as the tokens of RapidSOS's API, for clients with a field of that size."""
RETRY_AFTER_S = 1
"""Told to a client when the log is full: a second on, a part of it will have been written."""


class Admitted:
    """An exchange that may go on, with all that it needs.

    Attributes:
        path: Path and query for the upstream, byte for byte as the route leaves them.
        kept_back: A field of the client's, in lower case, that does not go on; None for no such one.
    """

    __slots__ = ("kept_back", "path", "pool", "route", "source")

    def __init__(
        self, route: CompiledRoute, path: str, source: Source, pool: Pool, kept_back: str | None = None
    ) -> None:
        """Take what was found."""
        self.route = route
        self.path = path
        self.source = source
        self.pool = pool
        self.kept_back = kept_back


@dataclass(frozen=True, slots=True, eq=False)
class ListenerRules:
    """What one listener allows.

    Attributes:
        allow: Client networks.
        admission: Its rules about targets, hosts and web pages.
        stub_token: Whether it has a token endpoint of its own.
        interceptor: What its tunnels are opened with; None where none are.
    """

    allow: tuple[Network, ...]
    admission: Admission
    stub_token: bool = False
    interceptor: Interceptor | None = None

    @lru_cache(maxsize=1024)  # noqa: B019 (rules live until a reload; few clients come again and again)
    def find_client(self, address: str) -> Address | None:
        """Return the client's address, IPv4 written as IPv6 undone; None if it is in none of the networks."""
        client = ip_address(address.partition("%")[0])
        if isinstance(client, IPv6Address) and client.ipv4_mapped is not None:
            client = client.ipv4_mapped
        return client if any(client in network for network in self.allow) else None


class Gate:
    """Lets exchanges in."""

    def __init__(
        self,
        rules: Mapping[str, ListenerRules],
        routes: RouteTable,
        sources: Mapping[str, Source | Persons],
        pools: Mapping[str, Pool],
        *,
        is_log_full: Callable[[], bool],
        wall_clock: Callable[[], float],
    ) -> None:
        """Decide by these.

        Args:
            rules: By listener.
            routes: The route table.
            sources: By credential; where the client says whose token it wants, what finds that person's.
            pools: By route; routes to the same destination share one.
            is_log_full: Whether exchanges are refused because the traffic log cannot take their records.
            wall_clock: Gives seconds since the epoch.
        """
        self._rules = rules
        self._routes = routes
        self._sources = {name: source for name, source in sources.items() if not isinstance(source, Persons)}
        self._persons = {name: source for name, source in sources.items() if isinstance(source, Persons)}
        self._pools = pools
        self._is_log_full = is_log_full
        self._wall_clock = wall_clock

    def check_client(self, listener: str, address: str) -> Address:
        """Let a client in, whatever it may ask for.

        Args:
            listener: Name of the one that it came to.
            address: Its own, as text.

        Raises:
            ClientNotAllowed: If it is in none of the listener's networks.
            Draining: If the listener is opening or closing while the configuration is reloaded.
        """
        rules = self._rules.get(listener)
        if rules is None:
            raise Draining(Draining.removed, retry_after_s=RETRY_AFTER_S)
        client = rules.find_client(address)
        if client is None:
            detail = (
                f"{address} may not use listener {listener}; if it should, add its network to allow of the listener"
            )
            raise ClientNotAllowed(detail)
        return client

    def admit(self, exchange: Exchange) -> Admitted | Answer | Tunnel:
        """Let an exchange in.

        Args:
            exchange: Its route and credential are filled in.

        Returns:
            The answer when it asks for the proxy itself, by OPTIONS, or for a token of the listener's own; the tunnel
            when it asks for one, and may have it.

        Raises:
            ClientNotAllowed: If the client is in none of the listener's networks.
            ClientLogin: If its route wants a person's login, and there is none that is believed.
            Draining, LogFull, Overloaded: If the proxy cannot take it now, or not by its tunnel any more.
            ClientError: As ``Admission.admit``, ``check_tunnelled``, ``RouteTable.match`` and ``Permits.check`` do.
        """
        client = self.check_client(exchange.listener, exchange.client)
        if self._is_log_full():
            detail = (
                'the traffic log cannot be written, and traffic_log.when_full = "refuse"; '
                "see to the disk that traffic_log.path is on"
            )
            raise LogFull(detail, retry_after_s=RETRY_AFTER_S)
        head: RequestHead = exchange.request  # type: ignore[assignment]  # a head that cannot be parsed comes to no gate
        rules = self._rules[exchange.listener]
        target = rules.admission.admit(head)
        if target.form == "authority":
            return _open_tunnel(exchange, target, rules)
        if exchange.connect is not None:
            _check_tunnel(exchange.connect, rules)
            check_tunnelled(target, exchange.connect.host)
        if is_answered_here(head, target):
            return build_options_answer(now=self._wall_clock())
        if rules.stub_token and self._routes.has_base(exchange.listener, find_base(head, target)):
            return build_stub_token_answer(secrets.token_hex(STUB_TOKEN_BYTES), now=self._wall_clock())
        matched = self._routes.match(exchange.listener, head, target, client)
        route = matched.route
        exchange.route = route.name
        exchange.credential = route.credential
        if route.permits is not None:
            route.permits.check(head, matched.path)
        pool = self._pools[route.name]
        persons = self._persons.get(route.credential)
        if persons is None:
            return Admitted(route, matched.path, self._sources[route.credential], pool)
        exchange.named_by = persons.field
        source = persons.choose(exchange, head, client)
        return Admitted(route, matched.path, source, pool, persons.field)


def _check_tunnel(connect: Connect, rules: ListenerRules) -> None:
    """Refuse what comes by a tunnel that was granted before a reload, and would not be now."""
    if rules.interceptor is None or connect.host not in rules.interceptor.contexts:
        raise Draining(Draining.removed, retry_after_s=RETRY_AFTER_S)


def _open_tunnel(exchange: Exchange, target: Target, rules: ListenerRules) -> Tunnel:
    """Grant a tunnel to a routed host, which admission has found it to be; never one within another."""
    host, interceptor = target.host, rules.interceptor
    if exchange.connect is not None or host is None or interceptor is None:
        detail = "the client asks for a tunnel (CONNECT) within a tunnel; have it ask for one, and speak HTTP in that"
        raise MethodNotAllowed(detail)
    return Tunnel(Connect(exchange.id, host), interceptor.contexts[host], interceptor.handshakes)

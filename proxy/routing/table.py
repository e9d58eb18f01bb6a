"""The route table: which route takes a request (first match wins), and with which path it goes on.

The rule of this file: everything that can be worked out once is worked out when the table is built; a match is a few
comparisons.  The path is compared by its bytes; see paths.py for the spellings that are refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import TYPE_CHECKING

from proxy.errors import Malformed, NoRoute
from proxy.routing.origin import Origin  # noqa: TC001 (compiled, a dataclass looks up what its fields are)
from proxy.routing.paths import Prefix, check_inside, is_odd, normal_form, parse_prefix
from proxy.routing.permits import Permits, build_permits, find_methods
from proxy.tokens.rejection import Rejections, build_rejections

if TYPE_CHECKING:
    from collections.abc import Iterable
    from ipaddress import IPv4Address, IPv4Network, IPv6Network

    from proxy.config.models import Listener, Route
    from proxy.http.head import RequestHead
    from proxy.http.targets import Target

    Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a route asks of a request beside its path; an empty one asks nothing.

    Attributes:
        listener: Name of the listener, None for any.
        host: The effective host, lower case; None for any, none included.
        methods: Exact, case included.  A request that asks in a field to be taken for another method needs both.
        clients: Networks, one of which must have the client.
        headers: Lower-case names and exact values.  The field must be there once: two agencies named at once would
            be a guess, and the wrong credential.
    """

    listener: str | None
    host: str | None
    methods: frozenset[str]
    clients: tuple[IPv4Network | IPv6Network, ...]
    headers: tuple[tuple[str, str], ...]

    @property
    def is_none(self) -> bool:
        """Whether every request of the listener meets them."""
        return self.host is None and not (self.methods or self.clients or self.headers)

    def hold(self, head: RequestHead, target: Target, client: Address) -> bool:
        """Return whether a request meets all of them; its listener has been looked at."""
        return (
            (self.host is None or self.host == target.host)
            and (not self.methods or find_methods(head) <= self.methods)
            and (not self.clients or _is_client_in(client, self.clients))
            and (not self.headers or all(head.all(name) == [value] for name, value in self.headers))
        )


@dataclass(frozen=True, slots=True)
class CompiledRoute:
    """A route, ready to match and to be followed.

    Attributes:
        prefix: What the path begins with.
        conditions: What else must hold; None when nothing else must.
        strip: How many characters are taken off the path.
        upstream: Where it leads.
        host_field: The value of Host there.
        credential: Name of the credential.
        addresses: IP addresses to dial instead of what the upstream's name resolves to.
        allow_private: Whether that name may resolve to a private address.
        token_parameter: The query's parameter that the token goes into; None for the header.
        rejections: Answers that make the token sent suspect.
        replay: Whether a request goes once more after such an answer.
        permits: The methods and paths that it forwards; None for all.
        deadline_s: How long a whole exchange may take; None for as long as its parts may.
    """

    name: str
    prefix: Prefix
    conditions: Conditions | None
    strip: int
    upstream: Origin
    host_field: str
    credential: str
    addresses: tuple[str, ...]
    allow_private: bool
    token_parameter: str | None
    rejections: Rejections
    replay: bool
    permits: Permits | None
    deadline_s: float | None


class MatchedRoute:
    """The route that takes a request.

    Attributes:
        path: Path and query for the upstream, byte for byte but for what the route strips.
    """

    __slots__ = ("path", "route")

    def __init__(self, route: CompiledRoute, path: str) -> None:
        """Take what was found."""
        self.route = route
        self.path = path


class RouteTable:
    """The routes of every listener, in the order of the configuration."""

    def __init__(self, routes: Iterable[Route], listeners: Iterable[Listener]) -> None:
        """Compile what check_routes has found to make sense."""
        routes, listeners = tuple(routes), tuple(listeners)
        compiled = [(route.match, compile_route(route)) for route in routes]
        self._hosts = {listener.name: find_routed_hosts(routes, listener.name) for listener in listeners}
        self._routes = {
            listener.name: tuple(route for match, route in compiled if match.listener in {None, listener.name})
            for listener in listeners
        }

    def routes(self, listener: str) -> tuple[CompiledRoute, ...]:
        """Return the routes that requests of ``listener`` can take."""
        return self._routes[listener]

    def routed_hosts(self, listener: str) -> frozenset[str]:
        """Return the hosts that these routes name; an absolute-form target may ask for no other."""
        return self._hosts[listener]

    def has_base(self, listener: str, base: str | None) -> bool:
        """Return whether the base URL of a client could have the path ``base``: it is empty, or some route's prefix.

        A route for a host names no path by ``/``: RapidSOS's own base URLs have none.
        """
        if not base:
            return base is not None
        return any(route.prefix.is_in(base) for route in self._routes[listener] if not _is_for_host_alone(route))

    def match(self, listener: str, head: RequestHead, target: Target, client: Address) -> MatchedRoute:
        """Find the first route that takes a request.

        Args:
            listener: Name of the listener that it came to.
            head: Its head; method and fields are looked at.
            target: What it asks for; see admission.py.
            client: The address that it came from.

        Raises:
            NoRoute: If none does.
            Malformed: If an upstream could read the path as leading out of its route, or into another one.
        """
        path = target.path
        normal = normal_form(path) if is_odd(path) else None
        for route in self._routes[listener]:
            prefix = route.prefix
            is_in = prefix.is_in(path)
            if not is_in and (normal is None or not prefix.is_in(normal)):
                continue
            if route.conditions is not None and not route.conditions.hold(head, target, client):
                continue
            if not is_in:
                detail = f"the path is another spelling of {prefix}; write it plainly in the client"
                raise Malformed(detail)
            if normal is not None and prefix.is_narrow:
                check_inside(path)
            return MatchedRoute(route, _strip(path, route.strip) if route.strip else path)
        raise NoRoute(self._no_route(listener))

    def _no_route(self, listener: str) -> str:
        known = [_describe(route) for route in self._routes[listener]]
        serves = ", ".join(dict.fromkeys(known)) or "no path"
        return f"listener {listener} serves {serves}; correct the client's URL, or add a route"


def find_routed_hosts(routes: Iterable[Route], listener: str) -> frozenset[str]:
    """Return the hosts, in lower case, that routes for a listener name."""
    matches = (route.match for route in routes if route.match.listener in {None, listener})
    return frozenset(match.host for match in matches if match.host is not None)


def compile_route(route: Route) -> CompiledRoute:
    """Work out once what is needed for each request."""
    conditions = compile_conditions(route)
    return CompiledRoute(
        name=route.name,
        prefix=parse_prefix(route.match.path),
        conditions=None if conditions.is_none else conditions,
        strip=len(route.strip.removesuffix("/")),
        upstream=route.upstream,
        host_field=route.upstream.host_field,
        credential=route.credential,
        addresses=route.addresses,
        allow_private=route.allow_private,
        token_parameter=route.place.removeprefix("query:") if route.place != "header" else None,
        rejections=build_rejections(route.dead_token_status, route.dead_token),
        replay=route.replay,
        permits=build_permits(route),
        deadline_s=route.deadline,
    )


def compile_conditions(route: Route) -> Conditions:
    """Work out what a route asks beside its path."""
    match = route.match
    return Conditions(
        listener=match.listener,
        host=match.host,
        methods=frozenset(match.methods),
        clients=match.clients,
        # Fields are read as latin-1 (head.py), the configuration as UTF-8: compare what stands on the wire.
        headers=tuple((name.lower(), value.encode().decode("latin-1")) for name, value in match.headers.items()),
    )


def _is_for_host_alone(route: CompiledRoute) -> bool:
    return not route.prefix.is_narrow and route.conditions is not None and route.conditions.host is not None


def _strip(path: str, size: int) -> str:
    rest = path[size:]
    return rest if rest.startswith("/") else f"/{rest}"


def _describe(route: CompiledRoute) -> str:
    host = route.conditions.host if route.conditions is not None else None
    return f"{host or ''}{route.prefix}"


def _is_client_in(client: Address, networks: tuple[IPv4Network | IPv6Network, ...]) -> bool:
    """Return whether a network has ``client``; an IPv4 client of a dual-stack socket counts as what it is."""
    if isinstance(client, IPv6Address) and client.ipv4_mapped is not None:
        client = client.ipv4_mapped
    return any(client in network for network in networks)

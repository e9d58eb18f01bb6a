"""Configuration to checks: what is looked at, under which heading, and what hangs on what.

The rule of this file: it opens nothing.  Each way to a host is dialled once, however many routes and credentials share
it; the order here is the order in which people read, from their own machine outwards.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from proxy.doctor.calls import check_client, check_clock, check_token, check_upstream
from proxy.doctor.check import Check, Result
from proxy.doctor.finding import Place
from proxy.doctor.grant import list_places as list_token_places
from proxy.doctor.ports import check_authority, check_certificate, check_port
from proxy.doctor.probe import choose_probe
from proxy.doctor.reach import DNS, TCP, check_corporate_proxy, check_reach, list_places
from proxy.doctor.secrets import judge_secrets
from proxy.http.authority import build_authority
from proxy.relay.dial import Destination
from proxy.routing.origin import parse_url_origin
from proxy.tokens.build import BY_LOGIN, split_credential

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.config.models import Config, Credential, Route
    from proxy.doctor.finding import Finding
    from proxy.doctor.instruments import Instruments

CLOCK, CONFIGURATION = Place("clock"), Place("configuration")


def build_checks(config: Config, instruments: Instruments) -> list[Check]:
    """Build every check, in the order in which people shall read of them."""
    plan = _Plan(config, instruments)
    return [*plan.list_own(), *plan.corporate, *plan.list_hosts(), *plan.list_routes()]


class _Plan:
    """The checks of one configuration.

    Attributes:
        corporate: Of the corporate proxy itself, where something goes through it.
        reach: Of each way to a host.
        tokens: Of each credential that has tokens: one call, or one for each user whom clients may name.
        upstreams: Of each way and credential that routes bring together.
    """

    def __init__(self, config: Config, instruments: Instruments) -> None:
        self._config = config
        self._instruments = instruments
        self._limits = instruments.limits
        self._token_ways = {
            name: self._find_token_way(credential.token_url)
            for name, credential in config.credential.items()
            if credential.token_url is not None
        }
        # Token servers first: without a token nothing else can be asked.
        self._ways = list(dict.fromkeys([*self._token_ways.values(), *map(_lead, config.route)]))
        self.corporate = self._build_corporate()
        self.reach = {way: self._build_reach(way) for way in self._ways}
        self.tokens = {
            name: tuple(self._build_token(part, credential, way) for part, credential in self._split(name).items())
            for name, way in self._token_ways.items()
        }
        self.upstreams = {
            (_lead(route), route.credential): self._build_upstream(_lead(route), route.credential)
            for route in config.route
        }

    def list_own(self) -> Iterator[Check]:
        """List what needs no network: the file, its secrets, our ports."""
        config = self._config
        yield Check("Configuration", (CONFIGURATION,), partial(_tell, CONFIGURATION.ok(_count(config))))
        parts = [part for name in config.credential for part in self._split(name).items()]
        for name, credential in parts:
            yield Check("Configuration", (Place("secret", name),), partial(_tell, judge_secrets(name, credential)))
        ports = [(listener.name, listener.bind) for listener in config.listener]
        for name, bind in [*ports, ("admin", config.admin.bind)]:
            place = Place("listener", name)
            yield Check("This machine", (place,), partial(check_port, place, bind), limit_s=self._limits.connect_s)
        for listener in config.listener:
            if listener.tls is not None:
                place = Place("certificate", listener.name)
                run = partial(check_certificate, place, listener.tls)
                yield Check("This machine", (place,), run, limit_s=self._limits.connect_s)
        if config.interception is not None:
            place = Place("certificate", "interception")
            run = partial(check_authority, place, config.interception)
            yield Check("This machine", (place,), run, limit_s=self._limits.connect_s)

    def list_hosts(self) -> Iterator[Check]:
        """List, for each way to a host, the way itself, the tokens fetched there, the questions asked, the clock."""
        for way in self._ways:
            calls = [
                *(check for name in self.tokens if self._token_ways[name] == way for check in self.tokens[name]),
                *(check for (other, _), check in self.upstreams.items() if other == way),
            ]
            yield from (self.reach[way], *calls)
            yield Check(_name(way), (CLOCK,), check_clock, after=tuple(calls))

    def list_routes(self) -> Iterator[Check]:
        """List the last word on each route."""
        for route in self._config.route:
            place = Place("route", route.name)
            needs = (*self.tokens.get(route.credential, ()), self.upstreams[_lead(route), route.credential])
            yield Check("Routes", (place,), partial(_tell, place.ok(_describe_route(route))), needs=needs)

    def _split(self, name: str) -> dict[str, Credential]:
        """Return a credential for each token of this one, by what the report calls it: a person by no name of his."""
        credential = self._config.credential[name]
        users = split_credential(name, credential).values()
        if credential.from_client is None or not users:
            return {name: credential}
        return {f"{name} user {number}": user for number, user in enumerate(users, 1)}

    def _find_token_way(self, token_url: str) -> Destination:
        """Return the way of token calls; that of the routes to the same host, where there are some.

        A route's way is the stricter one: the doctor sends no secret where the routes may not go.
        """
        origin = parse_url_origin(token_url)
        ways = [way for way in map(_lead, self._config.route) if way.origin == origin and not way.addresses]
        return next(iter(ways), Destination(origin, allow_private=True))

    def _is_tunnelled(self, way: Destination) -> bool:
        return self._instruments.is_tunnelled(way.origin.host)

    def _build_corporate(self) -> tuple[Check, ...]:
        proxy = self._config.outbound.proxy
        if proxy is None or not any(map(self._is_tunnelled, self._ways)):
            return ()
        run = partial(check_corporate_proxy, proxy, self._instruments)
        return (Check(f"Corporate proxy {proxy}", (DNS, TCP), run, limit_s=self._limits.total_s),)

    def _build_reach(self, way: Destination) -> Check:
        is_tunnelled = self._is_tunnelled(way)
        places = list_places(is_tunnelled=is_tunnelled)
        run = partial(check_reach, way, self._instruments)
        needs = self.corporate if is_tunnelled else ()
        return Check(_name(way), places, run, needs=needs, limit_s=self._limits.total_s)

    def _build_token(self, name: str, credential: Credential, way: Destination) -> Check:
        places = list_token_places(name, credential)
        check = check_client if credential.from_client == BY_LOGIN else check_token
        run = partial(check, name, credential, self._instruments)
        return Check(_name(way), places, run, needs=(self.reach[way],), limit_s=self._limits.total_s)

    def _build_upstream(self, way: Destination, name: str) -> Check:
        routes = [route for route in self._config.route if (_lead(route), route.credential) == (way, name)]
        credential = self._config.credential[name]
        is_tried = credential.grant != "basic" and credential.from_client != BY_LOGIN
        probe = choose_probe(routes, is_tried=is_tried)
        place = Place("upstream", name)
        run = partial(check_upstream, place, way, probe, self._instruments)
        needs = (self.reach[way], self.tokens[name][0]) if is_tried else (self.reach[way],)
        return Check(_name(way), (place,), run, needs=needs, limit_s=self._limits.total_s)


async def _tell(finding: Finding, *_: object) -> Result:
    """Tell what was known beforehand."""
    return Result((finding,), value=finding)


def _lead(route: Route) -> Destination:
    return Destination(route.upstream, route.addresses, route.allow_private)


def _name(way: Destination) -> str:
    origin = way.origin
    place = build_authority(origin.host, origin.port)
    return f"{place} at {', '.join(way.addresses)}" if way.addresses else place


def _count(config: Config) -> str:
    parts = {"listener": config.listener, "credential": config.credential, "route": config.route}
    counts = [f"{len(items)} {word}{'' if len(items) == 1 else 's'}" for word, items in parts.items()]
    return f"sound: {', '.join(counts)}"


def _describe_route(route: Route) -> str:
    match = route.match
    listener = f" on {match.listener}" if match.listener else ""
    return f"{match.host or ''}{match.path}{listener} leads to {route.upstream} as {route.credential}"

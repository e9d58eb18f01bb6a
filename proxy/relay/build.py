"""Configuration to a relay: route table, gate, pools and dialler put together."""

from __future__ import annotations

import secrets
import socket
import time
from types import MappingProxyType
from typing import TYPE_CHECKING

from proxy.http.admission import Admission
from proxy.relay.dial import Destination, Dialer
from proxy.relay.gate import LOOPBACK, Gate, ListenerRules
from proxy.relay.persons import ByLogin, ByName
from proxy.relay.plan import Ground, Plan
from proxy.relay.pool import Pool
from proxy.relay.relay import Clocks, Relay
from proxy.relay.turn import Turn
from proxy.routing.table import RouteTable
from proxy.tokens.build import name_user
from proxy.tokens.clock import boottime

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping

    from proxy.config.models import Config, Listener
    from proxy.observer import Observer
    from proxy.relay.persons import Persons
    from proxy.relay.tunnel import Interceptor
    from proxy.resolver import Resolver
    from proxy.tokens.build import SourceSet

PSEUDONYM_BYTES = 4
"""Of randomness in our name in Via: two proxies in a row are no loop, one proxy twice is."""


def build_relay(
    config: Config,
    sources: SourceSet,
    observer: Observer,
    dialer: Dialer,
    *,
    is_log_full: Callable[[], bool],
    find_interceptor: Callable[[str], Interceptor | None] = lambda _listener: None,
) -> Relay:
    """Build the data path; needs a running event loop.

    Args:
        config: Checked.
        sources: Of tokens.
        observer: Is told of each exchange that closes.
        dialer: Opens connections to upstreams.
        is_log_full: Whether to refuse exchanges because of the traffic log.
        find_interceptor: See ``build_plan``.
    """
    ground = Ground(Turn(observer), f"rapidsos-proxy-{secrets.token_hex(PSEUDONYM_BYTES)}", is_log_full)
    # Not the loop's clock: uvloop's stands still for a millisecond at a time, and phases are shorter than that.
    clocks = Clocks(monotonic=time.monotonic, wall=time.time, token=boottime)
    return Relay(build_plan(config, sources, dialer, ground, find_interceptor), ground, clocks)


def build_plan(
    config: Config,
    sources: SourceSet,
    dialer: Dialer,
    ground: Ground,
    find_interceptor: Callable[[str], Interceptor | None],
    pools: Mapping[Destination, Pool] = MappingProxyType({}),
) -> Plan:
    """Build what a configuration makes of the data path; nothing of it is used yet.

    Args:
        config: Checked.
        sources: Of tokens.
        dialer: Opens connections to upstreams.
        ground: Of the relay that will use it.
        find_interceptor: Returns what a listener's tunnels are opened with; None where none are.
        pools: Those that there are; what leads to the same destination is taken on.
    """
    routes = RouteTable(config.route, config.listener)
    by_route = {
        route.name: Destination(route.upstream, route.addresses, route.allow_private)
        for listener in config.listener
        for route in routes.routes(listener.name)
    }
    needed = {
        place: pools.get(place) or Pool(place, dialer, ground.turn, config, time.monotonic)
        for place in by_route.values()
    }
    gate = Gate(
        {
            listener.name: _build_rules(listener, routes, ground.pseudonym, find_interceptor(listener.name))
            for listener in config.listener
        },
        routes,
        {**sources.by_name, **_build_persons(config, sources)},
        {name: needed[place] for name, place in by_route.items()},
        is_log_full=ground.is_log_full,
        wall_clock=time.time,
    )
    return Plan(config, gate, dialer, needed)


def build_dialer(config: Config, tls: ssl.SSLContext, resolver: Resolver) -> Dialer:
    """Build what opens connections to upstreams.

    Args:
        config: Checked.
        tls: A context that verifies.
        resolver: Shared with the token calls.
    """
    listeners = frozenset(listener.bind for listener in config.listener)
    return Dialer(config.timeouts, config.outbound, tls, resolver, listeners)


def find_machine_names() -> frozenset[str]:
    """Return what this machine calls itself; DNS is not asked, since it may not answer."""
    name = socket.gethostname().lower()
    return frozenset({name, name.partition(".")[0]}) - {""}


def _build_persons(config: Config, sources: SourceSet) -> dict[str, Persons]:
    """Build, for each credential where the client says whose token it wants, what finds the person."""
    persons: dict[str, Persons] = {}
    for name, credential in config.credential.items():
        if name in sources.people:
            persons[name] = ByLogin(sources.people[name])
        elif credential.from_client is not None:
            users = {user: sources.by_name[name_user(name, user)] for user in credential.users}
            persons[name] = ByName(credential.from_client.removeprefix("header:"), credential.clients, users)
    return persons


def _build_rules(
    listener: Listener, routes: RouteTable, pseudonym: str, interceptor: Interceptor | None
) -> ListenerRules:
    admission = Admission(
        names=find_machine_names() | set(listener.names),
        routed_hosts=routes.routed_hosts(listener.name),
        allow_origins=listener.allow_origins,
        pseudonym=pseudonym,
        intercepts=interceptor is not None,
    )
    return ListenerRules(listener.allow or LOOPBACK, admission, listener.stub_token, interceptor)

"""Routes that make no sense, found before the first request: each is a ConfigError that says what to write instead.

The rule of this file: what one key alone can tell is the models' to check; here the keys of routes are compared with
each other, and with what the route table understands.  ``where`` is ``route[name].key``.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from ipaddress import IPv4Network, IPv6Network
from itertools import combinations
from typing import TYPE_CHECKING, NoReturn

from proxy.errors import ConfigError
from proxy.http.admission import REFUSED_METHODS
from proxy.routing.paths import parse_prefix
from proxy.routing.table import Conditions, compile_conditions

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from proxy.config.models import Config, Route

_PLAIN_PATH = re.compile(r"/|(?:/(?!\.{1,2}(?:/|$))[!$&'()+,.:=@_~0-9A-Za-z-]+)+/?")
"""Whole segments in one spelling: no dot segment, no ``//``, nothing encoded, no ``;``; and no ``*``, since a
prefix is no pattern."""


def check_routes(config: Config) -> None:
    """Check that every route can be taken, and leads somewhere.

    Raises:
        ConfigError: At the first thing that cannot be meant.
    """
    if not config.route:
        _refuse("route", "is empty, so every request would be refused", "add [[route]]")
    _check_names([route.name for route in config.route])
    listeners = [listener.name for listener in config.listener]
    for route in config.route:
        where = f"route[{route.name}]"
        _check_known(f"{where}.match.listener", "listener", route.match.listener, listeners)
        _check_known(f"{where}.credential", "credential", route.credential, config.credential)
        _check_path(where, route)
        _check_methods(f"{where}.match.methods", route)
    _check_reachable(config.route)


def _check_names(names: Sequence[str]) -> None:
    for index, name in enumerate(names):
        if name in names[:index]:
            _refuse(f"route[{name}].name", "names two routes", "give each its own name")


def _check_known(where: str, kind: str, name: str | None, known: Iterable[str]) -> None:
    names = list(known)
    if name is None or name in names:
        return
    near = get_close_matches(name, names, n=1)
    fix = f'did you mean "{near[0]}"?' if near else f"write one of: {', '.join(names)}"
    _refuse(where, f'there is no {kind} "{name}"', fix)


def _check_path(where: str, route: Route) -> None:
    path, strip = route.match.path, route.strip
    if _PLAIN_PATH.fullmatch(path) is None:
        fix = "begin with /, and leave out .., //, ;, * and everything percent-encoded: /ingress/"
        _refuse(f"{where}.match.path", f'"{path}" is not a plain path prefix', fix)
    prefix = parse_prefix(path)
    if strip and not (strip.startswith("/") and parse_prefix(strip).covers(prefix)):
        fix = f'write strip = "{prefix.base}", or a beginning of it that ends before a /'
        fix = fix if prefix.is_narrow else "leave strip out: match.path has nothing to strip"
        _refuse(f"{where}.strip", f'"{strip}" is not how match.path "{path}" begins', fix)


def _check_methods(where: str, route: Route) -> None:
    for method in route.match.methods:
        if method in REFUSED_METHODS:
            _refuse(where, f"{method} is never forwarded", "leave it out")


def _check_reachable(routes: Sequence[Route]) -> None:
    """Find a route whose every request an earlier one takes."""
    compiled = [(route.name, parse_prefix(route.match.path), compile_conditions(route)) for route in routes]
    for (before, wide, few), (after, narrow, many) in combinations(compiled, 2):
        if wide.covers(narrow) and _is_implied(few, by=many):
            _refuse(
                f"route[{after}]",
                f'is never reached: route "{before}", which stands before it, takes every request of its',
                f'move "{after}" before "{before}", or give "{before}" a narrower match',
            )


def _is_implied(conditions: Conditions, *, by: Conditions) -> bool:
    """Return whether each request that meets ``by`` meets ``conditions`` as well."""
    return (
        conditions.listener in {None, by.listener}
        and conditions.host in {None, by.host}
        and (not conditions.methods or (bool(by.methods) and by.methods <= conditions.methods))
        and (not conditions.clients or (bool(by.clients) and _are_within(by.clients, conditions.clients)))
        and set(conditions.headers) <= set(by.headers)
    )


def _are_within(inner: Iterable[IPv4Network | IPv6Network], outer: Sequence[IPv4Network | IPv6Network]) -> bool:
    return all(any(_is_subnet(net, wide) for wide in outer) for net in inner)


def _is_subnet(net: IPv4Network | IPv6Network, wide: IPv4Network | IPv6Network) -> bool:
    if isinstance(net, IPv4Network):
        return isinstance(wide, IPv4Network) and net.subnet_of(wide)
    return isinstance(wide, IPv6Network) and net.subnet_of(wide)


def _refuse(where: str, problem: str, fix: str) -> NoReturn:
    raise ConfigError(where, problem, fix)

"""Routes that make no sense, found before the first request, each with what to write instead.

The rule of this file: what one key alone can tell is the models' to check; here the keys of routes are compared with
each other, and with what the route table understands.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING

from proxy.http.admission import REFUSED_METHODS
from proxy.routing.paths import parse_prefix
from proxy.routing.table import Conditions, compile_conditions

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from proxy.config.models import Route
    from proxy.config.problems import Problems

_PLAIN_PATH = re.compile(r"/|(?:/(?!\.{1,2}(?:/|$))[!$&'()+,.:=@_~0-9A-Za-z-]+)+/?")
"""Whole segments in one spelling: no dot segment, no ``//``, nothing encoded, no ``;``; and no ``*``, since a
prefix is no pattern."""


def check_routes(routes: Sequence[Route], problems: Problems) -> None:
    """Note every route that cannot be meant."""
    for route in routes:
        where = f"route[{route.name}]"
        _check_path(where, route, problems)
        _check_methods(f"{where}.match.methods", route.match.methods, problems)
        _check_methods(f"{where}.methods", route.methods, problems)
        _check_permits(where, route, problems)
    _check_reachable([route for route in routes if _has_plain_path(route)], problems)


def _has_plain_path(route: Route) -> bool:
    return _PLAIN_PATH.fullmatch(route.match.path) is not None


def _check_path(where: str, route: Route, problems: Problems) -> None:
    path, strip = route.match.path, route.strip
    if not _has_plain_path(route):
        fix = "begin with /, and leave out .., //, ;, * and everything percent-encoded: /ingress/"
        problems.add(f"{where}.match.path", f'"{path}" is not a plain path prefix', fix)
        return
    prefix = parse_prefix(path)
    if strip and not (strip.startswith("/") and parse_prefix(strip).covers(prefix)):
        fix = f'write strip = "{prefix.base}", or a beginning of it that ends before a /'
        fix = fix if prefix.is_narrow else "leave strip out: match.path has nothing to strip"
        problems.add(f"{where}.strip", f'"{strip}" is not how match.path "{path}" begins', fix)


def _check_methods(where: str, methods: Sequence[str], problems: Problems) -> None:
    for method in methods:
        if method in REFUSED_METHODS:
            problems.add(where, f"{method} is never forwarded", "leave it out")


def _check_permits(where: str, route: Route, problems: Problems) -> None:
    matched = route.match.methods
    if matched and route.methods and set(matched).isdisjoint(route.methods):
        fix = "write methods that stand in match.methods as well, or leave it out"
        problems.add(f"{where}.methods", "has none of match.methods, so the route would refuse every request", fix)
    for path in route.paths:
        _check_permitted(f"{where}.paths", path, route, problems)


def _check_permitted(where: str, path: str, route: Route, problems: Problems) -> None:
    if _PLAIN_PATH.fullmatch(path) is None:
        fix = "begin with /, and leave out .., //, ;, * and everything percent-encoded: /v1/location"
        problems.add(where, f'"{path}" is not a plain path prefix', fix)
        return
    permitted, taken = parse_prefix(path), parse_prefix(route.match.path.removeprefix(route.strip.removesuffix("/")))
    if permitted.covers(taken):
        problems.add(where, f'"{path}" permits every path that the route takes', "leave it out, or narrow it")
    elif not taken.covers(permitted):
        fix = f'write the path as RapidSOS gets it, beginning with "{taken}"'
        problems.add(where, f'"{path}" is never reached by match.path "{route.match.path}"', fix)


def _check_reachable(routes: Sequence[Route], problems: Problems) -> None:
    """Find routes whose every request an earlier one takes."""
    compiled = [(route.name, parse_prefix(route.match.path), compile_conditions(route)) for route in routes]
    for place, (after, narrow, many) in enumerate(compiled):
        for before, wide, few in compiled[:place]:
            if wide.covers(narrow) and _is_implied(few, by=many):
                problems.add(
                    f"route[{after}]",
                    f'is never reached: route "{before}", which stands before it, takes every request of its',
                    f'move "{after}" before "{before}", or give "{before}" a narrower match',
                )
                break


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

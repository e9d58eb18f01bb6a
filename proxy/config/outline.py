"""What a document says of names and ports, whatever else is wrong with it.

The rule of this file: nothing is told that another mistake could have made look wrong.
"""

from __future__ import annotations

from contextlib import suppress
from difflib import get_close_matches
from itertools import combinations
from typing import TYPE_CHECKING, Any

from proxy.config.models import Admin
from proxy.config.translate import build_key
from proxy.config.units import UnitError, parse_socket_address

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from proxy.config.problems import Problems
    from proxy.config.units import SocketAddress

    Table = dict[str, Any]

_EMPTY = {
    "listener": ("is empty: no client could connect", "add [[listener]] with name and bind"),
    "route": ("is empty, so every request would be refused", "add [[route]]"),
}


def check_outline(document: Table, problems: Problems) -> None:
    """Note what is named twice, or named and not there, and two listeners at one port."""
    for section, (problem, fix) in _EMPTY.items():
        if document.get(section) in ([], ()):
            problems.add(section, problem, fix)
        _check_twice(document, section, problems)
    _check_references(document, problems)
    for (key, place), (other_key, other) in combinations(_find_places(document), 2):
        if place.overlaps(other):
            problems.add(other_key, f"{other} is taken by {key}", "give each its own port")


def _check_twice(document: Table, section: str, problems: Problems) -> None:
    names = [table.get("name") for _, table in _tables(document, section)]
    for index, name in enumerate(names):
        if isinstance(name, str) and name in names[:index]:
            problems.add(f"{section}[{name}].name", f"names two {section}s", "give each its own name")


def _check_references(document: Table, problems: Problems) -> None:
    """Note routes that ask for a listener or a credential that is not there."""
    listeners = [table.get("name") for _, table in _tables(document, "listener")]
    credentials = document.get("credential")
    for key, route in _tables(document, "route"):
        match = route.get("match")
        if isinstance(match, dict) and all(isinstance(name, str) for name in listeners):
            _check_known(f"{key}.match.listener", "listener", match.get("listener"), listeners, problems)
        if isinstance(credentials, dict):
            _check_known(f"{key}.credential", "credential", route.get("credential"), list(credentials), problems)


def _check_known(key: str, kind: str, name: object, known: Sequence[Any], problems: Problems) -> None:
    if not isinstance(name, str) or name in known or not known:
        return
    near = get_close_matches(name, known, n=1)
    fix = f'did you mean "{near[0]}"?' if near else f"write one of: {', '.join(known)}"
    problems.add(key, f'there is no {kind} "{name}"', fix)


def _find_places(document: Table) -> Iterator[tuple[str, SocketAddress]]:
    """Yield every address to listen at that can be read, with its key."""
    admin = document.get("admin", {})
    values = [(f"{key}.bind", table.get("bind")) for key, table in _tables(document, "listener")]
    if isinstance(admin, dict):
        values += [("admin.bind", admin.get("bind", Admin().bind)), ("admin.health_bind", admin.get("health_bind"))]
    for key, value in values:
        with suppress(UnitError):
            yield key, parse_socket_address(value)


def _tables(document: Table, section: str) -> Iterator[tuple[str, Table]]:
    """Yield the tables of a section, each with its key."""
    items = document.get(section)
    if isinstance(items, list | tuple):
        for place, item in enumerate(items):
            if isinstance(item, dict):
                yield build_key(document, (section, place)), item

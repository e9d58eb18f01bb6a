"""What can be used of a document that has mistakes, so that the rest of it is checked in the same reading.

The rule of this file: a table in which a value cannot be read is left out whole: by what it says otherwise it would
be judged wrongly.  A misspelt key is taken for the one that was meant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from proxy.config.models import Config
from proxy.config.translate import suggest_key

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic_core import ErrorDetails

    from proxy.config.translate import Location

_NOTHING: dict[str, Any] = {"listener": [], "credential": {}, "route": []}
"""The sections that a configuration cannot do without, with nothing in them."""


def mend_keys(document: dict[str, Any], objections: Iterable[ErrorDetails]) -> None:
    """Give unknown keys of ``document`` the names that were meant, or take them out."""
    for objection in objections:
        if objection["type"] == "extra_forbidden":
            *path, wrong = objection["loc"]
            table = _follow(document, path)
            value, meant = table.pop(wrong), suggest_key(objection["loc"])
            if meant is not None:
                table.setdefault(meant, value)


def salvage(document: dict[str, Any]) -> Config:
    """Return what is sound of a document: every listener, credential, route and section without a mistake."""
    while True:
        try:
            return Config.model_validate(document)
        except ValidationError as error:
            objections = error.errors(include_url=False, include_input=False)
        document = _leave_out(document, {_find_table(objection["loc"]) for objection in objections})


def _find_table(location: Location) -> Location:
    """Return the listener, credential or route that a location is in, else its section."""
    return location[:2] if location[0] in _NOTHING else location[:1]


def _leave_out(document: dict[str, Any], wrong: set[Location]) -> dict[str, Any]:
    kept = {section: value for section, value in document.items() if (section,) not in wrong}
    for section, nothing in _NOTHING.items():
        match kept.get(section, nothing):
            case dict() as tables:
                kept[section] = {name: table for name, table in tables.items() if (section, name) not in wrong}
            case tables:
                kept[section] = [table for place, table in enumerate(tables) if (section, place) not in wrong]
    return kept


def _follow(document: Any, path: Iterable[int | str]) -> Any:  # noqa: ANN401 (whatever TOML holds)
    for part in path:
        document = document[part]
    return document

"""The secrets of a configuration by the keys that they stand under: found, and replaced in a copy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from proxy.config.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from proxy.config.models import Config, Model


def find_configured(config: Model) -> dict[str, Secret]:
    """Return every secret of a configuration, or of a table of it, by its key: ``credential.core.client_secret``.

    A client id that is written out is one of them.
    """
    return dict(_walk(config, ""))


def replace_secrets(config: Config, secrets: Mapping[str, Secret]) -> Config:
    """Return a copy of ``config`` with other secrets under the keys given."""
    replaced: Config = _replace(config, "", secrets)
    return replaced


def _walk(value: object, key: str) -> Iterator[tuple[str, Secret]]:
    if isinstance(value, Secret):
        yield key, value
    for name, item in _items(value):
        yield from _walk(item, _join(key, name))


def _replace(value: Any, key: str, secrets: Mapping[str, Secret]) -> Any:  # noqa: ANN401 (whatever a model holds)
    """Return ``value`` itself where nothing in it changes."""
    if isinstance(value, Secret):
        return secrets.get(key, value)
    items = {name: _replace(item, _join(key, name), secrets) for name, item in _items(value)}
    if all(items[name] is item for name, item in _items(value)):
        return value
    if isinstance(value, BaseModel):
        return value.model_copy(update=items)
    return items if isinstance(value, dict) else tuple(items.values())


def _items(value: object) -> Iterator[tuple[str, object]]:
    """Yield what a model, a table or a list holds, each by its name; in a list, in brackets."""
    if isinstance(value, BaseModel):
        yield from ((name, getattr(value, name)) for name in type(value).model_fields)
    elif isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, tuple):
        yield from ((f"[{getattr(item, 'name', place)}]", item) for place, item in enumerate(value, 1))


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key and not name.startswith("[") else f"{key}{name}"

"""What of another configuration can be used while the proxy runs, and what needs a restart.

The rule of this file: pure.  Whatever is not named here is used at once; whoever adds a key that cannot be names it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from proxy.config.models import Config

_FIXED: Final = {
    "admin": None,
    "store": None,
    "traffic_log": ("path", "seal"),
}
"""By section the keys that are built into what was started; None: all of them."""


def settle(used: Config, read: Config) -> tuple[Config, tuple[str, ...]]:
    """Return what of ``read`` can be used now, the rest being as it is used, and the keys of that rest."""
    sections = {}
    left: list[str] = []
    for name, keys in _FIXED.items():
        before, after = getattr(used, name), getattr(read, name)
        differing = {
            key: getattr(before, key)
            for key in keys or type(before).model_fields
            if getattr(before, key) != getattr(after, key)
        }
        sections[name] = after.model_copy(update=differing)
        left += [f"{name}.{key}" for key in differing]
    return read.model_copy(update=sections), tuple(left)


def find_changes(before: Config, after: Config) -> tuple[str, ...]:
    """Return the names of the sections that differ."""
    return tuple(name for name in type(after).model_fields if getattr(before, name) != getattr(after, name))

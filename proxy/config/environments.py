"""Which RapidSOS environment a host belongs to; keys of one are void in the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.routing.origin import Origin

_RAPIDSOS = ".rapidsos.com"
_APART = ("sandbox", "staging")
"""Environments whose hosts have the name in theirs, ``api-sandbox.rapidsos.com``; production's have none."""


def tell_environment(origin: Origin | None) -> str | None:
    """Return ``sandbox``, ``staging`` or ``production``; None for a host that is not RapidSOS's own."""
    if origin is None or not origin.host.endswith(_RAPIDSOS):
        return None
    return next((name for name in _APART if f"-{name}." in origin.host), "production")

"""How a token is handed out, in every shape seen in the field."""

from __future__ import annotations

import secrets
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.simulator.settings import SimulatorSettings
    from proxy.simulator.tokens import IssuedToken

_LEFT_OUT: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "no_expires_in": frozenset({"expires_in"}),
        "no_issued_at": frozenset({"issued_at"}),
        "cognito": frozenset({"issued_at"}),
        "cognito_without_expires_in": frozenset({"issued_at", "expires_in"}),
    }
)


def build_token_answer(token: IssuedToken, settings: SimulatorSettings) -> dict[str, Any]:
    """Build the answer that hands a token out, in one of the shapes seen in the field."""
    issued_ms = round(token.issued_at * 1000)
    life_s = settings.token_life_s
    expires_in = int(life_s) if life_s == int(life_s) else life_s
    documented = {
        "access_token": token.value,
        "token_type": "Bearer",  # a scheme # nosec B105
        "issued_at": issued_ms,
        "expires_in": expires_in,
    }
    variant = settings.token_variant
    if variant == "strings":
        return _build_strings(token, issued_ms, expires_in)
    if variant == "misspelt":  # in the example of RapidSOS's own page
        return {"acces_token": documented.pop("access_token"), **documented}
    if variant == "issued_at_in_seconds":
        return {**documented, "issued_at": int(token.issued_at)}
    left_out = _LEFT_OUT.get(variant, frozenset())
    return {name: value for name, value in documented.items() if name not in left_out}


def _build_strings(token: IssuedToken, issued_ms: int, expires_in: float) -> dict[str, Any]:
    """Build the shape of RapidSOS's Android SDK: numbers as text, and a refresh token that nobody uses."""
    return {
        "access_token": token.value,
        "token_type": "BearerToken",  # a scheme # nosec B105
        "issued_at": str(issued_ms),
        "expires_in": str(expires_in),
        "refresh_token": secrets.token_hex(16),
        "refresh_token_issued_at": str(issued_ms),
        "refresh_token_expires_in": "0",  # a count # nosec B105
    }

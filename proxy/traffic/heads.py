"""Redaction by name: the values of header fields.

The rule of this file: a section that repeats is masked once (``FieldSection.derive``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.tokens.token import fingerprint
from proxy.traffic.names import MASK
from proxy.traffic.values import mask_url

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.http.fields import Fields, FieldSection
    from proxy.traffic.names import SecretNames

AUTHORIZATION = "authorization"
PROXY_AUTHORIZATION = "proxy-authorization"
URL_FIELDS = frozenset({"content-location", "link", "location", "referer", "refresh"})


def build_head_mask(names: SecretNames, *, shows_tokens: bool) -> Callable[[FieldSection], Fields]:
    """Build the function that masks a section's fields; it returns them as they are when there is nothing to mask.

    Args:
        names: Of fields that hold secrets.
        shows_tokens: Whether Bearer tokens stay in Authorization; else their fingerprint stands in their place.
    """

    def is_looked_at(name: str) -> bool:
        return name in URL_FIELDS or names.is_secret_field(name)

    def mask_value(name: str, value: str) -> str:
        if name == AUTHORIZATION:
            return mask_authorization(value, shows_tokens=shows_tokens)
        if name == PROXY_AUTHORIZATION:
            return mask_authorization(value, shows_tokens=False)
        return names.cover_field(name, value) if names.is_secret_field(name) else mask_url(value, names)

    def mask_fields(section: FieldSection) -> Fields:
        if not any(map(is_looked_at, section.names)):
            return section.fields
        return [
            (field[0], mask_value(name, field[1])) if is_looked_at(name) else field
            for field, name in zip(section.fields, section.names, strict=True)
        ]

    return mask_fields


def mask_authorization(value: str, *, shows_tokens: bool) -> str:
    """Return an Authorization value with its scheme, and its token if it has one that may be shown."""
    if shows_tokens and value.startswith("Bearer "):
        return value
    scheme, space, credentials = value.partition(" ")
    if not space:
        return MASK
    if scheme.lower() != "bearer":
        return f"{scheme} {MASK}"
    return value if shows_tokens else f"{scheme} sha256:{fingerprint(credentials.strip())}"

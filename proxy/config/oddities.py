"""Secrets that look as if more, or less, than the secret was pasted.

The rule of this file: words about a secret hold no character of it; and it may really be so, hence nobody is refused
for it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.config.secret import Secret

QUOTES = frozenset("\"'`\u201c\u201d\u2018\u2019\u00ab\u00bb")
NAME_BEFORE = re.compile(
    r"(?:export\s+)?(?:RAPIDSOS_\w+|client_?(?:id|secret)|username|password)\s*[=:]", re.IGNORECASE
)
SCHEME_BEFORE = re.compile(r"(?:bearer|basic)\s", re.IGNORECASE)
PLACEHOLDER = re.compile(r"<.*>|your[ _-].*|change[ _-]?me|[.\u2026xX*?-]+", re.IGNORECASE)


def find_oddity(value: str) -> str | None:
    """Say what does not look like a part of a secret, None when nothing does."""
    if value != value.strip():
        return "begins or ends with a space"
    if len(value) > 1 and value[0] in QUOTES and value[-1] in QUOTES:
        return "stands in quotes, which are sent as a part of it"
    if NAME_BEFORE.match(value):
        return "begins with a name and = or :, which are sent as a part of it"
    if SCHEME_BEFORE.match(value):
        return "begins with the word Bearer or Basic, which is sent as a part of it"
    if PLACEHOLDER.fullmatch(value):
        return "is a placeholder and no secret"
    return None


def find_oddities(secrets: Mapping[str, Secret]) -> dict[str, str]:
    """Return what is odd about secrets, by their keys; of those that are not, nothing."""
    found = {key: find_oddity(secret.reveal()) for key, secret in secrets.items()}
    for key, secret in secrets.items():
        if key.endswith("client_secret") and secrets.get(f"{key.removesuffix('client_secret')}client_id") == secret:
            found[key] = found[key] or "is the same as client_id"
    return {key: oddity for key, oddity in found.items() if oddity is not None}

"""Secrets that were pasted with more than the secret: what is odd about one, and how much of it may be shown.

The rule of this file: pure.  Words about a secret never hold a character of it, except for a client id, of which the
ends are shown so that people can compare it with RapidSOS's portal.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from proxy.doctor.finding import Place, Whose

if TYPE_CHECKING:
    from proxy.config.models import Credential
    from proxy.config.secret import Secret
    from proxy.doctor.finding import Finding

SECRETS = ("client_id", "client_secret", "username", "password")
QUOTES = frozenset("\"'`\u201c\u201d\u2018\u2019\u00ab\u00bb")
NAME_BEFORE = re.compile(
    r"(?:export\s+)?(?:RAPIDSOS_\w+|client_?(?:id|secret)|username|password)\s*[=:]", re.IGNORECASE
)
SCHEME_BEFORE = re.compile(r"(?:bearer|basic)\s", re.IGNORECASE)
PLACEHOLDER = re.compile(r"<.*>|your[ _-].*|change[ _-]?me|[.\u2026xX*?-]+", re.IGNORECASE)
SHOWN = 2
"""Characters of a client id at either end."""
LEAST_SHOWN = 8
"""Of a shorter one nothing is shown: it would be half of it."""


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


def find_oddities(credential: Credential) -> dict[str, str]:
    """Return what is odd about the secrets of a credential, by key."""
    secrets = {key: getattr(credential, key) for key in SECRETS}
    found = {key: find_oddity(secret.reveal()) for key, secret in secrets.items() if secret is not None}
    oddities = {key: oddity for key, oddity in found.items() if oddity is not None}
    if credential.client_id is not None and credential.client_id == credential.client_secret:
        oddities.setdefault("client_secret", "is the same as client_id")
    return oddities


def describe_oddities(credential: Credential) -> str:
    """Say which secret is odd, how, and where it comes from; empty when none is."""
    return "; ".join(
        f"{key} ({getattr(credential, key).origin}) {oddity}" for key, oddity in find_oddities(credential).items()
    )


def judge_secrets(name: str, credential: Credential) -> Finding:
    """Say where the secrets of a credential come from, and warn of what looks wrong.

    It is a warning, since the authorization server has the last word; when that refuses, it becomes the cause.
    """
    place = Place("secret", name)
    if oddities := describe_oddities(credential):
        return place.warning(oddities, "put the value alone there, as RapidSOS shows it", Whose.CONFIGURATION)
    secrets = ((key, getattr(credential, key)) for key in SECRETS)
    return place.ok(", ".join(_describe(key, secret) for key, secret in secrets if secret is not None) or "none")


def shorten(value: str) -> str:
    """Return the ends of a client id."""
    return f"{value[:SHOWN]}…{value[-SHOWN:]}" if len(value) >= LEAST_SHOWN else "…"


def _describe(key: str, secret: Secret) -> str:
    shown = f" {shorten(secret.reveal())}" if key == "client_id" else ""
    return f"{key}{shown} ({secret.origin})"

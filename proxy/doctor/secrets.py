"""The secrets of a credential: whether they look pasted, and how much of them may be shown.

The rule of this file: pure.  Words about a secret never hold a character of it, except for a client id, of which the
ends are shown so that people can compare it with RapidSOS's portal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.config.oddities import find_oddities
from proxy.doctor.finding import Place, Whose

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.config.models import Credential
    from proxy.config.secret import Secret
    from proxy.doctor.finding import Finding

SECRETS = ("client_id", "client_secret", "username", "password")
SHOWN = 2
"""Characters of a client id at either end."""
LEAST_SHOWN = 8
"""Of a shorter one nothing is shown: it would be half of it."""


def describe_oddities(credential: Credential) -> str:
    """Say which secret is odd, how, and where it comes from; empty when none is."""
    secrets = dict(_find_secrets(credential))
    return "; ".join(f"{key} ({secrets[key].origin}) {oddity}" for key, oddity in find_oddities(secrets).items())


def judge_secrets(name: str, credential: Credential) -> Finding:
    """Say where the secrets of a credential come from, and warn of what looks wrong.

    It is a warning, since the authorization server has the last word; when that refuses, it becomes the cause.
    """
    place = Place("secret", name)
    if oddities := describe_oddities(credential):
        return place.warning(oddities, "put the value alone there, as RapidSOS shows it", Whose.CONFIGURATION)
    return place.ok(", ".join(_describe(key, secret) for key, secret in _find_secrets(credential)) or "none")


def shorten(value: str) -> str:
    """Return the ends of a client id."""
    return f"{value[:SHOWN]}…{value[-SHOWN:]}" if len(value) >= LEAST_SHOWN else "…"


def _find_secrets(credential: Credential) -> Iterator[tuple[str, Secret]]:
    """Yield the credential's own secrets by key; those of persons have persons' names in their keys."""
    yield from ((key, secret) for key in SECRETS if (secret := getattr(credential, key)) is not None)


def _describe(key: str, secret: Secret) -> str:
    shown = f" {shorten(secret.reveal())}" if key == "client_id" else ""
    return f"{key}{shown} ({secret.origin})"

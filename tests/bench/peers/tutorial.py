"""The reverse proxy that a tutorial would write (bench.tutorial_proxy), run by our own Python."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench import tutorial_proxy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.peers.peer import Place


def prepare(place: Place) -> Sequence[str]:
    """Return the command."""
    known = place.setting.authority.settings
    client = (known.client_id, known.client_secret.reveal())
    ca = () if place.setting.ca is None else (str(place.setting.ca),)
    script = str(Path(tutorial_proxy.__file__))
    return [place.program, script, str(place.port), place.setting.upstream, place.setting.token_url, *client, *ca]

"""mitmproxy in reverse mode, without a terminal or output, with an addon of a few lines that adds a token."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.peers.peer import Place

_ADDON = Path(__file__).with_name("addon.py")


def prepare(place: Place) -> Sequence[str]:
    """Return the command; what mitmproxy keeps goes into the directory."""
    options = {"confdir": str(place.directory), "token": place.token}
    if place.setting.ca is not None:
        options["ssl_verify_upstream_trusted_ca"] = str(place.setting.ca)
    settings = [part for name, value in options.items() for part in ("--set", f"{name}={value}")]
    listening = ["--mode", f"reverse:{place.setting.upstream}", "--listen-host", "127.0.0.1"]
    return [place.program, "-q", *listening, "--listen-port", str(place.port), "-s", str(_ADDON), *settings]

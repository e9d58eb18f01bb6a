"""File descriptors: the first three are taken, and there are enough for all the rest.

The rule of this file: a machine that gives too few is told of, with the fix, and served on all the same.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from proxy.config.models import Config

STANDARD = range(3)
"""Standard input, output and error."""
MARGIN: Final = 256
"""Listeners, the log and its rotation, probes, token calls, second sockets of a dial that tries two addresses, clients
that are being told that they are one too many, and what Python itself has open."""

log = structlog.get_logger(__name__)


def hold_standard_streams() -> None:
    """Open to nothing whichever of the first three descriptors is closed.

    Otherwise the next socket gets its number, and what is meant for standard output or error goes to a peer.
    """
    for number in STANDARD:
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is what open(2) gives; inheritable, as the streams of a process are.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # noqa: FBT003 (its only parameter)
    if sys.stderr is None:
        sys.stderr = open(STANDARD[2], "w", encoding="utf-8", closefd=False)  # noqa: SIM115 (it stays open)


def count_descriptors(config: Config) -> int:
    """Return how many descriptors the limits of a configuration can come to.

    Each upstream may have as many connections as there are exchanges: idle ones from a moment ago count too.
    """
    upstreams = {(route.upstream, route.addresses) for route in config.route}
    return config.limits.connections + len(upstreams) * config.limits.in_flight + MARGIN


def allow_descriptors(needed: int) -> None:
    """Raise the soft limit of open files to ``needed``, as far as the hard one lets it; warn where that is too few."""
    try:
        import resource  # noqa: PLC0415 (Windows has none, and no such limit either)
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if _covers(soft, needed):
        return
    wanted = needed if _covers(hard, needed) else hard
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):  # macOS has a limit of its own below its hard one
        wanted = soft
    if wanted < needed:
        log.warning(
            "descriptors.limited",
            limit=wanted,
            needed=needed,
            problem="limits.connections and limits.in_flight cannot all be open at once: clients beyond would hang",
            fix=f"systemd: LimitNOFILE={needed}; docker run --ulimit nofile={needed}; a shell: ulimit -n {needed}; "
            "or lower limits.connections",
        )


def _covers(limit: int, needed: int) -> bool:
    """Return whether a limit is enough; -1 is how getrlimit(2) says that there is none."""
    return limit < 0 or limit >= needed

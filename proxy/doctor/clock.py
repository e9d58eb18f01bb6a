"""Our clock against those of others: certificates, logs and evidence depend on it.

The rule of this file: pure.  Tokens do not depend on it: their life is counted from the moment of the request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.doctor.finding import Place, Whose

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.doctor.finding import Finding

PLACE = Place("clock")
WARN_S = 30.0
"""Beyond what a slow answer and the whole seconds of Date explain."""
FAIL_S = 300.0
"""Certificates are renewed with less to spare than one would think, and records of two systems no longer match."""


def judge_clock(skews_s: Iterable[float]) -> Finding:
    """Judge our clock.

    Args:
        skews_s: The other side's clock less ours, in seconds, as each answer told it.
    """
    skews = sorted(skews_s, key=abs)
    if not skews:
        return PLACE.skipped("not judged, because no answer told the time")
    skew = skews[0]
    away = abs(skew)
    if away <= WARN_S:
        return PLACE.ok(f"{away:.0f} s apart")
    words = f"this machine's clock is {_describe(away)} {'behind' if skew > 0 else 'ahead'}"
    fix = "set up time synchronisation on this machine (chrony, systemd-timesyncd, w32time)"
    if away <= FAIL_S:
        return PLACE.warning(words, fix, Whose.MACHINE)
    return PLACE.failed(f"{words}; certificates are judged by it", fix, Whose.MACHINE)


def _describe(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s"

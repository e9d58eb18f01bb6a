"""The clock of the tokens, and its timers.

The clock runs through suspend.  asyncio's timers do not: they only ever hasten work; whether a token is still good
is asked of the clock at each use.
"""

from __future__ import annotations

import asyncio
import functools
import sys
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

if sys.platform == "linux":
    boottime: Callable[[], float] = functools.partial(time.clock_gettime, time.CLOCK_BOOTTIME)
    """Seconds since the machine started, suspend included; no step of the wall clock moves it."""
else:
    boottime = time.monotonic
    """The nearest that this platform has; on macOS and Windows it runs through sleep or not by version."""


class Timer(Protocol):
    """A call that is planned."""

    def cancel(self) -> None:
        """Do not make it, if it has not been made."""
        ...


class Clock(Protocol):
    """Time as a token source sees it; the tests have their own."""

    def now(self) -> float:
        """Return seconds since some fixed moment; never goes back."""
        ...

    def call_later(self, delay_s: float, callback: Callable[[], object]) -> Timer:
        """Call ``callback`` once, ``delay_s`` seconds from now, from the event loop."""
        ...


class SystemClock:
    """The machine's clock and the running event loop's timers."""

    now = staticmethod(boottime)

    def call_later(self, delay_s: float, callback: Callable[[], object]) -> Timer:
        """See ``Clock``."""
        return asyncio.get_running_loop().call_later(delay_s, callback)

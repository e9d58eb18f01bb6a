"""What the process is told by signals.

The rule of this file: it takes note and tells; what is done about it is the service's.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal

import structlog

from proxy.hangup import EarlyHangup

log = structlog.get_logger(__name__)


class Signals:
    """SIGTERM and SIGINT: the first asks to drain, the second to stop at once.  SIGHUP asks to reload.

    Attributes:
        first: Set by the first signal to stop.
        second: Set by the second.
        hangup: Set by each SIGHUP; whoever obeys clears it.
    """

    def __init__(self) -> None:
        """Take the process's signals; needs a running event loop."""
        self.first = asyncio.Event()
        self.second = asyncio.Event()
        self.hangup = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(NotImplementedError):  # Windows: KeyboardInterrupt is what there is
                loop.add_signal_handler(number, self._stop)
        with contextlib.suppress(NotImplementedError, AttributeError):
            # A closed terminal, or a log rotator that signals whatever it rotates for, must not cut a centre off.
            early = signal.getsignal(signal.SIGHUP)
            loop.add_signal_handler(signal.SIGHUP, self._hang_up)
            if isinstance(early, EarlyHangup) and early.has_come:
                self.hangup.set()

    def _hang_up(self) -> None:
        if self.first.is_set():
            log.info("signal.ignored", signal="SIGHUP", reason="the proxy is stopping")
        else:
            self.hangup.set()

    def _stop(self) -> None:
        (self.second if self.first.is_set() else self.first).set()

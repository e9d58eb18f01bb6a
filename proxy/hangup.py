"""SIGHUP from the program's first moment on, when there is no loop yet that could take it.

The rule of this file: it imports nothing that takes time, for until it has run the signal ends the process.
"""

from __future__ import annotations

import contextlib
import signal


class EarlyHangup:
    """A handler that takes note of SIGHUP while the proxy starts; ``Signals`` takes its place, and obeys.

    The signal is not ignored meanwhile: what is run for a secret would inherit that, and a reload would be lost.

    Attributes:
        has_come: Whether it was sent.
    """

    def __init__(self) -> None:
        """Take the process's SIGHUP."""
        self.has_come = False
        with contextlib.suppress(AttributeError):  # Windows has none
            signal.signal(signal.SIGHUP, self)

    def __call__(self, *_: object) -> None:
        """Take note."""
        self.has_come = True

"""How far it is, for whoever waits at a terminal."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, BinaryIO, TextIO

if TYPE_CHECKING:
    from pathlib import Path

EVERY_LINES = 20_000
"""About ten times a second."""
CLEAR = "\r\033[K"


class Progress:
    """One line of a terminal, written over again and again; nothing anywhere else."""

    def __init__(self, stream: TextIO | None) -> None:
        """Write to ``stream``, if that is a terminal."""
        self._stream = stream if stream is not None and stream.isatty() else None

    def step(self, path: Path, file: BinaryIO, line: int) -> None:
        """Tell of a line of ``file``, if it is time to."""
        if self._stream is not None and line % EVERY_LINES == 0:
            status = os.fstat(file.fileno())
            share = f"{file.tell() / status.st_size:.0%}" if stat.S_ISREG(status.st_mode) and status.st_size else ""
            self._stream.write(f"{CLEAR}{path.name!a}: line {line} {share}")
            self._stream.flush()

    def end(self) -> None:
        """Leave the line empty."""
        if self._stream is not None:
            self._stream.write(CLEAR)
            self._stream.flush()

"""A file that whoever reads it waits for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class HeldFile:
    """A pipe in the place of a file."""

    def __init__(self, path: Path) -> None:
        """Take the file's place."""
        beside = path.with_name("held")
        os.mkfifo(beside, 0o600)
        beside.replace(path)
        self._path = path
        self._end: int | None = None

    def is_read(self) -> bool:
        """Return whether somebody waits for it."""
        if self._end is None:
            try:
                self._end = os.open(self._path, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:
                return False
        return True

    def give(self, content: bytes) -> None:
        """Let go who waits for it."""
        assert self._end is not None
        os.write(self._end, content)
        os.close(self._end)

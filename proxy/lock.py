"""One proxy at a time for one file: a lock that ends with the process that holds it.

The rule of this file: it may block, so it is called outside the event loop.  The lock is a file beside the one that it
is for, since that one is renamed, replaced and deleted, by us and by others, and must be ours all the while.  It is
never removed: somebody may just have opened it, to wait in vain for a name that is gone.
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING

import structlog

from proxy.ownership import check_own

if TYPE_CHECKING:
    from pathlib import Path

MODE = 0o600
MOST_PID_BYTES = 20

log = structlog.get_logger(__name__)


class FileLock:
    """The right to write to one path."""

    def __init__(self, path: Path) -> None:
        """Take nothing yet."""
        self.path = path.with_name(f".{path.name}.lock")
        self._descriptor = -1

    def __repr__(self) -> str:
        """Show where it is, and whether it is held."""
        return f"<FileLock {self.path} {'held' if self._descriptor >= 0 else 'free'}>"

    def take(self) -> None:
        """Take it, also anew where somebody has removed its file; one that is held is kept.

        Raises:
            BlockingIOError: If another holds it; its message says who.
            OSError: If its file cannot be made, or is another user's.
        """
        if self._is_held():
            return
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(self.path, flags, MODE)
        try:
            check_own(descriptor, f"its lock {self.path.name}")
            self._lock(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        self.release()
        self._descriptor = descriptor

    def release(self) -> None:
        """Give it back, if it is held."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)

    def _is_held(self) -> bool:
        if self._descriptor < 0:
            return False
        try:
            return os.path.samestat(self.path.lstat(), os.fstat(self._descriptor))
        except FileNotFoundError:
            return False

    def _lock(self, descriptor: int) -> None:
        try:
            import fcntl  # noqa: PLC0415 (Windows has none; there it is left to the operator)
        except ImportError:
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BlockingIOError(errno.EWOULDBLOCK, f"in use by another proxy{_read_holder(descriptor)}") from None
        except OSError as error:  # a network file system without locks
            fix = "see that no other proxy writes to the same file"
            log.warning("lock.unavailable", path=str(self.path), error=error.strerror, fix=fix)
            return
        with contextlib.suppress(OSError):  # a full disk: only the number is missing then
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)


def _read_holder(descriptor: int) -> str:
    text = os.pread(descriptor, MOST_PID_BYTES, 0).strip()
    return f" (pid {int(text)})" if text.isdigit() else ""

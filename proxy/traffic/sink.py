"""Sinks of the traffic log: standard output, or a file that rotates.

The rule of this file: called by the writer's thread alone, where blocking is allowed; errors of the system come out
as OSError, and the writer tries again.  A file is closed and reopened as often as somebody moves, deletes or
recreates it, so its path, and not its descriptor, is what stays the same.
"""

from __future__ import annotations

import os
import select
import stat
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import structlog

from proxy.config.units import build_age, build_size
from proxy.disk import find_fix
from proxy.lock import FileLock
from proxy.ownership import check_own
from proxy.traffic.rotate import SAFE, find_excess, find_expired, find_own, read_ending, read_first_moment, rotated_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

MODE = 0o600
RETRY_ROTATION_S = 60.0
"""After a rotation that failed; the file grows until then."""
GAPS = 2
"""Ages of rotation that two files put aside one after the other lie apart at most, while the log is written to."""
READY_WAIT_MS = 250
STDOUT = 1

log = structlog.get_logger(__name__)


class Sink(Protocol):
    """Takes whole lines, a part at a time."""

    @property
    def path(self) -> str:
        """Where they go, as the configuration names it."""
        ...

    def open(self) -> str:
        """Open, and return how the log ended before: see ``rotate.read_ending``."""
        ...

    def prepare(self, size: int) -> bool:
        """Get ready for ``size`` bytes; True if what is written now begins a file, and so must begin a line."""
        ...

    def write(self, data: memoryview) -> int:
        """Write a beginning of ``data`` and return its size."""
        ...

    def settle(self) -> float | None:
        """Do what can wait until nothing is to be written; return after how many seconds to ask again, None: never."""
        ...

    def close(self) -> None:
        """Close; nothing is written afterwards."""
        ...


class StreamSink:
    """Standard output, or whatever else is open already; never closed, since others may use it."""

    def __init__(self, descriptor: int = STDOUT) -> None:
        """Write to ``descriptor``."""
        self._descriptor = descriptor

    @property
    def path(self) -> str:
        """Standard output, as the configuration names it."""
        return "-"

    def open(self) -> str:
        """Nothing is known of what was written before."""
        return "stream"

    def prepare(self, size: int) -> bool:  # noqa: ARG002 (the protocol's)
        """It is always ready, and always the same."""
        return False

    def write(self, data: memoryview) -> int:
        """Write what the stream takes; 0 if it is non-blocking and took nothing for a while."""
        try:
            return os.write(self._descriptor, data)
        except BlockingIOError:
            poll = select.poll()
            poll.register(self._descriptor, select.POLLOUT)
            poll.poll(READY_WAIT_MS)
            return 0

    def settle(self) -> None:
        """Nothing was put off."""

    def close(self) -> None:
        """Leave it open."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the files of a log keep to.

    Attributes:
        max_bytes: Size at which the file is put aside.
        max_age_s: Age of its first record at which it is.
        retain_s: Age since rotation at which a file that was put aside is removed: see ``rotate.find_expired``.
        retain_bytes: What all files together have at most, for which the oldest are removed; None: no limit.
    """

    max_bytes: int
    max_age_s: float
    retain_s: float
    retain_bytes: int | None = None


class FileSink:
    """A file that rotates, and whose old ones are removed, by size and age; mode 0600, since it holds live tokens."""

    def __init__(
        self,
        path: Path,
        limits: Limits,
        *,
        find_aside: Callable[[Path], Sequence[Path]] = find_own,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Write to ``path``.

        Args:
            path: Its directory must exist.
            limits: What it keeps to.
            find_aside: Returns what was put aside for a path, in the order of writing.
            wall: Seconds since the epoch.
        """
        self._path = path
        self._lock = FileLock(path)
        self._limits = limits
        self._kept_to: Limits | None = None
        self._find_aside = find_aside
        self._wall = wall
        self._descriptor = -1
        self._identity: tuple[int, int] | None = None
        self._rotates = False
        self._size = 0
        self._begun_at = 0.0
        self._rotate_not_before = 0.0
        self._is_mid_line = False

    def use(self, limits: Limits) -> None:
        """Keep to other limits from the next record on; may be called from another thread."""
        self._limits = limits

    @property
    def path(self) -> str:
        """Where the file in use is; those put aside stand beside it."""
        return str(self._path)

    def __repr__(self) -> str:
        """Show the path and the size."""
        return f"<FileSink {self._path} {self._size} bytes>"

    def open(self) -> str:
        """Open or create the file; a line that a crash has torn is ended, so that the next one begins clean.

        A file that others may read is closed to them.  What is no file, as a FIFO that has a reader, is written to, and
        neither locked nor rotated nor synced.

        Raises:
            BlockingIOError: If another proxy writes to it.
            OSError: If it cannot be written, or is another user's.
        """
        self._close_file()
        if not self._path.exists() or self._path.is_file():
            self._lock.take()
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | SAFE, MODE)
        try:
            status = _close_to_others(descriptor)
        except BaseException:  # it may be another user's: nothing is written to it, now or at the next try
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        self._identity = (status.st_dev, status.st_ino)
        self._rotates = stat.S_ISREG(status.st_mode)
        ending = read_ending(self._path)
        self._size = status.st_size
        begun_at = read_first_moment(self._path) if self._rotates and self._size else None
        self._begun_at = self._wall() if begun_at is None else begun_at
        # What begins with a torn line may have no other: that is not put aside before there is one.
        self._is_mid_line = self._rotates and begun_at is None and self._size > 0
        if ending == "torn":
            self._size += os.write(self._descriptor, b"\n")
        if self._rotates:
            self._remove_old()
        return ending

    def prepare(self, size: int) -> bool:
        """Follow the path to another file, or begin a new one, if it is time."""
        if self._descriptor < 0 or self._has_moved():
            self.open()
            return True
        if self._is_due(size):
            return self._rotate()
        if self._limits is not self._kept_to and self._rotates:
            self._remove_old()
        return False

    def write(self, data: memoryview) -> int:
        """Append; less than all of it when the disk fills up."""
        written = os.write(self._descriptor, data)
        self._size += written
        self._is_mid_line = data[written - 1] != ord("\n")
        return written

    def settle(self) -> None:
        """Nothing was put off."""

    def close(self) -> None:
        """Close, with everything on the disk, and let another proxy have the path."""
        try:
            self._close_file()
        finally:
            self._lock.release()

    def _close_file(self) -> None:
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            try:
                if self._rotates:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _has_moved(self) -> bool:
        """Return whether the path leads elsewhere by now: deleted, or renamed by logrotate."""
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return True
        except OSError:
            # The directory may not be looked into any more; the open file still takes records.
            return False
        # Whoever empties it makes it smaller than what was written.
        self._size = status.st_size
        return (status.st_dev, status.st_ino) != self._identity

    def _is_due(self, size: int) -> bool:
        if not self._rotates or not self._size or self._is_mid_line:
            return False
        now = self._wall()
        is_full = self._size + size > self._limits.max_bytes
        return (is_full or now - self._begun_at >= self._limits.max_age_s) and now >= self._rotate_not_before

    def _rotate(self) -> bool:
        """Put the file aside and begin another; False if it could not be moved, and stays in use."""
        now = self._wall()
        try:
            aside = rotated_path(self._path, now)
            self._path.rename(aside)
        except OSError as error:
            self._rotate_not_before = now + RETRY_ROTATION_S
            meanwhile = f"the file goes on growing; tried again in {RETRY_ROTATION_S:.0f} s"
            fix = find_fix(error.errno)
            log.warning("log.rotation_failed", path=self.path, error=error.strerror, meanwhile=meanwhile, fix=fix)
            return False
        self.open()
        log.info("log.rotated", path=str(self._path), to=aside.name)
        return True

    def _remove_old(self) -> None:
        """Remove what the log has no time or room for any more; what fails leaves no gap, since the oldest go first."""
        limits = self._kept_to = self._limits
        try:
            for path, reason in self._find_old(limits):
                path.unlink(missing_ok=True)
                log.info("log.removed", path=str(path), reason=reason)
        except OSError as error:
            meanwhile = "files that traffic_log.retain or retain_size would have removed are still there"
            fix = find_fix(error.errno)
            log.warning("log.removal_failed", path=self.path, error=error.strerror, meanwhile=meanwhile, fix=fix)

    def _find_old(self, limits: Limits) -> Iterator[tuple[Path, str]]:
        """Yield the files to remove, the oldest first, and why."""
        files = self._find_aside(self._path)
        expired = find_expired(files, self._wall(), limits.retain_s, GAPS * limits.max_age_s)
        for path in expired:
            yield path, f"it was put aside more than {build_age(limits.retain_s)} ago, which is traffic_log.retain"
        most = limits.retain_bytes
        if most is not None:
            # The file in use is counted as it may become, so that they keep to the limit until the next is put aside.
            for path in find_excess(files[len(expired) :], most - max(self._size, limits.max_bytes)):
                yield path, f"all files would have more than {build_size(most)}, which is traffic_log.retain_size"


def _close_to_others(descriptor: int) -> os.stat_result:
    """Make an open file one that nobody else may read; return what it is."""
    os.set_blocking(descriptor, True)
    status = check_own(descriptor)
    if stat.S_ISREG(status.st_mode) and stat.S_IMODE(status.st_mode) != MODE:
        os.fchmod(descriptor, MODE)
    return status

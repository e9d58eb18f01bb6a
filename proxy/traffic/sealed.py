"""A file whose lines are sealed on their way into it.

The rule of this file: called by the writer's thread alone, the one place where the order of lines is final.  The chain
goes on from what stands in the file, and never from what was meant to: a line counts once its last byte is written,
and one that is begun again in another file is sealed anew there.
"""

from __future__ import annotations

import errno
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from proxy.disk import find_fix
from proxy.traffic.newest import find_end, write_newest
from proxy.traffic.record import Timestamps
from proxy.traffic.seal import FILE_GONE, NEW_FILE, START, STARTED, Opening, TornLines, build_opening, parse_sealed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from proxy.traffic.seal import Mark, SealKey
    from proxy.traffic.sink import Sink

NEWEST_S = 1.0
"""Between two writes of the newest mark: what an end may lack without being missed."""
NO_FILE = "its end cannot be read back, which a chain of seals goes on from"
CUT = "lines that were written are gone from the end of the log: cut off, or never on the disk before its power failed"
CUT_FIX = "find out which: `rapidsos-proxy traffic verify` names the place; the seals go on behind it"
UNKNOWN = "whether lines were cut off from the end of the log before this start cannot be told"
UNKNOWN_FIX = "find out who removed or changed the file .NAME.seal beside the log, unless the key was changed"
GONE = (
    "nothing in the file is sealed, and the one before may be elsewhere; the seals go on behind the newest line known"
)
GONE_FIX = "if that one was moved, keep it with the log: else `rapidsos-proxy traffic verify` finds its lines missing"

log = structlog.get_logger(__name__)


class SealedSink:
    """Seals what goes into a file."""

    def __init__(
        self,
        sink: Sink,
        path: Path,
        key: SealKey,
        *,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Seal with ``key`` what ``sink`` writes to ``path``."""
        self._sink = sink
        self._path = path
        self._key = key
        self._wall = wall
        self._clock = clock
        self._timestamps = Timestamps()
        self._mark: Mark | None = None
        self._opening: Opening | None = None
        # What stands behind the mark, for the opening that is not written yet.
        self._torn = TornLines()
        # Sealed lines from the one on that is being written, and how much of them is.
        self._sealed = b""
        self._done = 0
        self._lines_ahead = 0
        self._kept: Mark | None = None
        self._kept_at = -NEWEST_S
        self._is_failing = False

    @property
    def path(self) -> str:
        """Where the file in use is."""
        return self._sink.path

    def __repr__(self) -> str:
        """Show where the chain stands."""
        return f"<SealedSink {self._sink!r} line {self._mark.number if self._mark else 0}>"

    def open(self) -> str:
        """Open the file, and find out what to go on from.

        Raises:
            OSError: If it cannot be written, or not read back.
        """
        ending = self._sink.open()
        if ending == "stream":
            raise OSError(errno.ESPIPE, NO_FILE)
        end = find_end(self._path, self._key)
        self._mark, self._kept, self._torn = end.mark, end.newest, end.torn
        missing = 0 if end.mark is None else self._count_missing(end.mark, end.newest)
        reason = STARTED
        if end.is_gone:
            reason = FILE_GONE
            log.warning("log.file_gone", path=self.path, after=str(end.mark), meaning=GONE, fix=GONE_FIX)
        self._opening = Opening(reason, self._key.fingerprint, end.mark, end.torn.measure(), missing)
        return ending

    def prepare(self, size: int) -> bool:
        """Follow the file; each one begins with what its first line goes on from."""
        if not self._sink.prepare(size):
            return False
        if self._done:
            self._torn.add(self._sealed[: self._done])
        # One that is not written yet says what it has to, also in another file than it was meant for.
        opening = self._opening or Opening(NEW_FILE, self._key.fingerprint, self._mark)
        self._opening = replace(opening, torn=self._torn.measure())
        self._sealed, self._done, self._lines_ahead = b"", 0, 0
        self._keep()
        return True

    def write(self, data: memoryview) -> int:
        """Write a beginning of ``data``, sealed; return the size of those of its lines that are whole in the file."""
        if not self._sealed:
            self._sealed = self._seal(bytes(data))
        self._done += self._sink.write(memoryview(self._sealed)[self._done :])
        end = self._sealed.rfind(b"\n", 0, self._done) + 1
        if end == 0:
            return 0
        lines = self._sealed.count(b"\n", 0, end) - self._lines_ahead
        self._pass(end)
        size = len(data) if not self._sealed else _measure_lines(bytes(data), lines)
        if self._clock() - self._kept_at >= NEWEST_S:
            self._keep()
        return size

    def settle(self) -> float | None:
        """Keep the newest mark, unless one was a moment ago; return after how many seconds to ask again."""
        if self._mark is None or self._mark == self._kept:
            return None
        wait_s = self._kept_at + NEWEST_S - self._clock()
        if wait_s > 0:
            return wait_s
        self._keep()
        return NEWEST_S if self._is_failing else None

    def close(self) -> None:
        """Keep the newest mark, and close the file."""
        self._keep()
        self._sink.close()

    def _seal(self, data: bytes) -> bytes:
        mark = self._mark or START
        sealed = []
        if self._opening is not None:
            record = build_opening(self._timestamps.build(self._wall()), self._opening)
            missing = (self._opening.missing or 0) + self._opening.passed_over
            line, mark = self._key.seal(record, mark, missing=missing)
            sealed.append(line)
        self._lines_ahead = len(sealed)
        for text in data.split(b"\n")[:-1]:
            line, mark = self._key.seal(text + b"\n", mark)
            sealed.append(line)
        return b"".join(sealed)

    def _pass(self, end: int) -> None:
        """Take note that the sealed lines before ``end`` are in the file."""
        last = parse_sealed(self._sealed[self._sealed.rfind(b"\n", 0, end - 1) + 1 : end])
        self._mark = last.mark if last is not None else self._mark
        if self._opening is not None:
            self._opening, self._lines_ahead, self._torn = None, 0, TornLines()
        self._sealed, self._done = self._sealed[end:], self._done - end

    def _count_missing(self, mark: Mark, newest: Mark | None) -> int | None:
        """Return how many lines were written after the one that the log ends with; None if nothing tells."""
        if newest is None:
            log.warning("log.newest_unknown", path=self.path, meaning=UNKNOWN, fix=UNKNOWN_FIX)
            return None
        missing = max(0, newest.number - mark.number)
        if missing:
            log.error("log.cut", path=self.path, records=missing, meaning=CUT, fix=CUT_FIX)
        return missing

    def _keep(self) -> None:
        """Write the newest mark beside the log; what keeps it from being written is told once."""
        if self._mark is None or self._mark == self._kept:
            return
        self._kept_at = self._clock()
        try:
            write_newest(self._path, self._key, self._mark)
        except OSError as error:
            if not self._is_failing:
                meanwhile = "the log is sealed; lines that are cut off from its end would not be missed"
                fix = find_fix(error.errno)
                log.warning("log.newest_failed", path=self.path, error=error.strerror, meanwhile=meanwhile, fix=fix)
            self._is_failing = True
        else:
            self._kept, self._is_failing = self._mark, False


def _measure_lines(data: bytes, count: int) -> int:
    """Return the size of the first ``count`` lines."""
    end = 0
    for _ in range(count):
        end = data.index(b"\n", end) + 1
    return end

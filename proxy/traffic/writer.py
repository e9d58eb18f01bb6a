"""The queue and the thread between the event loop and a sink.

The rule of this file: the event loop never waits.  It appends to a deque, and the thread alone blocks.  Each counter
has one side that writes it; the other only reads.  Lines leave in the order they came, in batches, at the latest
``FLUSH_S`` after the first of them came.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

import structlog

from proxy.disk import find_fix

if TYPE_CHECKING:
    from proxy.traffic.sink import Sink

FLUSH_S = 0.25
BATCH_BYTES = 262_144
RETRY_S = 1.0
"""Between two tries at a sink that takes nothing."""

MEANWHILE = {
    "drop": "records wait in memory, up to limits.log_queue; those beyond it are dropped, and counted",
    "refuse": "requests are refused (503) until it can be written; records wait in memory, up to limits.log_queue",
}
"""What a sink that fails means, by ``traffic_log.when_full``."""

log = structlog.get_logger(__name__)


class Writer:
    """Writes lines to a sink, in a thread of its own.

    Attributes:
        dropped: Lines that found no room since the start.
        written: Lines in the sink.
        error: Why the sink takes nothing now, in the system's words; None while it works, again from the moment on
            that everything which had been tried is written.
    """

    def __init__(self, sink: Sink, *, max_bytes: int, when_full: str = "drop", name: str = "traffic-log") -> None:
        """Hold up to ``max_bytes`` for ``sink``; ``when_full`` says what is told of a sink that fails."""
        self._sink = sink
        self.use(max_bytes=max_bytes, when_full=when_full)
        self._lines: deque[bytes] = deque()
        self._wake = threading.Event()
        self._writing = threading.Thread(target=self._run, name=name, daemon=True)
        # Written by the event loop.
        self._put_lines = 0
        self._put_bytes = 0
        self._is_hurried = False
        self._is_stopping = False
        self.dropped = 0
        # Written by the thread, except that both lower _is_asleep.
        self._is_asleep = False
        self._done_bytes = 0
        self.written = 0
        self.error: str | None = None

    def __repr__(self) -> str:
        """Show how much waits, and what is wrong."""
        return f"<Writer {self.queued_bytes} bytes queued, {self.error or 'well'}>"

    def use(self, *, max_bytes: int, when_full: str) -> None:
        """Hold up to so many bytes from now on, and say what that means; for the event loop's thread."""
        self._meanwhile = MEANWHILE[when_full]
        self._max_bytes = max_bytes
        # A small queue must not be full before the thread has been woken.
        self._hurry_bytes = min(BATCH_BYTES, max_bytes // 2)

    @property
    def queued_bytes(self) -> int:
        """Bytes put and not yet written."""
        return self._put_bytes - self._done_bytes

    @property
    def is_started(self) -> bool:
        """Whether the thread was started."""
        return self._writing.ident is not None

    def start(self) -> None:
        """Start the thread; the sink is open."""
        self._writing.start()

    def put(self, line: bytes) -> None:
        """Queue a line, or count it as dropped when there is no room."""
        if self._put_bytes - self._done_bytes + len(line) > self._max_bytes:
            self.dropped += 1
        else:
            self.put_always(line)

    def put_always(self, line: bytes) -> None:
        """Queue a line."""
        self._lines.append(line)
        self._put_lines += 1
        self._put_bytes += len(line)
        if self._is_asleep:
            self._is_asleep = False
            self._wake.set()
        elif not self._is_hurried and self._put_bytes - self._done_bytes >= self._hurry_bytes:
            self._is_hurried = True
            self._wake.set()

    def stop(self, deadline_s: float) -> int:
        """Write what is queued and end; blocks, so not for the event loop.

        Returns:
            How many lines could not be written in time.
        """
        self._is_stopping = True
        self._wake.set()
        self._writing.join(deadline_s)
        return self._put_lines - self.written

    def _run(self) -> None:
        while self._wait():
            self._is_hurried = False
            self._write(*self._take())
        try:
            self._sink.close()
        except OSError as error:
            self._failed(error)

    def _wait(self) -> bool:
        """Wait until there is a batch to write; False when there is none any more.

        The event is always cleared before what it stands for is looked at, so that no wake-up is lost.
        """
        self._wake.clear()
        self._is_asleep = True
        if not self._lines and not self._is_stopping:
            self._wake.wait(self._sink.settle())
            self._wake.clear()
        self._is_asleep = False
        if not self._is_stopping and self.queued_bytes < self._hurry_bytes:
            self._wake.wait(FLUSH_S)
        return bool(self._lines) or not self._is_stopping

    def _take(self) -> tuple[bytes, int]:
        """Take a batch from the queue; return it, and how many lines it has."""
        batch: list[bytes] = []
        size = 0
        lines = self._lines
        while lines and size < BATCH_BYTES:
            line = lines.popleft()
            batch.append(line)
            size += len(line)
        return b"".join(batch), len(batch)

    def _write(self, batch: bytes, lines: int) -> None:
        """Write a batch, however many tries it takes; given up only when the sink fails during the stop."""
        view = memoryview(batch)
        done = 0
        while done < len(batch):
            try:
                if self._sink.prepare(len(batch) - done):
                    done = batch.rfind(b"\n", 0, done) + 1
                done += self._sink.write(view[done:])
            except Exception as error:  # noqa: BLE001 (a thread that dies takes the log with it)
                self._failed(error)
                if not self._rest():
                    break
        else:
            self._worked()
        self.written += lines if done == len(batch) else batch.count(b"\n", 0, done)
        self._done_bytes += len(batch)

    def _rest(self) -> bool:
        """Wait before the next try; False when there is to be none."""
        self._wake.clear()
        if not self._is_stopping:
            self._wake.wait(RETRY_S)
            return True
        return False

    def _failed(self, error: Exception) -> None:
        reason = (error.strerror if isinstance(error, OSError) else None) or repr(error)
        if reason != self.error:
            self.error = reason
            fix = find_fix(error.errno if isinstance(error, OSError) else None)
            log.error("log.failed", path=self._sink.path, error=reason, meanwhile=self._meanwhile, fix=fix)

    def _worked(self) -> None:
        if self.error is not None:
            self.error = None
            log.warning("log.recovered", path=self._sink.path)

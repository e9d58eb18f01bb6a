"""Files of secrets and certificates, looked at for changes while the proxy runs.

The rule of this file: it all happens in threads that nothing waits for, one for each file, since a network file system
may hang: the others are looked at all the same, and the one that hangs is told of.  A file is read when it has stopped
changing, so that half a secret, or the nothing that an editor leaves for a moment, is never taken.  Looking costs one
``stat`` a file, and works where notifications do not: on mounts, and through links.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import structlog

from proxy.config.places import SourceError, Stamp

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable, Mapping, Sequence

    from proxy.config.places import File
    from proxy.config.secret import Secret

LOOK_S = 0.5
"""Seconds between two looks; a file that is the same at two looks in a row has stopped changing."""
TOGETHER_S = 1.0
"""How long the looks of one round are waited for; one that takes longer is left to itself, and told when it ends."""
STALL_S = 5.0
"""After which a look that has not ended is told of."""
_NEVER = Stamp(0, 0, -1, 0, 0)
"""Of no file, so that the first looks read: it may have changed between the start and the first of them."""

Key_co = TypeVar("Key_co", covariant=True)
Found_co = TypeVar("Found_co", covariant=True)
Key = TypeVar("Key")
Found = TypeVar("Found")

log = structlog.get_logger(__name__)


class Watched(Protocol[Key_co, Found_co]):
    """What is looked at."""

    @property
    def key(self) -> Key_co:
        """What it is told of by."""
        ...

    def look(self) -> Found_co | None:
        """Look once; return what is new, if anything is."""
        ...


class Complaint:
    """That a source cannot be read: told once, and once more when it can be again."""

    def __init__(self, keys: Sequence[str]) -> None:
        """Have nothing to complain of; ``keys`` are those of the configuration that the source serves."""
        self._keys = tuple(keys)
        self.is_open = False

    def unreadable(self, error: SourceError) -> None:
        """Tell of it, unless that has been done; the old value serves on."""
        if not self.is_open:
            log.error("secret.unreadable", keys=self._keys, problem=error.problem, fix=error.fix, used="the old value")
        self.is_open = True

    def readable(self, origin: str) -> None:
        """Tell that it is over."""
        if self.is_open:
            log.warning("secret.recovered", keys=self._keys, source=origin)
        self.is_open = False


class WatchedFile:
    """One file, and what was last read from it."""

    def __init__(self, file: File, secret: Secret, keys: Sequence[str]) -> None:
        """Compare with ``secret``, which the file held when the configuration was loaded."""
        self.key = file
        self._secret = secret
        self._seen: Stamp | None = _NEVER
        self._read: Stamp | None = _NEVER
        self._complaint = Complaint(keys)

    def __str__(self) -> str:
        """Name it for people."""
        return f"file {self.key.path}"

    def look(self) -> Secret | None:
        """Look once; return the new secret, if there is one."""
        stamp = self.key.stamp()
        is_steady, self._seen = stamp == self._seen, stamp
        if not is_steady or (stamp == self._read and not self._complaint.is_open):
            return None
        try:
            secret = self.key.read()
        except SourceError as error:
            self._complaint.unreadable(error)
            return None
        if self.key.stamp() != stamp:  # written to meanwhile: what was read may be half of it
            return None
        self._read = stamp
        self._complaint.readable(secret.origin)
        if secret == self._secret:
            return None
        self._secret = secret
        return secret


class _Looks(Generic[Key, Found]):
    """The looks at one file, one after the other, in a thread of their own; asked of by one other thread."""

    def __init__(self, watched: Watched[Key, Found]) -> None:
        """Begin no look yet."""
        self.key = watched.key
        self._watched = watched
        self._wanted = threading.Semaphore(0)
        self._ended = threading.Event()
        self._found: Found | None = None
        self._begun_at: float | None = None
        self._is_told = False
        self._is_last = False

    def start(self) -> None:
        """Start the thread."""
        threading.Thread(target=self._run, name=str(self._watched), daemon=True).start()

    def stop(self) -> None:
        """Let the thread end, with the look that is under way."""
        self._is_last = True
        self._wanted.release()

    def begin(self) -> bool:
        """Begin a look; False while the one before is under way."""
        if self._begun_at is not None:
            return False
        self._begun_at = time.monotonic()
        self._ended.clear()
        self._wanted.release()
        return True

    def wait_until(self, moment: float) -> None:
        """Wait for the look that is under way."""
        self._ended.wait(max(0.0, moment - time.monotonic()))

    def take(self) -> Found | None:
        """Return what a look has found, if it has ended; tell of one that does not end, and of its end."""
        if self._begun_at is None:
            return None
        if not self._ended.is_set():
            if not self._is_told and time.monotonic() - self._begun_at >= STALL_S:
                self._is_told = True
                problem = f"a look at it has not ended for {STALL_S:g} s, as where the server of a mount is gone"
                fix = "look after the file system that it is on; it is used again as soon as that answers"
                log.warning("file.stalled", watched=str(self._watched), problem=problem, fix=fix, used="the old value")
            return None
        if self._is_told:
            log.warning("file.recovered", watched=str(self._watched))
        self._is_told, self._begun_at = False, None
        found, self._found = self._found, None
        return found

    def _run(self) -> None:
        while self._wanted.acquire() and not self._is_last:
            try:
                self._found = self._watched.look()
            except Exception:  # one that breaks the rules must not be the last look at this file
                log.exception("file.watch_broke", watched=str(self._watched))
            self._ended.set()


class FileWatch(Generic[Key, Found]):
    """The thread that has them all looked at, and tells."""

    def __init__(
        self,
        files: Sequence[Watched[Key, Found]],
        tell: Callable[[Mapping[Key, Found]], None],
        loop: AbstractEventLoop,
    ) -> None:
        """Prepare.

        Args:
            files: To look at.
            tell: Takes what has changed, all of one look together: an id and its secret change as a pair.
            loop: That ``tell`` is called on.
        """
        self._looks = [_Looks(watched) for watched in files]
        self._tell = tell
        self._loop = loop
        self._stopped = threading.Event()

    def start(self) -> None:
        """Begin to look; without files there is nothing to do."""
        if self._looks:
            threading.Thread(target=self._run, name="watched files", daemon=True).start()

    def stop(self) -> None:
        """Look no more, and tell of nothing that a look under way still finds; no thread is waited for."""
        self._stopped.set()

    def _run(self) -> None:
        for looks in self._looks:
            looks.start()
        while not self._stopped.wait(LOOK_S):
            if changed := self._look():
                with contextlib.suppress(RuntimeError):  # the loop has ended, and the proxy with it
                    self._loop.call_soon_threadsafe(self._tell_unless_stopped, changed)
        for looks in self._looks:
            looks.stop()

    def _tell_unless_stopped(self, changed: Mapping[Key, Found]) -> None:
        """Tell, on the loop, where ``stop`` is called too: what was wanted before that nobody wants now."""
        if not self._stopped.is_set():
            self._tell(changed)

    def _look(self) -> dict[Key, Found]:
        """Look once at each file; return what has changed."""
        begun = [looks for looks in self._looks if looks.begin()]
        until = time.monotonic() + TOGETHER_S
        for looks in begun:
            looks.wait_until(until)
        found = ((looks.key, looks.take()) for looks in self._looks)
        return {key: new for key, new in found if new is not None}

"""Files of secrets and certificates, looked at for changes while the proxy runs.

The rule of this file: it all happens in a thread that nothing waits for, since a network file system may hang; and a
file is read when it has stopped changing, so that half a secret, or the nothing that an editor leaves for a moment, is
never taken.  Looking costs one ``stat`` a file, and works where notifications do not: on mounts, and through links.
"""

from __future__ import annotations

import contextlib
import threading
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


class FileWatch(Generic[Key, Found]):
    """The thread that looks."""

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
        self._files = files
        self._tell = tell
        self._loop = loop
        self._stopped = threading.Event()

    def start(self) -> None:
        """Begin to look; without files there is nothing to do."""
        if self._files:
            threading.Thread(target=self._run, name="watched files", daemon=True).start()

    def stop(self) -> None:
        """Look no more; the thread is not waited for."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(LOOK_S):
            changed: dict[Key, Found] = {}
            for watched in self._files:
                try:
                    found = watched.look()
                except Exception:  # one file that breaks the rules must not end the looks at the others
                    log.exception("file.watch_broke", watched=str(watched.key))
                else:
                    if found is not None:
                        changed[watched.key] = found
            if changed:
                with contextlib.suppress(RuntimeError):  # the loop has ended, and the proxy with it
                    self._loop.call_soon_threadsafe(self._tell, changed)

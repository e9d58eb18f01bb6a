"""Tokens in an encrypted file, so that a restart serves at once, also while the token server is down.

The rule of this file: the file is read once, at start, and written behind the back of those who need tokens.  Nobody
waits longer than a limit for the disk, and nothing is written before what is there has been read.  Wall time stands in
it and nowhere else; a token whose times cannot be true, since a clock was stepped, is not used.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import structlog

from proxy.disk import find_fix
from proxy.errors import ConfigError, StoreError
from proxy.tasks import Tasks
from proxy.threads import in_thread
from proxy.tokens.store import Claim, StoreStatus, Turn
from proxy.tokens.stored import build_json, dump_token, parse_json, parse_token, read_number

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.tokens.sealed_file import SealedFile
    from proxy.tokens.stored import StoredToken
    from proxy.tokens.token import TokenKey

log = structlog.get_logger(__name__)

RETRY_S: Final = 30.0
"""After a write that failed: a disk is full for minutes, and nothing waits for this."""
READ_S: Final = 2.0
"""At the start; tokens can be fetched, and callers are waiting."""
WRITE_S: Final = 10.0
"""Until a write that is still under way is told of: a sound disk may be busy for a while."""
LAST_WRITE_S: Final = 2.0
"""At the end; a disk that hangs must not keep the proxy from stopping."""
THREAD: Final = "token-file"
DEFECT_FIX: Final = "report it, with what is told here: it is a defect of the proxy"
HANG_FIX: Final = "look after the disk that the file is on, or name a file on another one"

MEANWHILE: Final = "tokens are kept in memory alone: a restart has to fetch new ones"

Entries = dict[str, dict[str, Any]]


class FileStore:
    """The tokens of one proxy."""

    def __init__(
        self,
        file: SealedFile,
        *,
        wall: Callable[[], float] = time.time,
        retry_s: float = RETRY_S,
        read_s: float = READ_S,
        write_s: float = WRITE_S,
        last_write_s: float = LAST_WRITE_S,
    ) -> None:
        """Open nothing yet.

        Args:
            file: Where.
            wall: Seconds since the epoch.
            retry_s: From a write that failed to the next attempt.
            read_s: How long the start waits for what is stored.
            write_s: How long a write may take until it is told of.
            last_write_s: What the last write may take.
        """
        self._file = file
        self._wall = wall
        self._retry_s = retry_s
        self._read_s = read_s
        self._write_s = write_s
        self._last_write_s = last_write_s
        self._entries: Entries = {}
        self._changed = asyncio.Event()
        self._tasks = Tasks()
        self._is_read = False
        self._is_unreadable = False
        self._failures = 0
        self._error: str | None = None

    async def start(self, on_return: Callable[[], None]) -> None:
        """Read the file; one that cannot be read is left as it is, and nothing is stored.

        A disk that hangs is waited for a short while.  If the file is read after all, ``on_return`` is called.

        Raises:
            ConfigError: If another proxy has it.
        """
        reading = self._tasks.start(self._read(on_return), name="store.read")
        await asyncio.wait({reading}, timeout=self._read_s)
        if not reading.done():
            self._lose(f"could not be read within {self._read_s:g} s", HANG_FIX)
        elif (refusal := reading.result()) is not None:
            raise refusal

    async def stop(self) -> None:
        """Write what has not been written, and let another proxy have the file."""
        await self._tasks.stop()
        if self._is_read and self._changed.is_set():
            await self._write(self._last_write_s)
        with contextlib.suppress(OSError):  # of a disk that hangs; the end of the process gives it back
            await in_thread(self._file.release, name=THREAD, limit_s=self._last_write_s)

    async def agree(self, key: TokenKey, mine: StoredToken | None) -> StoredToken | None:
        """Have ``mine`` written soon, if it is newer than what is stored; return the newer one."""
        found = self._find(key)
        if mine is None or (found is not None and found.age_s <= mine.age_s):
            return found
        self._put(key, mine)
        return mine

    async def take_turn(self, key: TokenKey, *, steal: bool) -> Turn:  # noqa: ARG002 (see Store)
        """There is nobody else."""
        return Turn(Claim())

    async def end_turn(self, key: TokenKey, claim: Claim, token: StoredToken | None) -> None:  # noqa: ARG002 (see Store)
        """Have the token written soon; the one who fetched it does not wait for the disk."""
        if token is not None:
            self._put(key, token)

    def status(self) -> StoreStatus:
        """Return how it stands."""
        return StoreStatus("file", str(self._file.path), self._error is None, self._failures, self._error)

    def _put(self, key: TokenKey, token: StoredToken) -> None:
        if not self._is_unreadable:
            self._entries[key] = dump_token(token, issued_at=self._wall() - token.age_s)
            self._changed.set()

    def _find(self, key: str) -> StoredToken | None:
        entry = self._entries.get(key)
        issued_at = read_number(entry, "issued_at") if isinstance(entry, dict) else None
        return None if issued_at is None else parse_token(entry, self._wall() - issued_at)

    async def _read(self, on_return: Callable[[], None]) -> ConfigError | None:
        """Take and read the file; return why the proxy must not start, if another has it."""
        try:
            content = await in_thread(partial(_take, self._file), name=THREAD)
            document = parse_json(content) if content is not None else {}
        except BlockingIOError as error:
            problem, fix = error.strerror or "", find_fix(error.errno)
            self._leave(StoreError(f"is {problem}", fix))
            where = "store.file"
            return ConfigError(where, f"{self._file.path} is {problem}", fix)
        except Exception as error:  # noqa: BLE001 (whatever it is, the proxy must do without what is stored)
            self._leave(error)
            return None
        tokens = document.get("tokens") if isinstance(document, dict) else None
        # What was put there while it was read is of this process, and so the newer one.
        self._entries = (tokens if isinstance(tokens, dict) else {}) | self._entries
        self._is_read = True
        _ = self._tasks.keep(self._write_changes, name="store.write")
        if self._error is not None:
            self._recover()
            on_return()
        return None

    async def _write_changes(self) -> None:
        while True:
            await self._changed.wait()
            await self._write()
            if self._error is not None:
                await asyncio.sleep(self._retry_s)

    async def _write(self, limit_s: float | None = None) -> None:
        """Write all tokens that live; those of credentials that are gone leave with their last token."""
        self._changed.clear()
        slow = f"has taken nothing for {self._write_s:g} s"
        telling = asyncio.get_running_loop().call_later(self._write_s, self._lose, slow, HANG_FIX)
        try:
            self._entries = {key: entry for key, entry in self._entries.items() if self._find(key) is not None}
            content = build_json({"tokens": self._entries})
            await in_thread(partial(self._file.write, content), name=THREAD, limit_s=limit_s)
        except asyncio.CancelledError:
            self._changed.set()
            raise
        except Exception as error:  # noqa: BLE001 (one that ended this would be the last that is heard of the file)
            self._changed.set()
            self._lose(f"cannot be written ({_describe(error)})", _find_fix(error), error)
        else:
            self._recover()
        finally:
            telling.cancel()

    def _leave(self, error: Exception) -> None:
        """Do without the file from now on: what is in it is not known."""
        self._is_unreadable = True
        self._entries = {}
        problem, fix = f"cannot be read ({_describe(error)})", DEFECT_FIX
        if isinstance(error, StoreError):
            problem, fix = error.problem, error.fix
        defect = None if isinstance(error, StoreError) else error
        self._failures += 1
        self._error = problem
        log.error("store.unreadable", file=str(self._file.path), problem=problem, fix=fix, exc_info=defect)

    def _lose(self, problem: str, fix: str, error: Exception | None = None) -> None:
        """Take note of a failure; the first one is told, with a traceback where it is a defect."""
        self._failures += 1
        if self._error is None:
            defect = None if isinstance(error, OSError) else error
            where = str(self._file.path)
            log.warning("store.lost", file=where, problem=problem, meanwhile=MEANWHILE, fix=fix, exc_info=defect)
        self._error = problem

    def _recover(self) -> None:
        if self._error is not None:
            self._error = None
            log.warning("store.recovered", file=str(self._file.path), failures=self._failures)


def _find_fix(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return HANG_FIX
    return find_fix(error.errno) if isinstance(error, OSError) else DEFECT_FIX


def _take(file: SealedFile) -> bytes | None:
    file.hold()
    return file.read()


def _describe(error: Exception) -> str:
    """Describe in few words; the text of what no disk says may quote what was to be written."""
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__

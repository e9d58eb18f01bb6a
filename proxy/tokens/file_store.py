"""Tokens in an encrypted file, so that a restart serves at once, also while the token server is down.

The rule of this file: the file is read once, at start, and written behind the back of those who need tokens.  Wall
time stands in it and nowhere else; a token whose times cannot be true, since a clock was stepped, is not used.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

import structlog

from proxy.errors import StoreError
from proxy.tasks import Tasks
from proxy.tokens.store import Claim, StoreStatus, Turn
from proxy.tokens.stored import build_json, dump_token, parse_json, parse_token, read_number

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.tokens.sealed_file import SealedFile
    from proxy.tokens.stored import StoredToken
    from proxy.tokens.token import TokenKey

log = structlog.get_logger(__name__)

RETRY_S = 30.0
"""After a write that failed: a disk is full for minutes, and nothing waits for this."""
LAST_WRITE_S = 2.0
"""At the end; a disk that hangs must not keep the proxy from stopping."""

Entries = dict[str, dict[str, Any]]


class FileStore:
    """The tokens of one proxy."""

    def __init__(
        self,
        file: SealedFile,
        *,
        wall: Callable[[], float] = time.time,
        retry_s: float = RETRY_S,
        last_write_s: float = LAST_WRITE_S,
    ) -> None:
        """Open nothing yet.

        Args:
            file: Where.
            wall: Seconds since the epoch.
            retry_s: From a write that failed to the next attempt.
            last_write_s: What the last write may take.
        """
        self._file = file
        self._wall = wall
        self._retry_s = retry_s
        self._last_write_s = last_write_s
        self._entries: Entries = {}
        self._changed = asyncio.Event()
        self._tasks = Tasks()
        self._is_readable = True
        self._failures = 0
        self._error: str | None = None

    async def start(self, on_return: Callable[[], None]) -> None:  # noqa: ARG002 (nobody else writes the file)
        """Read the file; one that cannot be read is left as it is, and nothing is stored."""
        try:
            content = await asyncio.to_thread(self._file.read)
        except StoreError as error:
            self._is_readable = False
            self._failures += 1
            self._error = error.problem
            log.error("store.unreadable", file=str(self._file.path), problem=error.problem, fix=error.fix)  # noqa: TRY400 (no traceback: the message says it all)
            return
        document = parse_json(content) if content is not None else {}
        tokens = document.get("tokens") if isinstance(document, dict) else None
        self._entries = tokens if isinstance(tokens, dict) else {}
        _ = self._tasks.start(self._write_changes(), name="store.write")

    async def stop(self) -> None:
        """Write what has not been written."""
        await self._tasks.stop()
        if self._changed.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._last_write_s):
                    await self._write()

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
        if self._is_readable:
            self._entries[key] = dump_token(token, issued_at=self._wall() - token.age_s)
            self._changed.set()

    def _find(self, key: str) -> StoredToken | None:
        entry = self._entries.get(key)
        issued_at = read_number(entry, "issued_at") if isinstance(entry, dict) else None
        return None if issued_at is None else parse_token(entry, self._wall() - issued_at)

    async def _write_changes(self) -> None:
        while True:
            await self._changed.wait()
            await self._write()
            if self._error is not None:
                await asyncio.sleep(self._retry_s)

    async def _write(self) -> None:
        """Write all tokens that live; those of credentials that are gone leave with their last token."""
        self._changed.clear()
        self._entries = {key: entry for key, entry in self._entries.items() if self._find(key) is not None}
        try:
            await asyncio.to_thread(self._file.write, build_json({"tokens": self._entries}))
        except OSError as error:
            self._changed.set()
            self._fail(f"cannot be written ({error.strerror})")
        except asyncio.CancelledError:
            self._changed.set()
            raise
        else:
            if self._error is not None:
                self._error = None
                log.warning("store.recovered", file=str(self._file.path), failures=self._failures)

    def _fail(self, problem: str) -> None:
        self._failures += 1
        if self._error is None:
            fix = "make room on the disk, and let the proxy's user write to the file's directory"
            log.warning("store.lost", file=str(self._file.path), problem=problem, fix=fix)
        self._error = problem

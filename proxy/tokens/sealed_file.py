"""One encrypted file that is read once and replaced whole; every call blocks, and is made in a thread.

The rule of this file: at any moment, a crash or a full disk included, the path holds either the old content or the new
one, readable by its owner alone.  What cannot be read is never replaced.
"""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from typing import TYPE_CHECKING

from proxy.errors import StoreError
from proxy.lock import FileLock
from proxy.tokens.seal import Sealer, SealError

if TYPE_CHECKING:
    from pathlib import Path

MODE = 0o600
LARGEST_BYTES = 64 * 1024 * 1024
"""Far beyond the tokens of every credential there could be; it keeps a wrong path from being read whole."""
NAME = "file"
"""What the content is sealed under."""
ASIDE = "to begin anew, move it aside: tokens are then fetched as at a first start"


class SealedFile:
    """The encrypted file at one path."""

    def __init__(self, path: Path, sealer: Sealer) -> None:
        """Open nothing yet."""
        self.path = path
        self._sealer = sealer
        self._file_lock = FileLock(path)
        self._lock = threading.Lock()

    def hold(self) -> None:
        """Take the path for this process alone; a process that reads and replaces it whole undoes another's.

        Where that cannot be, as in a directory that is missing, ``write`` tries again.

        Raises:
            BlockingIOError: If another proxy has it.
        """
        with self._lock:
            try:
                self._file_lock.take()
            except BlockingIOError:
                raise
            except OSError:
                return

    def release(self) -> None:
        """Let another process have the path; a write that hangs keeps it, until the process ends."""
        if self._lock.acquire(blocking=False):
            self._file_lock.release()
            self._lock.release()

    def read(self) -> bytes | None:
        """Read and decrypt; None where there is no file, or an empty one.

        Raises:
            StoreError: If what is there is not a file of ours that this key opens.
        """
        try:
            sealed = self._read_sealed()
        except FileNotFoundError:
            return None
        except OSError as error:
            problem = f"cannot be read ({error.strerror})"
            raise StoreError(problem, "let the proxy's user read it, and name it without symbolic links") from error
        if not sealed:
            return None
        try:
            return self._sealer.open(NAME, sealed)
        except SealError:
            problem = "was written with another key, or is damaged"
            raise StoreError(problem, f"put the key back that it was written with; {ASIDE}") from None

    def write(self, data: bytes) -> None:
        """Encrypt, and replace the file.

        Raises:
            OSError: If it could not be replaced, or another proxy has it; what was there before is still there.
        """
        sealed = self._sealer.seal(NAME, data)
        with self._lock:  # a write that was given up may still be under way when the next one begins
            self._file_lock.take()
            self._replace(sealed)

    def _read_sealed(self) -> bytes:
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        with os.fdopen(os.open(self.path, flags), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                problem = "is no regular file"
                raise StoreError(problem, "name a file that does not exist yet, in a directory of the proxy's user")
            sealed = file.read(LARGEST_BYTES + 1)
        if len(sealed) > LARGEST_BYTES:
            problem = f"is larger than {LARGEST_BYTES} bytes, so it is no file of tokens"
            raise StoreError(problem, "name another file")
        return sealed

    def _replace(self, sealed: bytes) -> None:
        new = self.path.with_name(f".{self.path.name}.new")
        new.unlink(missing_ok=True)  # left by a crash
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, MODE)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(sealed)
                file.flush()
                os.fsync(file.fileno())
            new.replace(self.path)
        except BaseException:
            new.unlink(missing_ok=True)
            raise
        with contextlib.suppress(OSError):  # some file systems cannot; the new content is in place all the same
            self._sync_directory()

    def _sync_directory(self) -> None:
        descriptor = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

"""Whether the directories that the proxy will write to can be written by this user.

The rule of this file: it creates nothing, so it can be asked beside a proxy that runs.  Only ``check`` asks: at the
start of ``serve`` whoever opens a file says so itself, and a missing store costs nobody a request.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

from proxy.disk import find_fix

if TYPE_CHECKING:
    from proxy.config.models import Config
    from proxy.config.problems import Problems

AS_ITS_USER = "run this command as the proxy's user, and let that user write there"


def check_directories(config: Config, problems: Problems) -> None:
    """Note what would keep the traffic log and the store of tokens from being written."""
    if config.traffic_log.path != "-":
        _check("traffic_log.path", Path(config.traffic_log.path), problems)
    if config.store.file is not None:
        _check("store.file", Path(config.store.file), problems)


def _check(key: str, path: Path, problems: Problems) -> None:
    try:
        _check_path(key, path, problems)
    except OSError as error:
        problems.add(key, f"{path} cannot be looked at ({error.strerror})", AS_ITS_USER)


def _check_path(key: str, path: Path, problems: Problems) -> None:
    if path.is_symlink():
        problems.add(key, f"{path} is a symbolic link, and none is followed", find_fix(errno.ELOOP))
    elif path.is_dir():
        problems.add(key, f"{path} is a directory", find_fix(errno.EISDIR))
    elif path.exists() and not os.access(path, os.W_OK):
        problems.add(key, f"{path} cannot be written", AS_ITS_USER)
    elif path.is_file() or not path.exists():  # what is no file, as a device, has nothing made beside it
        _check_directory(key, path, problems)


def _check_directory(key: str, path: Path, problems: Problems) -> None:
    directory = path.parent
    if not directory.exists():
        problems.add(
            key, f"{path} is in a directory that does not exist", f"create {directory}, writable by the proxy's user"
        )
    elif not directory.is_dir():
        problems.add(key, f"{path} is in no directory: {directory} is none", "name a path whose directory is one")
    elif not os.access(directory, os.W_OK | os.X_OK):
        problems.add(key, f"{path} is in a directory that cannot be written", AS_ITS_USER)

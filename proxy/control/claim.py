"""Takes the place of the control socket, and gives it back.

The rule of this file: it may block, so it is called outside the event loop; and it removes nothing but a socket that
nobody listens at.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import time
from typing import TYPE_CHECKING

from proxy.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from proxy.control.place import Place

KEY = "admin.control"
DIRECTORY_MODE = 0o700
SOCKET_UMASK = 0o177
"""Leaves 0600: on Linux whoever cannot write a socket cannot connect to it."""
OF_OTHERS = 0o077
BACKLOG = 8
LOCK_TRIES = 20
LOCK_PAUSE_S = 0.05


class Claim:
    """A place that is ours.

    Attributes:
        socket: Listens there.
    """

    def __init__(self, place: Place, listening: socket.socket) -> None:
        """Keep what tells our socket from another that comes to stand there."""
        self.socket = listening
        self._place = place
        self._identity = _identify(place.path)

    def release(self) -> None:
        """Remove the socket, unless another has taken its place meanwhile."""
        self.socket.close()
        with contextlib.suppress(OSError):
            if _identify(self._place.path) == self._identity:
                self._place.path.unlink()
        _tidy(self._place)


def claim(place: Place) -> Claim:
    """Listen at a place.

    Raises:
        ConfigError: If it cannot be had.
    """
    path = place.path
    try:
        with contextlib.suppress(FileNotFoundError):
            return _take(place)
        return _take(place)  # another proxy of this user has just removed the directory that both would be in
    except OSError as error:
        _tidy(place)
        fix = "name a short path in a directory that the proxy's user may write, such as systemd's RuntimeDirectory="
        problem = f"{path} cannot be made a socket ({error.strerror or error})"
        raise ConfigError(KEY, problem, fix) from error


def _take(place: Place) -> Claim:
    if not place.is_configured:
        _make_directory(place.path.parent)
    with _locked(place.path.parent):
        _remove_dead(place.path)
        return Claim(place, _listen(place.path))


def _tidy(place: Place) -> None:
    """Remove the directory that was made for it, if nothing else is in it."""
    if not place.is_configured:
        with contextlib.suppress(OSError):
            place.path.parent.rmdir()


def _make_directory(directory: Path) -> None:
    """Make a directory of this user's own, or see that the one there is.

    Raises:
        ConfigError: If another user made it: a socket in there could be anybody's.
    """
    with contextlib.suppress(FileExistsError):
        directory.mkdir(DIRECTORY_MODE)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & OF_OTHERS:
        raise ConfigError(KEY, f"{directory} is not this user's own directory", "remove it, or name another place")


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Let one proxy at a time look at what is there, and change it.

    Whoever holds the lock for longer than that takes is none: anyone who can read the directory can take it, and must
    not keep this one from its start.
    """
    import fcntl  # noqa: PLC0415 (Windows has none, and no unix sockets either)

    descriptor = os.open(directory, os.O_RDONLY)
    try:
        for _ in range(LOCK_TRIES):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(LOCK_PAUSE_S)
        yield
    finally:
        os.close(descriptor)


def _remove_dead(path: Path) -> None:
    """Remove the socket that a killed proxy has left.

    Raises:
        ConfigError: If somebody listens there, or it is no socket.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ConfigError(KEY, f"{path} is there already, and no socket", "remove it, or name another place")
    if _is_alive(path):
        fix = "stop that one, or give this one a place of its own"
        raise ConfigError(KEY, f"{path} is the control socket of a proxy that is running", fix)
    path.unlink()


def _is_alive(path: Path) -> bool:
    """Return whether somebody listens at a socket; one that is too busy to accept does."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)  # noqa: FBT003 (its only parameter)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return False
        except BlockingIOError:
            return True
    return True


def _listen(path: Path) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX)
    before = os.umask(SOCKET_UMASK)  # bind(2) makes the file; a chmod would come too late
    try:
        listening.bind(str(path))
        listening.listen(BACKLOG)
    except BaseException:
        listening.close()
        raise
    finally:
        os.umask(before)
    return listening


def _identify(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_dev, found.st_ino

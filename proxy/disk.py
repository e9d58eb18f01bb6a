"""What keeps a file from being written, by what the system says of it, and what an operator can do.

The rule of this file: words alone; whoever has met the error tells what it means for the proxy.
"""

from __future__ import annotations

import errno

_TO_ITS_USER = "let the proxy's user write to it and to its directory"
_FIXES = {
    errno.ENOSPC: "make room on its disk",
    errno.EDQUOT: "make room within the disk quota of the proxy's user",
    errno.ENOENT: "create its directory, writable by the proxy's user",
    errno.ENOTDIR: "name a path whose directory is one",
    errno.EACCES: _TO_ITS_USER,
    errno.EPERM: "let it belong to the proxy's user (chown), or move it aside",
    errno.EMLINK: "move it aside, and find out who has given the file its other name (ls -i, find -inum)",
    errno.EROFS: "mount its file system for writing",
    errno.EIO: "look at the disk: the system could not write to it",
    errno.EFBIG: "let the proxy's user write larger files (ulimit -f, LimitFSIZE= of systemd)",
    errno.EPIPE: "start its reader again, and the proxy with it",
    errno.EWOULDBLOCK: "stop that one, or give this one a path of its own",
    errno.ELOOP: 'it is a symbolic link: set the path that it leads to (for /dev/stdout, "-")',
    errno.ENXIO: "it is a FIFO that nobody reads, or a socket: start its reader first",
    errno.ESPIPE: "name a file, or take traffic_log.seal out",
    errno.EISDIR: "it is a directory: set the path of a file in it",
}


def find_fix(number: int | None) -> str:
    """Return what to do about a file that cannot be written.

    Args:
        number: The system's error number; None where it gave none.
    """
    return _FIXES.get(number or 0, f"{_TO_ITS_USER}, and look at the disk")

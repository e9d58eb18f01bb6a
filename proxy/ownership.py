"""Whose a file is that the proxy writes to.

The rule of this file: a file is looked at once it is open, since a name may lead elsewhere a moment later.  A proxy
that runs as root could open anything: a file that somebody else has made, to read what is written there, or another
name of a file that must not be written to.
"""

from __future__ import annotations

import errno
import os
import stat

ROOT = 0


def check_own(descriptor: int, what: str = "it") -> os.stat_result:
    """Return what an open file is, if it is this user's or root's, and has one name.

    Args:
        descriptor: Of the file.
        what: To call it in the error.

    Raises:
        OSError: If it is another user's (EPERM), or has several names (EMLINK).
    """
    status = os.fstat(descriptor)
    if status.st_uid not in {os.geteuid(), ROOT}:
        raise PermissionError(errno.EPERM, f"{what} belongs to another user, number {status.st_uid}")
    if stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
        raise OSError(errno.EMLINK, f"{what} has another name: a hard link")
    return status

"""Whose proxy a command believes.

The rule of this file: a command believes its own user and root.  Root may also ask the proxy of a service's user, but
only where it was told to, and where nobody but that user or root could have put the socket: the default place is in a
directory where everybody writes, and whoever comes first can take its name.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from proxy.control.peer import ROOT, find_peer
from proxy.errors import ControlError

if TYPE_CHECKING:
    import os
    import socket
    from asyncio.trsock import TransportSocket
    from pathlib import Path

    from proxy.control.place import Place

FIX = "run this command as that user, or as root with --control; if that user runs no proxy, remove it"
DIRECTORY_FIX = (
    "others than root may write to its directory, so it may be anybody's: run this command as that user, or let nobody "
    "else write there (chmod go-w {directory}, or chown it to that user)"
)
OF_OTHERS = stat.S_IWGRP | stat.S_IWOTH
"""Who of these may write to a directory may put a socket there; with the sticky bit, too, if he comes first."""


def find_believed(place: Place, asker: int) -> frozenset[int]:
    """Return whose process may answer at a place.

    Args:
        place: Where; whether it is configured says whether somebody named it.
        asker: The number of the user who asks.

    Raises:
        ControlError: If the socket there, or the directory that it is in, is a stranger's.
    """
    believed = frozenset({asker, ROOT})
    path, parent = place.path, place.path.parent
    try:
        owner, directory = path.stat().st_uid, parent.stat()
    except OSError:
        return believed  # what is not there is told when it is asked
    fix = FIX
    if asker == ROOT and place.is_configured:
        if _can_only_be_of(owner, directory):
            believed |= {owner}
        elif directory.st_uid == ROOT:
            fix = DIRECTORY_FIX.format(directory=parent)
    for what, found in ((path, owner), (parent, directory.st_uid)):
        if found not in believed:
            raise ControlError(str(what), f"belongs to another user, number {found}", fix)
    return believed


def check_peer(path: Path, connection: socket.socket | TransportSocket, believed: frozenset[int]) -> None:
    """Refuse what answers there, if it runs as somebody else: the socket may have been replaced meanwhile.

    Raises:
        ControlError: If it does.
    """
    peer = find_peer(connection)
    if peer is not None and peer.uid not in believed:
        raise ControlError(str(path), f"a process of another user, number {peer.uid}, answers there", FIX)


def _can_only_be_of(owner: int, directory: os.stat_result) -> bool:
    return directory.st_uid == owner or (directory.st_uid == ROOT and not directory.st_mode & OF_OTHERS)

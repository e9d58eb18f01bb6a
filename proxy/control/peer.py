"""Who is at the other end of a unix socket.

The rule of this file: the file's mode keeps others out already; this holds even where somebody has changed it.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio.trsock import TransportSocket

ROOT = 0
_CREDENTIALS = struct.Struct("3i")
"""struct ucred of unix(7): process, user, group."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A process that has connected.

    Attributes:
        pid: Its number.
        uid: Its user's.
    """

    pid: int
    uid: int

    def may_command(self, owner: int) -> bool:
        """Return whether it may command a proxy that runs as the user ``owner``."""
        return self.uid in {owner, ROOT}


def find_peer(connection: socket.socket | TransportSocket) -> Peer | None:
    """Return who has connected; None where the system does not tell in this way."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return None
    pid, uid, _ = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, option, _CREDENTIALS.size))
    return Peer(pid, uid)

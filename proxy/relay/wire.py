"""Our end of one connection: what is sent waits for the end of the turn, and reading is paused and taken up again.

The rule of this file: it knows bytes and the transport, and no HTTP.  Order within a connection is kept, and whoever
closes it flushes first.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
from typing import TYPE_CHECKING, Protocol

if sys.platform != "win32":
    import fcntl
    import termios

if TYPE_CHECKING:
    import asyncio

RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER with no time at all: the close is a reset (socket(7))."""


class EndOfTurn(Protocol):
    """Calls wires back when the present turn of the event loop ends."""

    def add_wire(self, wire: Wire) -> None:
        """Flush ``wire`` when the turn ends."""
        ...


class Wire:
    """One connection's transport.

    Attributes:
        transport: asyncio's.
        written: Bytes given to the transport so far; some of them may not have left it.
    """

    __slots__ = ("_is_paused", "_size", "_taken", "_turn", "_unsent", "transport", "written")

    MOST = 65_536
    """Bytes that wait for the end of the turn; more are sent at once, so that the transport can tell that it is full.
    uvloop delivers many reads in one turn, and what they bring for one slow peer would gather here."""

    def __init__(self, transport: asyncio.Transport, turn: EndOfTurn) -> None:
        """Send to ``transport`` at the end of each turn."""
        self.transport = transport
        self._turn = turn
        self._unsent: list[bytes] = []
        self._size = 0
        self.written = 0
        self._taken = 0
        self._is_paused = False

    def __repr__(self) -> str:
        """Return how much waits, and whether it is read from."""
        return f"<Wire unsent={self._size} {'paused' if self._is_paused else 'reading'}>"

    @property
    def has_unsent(self) -> bool:
        """Whether something waits, here or in the transport."""
        return bool(self._unsent) or self.transport.get_write_buffer_size() > 0

    def write(self, data: bytes) -> None:
        """Send ``data`` at the end of the turn; sooner, if it is not the first in this turn and they are much."""
        self._size += len(data)
        if not self._unsent:
            self._turn.add_wire(self)
            self._unsent.append(data)
            return
        self._unsent.append(data)
        if self._size > self.MOST:
            self.flush()

    def flush(self) -> None:
        """Send now what waits; nothing of it once the transport is closing."""
        unsent = self._unsent
        if not unsent:
            return
        self._unsent = []
        size, self._size = self._size, 0
        if self.transport.is_closing():
            return
        self.written += size
        if len(unsent) == 1:
            self.transport.write(unsent[0])
        else:
            self.transport.writelines(unsent)

    def took_some(self) -> bool:
        """Return whether the peer has taken anything since this was last asked.

        The kernel's own queue counts as not taken: a peer that reads a kilobyte a second lets the transport send
        only once in minutes, when a third of that queue is free.
        """
        taken = self.written + self._size - self.count_waiting()
        before, self._taken = self._taken, taken
        return taken > before

    def count_waiting(self) -> int:
        """Return how many of the bytes written the peer's kernel has not taken."""
        return self._size + self.transport.get_write_buffer_size() + self._count_queued()

    def _count_queued(self) -> int:
        """Return the bytes that the kernel holds and the peer's has not acknowledged (tcp(7)); 0 where it can't say."""
        if sys.platform == "win32":
            return 0
        try:
            answer = fcntl.ioctl(self.transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, b"\0" * 4)
        except (OSError, ValueError):
            return 0
        return int.from_bytes(answer, sys.byteorder)

    def pause_reading(self) -> None:
        """Leave further bytes in the kernel; once is enough."""
        if not self._is_paused and not self.transport.is_closing():
            self._is_paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again, if reading was paused."""
        if self._is_paused:
            self._is_paused = False
            if not self.transport.is_closing():
                self.transport.resume_reading()

    def reset(self) -> None:
        """Close so that the peer cannot take what it has for the whole."""
        with contextlib.suppress(OSError):
            sock = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self.transport.abort()

"""Where the control socket is.

The rule of this file: the proxy and a command that is given the same file, by the same user, find the same place.
"""

from __future__ import annotations

import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.config.models import Admin

RUNTIME_DIRECTORY = "XDG_RUNTIME_DIR"
"""Of a user who is logged in (XDG Base Directory Specification): cleared at log-out, and nobody else's."""
NAME = "rapidsos-proxy"


@dataclass(frozen=True, slots=True)
class Place:
    """A path for the control socket.

    Attributes:
        is_configured: Whether the configuration names it: it must be had then.
    """

    path: Path
    is_configured: bool


def find_place(admin: Admin, environ: Mapping[str, str], uid: int) -> Place | None:
    """Return the place for ``admin``; None where there is no unix socket, or no name for one.

    Args:
        admin: The ``[admin]`` section.
        environ: The process's environment.
        uid: The user's number.
    """
    if not hasattr(socket, "AF_UNIX"):
        return None
    if admin.control is not None:
        return Place(Path(admin.control), is_configured=True)
    address = admin.bind
    if not address.port:
        return None  # no command could know which of several it is
    runtime = Path(environ.get(RUNTIME_DIRECTORY, ""))
    directory = runtime / NAME if _is_own(runtime, uid) else Path(tempfile.gettempdir()) / f"{NAME}-{uid}"
    return Place(directory / f"{address.host}-{address.port}.sock", is_configured=False)


def _is_own(runtime: Path, uid: int) -> bool:
    """Return whether it is this user's: ``su`` and ``sudo`` may leave the variable of the user before."""
    try:
        return runtime.is_absolute() and runtime.stat().st_uid == uid
    except OSError:
        return False

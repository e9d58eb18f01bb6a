"""`rapidsos-proxy reload`.

The rule of this file: it waits for the outcome and says it, so that whoever changes a file sees at once whether it is
used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.control.client import connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.control.place import Place


async def reload(place: Place, show: Callable[[str], None]) -> int:
    """Have the running proxy read its configuration again, and tell what came of it; returns the exit code.

    Args:
        place: Of the control socket.
        show: Takes a line at a time.

    Raises:
        ConfigError: If the proxy refuses the configuration.
        ControlError: If the proxy cannot be asked.
    """
    async with connect(place) as client:
        done = await client.reload()
    show(f"reloaded; changed: {', '.join(done.changed)}" if done.changed else "reloaded; nothing has changed")
    if done.needs_restart:
        show(f"not used before a restart: {', '.join(done.needs_restart)}")
    return 0

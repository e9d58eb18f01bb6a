"""The control socket on a file system that hangs; what it answers stands in the integration tests."""

import asyncio
import os
import threading

from proxy.control.place import Place
from proxy.control.server import ControlSocket


async def test_a_file_system_that_hangs_does_not_hold_up_the_end(tmp_path, healthy_proxy, monkeypatch):
    """The next start removes a socket that nobody listens at."""
    over, place = threading.Event(), Place(tmp_path / "c.sock", is_configured=True)
    control = ControlSocket(healthy_proxy, place)
    await control.open()
    monkeypatch.setattr(os, "unlink", lambda *_arguments, **_named: over.wait())
    monkeypatch.setattr("proxy.control.server.RELEASE_S", 0.01)

    async with asyncio.timeout(10):
        await control.close()
    is_there = place.path.exists()
    over.set()

    assert is_there

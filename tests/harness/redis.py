"""A real Redis that a test can stop, kill and start again, with a user that may do no more than README says."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
import signal
import socket
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from redis.asyncio import Redis

from harness.tools import ENVIRONMENT, PATIENCE_S, find_tool
from proxy.config.secret import Secret

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

README = Path(__file__).parents[2] / "README.md"
KEY = bytes(range(7, 39))
"""That the tokens are encrypted with."""
USER = "rapidsos"
PASSWORD = "redis-pa55word-8Hk2"
TESTER = "tester"
_CONFIGURATION = """
bind 127.0.0.1
{ports}
save ""
appendonly no
dir {folder}
user default off
user tester on >{password} ~* &* +@all
user {acl}
"""


def find_acl() -> str:
    """Return what README has an operator give to ACL SETUSER, with the password of these tests."""
    (line,) = re.findall(r"^ACL SETUSER (.+)$", README.read_text(), re.MULTILINE)
    return str(re.sub(r">\S+", f">{PASSWORD}", line))


class RedisServer:
    """A Redis on a port of its own; it keeps nothing on a disk.

    Attributes:
        url: For ``store.redis``.
    """

    def __init__(self, folder: Path, certificate: Path | None) -> None:
        """Prepare; ``certificate``, PEM with chain and key, makes it speak TLS and nothing else."""
        # Bound and never listening: nobody else gets the port while Redis is down.
        self._keeper = socket.socket()
        self._keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._keeper.bind(("127.0.0.1", 0))
        self.port = self._keeper.getsockname()[1]
        self.url = f"{'redis' if certificate is None else 'rediss'}://127.0.0.1:{self.port}"
        self._certificate = certificate
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it, empty, and wait until it listens."""
        configuration = self._folder / "redis.conf"
        ports = f"port {self.port}"
        if self._certificate is not None:
            ports = f"port 0\ntls-port {self.port}\ntls-auth-clients no\ntls-cert-file {self._certificate}\n"
            ports += f"tls-key-file {self._certificate}\ntls-ca-cert-file {self._certificate}"
        text = _CONFIGURATION.format(ports=ports, folder=self._folder, password=PASSWORD, acl=find_acl())
        configuration.write_text(text)
        with (self._folder / "redis.log").open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                find_tool("redis-server"),
                str(configuration),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=ENVIRONMENT,
            )
        async with asyncio.timeout(PATIENCE_S):
            while not await self._listens():  # noqa: ASYNC110 (it tells nobody)
                await asyncio.sleep(0.01)

    async def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.returncode is None, (self._folder / "redis.log").read_text()
        with contextlib.suppress(ConnectionRefusedError):
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writer.close()
            return True
        return False

    async def kill(self) -> None:
        """End it at once, with all that it knew."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def stop(self) -> None:
        """End it, and give up its port."""
        await self.kill()
        self._keeper.close()

    def freeze(self) -> None:
        """Let it neither answer nor close, until ``thaw``."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    @asynccontextmanager
    async def tester(self) -> AsyncIterator[Redis]:
        """Open a client of a user who may do everything; plain Redis only."""
        client = Redis(port=self.port, username=TESTER, password=PASSWORD, protocol=2)
        try:
            yield client
        finally:
            await client.aclose()


def build_store(redis: RedisServer, **more: Any) -> dict[str, Any]:
    """Build ``[store]`` for a Redis, as a parsed configuration has it."""
    return {
        "redis": redis.url,
        "key": Secret(base64.b64encode(KEY).decode(), "test"),
        "username": Secret(USER, "test"),
        "password": Secret(PASSWORD, "test"),
        **more,
    }


@asynccontextmanager
async def running_redis(folder: Path, certificate: Path | None = None) -> AsyncIterator[RedisServer]:
    """Run Redis for the length of a block.

    Args:
        folder: For its configuration and what it says.
        certificate: PEM, chain and private key; None for plain TCP.
    """
    server = RedisServer(folder, certificate)
    try:
        await server.start()
        yield server
    finally:
        await server.stop()

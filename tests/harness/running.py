"""A whole proxy on ports of its own, and what it recorded."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

from proxy.config.models import Config
from proxy.config.secret import Secret
from proxy.service import Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from harness.upstream import ScriptedUpstream
    from proxy.exchange import Exchange
    from proxy.tokens.token import TokenFetch

PATIENCE_S = 10
"""A wait that takes longer than this has failed."""


class Recorder:
    """An observer that keeps what it is told, and lets a test wait for it."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.exchanges: list[Exchange] = []
        self.fetches: list[TokenFetch] = []
        self._changed = asyncio.Condition()
        self._notices: set[asyncio.Task[None]] = set()

    def exchange_closed(self, exchange: Exchange) -> None:
        """Keep it."""
        self.exchanges.append(exchange)
        self._notify()

    def token_fetched(self, fetch: TokenFetch) -> None:
        """Keep it."""
        self.fetches.append(fetch)
        self._notify()

    async def wait_exchanges(self, count: int) -> list[Exchange]:
        """Wait until ``count`` exchanges have closed."""
        await self._wait(lambda: len(self.exchanges) >= count)
        return self.exchanges

    async def wait_fetches(self, count: int) -> list[TokenFetch]:
        """Wait until ``count`` token calls have ended."""
        await self._wait(lambda: len(self.fetches) >= count)
        return self.fetches

    async def _wait(self, condition: Any) -> None:
        async with asyncio.timeout(PATIENCE_S), self._changed:
            await self._changed.wait_for(condition)

    def _notify(self) -> None:
        task = asyncio.get_running_loop().create_task(self._tell())
        self._notices.add(task)
        task.add_done_callback(self._notices.discard)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


class RunningProxy:
    """A proxy that serves.

    Attributes:
        service: The whole of it.
        recorder: What closed.
        clients: Raw connections opened; closed at the end.
        upstream: The scripts behind it, where it was started in front of some.
    """

    def __init__(self, service: Service, recorder: Recorder) -> None:
        """Wrap a started service."""
        self.service = service
        self.recorder = recorder
        self.clients: list[RawClient] = []
        self.upstream = cast("ScriptedUpstream", None)
        self._is_stopped = False

    @property
    def port(self) -> int:
        """Port of the first listener."""
        return self.service.listeners[0].port

    @property
    def url(self) -> str:
        """Base URL of the first listener."""
        return f"http://127.0.0.1:{self.port}"

    async def stop(self) -> None:
        """Stop, which writes the traffic log to its end; once is enough."""
        if not self._is_stopped:
            self._is_stopped = True
            await self.service.stop()

    async def connect(self) -> RawClient:
        """Open a raw connection to the first listener."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        client = RawClient(reader, writer)
        self.clients.append(client)
        return client

    async def talk(self, data: bytes) -> bytes:
        """Send bytes, close the sending side, return everything that comes back."""
        client = await self.connect()
        client.send(data)
        client.writer.write_eof()
        try:
            return await client.read_all()
        finally:
            client.close()


class RawClient:
    """One connection, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Wrap an open connection."""
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.writer.write(data)

    async def read_head(self) -> bytes:
        """Read up to and with an empty line."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.readuntil(b"\r\n\r\n")

    async def read_exactly(self, size: int) -> bytes:
        """Read ``size`` bytes."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.readexactly(size)

    async def read_answer(self) -> tuple[bytes, bytes]:
        """Read a head and the body that its Content-Length announces."""
        head = await self.read_head()
        length = next(
            (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        return head, await self.read_exactly(length)

    async def read_all(self) -> bytes:
        """Read until the other side closes."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.read()

    def close(self) -> None:
        """Close."""
        self.writer.close()

    def reset(self) -> None:
        """Close with a reset."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something that has no event of its own is so."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 (that is what it is for)
            await asyncio.sleep(0.005)


def build_document(upstream: str, token_url: str, **sections: Any) -> dict[str, Any]:
    """Build a configuration of one listener, one credential and one route; ``sections`` replace what they name."""
    return {
        "listener": [{"name": "cad", "bind": "127.0.0.1:0"}],
        "credential": {
            "core": {
                "grant": "client_credentials",
                "token_url": token_url,
                "client_id": Secret("simulator-client", "test"),
                "client_secret": Secret("simulator-secret", "test"),
            }
        },
        "route": [
            {
                "name": "api",
                "match": {"path": "/api/"},
                "strip": "/api",
                "upstream": upstream,
                "credential": "core",
            }
        ],
        "traffic_log": {"path": "/dev/null"},
        "admin": {"bind": "127.0.0.1:0"},
        **sections,
    }


@asynccontextmanager
async def running_proxy(document: dict[str, Any], *, with_tokens: bool = True) -> AsyncIterator[RunningProxy]:
    """Run a proxy for the length of a block; whatever it tells clients of its own must say what to do.

    Args:
        document: The configuration, parsed.
        with_tokens: Whether each credential's first token call has ended, well or badly, when the block begins.
    """
    recorder = Recorder()
    config = Config.model_validate(document)
    service = Service(config, [recorder])
    await service.start()
    running = RunningProxy(service, recorder)
    try:
        bearers = [credential for credential in config.credential.values() if credential.grant != "basic"]
        if with_tokens:
            await recorder.wait_fetches(len(bearers))
        yield running
    finally:
        for client in running.clients:
            client.close()
        await running.stop()
    for error in (exchange.error for exchange in recorder.exchanges):
        assert error is None or tells_next_step(error.detail), f"does not say what to do: {error.detail}"


def tells_next_step(detail: str) -> bool:
    """Return whether what a client is told says, behind what was found, what to do about it."""
    return "; " in detail or ". " in detail

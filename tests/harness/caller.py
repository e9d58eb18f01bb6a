"""A dispatcher's console while something goes wrong elsewhere: request after request, each answer looked at."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from harness.running import RawClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

GET = b"GET /api/x HTTP/1.1\r\nHost: proxy\r\n\r\n"
PATIENCE_S = 30
ENOUGH = 20
"""Answers that show that service goes on."""


class Caller:
    """Sends a request as soon as the one before was answered, for as long as it is let.

    Attributes:
        served: Answers with 200.
        wronged: The heads of all others.
    """

    def __init__(self, port: int, *, request: bytes = GET, source: str = "127.0.0.1") -> None:
        """Call a port of 127.0.0.1 from ``source``."""
        self.served = 0
        self.wronged: list[bytes] = []
        self._port = port
        self._request = request
        self._source = source
        self._answered = asyncio.Condition()
        self._is_over = False

    async def wait_served(self, count: int = ENOUGH) -> None:
        """Wait for ``count`` more answers with 200; fail at once at any other."""
        goal = self.served + count
        async with asyncio.timeout(PATIENCE_S), self._answered:
            await self._answered.wait_for(lambda: self.wronged or self.served >= goal)
        assert self.wronged == []

    async def call_on(self) -> None:
        """Call until ``end``."""
        client = RawClient(
            *await asyncio.open_connection("127.0.0.1", self._port, local_addr=(self._source, 0)),
        )
        try:
            while not self._is_over:
                client.send(self._request)
                head, _ = await client.read_answer()
                async with self._answered:
                    if head.split()[1] == b"200":
                        self.served += 1
                    else:
                        self.wronged.append(head)
                    self._answered.notify_all()
        finally:
            client.close()

    def end(self) -> None:
        """Take the answer that is waited for, and ask no more."""
        self._is_over = True


@asynccontextmanager
async def calling(port: int, *, request: bytes = GET, source: str = "127.0.0.1") -> AsyncIterator[Caller]:
    """Keep a caller busy for the length of a block; it has been served by then, and is at the end."""
    caller = Caller(port, request=request, source=source)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(caller.call_on())
        await caller.wait_served(1)
        yield caller
        await caller.wait_served()
        caller.end()

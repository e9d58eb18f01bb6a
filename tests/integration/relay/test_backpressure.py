"""A side that does not read holds the other back, and nothing grows."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from harness.running import until
from harness.upstream import Peer, answering

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.running import RawClient

GET = b"GET /api/x HTTP/1.1\r\nHost: proxy\r\n\r\n"
MANY = 20_000


async def stop_reading(client: RawClient) -> None:
    """Let what comes for the client stay in the kernel."""
    client.writer.transport.pause_reading()


async def test_a_client_that_pipelines_and_never_reads_is_not_served_on(in_front_of: Any) -> None:
    """Its answers would gather in memory: what it asks for waits until it has taken what it was sent."""
    body = b"x" * 10_000
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    async with in_front_of(answering(answer)) as proxy:
        client = await proxy.connect()
        await stop_reading(client)
        client.send(GET * MANY)
        await proxy.recorder.wait_exchanges(1)
        served = await settled(lambda: len(proxy.recorder.exchanges))
        client.writer.transport.resume_reading()
        for _ in range(served + 100):
            assert (await client.read_answer())[1] == body

        assert served < MANY / 2


async def settled(count: Callable[[], int]) -> int:
    """Wait until a count stays the same for a while; return it."""
    seen = -1
    while seen != (now := count()):
        seen = now
        await asyncio.sleep(0.2)
    return seen


async def test_a_connection_whose_client_was_slow_serves_the_next_exchange(in_front_of: Any) -> None:
    """The pool gets back a connection that reads again."""
    size = 30_000_000

    async def script(peer: Peer) -> None:
        await peer.read_head()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
        await peer.read_head()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await peer.wait_closed()

    async with in_front_of(script) as proxy:
        slow = await proxy.connect()
        await stop_reading(slow)
        slow.send(GET)
        await until(lambda: bool(proxy.upstream.peers))
        slow.writer.transport.resume_reading()
        _, body = await slow.read_answer()
        answer = await proxy.talk(GET)

        assert len(body) == size
        assert answer.endswith(b"\r\n\r\nok")
        assert len(proxy.upstream.peers) == 1


async def test_an_upload_waits_for_a_slow_upstream(in_front_of: Any) -> None:
    """Bytes that the upstream does not take stay with the client; all of them arrive in the end."""
    size = 30_000_000
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await go_on.wait()
        await peer.read_exactly(size)
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await peer.wait_closed()

    async with in_front_of(script) as proxy:
        client = await proxy.connect()
        client.send(b"POST /api/x HTTP/1.1\r\nHost: proxy\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
        await until(lambda: bool(proxy.upstream.peers))
        stuck = await settled(client.writer.transport.get_write_buffer_size)
        go_on.set()
        _, body = await client.read_answer()

        assert stuck > size / 2
        assert body == b"ok"


async def test_a_pipeline_of_refusals_holds_nobody_up_and_keeps_nothing(in_front_of: Any) -> None:
    """Another client is served between them; and what is kept of an error does not keep the bytes it came from."""
    async with in_front_of(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")) as proxy:
        flood, other = await proxy.connect(), await proxy.connect()
        flood.send(b"GET /nowhere HTTP/1.1\r\nHost: proxy\r\n\r\n" * 5000)
        other.send(GET)
        await other.read_answer()
        exchanges = await proxy.recorder.wait_exchanges(5001)
        served = [exchange.outcome for exchange in exchanges].index("ok")

        assert served < 4000
        assert all(exchange.error.__traceback__ is None for exchange in exchanges if exchange.error)


async def test_an_upstream_that_answers_early_and_never_reads_loses_its_connection(in_front_of: Any) -> None:
    """An orderly close would wait for it without a limit, and keep the descriptor."""
    size = 30_000_000

    async def script(peer: Peer) -> None:
        await peer.read_head()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await stay.wait()

    stay = asyncio.Event()
    async with in_front_of(script) as proxy:
        client = await proxy.connect()
        client.send(b"POST /api/x HTTP/1.1\r\nHost: proxy\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
        await client.read_head()
        await until(lambda: proxy.service.status().pools[0].busy == 0)
        stay.set()

        assert proxy.service.status().pools[0].idle == 0

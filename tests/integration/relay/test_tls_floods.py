"""Clients of TLS that make work without end: each is closed or held to its part, and the others are served."""

from __future__ import annotations

import asyncio
import ssl
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from harness.certificates import build_client_tls, connect_tls, write_pair
from harness.forged_records import DATA, Forger, MemoryClient
from harness.running import PATIENCE_S, RawClient, until
from harness.upstream import Peer, answering

from proxy.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import trustme
    from harness.running import RunningProxy

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET /api/x HTTP/1.1\r\nHost: proxy\r\n\r\n"
LAST_GET = b"GET /api/x HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\n\r\n"
MANY = 30_000
CHUNK = 65_536


@pytest.fixture
def pair(tmp_path: Path, authority: trustme.CA) -> dict[str, str]:
    """Return the table of a listener with a good certificate."""
    return write_pair(tmp_path, authority)


def listening(tls: dict[str, str]) -> list[dict[str, Any]]:
    """Return the section of one listener of TLS."""
    return [{"name": "cad", "bind": "127.0.0.1:0", "tls": tls}]


def failures(proxy: RunningProxy) -> dict[str, int]:
    """Return the listener's failures, by reason."""
    [certificate] = proxy.service.status().certificates
    return dict(certificate.failures)


async def open_client(proxy: RunningProxy, tls: ssl.SSLContext) -> tuple[RawClient, MemoryClient]:
    """Return a connection after its handshake."""
    client, memory = await proxy.connect(), MemoryClient(tls)
    received = b""
    while data := memory.shake(received):
        client.send(data)
        if memory.is_done:
            break
        received = await read_some(client)
    return client, memory


async def open_forged(proxy: RunningProxy, authority: trustme.CA, keylog: Path) -> tuple[RawClient, Forger]:
    """Return a connection after its handshake, and what makes its further records."""
    tls = build_client_tls(authority)
    tls.keylog_filename = str(keylog)
    client, _ = await open_client(proxy, tls)
    return client, await in_thread(partial(Forger, keylog), name="keylog")


async def read_some(client: RawClient) -> bytes:
    """Return what comes next."""
    async with asyncio.timeout(PATIENCE_S):
        return await client.reader.read(CHUNK)


async def send_all(client: RawClient, parts: Iterator[bytes]) -> None:
    """Send as fast as it is taken, until it is reset."""
    async with asyncio.timeout(PATIENCE_S):
        for part in parts:
            client.send(part)
            await client.writer.drain()
        await client.reader.read()


async def test_key_updates_without_end_are_cut(
    in_front_of: Any, pair: dict[str, str], authority: trustme.CA, tmp_path: Path
) -> None:
    """Of tens of thousands one turn's worth is answered; who waits behind them is served."""
    async with in_front_of(answering(OK), listener=listening(pair)) as proxy:
        other = await connect_tls(proxy, build_client_tls(authority))
        client, forger = await open_forged(proxy, authority, tmp_path / "keylog")
        client.send(b"".join(forger.update_keys() for _ in range(MANY)))
        other.send(LAST_GET)
        answer = await other.read_all()
        await until(lambda: failures(proxy) == {"empty_records": 1})
        with pytest.raises(ConnectionError):
            await client.read_all()

        assert answer.startswith(b"HTTP/1.1 200 OK")


async def test_upload_in_tiny_records_passes_beside_others(
    in_front_of: Any, pair: dict[str, str], authority: trustme.CA, tmp_path: Path
) -> None:
    """A body in records of one byte is slow, and whole; other clients' exchanges close while it comes."""
    arrived: list[int] = []

    async def take_body(peer: Peer) -> None:
        head = await peer.read_head()
        if head.startswith(b"POST"):
            arrived.append(len(await peer.read_exactly(MANY)))
        peer.send(OK)
        await peer.wait_closed()

    async with in_front_of(take_body, take_body, listener=listening(pair)) as proxy:
        other = await connect_tls(proxy, build_client_tls(authority))
        client, forger = await open_forged(proxy, authority, tmp_path / "keylog")
        head = b"POST /api/x HTTP/1.1\r\nHost: proxy\r\nContent-Length: %d\r\n\r\n" % MANY
        client.send(forger.forge(DATA, head) + b"".join(forger.forge(DATA, b"a") for _ in range(MANY)))
        other.send(LAST_GET)
        answer = await other.read_all()
        exchanges = await proxy.recorder.wait_exchanges(2)

        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert [exchange.request.method for exchange in exchanges] == ["GET", "POST"]
        assert (arrived, failures(proxy)) == ([MANY], {})


async def test_bytes_after_close_notify_are_not_kept(
    in_front_of: Any, pair: dict[str, str], authority: trustme.CA
) -> None:
    """A client that has ended its sending and sends on is reset, not remembered."""
    asked = asyncio.Event()

    async def never_answer(peer: Peer) -> None:
        await peer.read_head()
        asked.set()
        await peer.wait_closed()

    async with in_front_of(never_answer, listener=listening(pair)) as proxy:
        client, memory = await open_client(proxy, build_client_tls(authority))
        client.send(memory.encrypt(GET))
        await asked.wait()
        client.send(memory.end())
        with pytest.raises(ConnectionError):
            await send_all(client, iter([bytes(CHUNK)] * 1_000))
        [exchange] = await proxy.recorder.wait_exchanges(1)

        assert failures(proxy) == {"after_end": 1}
        assert exchange.outcome == "client_left"


@pytest.mark.parametrize("group", ["ffdhe2048", "ffdhe8192", "secp521r1"])
async def test_costly_key_exchange_is_not_to_be_had(
    in_front_of: Any, pair: dict[str, str], authority: trustme.CA, group: str
) -> None:
    """A client cannot choose the group in which our side computes for a tenth of a second."""
    async with in_front_of(listener=listening(pair)) as proxy:
        tls = build_client_tls(authority)
        tls.set_ecdh_curve(group)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await connect_tls(proxy, tls)
        await until(lambda: bool(failures(proxy)))

        assert failures(proxy) == {"nothing_common": 1}


async def test_handshakes_by_the_hundred_are_all_done(
    in_front_of: Any, pair: dict[str, str], authority: trustme.CA
) -> None:
    """They take their part of each turn; none is forgotten between the turns."""
    async with in_front_of(listener=listening(pair)) as proxy:
        tls = build_client_tls(authority)
        clients = [await proxy.connect() for _ in range(100)]
        memories = [MemoryClient(tls) for _ in clients]
        for client, memory in zip(clients, memories, strict=True):
            client.send(memory.shake())
        for client, memory in zip(clients, memories, strict=True):
            while not memory.is_done:
                client.send(memory.shake(await read_some(client)))
            client.send(memory.encrypt(b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
        await proxy.recorder.wait_exchanges(100)

        assert failures(proxy) == {}

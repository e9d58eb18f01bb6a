"""Our end of a connection, on a real pair of sockets."""

import asyncio
import socket

import pytest

from proxy.observer import Observers
from proxy.relay.turn import Turn
from proxy.relay.wire import Wire


@pytest.fixture
async def ends():
    """Return a wire, and the blocking socket at its other end."""
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=ours)
    yield Wire(transport, Turn(Observers([]))), theirs
    transport.abort()
    theirs.close()


async def turns_of_the_loop():
    """Let the transport hear from the kernel, and write on."""
    for _ in range(3):
        await asyncio.sleep(0)


async def test_a_peer_that_takes_nothing_has_taken_nothing(ends):
    """However often it is asked, once the first bytes are gone."""
    wire, _ = ends
    wire.write(bytes(1_000_000))
    wire.flush()
    wire.took_some()

    assert [wire.took_some() for _ in range(3)] == [False] * 3
    assert wire.has_unsent


async def test_a_peer_that_takes_some_is_noticed(ends):
    """Once for each time."""
    wire, peer = ends
    wire.write(bytes(1_000_000))
    wire.flush()
    wire.took_some()
    peer.recv(100_000)
    await turns_of_the_loop()

    assert [wire.took_some(), wire.took_some()] == [True, False]


async def test_more_that_is_sent_is_not_taken_for_progress(ends):
    """Nor does it hide any."""
    wire, peer = ends
    wire.write(bytes(500_000))
    wire.flush()
    wire.took_some()
    wire.write(bytes(500_000))
    wire.flush()
    assert not wire.took_some()
    peer.recv(100_000)
    await turns_of_the_loop()

    assert wire.took_some()

"""What comes on an upstream's connection before the request has left answers some other request, or none."""

import asyncio

import pytest

from proxy.errors import UpstreamClosed
from proxy.observer import Observers
from proxy.relay.turn import Turn
from proxy.relay.upstream import UpstreamConnection

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Transport:
    """Stands for asyncio's transport."""

    def __init__(self):
        """Be open."""
        self.written = []
        self.is_aborted = False

    def is_closing(self):
        """Tell whether it was closed."""
        return self.is_aborted

    def get_write_buffer_size(self):
        """Have sent all of it."""
        return 0

    def write(self, data):
        """Note it."""
        self.written.append(data)

    def abort(self):
        """Close."""
        self.is_aborted = True


class Keeper:
    """Stands for the pool."""

    def __init__(self):
        """Have none."""
        self.returned = []

    def put_back(self, connection):
        """Note it."""
        self.returned.append(connection)

    def forget(self, connection):
        """Let go of it."""


class Taker:
    """Takes an answer, and notes how it went."""

    def __init__(self):
        """Have none."""
        self.body = b""
        self.is_done = False
        self.error = None

    def answer_head(self, head, body):
        """Take it as it is."""

    def answer_body(self, data):
        """Keep it."""
        self.body += data

    def answer_done(self):
        """Note it."""
        self.is_done = True

    def answer_failed(self, error):
        """Note it."""
        self.error = error


@pytest.fixture
def transport():
    """Return the connection's transport."""
    return Transport()


@pytest.fixture
async def connection(transport):
    """Return an open connection to an upstream."""
    connection = UpstreamConnection(Keeper(), Turn(Observers([])), 65_536, 100)
    connection.connection_made(transport)
    return connection


async def test_an_answer_to_what_was_sent_is_taken(connection, transport):
    """And another one to the next request on the connection."""
    for _ in range(2):
        taker = Taker()
        connection.begin(taker, "GET", b"GET / HTTP/1.1\r\n\r\n", done=True)
        await asyncio.sleep(0)
        connection.data_received(OK)

        assert connection.has_left
        assert (taker.body, taker.is_done, taker.error) == (b"ok", True, None)
    assert not transport.is_aborted


async def test_what_comes_before_the_request_has_left_is_no_answer(connection, transport):
    """It was sent unasked, or answers another one: the request never leaves on this connection."""
    taker = Taker()
    connection.begin(taker, "POST", b"POST / HTTP/1.1\r\n\r\n", done=True)
    connection.data_received(OK)
    await asyncio.sleep(0)

    assert isinstance(taker.error, UpstreamClosed)
    assert taker.error.detail == "the upstream sent something before it was asked"
    assert taker.body == b""
    assert not (connection.has_left)
    assert not (connection.has_answered)
    assert transport.is_aborted
    assert transport.written == []


async def test_a_close_before_the_request_has_left_is_told_as_that(connection, transport):
    """So whoever sent it knows that nobody has seen it."""
    taker = Taker()
    connection.begin(taker, "POST", b"POST / HTTP/1.1\r\n\r\n", done=True)
    transport.abort()
    await asyncio.sleep(0)
    connection.connection_lost(None)

    assert not connection.has_left
    assert taker.error.detail == "the upstream closed the connection before the request was sent"

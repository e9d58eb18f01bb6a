"""Large bodies of the race: every byte is seen, in its place."""

from __future__ import annotations

import socket
import threading

import pytest
from bench import bulk


@pytest.mark.parametrize("size", [0, 1, len(bulk.PIECE) - 1, len(bulk.PIECE), len(bulk.PIECE) + 1, 3_000_000])
def test_a_body_has_the_size_that_it_should(size):
    """Whatever it leaves of the last piece."""
    assert sum(map(len, bulk.generate_pattern(size))) == size


@pytest.mark.parametrize(("start", "end"), [(0, 10), (len(bulk.PIECE) - 5, len(bulk.PIECE) + 5), (7, 3_000_000)])
def test_bytes_in_their_place_are_right(start, end):
    """Also across the seams of the pattern."""
    body = b"".join(bulk.generate_pattern(end))

    bulk.compare(start, memoryview(body)[start:end])


@pytest.mark.parametrize("place", [0, 12, 99])
def test_one_wrong_byte_is_found(place):
    """Wherever it is."""
    body = bytearray(b"".join(bulk.generate_pattern(100)))
    body[place] ^= 1

    with pytest.raises(ValueError, match="other bytes than were sent"):
        bulk.compare(0, memoryview(body))


def test_right_bytes_in_the_wrong_place_are_found():
    """One that was lost, or came twice, moves all that follow."""
    body = b"".join(bulk.generate_pattern(100))

    with pytest.raises(ValueError, match="other bytes than were sent"):
        bulk.compare(40, memoryview(body)[41:])


@pytest.mark.parametrize(("sent", "expected"), [(90, "ended after 90 of 100"), (0, "ended after 0 of 100")])
def test_a_body_that_ends_early_is_found(sent, expected):
    """The connection's end is not the body's."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(bytes(sent))
        theirs.shutdown(socket.SHUT_WR)

        with pytest.raises(ValueError, match=expected):
            bulk.read_bytes(ours, b"", 100, bulk.compare if not sent else lambda _start, _piece: None)


def test_a_head_is_told_from_what_comes_with_it():
    """Its first bytes may hold some of the body."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sender = threading.Thread(target=theirs.sendall, args=(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nbody",))
        sender.start()
        head, rest = bulk.read_head(ours)
        sender.join()

    assert head == b"HTTP/1.1 200 OK\r\nA: b"
    assert b"body".startswith(rest)

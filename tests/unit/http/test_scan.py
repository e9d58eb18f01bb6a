"""The end of a head, found while it arrives."""

import pytest

from proxy.config.models import Limits
from proxy.errors import HeadTooLarge, Malformed, TargetTooLong
from proxy.http.scan import MOST_EMPTY_LINES, HeadScanner

HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
LIMITS = Limits(line=100, head=300)


@pytest.mark.parametrize("size", range(1, len(HEAD)))
def test_a_head_in_pieces_ends_where_the_whole_one_does(size):
    """Wherever it is cut, and what follows is left alone."""
    scanner = HeadScanner(LIMITS)
    message = HEAD + b"body"
    ends = [scanner.find_end(message[:end]) for end in range(size, len(HEAD), size)]

    assert set(ends) <= {-1}
    assert scanner.find_end(message) == len(HEAD)


def test_the_next_head_is_looked_for_from_its_beginning():
    """A scanner serves one head after another."""
    scanner = HeadScanner(LIMITS)
    scanner.find_end(HEAD[:-1])
    scanner.find_end(HEAD)

    assert scanner.find_end(HEAD) == len(HEAD)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"\x16\x03\x01\x00", Malformed),
        (b"GET / HTTP/1.1\nHost: a\n\n", Malformed),
        (b"GET /" + b"x" * 100, TargetTooLong),
        (b"GET / HTTP/1.1\r\n" + b"X: " + b"x" * 300, HeadTooLarge),
        (b"GET / HTTP/1.1\r\n" + b"X: " + b"x" * 300 + b"\r\n\r\n", HeadTooLarge),
    ],
    ids=["TLS", "bare LF", "line", "head", "whole head"],
)
def test_what_can_never_become_a_head_is_refused_at_once(data, error):
    """Nobody waits for a time limit to be told."""
    with pytest.raises(error):
        HeadScanner(LIMITS).find_end(data)


def test_a_bare_lf_is_found_at_the_seam_of_two_pieces():
    """Its CR would have been the last byte of the piece before."""
    scanner = HeadScanner(LIMITS)
    scanner.find_end(b"GET / HTTP/1.1\r")
    assert scanner.find_end(b"GET / HTTP/1.1\r\nHost: a") == -1

    with pytest.raises(Malformed):
        scanner.find_end(b"GET / HTTP/1.1\r\nHost: a\nX")


def test_empty_lines_before_a_request_are_skipped():
    """RFC 9112, section 2.2."""
    assert HeadScanner(LIMITS).skip_empty_lines(b"\r\n\r\nGET") == b"GET"
    assert HeadScanner(LIMITS).skip_empty_lines(b"GET\r\n") == b"GET\r\n"
    assert HeadScanner(LIMITS).skip_empty_lines(b"\r\n" * MOST_EMPTY_LINES) == b""


def test_nothing_but_empty_lines_is_no_request():
    """They would be read, and kept, for ever."""
    with pytest.raises(Malformed):
        HeadScanner(LIMITS).skip_empty_lines(b"\r\n" * (MOST_EMPTY_LINES + 1) + b"GET")


def test_empty_lines_are_counted_over_pieces():
    """One at a time they are as many; behind a head the count begins anew."""
    scanner = HeadScanner(LIMITS)
    for _ in range(MOST_EMPTY_LINES):
        assert scanner.skip_empty_lines(b"\r\n") == b""
    assert scanner.find_end(HEAD) == len(HEAD)
    for _ in range(MOST_EMPTY_LINES):
        assert scanner.skip_empty_lines(b"\r\n") == b""

    with pytest.raises(Malformed):
        scanner.skip_empty_lines(b"\r\n")

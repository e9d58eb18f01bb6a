"""What an upstream sends, in any pieces, and what of it a client reads.

What must hold: the client reads one answer, the one that we read, and ends it where we do; pieces make no difference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fuzz.passage import pass_answer
from fuzz.peers import read_answers
from fuzz.supply import Supply, split

if TYPE_CHECKING:
    from fuzz.passage import AnswerPassage
    from fuzz.peers import Message

NEXT = b"HTTP/1.1 299 Sentinel\r\nContent-Length: 0\r\n\r\n"
"""Sent behind each answer that leaves the connection open."""
METHODS = ("GET", "HEAD", "POST")
STEPS = (0, 1, 2, 5)

SEEDS = (
    b"\x00\x01\x00HTTP/1.1 200 OK\r\nContent-Length: 5\r\nServer: x\r\n\r\nhello",
    b"\x00\x01\x01HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"\x00\x03\x02HTTP/1.1 200 \r\n\r\nuntil the end",
    b"\x01\x01\x00HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close, etag\r\nETag: 1\r\n\r\n",
    b"\x02\x01\x03HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204\r\n\r\n",
    b"\x00\x02\x00HTTP/1.0 304 Not Modified\r\nContent-Length: 7\r\nKeep-Alive: timeout=5\r\n\r\n",
    b"\x02\x00\x01HTTP/1.1 502 \xe9\r\nTransfer-Encoding: chunked\r\n\r\na;b=c\r\n0123456789\r\n0\r\nX: y\r\n\r\n",
)


def fuzz_one(data: bytes) -> None:
    """Take three bytes that say what was asked, how it ends and how it is cut, and the bytes of the upstream."""
    supply = Supply(data)
    method = supply.choose(METHODS)
    flags = supply.take_number()
    step = supply.choose(STEPS)
    stream = supply.take_rest()
    minor, eof = flags & 1, bool(flags & 2)
    whole = pass_answer(method, minor, [stream], eof=eof)
    cut = pass_answer(method, minor, split(stream, step), eof=eof)

    assert (whole.error is None) == (cut.error is None), (whole.error, cut.error)
    assert (whole.head is None) == (cut.head is None)
    assert whole.interim == cut.interim or whole.error is not None
    assert (whole.body, whole.rest, whole.is_whole) == (cut.body, cut.rest, cut.is_whole) or whole.error is not None
    assert cut.body.startswith(whole.body)
    for interim in cut.interim:
        assert interim.endswith(b"\r\n\r\n")
        assert interim.count(b"\r\n\r\n") == 1
    if cut.head is not None:
        check_answer(method.encode(), cut)


def check_answer(method: bytes, answer: AnswerPassage) -> None:
    """Assert that every client that takes the answer reads what we read."""
    stays_open = answer.is_whole and not answer.ends_by_close
    readings = read_answers(method, b"".join(answer.interim) + answer.sent + (NEXT if stays_open else b""))

    for name, messages in readings.items():
        assert messages is not None, (name, answer.sent)
        check_reading(name, messages, answer, stays_open=stays_open)
    lines = answer.sent.partition(b"\r\n\r\n")[0].lower().split(b"\r\n")
    names = [line.partition(b":")[0] for line in lines[1:]]
    assert names.count(b"content-length") + names.count(b"transfer-encoding") <= 1
    assert not {b"keep-alive", b"upgrade", b"trailer", b"proxy-authenticate"}.intersection(names)


def check_reading(name: str, messages: list[Message], answer: AnswerPassage, *, stays_open: bool) -> None:
    """Assert that one other parser reads these interim answers, this one, and the next where it is."""
    count = len(answer.interim)
    final = messages[count]
    assert answer.head is not None
    assert final.first == (b"%d" % answer.head.status,), (name, messages)
    assert final.body == answer.body or not final.is_whole, (name, messages)
    if not answer.ends_by_close:
        assert final.is_whole == answer.is_whole, (name, messages)
    others = [message.first for message in messages[count + 1 :]]
    assert others == ([(NEXT,) if name == "h11" else (b"299",)] if stays_open else []), (name, messages)

"""Bodies in chunks: pieces make no difference, and what we take every other parser that takes it reads alike."""

from __future__ import annotations

from fuzz.peers import read_answers, read_requests
from fuzz.supply import Supply, split
from proxy.errors import Malformed, UpstreamProtocol
from proxy.http.framing import LAST_CHUNK, ChunkedBody, build_chunk

REQUEST = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
STEPS = (1, 2, 3, 5, 11)
SEEDS = (
    b"\x005\r\nhello\r\n0\r\n\r\n",
    b"\x015;a=b\r\nhello\r\n00\r\nX: y\r\n\r\n",
    b'\x02A \t;\tq="v;"\r\n0123456789\r\n1\r\nx\r\n0\r\nA: b\r\nC:d\r\n\r\nGET ',
    b"\x030\r\n\r\n",
    b"\x045\r\nhel\r\n\r\n5\r\nab\ncd\r\n0\n\r\n",
)


def read(error: type[Malformed | UpstreamProtocol], pieces: list[bytes]) -> tuple[bytes, bytes, bool] | None:
    """Return body, what lies behind, and whether it is whole; None where it is refused."""
    reader = ChunkedBody(error)
    body = rest = b""
    try:
        for piece in pieces:
            got, behind = reader.feed(piece)
            body, rest = body + got, rest + behind
    except error:
        return None
    return body, rest, reader.is_complete


def fuzz_one(data: bytes) -> None:
    """Take a first byte that says how the rest is cut, and a body."""
    supply = Supply(data)
    step = supply.choose(STEPS)
    raw = supply.take_rest()
    ours = read(Malformed, [raw])

    assert read(Malformed, split(raw, step)) == ours
    assert read(UpstreamProtocol, [raw]) == ours
    if ours is None:
        return
    body, rest, is_whole = ours
    assert is_whole or not rest
    assert read(Malformed, [(build_chunk(body) if body else b"") + LAST_CHUNK]) == (body, b"", True)
    used = raw.removesuffix(rest) if rest else raw
    for readings in (read_requests(REQUEST + used), read_answers(b"GET", ANSWER + used)):
        for name, messages in readings.items():
            if messages is not None:
                assert messages[0].is_whole == is_whole, (name, messages)
                assert messages[0].body == body or not is_whole, (name, messages)
                assert len(messages) == 1, (name, messages)

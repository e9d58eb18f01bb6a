"""Inputs changed at random, from a seed: swapped, repeated, deleted, spiced with odd bytes, spliced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from random import Random

LONGEST = 1024
"""Bytes of an input."""
_BYTES: Final = b'\0\t\n\v\f\r "#%&+,-./0:;<=>?@[\\]_{}\x7f\x80\x85\xa0\xff'
_HTTP: Final = (
    b"\r\n",
    b"\r\n\r\n",
    b"\n\n",
    b"0\r\n\r\n",
    b"HTTP/1.1",
    b"HTTP/1.0 ",
    b"Content-Length: 5\r\n",
    b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close, x\r\n",
    b"Host: b\r\n",
    b"GET /b HTTP/1.1\r\n",
    b"; ",
    b"//",
    b"..",
)
_ESCAPES: Final = (
    b"%25",
    b"%2e",
    b"%",
    b"\\u0025",
    b"\\u00",
    b"\\\\",
    b"&amp;",
    b"&#37;",
    b"&#x",
    b"%u002f",
    b"\xc0\xae",
)
_DOCUMENTS: Final = (
    b'"token":"',
    b'"password":',
    b"secret=",
    b"<token>",
    b"</",
    b"null",
    b"[{",
    b"QUJD",
    b"41",
    b"***",
)
SPICE: Final = (*(bytes([byte]) for byte in _BYTES), *_HTTP, *_ESCAPES, *_DOCUMENTS)


def mutate(random: Random, inputs: Sequence[bytes]) -> bytes:
    """Return one of ``inputs`` with a few changes: most inputs with many are refused at once, and show nothing."""
    data = bytearray(random.choice(inputs))
    for _ in range(random.choice((1, 1, 1, 2, 2, 3, 6))):
        _change(random, data, inputs)
    return bytes(data[:LONGEST])


def mutations(random: Random, inputs: Sequence[bytes], rounds: int) -> Iterator[bytes]:
    """Yield so many inputs; the same ones for the same state of ``random``."""
    return (mutate(random, inputs) for _ in range(rounds))


def _change(random: Random, data: bytearray, inputs: Sequence[bytes]) -> None:
    start = random.randint(0, len(data))
    end = min(len(data), start + random.choice((1, 1, 2, 4, 16)))
    match random.randrange(9):
        case 0 | 1:
            data[start:start] = random.choice(SPICE)
        case 2:
            data[start : start + random.randint(1, 3)] = random.choice(SPICE)
        case 3:
            del data[start:end]
        case 4:
            data[end:end] = data[start:end] * random.randint(1, 3)
        case 5:
            _repeat_line(random, data)
        case 6:
            data[start:end] = reversed(data[start:end])
        case 7 if data:
            data[random.randrange(len(data))] = random.randrange(256)
        case _:
            other = random.choice(inputs)
            data[end:] = other[random.randint(0, len(other)) :]


def _repeat_line(random: Random, data: bytearray) -> None:
    """Repeat a line, or put it elsewhere: fields given twice, chunks that change places."""
    lines = bytes(data).split(b"\r\n")
    line = random.choice(lines)
    if random.random() < 1 / 2:
        lines.remove(line)
    lines.insert(random.randint(0, len(lines)), line)
    data[:] = b"\r\n".join(lines)

"""Large bodies as fast as blocking sockets carry them: an upstream that sends and takes them, a client that does.

    python -m bench.bulk upstream PORT
    python -m bench.bulk client down|up PORT BYTES [--check]

The client prints the seconds that it took.  With ``--check`` both ends compare every byte, and it fails if one differs;
without, they count, since comparing would cost the core that they share.
"""

from __future__ import annotations

import argparse
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

PATH = "/egress/v1/bulk"
PIECE = bytes(range(251)) * 4178
"""About a MiB, again and again; its length is prime to buffers', so that a piece in the wrong place is seen."""
_HEAD_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_SIZE = re.compile(rb"\?size=(\d+)")
_TOKEN = re.compile(rb"\r\nauthorization: *(Bearer [^\r]{20,})", re.IGNORECASE)
_CHECK = b"&check"
_PATIENCE_S = 60.0

Look = Callable[[int, memoryview], None]
"""Called with what arrived, and how much had before."""


def main() -> int:
    """Be one of the two; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.bulk")
    roles = parser.add_subparsers(dest="role", required=True)
    roles.add_parser("upstream").add_argument("port", type=int)
    client = roles.add_parser("client")
    client.add_argument("direction", choices=("down", "up"))
    client.add_argument("port", type=int)
    client.add_argument("size", type=int)
    client.add_argument("--check", action="store_true")
    given = parser.parse_args()
    if given.role == "upstream":
        serve(given.port)
        return 0
    try:
        sys.stdout.write(f"{transfer(given.direction, given.port, given.size, check=given.check):.6f}\n")
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    return 0


def serve(port: int) -> None:
    """Be the upstream, with a thread for each connection."""
    with socket.create_server(("127.0.0.1", port), backlog=128) as server:
        while True:
            connection, _ = server.accept()
            threading.Thread(target=_answer_all, args=(connection,), daemon=True).start()


def transfer(direction: str, port: int, size: int, *, check: bool) -> float:
    """Send or take a body of so many bytes; return the seconds that it took.

    Raises:
        ValueError: If the answer is no success, or a byte is wrong.
        OSError: If the connection breaks.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_S) as connection:
        length = f"Content-Length: {size}\r\n" if direction == "up" else ""
        method = "POST" if direction == "up" else "GET"
        target = f"{PATH}?size={0 if direction == 'up' else size}{_CHECK.decode() if check else ''}"
        started = time.monotonic()
        connection.sendall(f"{method} {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{length}\r\n".encode())
        if direction == "up":
            send_bytes(connection, size)
        head, rest = read_head(connection)
        if not head.startswith(b"HTTP/1.1 200 "):
            message = f"answered {head.splitlines()[0].decode()}"
            raise ValueError(message)
        _take_body(connection, head, rest, size if direction == "down" else 0, check=check)
        return time.monotonic() - started


def send_bytes(connection: socket.socket, size: int) -> None:
    """Send the first ``size`` bytes of the pattern."""
    for piece in generate_pattern(size):
        connection.sendall(piece)


def generate_pattern(size: int) -> Iterator[memoryview]:
    """Yield the first ``size`` bytes of the pattern."""
    view = memoryview(PIECE)
    for start in range(0, size, len(PIECE)):
        yield view[: size - start]


def read_head(connection: socket.socket) -> tuple[bytes, bytes]:
    """Return a message's head, and the bytes that came with it; both empty at the end of the connection."""
    data = b""
    while _HEAD_END not in data:
        if not (more := connection.recv(65536)):
            return b"", b""
        data += more
    head, _, rest = data.partition(_HEAD_END)
    return head, rest


def read_bytes(connection: socket.socket, begun: bytes, size: int, look: Look) -> None:
    """Take ``size`` bytes, of which some may be here already.

    Raises:
        ValueError: If there are fewer, or more come with them.
    """
    look(0, memoryview(begun))
    buffer = bytearray(1024 * 1024)
    view, got = memoryview(buffer), len(begun)
    while got < size:
        count = connection.recv_into(view[: size - got])
        if not count:
            message = f"the connection ended after {got} of {size} bytes"
            raise ValueError(message)
        look(got, view[:count])
        got += count
    if got != size:
        message = f"{got} bytes came instead of {size}"
        raise ValueError(message)


def compare(start: int, piece: memoryview) -> None:
    """Compare with the pattern.

    Raises:
        ValueError: If a byte differs.
    """
    pattern = memoryview(PIECE)
    while piece:
        at = start % len(PIECE)
        expected = pattern[at : at + len(piece)]
        if piece[: len(expected)] != expected:
            message = f"other bytes than were sent, from {start} on"
            raise ValueError(message)
        start, piece = start + len(expected), piece[len(expected) :]


def _take_body(connection: socket.socket, head: bytes, begun: bytes, expected: int, *, check: bool) -> None:
    length = _LENGTH.search(head)
    if length is None or int(length[1]) != expected:
        message = f"the answer's length is not {expected}: {head!r}"
        raise ValueError(message)
    read_bytes(connection, begun, expected, compare if check else _ignore)


def _answer_all(connection: socket.socket) -> None:
    with connection, suppress(OSError):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            head, rest = read_head(connection)
            if not head:
                return
            status = _take_request(connection, head, rest)
            if _is_whoami(head):
                _answer_whoami(connection, head)
                continue
            size = int(found[1]) if status.startswith(b"200") and (found := _SIZE.search(head)) else 0
            connection.sendall(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n" % (status, size))
            send_bytes(connection, size)


def _is_whoami(head: bytes) -> bool:
    return head.split(b" ", 2)[1].endswith(b"/whoami")


def _answer_whoami(connection: socket.socket, head: bytes) -> None:
    """Answer with the Authorization field as it arrived."""
    token = _TOKEN.search(head)
    presented = token[1] if token else b""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(presented), presented))


def _take_request(connection: socket.socket, head: bytes, begun: bytes) -> bytes:
    """Take the request's body; return the status of the answer."""
    length = _LENGTH.search(head)
    look = compare if _CHECK in head.partition(b"\r\n")[0] else _ignore
    try:
        read_bytes(connection, begun, int(length[1]) if length else 0, look)
    except ValueError:
        return b"422 Unprocessable Content"
    return b"200 OK" if _TOKEN.search(head) else b"401 Unauthorized"


def _ignore(_start: int, _piece: memoryview) -> None:
    """Look at nothing."""


if __name__ == "__main__":
    sys.exit(main())

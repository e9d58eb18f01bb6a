"""An upstream and a load generator for machines without nginx or wrk: small, quick, and good for nothing else.

Both take from each byte what the race needs and trust the rest.  They cost more CPU than nginx and wrk do, so that a
fast proxy may wait for them: the table's column "core" then shows less than 100 %.

    python -m bench.stand_ins upstream PORT FILE_OF_GET FILE_OF_POST
    python -m bench.stand_ins load PORT CONNECTIONS SECONDS FILE_OF_REQUEST
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from pathlib import Path
from typing import cast

import uvloop

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_TOKEN = re.compile(rb"\r\nauthorization: *(Bearer [^\r]{20,})", re.IGNORECASE)
_MICROSECONDS = 1e6


class Upstream(asyncio.Protocol):
    """Answers each request that bears a token with the answer for its method, and others with 401."""

    def __init__(self, answers: dict[bytes, bytes]) -> None:
        """Answer by method."""
        self._answers = answers
        self._data = b""
        self._transport = cast("asyncio.Transport", None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer every request that is whole."""
        self._data += data
        while (message := find_message(self._data)) is not None:
            head, size = message
            self._data = self._data[size:]
            self._transport.write(self._choose_answer(head))

    def _choose_answer(self, head: bytes) -> bytes:
        token = _TOKEN.search(head)
        if token is None:
            return build_answer(b"{}", b"401 Unauthorized")
        method, target, _ = head.split(b" ", 2)
        return build_answer(token[1]) if target.endswith(b"/whoami") else self._answers[method]


class Client(asyncio.Protocol):
    """Sends the same request again as soon as it is answered, and keeps how long each took."""

    def __init__(self, request: bytes, until: float) -> None:
        """Send ``request`` until that moment of the monotonic clock."""
        self._request = request
        self._until = until
        self._data = b""
        self._sent_at = 0.0
        self._transport = cast("asyncio.Transport", None)
        self.times_s: list[float] = []
        self.errors = 0
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first."""
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        """Take an answer, and send the next request."""
        self._data += data
        message = find_message(self._data)
        if message is None:
            return
        head, size = message
        self._data = self._data[size:]
        self.errors += not head.startswith(b"HTTP/1.1 200 ")
        now = time.monotonic()
        self.times_s.append(now - self._sent_at)
        if now < self._until:
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        """Count a connection that ended before its time."""
        self.errors += error is not None or time.monotonic() < self._until
        self.ended.set_result(None)

    def _send(self) -> None:
        self._sent_at = time.monotonic()
        self._transport.write(self._request)


def find_message(data: bytes) -> tuple[bytes, int] | None:
    """Return the head of the first message and the message's size, None while it is not whole."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    length = _LENGTH.search(data, 0, end)
    size = end + 4 + (int(length[1]) if length else 0)
    return (data[:end], size) if len(data) >= size else None


def build_answer(body: bytes, status: bytes = b"200 OK") -> bytes:
    """Build an answer as nginx would write it."""
    head = b"HTTP/1.1 %s\r\nServer: stand-in\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % (status, len(body)) + body


async def serve(port: int, answers: dict[bytes, bytes]) -> None:
    """Be the upstream."""
    server = await asyncio.get_running_loop().create_server(lambda: Upstream(answers), "127.0.0.1", port)
    await server.serve_forever()


async def load(port: int, connections: int, seconds: float, request: bytes) -> str:
    """Be the load; return what was measured as JSON, in the form of load.Measured."""
    loop = asyncio.get_running_loop()
    started = time.monotonic()
    pairs = [
        await loop.create_connection(lambda: Client(request, started + seconds), "127.0.0.1", port)
        for _ in range(connections)
    ]
    clients = [client for _, client in pairs]
    await asyncio.wait([client.ended for client in clients], timeout=seconds + 10)
    passed_s = time.monotonic() - started
    times_s = sorted(time_s for client in clients for time_s in client.times_s)
    errors = sum(client.errors for client in clients) + sum(not client.ended.done() for client in clients)
    return json.dumps(
        {
            "requests": len(times_s),
            "seconds": passed_s,
            "errors": errors,
            "p50_us": times_s[len(times_s) // 2] * _MICROSECONDS if times_s else 0,
            "p99_us": times_s[len(times_s) * 99 // 100] * _MICROSECONDS if times_s else 0,
        }
    )


def main() -> None:
    """Be one of the two."""
    match sys.argv[1:]:
        case ["upstream", port, get, post]:
            answers = {b"GET": build_answer(Path(get).read_bytes()), b"POST": build_answer(Path(post).read_bytes())}
            uvloop.run(serve(int(port), answers))
        case ["load", port, connections, seconds, file]:
            request = Path(file).read_bytes()
            sys.stdout.write(uvloop.run(load(int(port), int(connections), float(seconds), request)) + "\n")
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()

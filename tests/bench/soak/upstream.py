"""An upstream that answers each request as its target says: well in many framings, late, not at all, or half.

The rule of this file: what it did to whom is written down by the request's number, since a failure that a client sees
is forgiven for nothing else.
"""

from __future__ import annotations

import asyncio
import gzip
import math
import re
import socket
import struct
import time
import zlib
from typing import TYPE_CHECKING

from bench.soak.plan import STATUSES, UNREACHABLE, build_body, parse_target
from proxy.simulator.refusals import RefusalError, expired_token

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable
    from random import Random

    from bench.soak.ledger import Ledger
    from bench.soak.plan import Asked
    from proxy.simulator.tokens import TokenServer

BREAKING = ("reset", "reset_twice", "cut")
"""Acts that break a connection off in the middle of an exchange."""
LATE_S = 0.5
"""Silence before an answer, or within one."""
DROP_S = 0.7
"""Between two times that idle connections are dropped."""
DROP_SHARE = 0.3
LOOK_S = 0.02
LARGE = 32 * 1024
"""An answer of so many bytes may still be on its way when it has been sent, and a reset would take it along."""
EXPIRED = expired_token().body
_LENGTH = re.compile(rb"\r\ncontent-length: ([0-9]+)\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: chunked\r\n", re.IGNORECASE)
_BEARER = re.compile(rb"\r\nauthorization: bearer ([^\r]+)\r\n", re.IGNORECASE)


class FickleUpstream:
    """Serves on a port of 127.0.0.1.

    Attributes:
        ledger: What it has done.
        undated: Tokens that were given out without their expiry: what bears them cannot know when they die.
        port: Where it listens.
    """

    def __init__(self, ledger: Ledger, tokens: TokenServer, undated: set[str]) -> None:
        """Believe those who bear one of ``tokens``."""
        self.ledger = ledger
        self.undated = undated
        self.port = 0
        self._tokens = tokens
        self._idle: set[asyncio.StreamWriter] = set()
        self._open: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def start(self, tls: ssl.SSLContext | None = None) -> None:
        """Listen, after ``hide`` on the same port as before."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]

    def hide(self) -> None:
        """Take no more connections; those that are open go on."""
        if self._server is not None:
            self._server.close()

    async def come_and_go(self, find_phase: Callable[[], str | None]) -> None:
        """Take no connections in the phase that is for that, for ever."""
        while True:
            await self._wait(lambda: find_phase() == UNREACHABLE)
            since = time.monotonic()
            self.ledger.outages.append((since, math.inf))
            self.hide()
            await self._wait(lambda: find_phase() != UNREACHABLE)
            await self.start()
            self.ledger.outages[-1] = (since, time.monotonic())

    @staticmethod
    async def _wait(is_so: Callable[[], bool]) -> None:
        while not is_so():  # noqa: ASYNC110 (a phase is a span of time)
            await asyncio.sleep(LOOK_S)

    async def stop(self) -> None:
        """Close everything."""
        self.hide()
        for writer in list(self._open):
            writer.transport.abort()

    async def drop_idle(self, dice: Random) -> None:
        """Close some of those that have carried something and now carry nothing, again and again for ever."""
        while True:
            await asyncio.sleep(DROP_S)
            for writer in [writer for writer in self._idle if dice.random() < DROP_SHARE]:
                self._drop(writer, is_rude=dice.random() < DROP_SHARE)

    def _drop(self, writer: asyncio.StreamWriter, *, is_rude: bool) -> None:
        self.ledger.drops.append(time.monotonic())
        self._idle.discard(writer)
        if is_rude:
            reset(writer)
        else:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while not writer.is_closing() and await self._serve_one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, OSError):
            pass  # the proxy left, as for a client that left
        finally:
            self._idle.discard(writer)
            self._open.discard(writer)
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Serve one request; return whether the connection can carry another."""
        head = await reader.readuntil(b"\r\n\r\n")
        self._idle.discard(writer)
        asked = parse_target(head.split(b" ")[1].decode())
        deeds = self.ledger.deeds[asked.number]
        deeds.arrived += 1
        refusal = self._find_refusal(head)
        if asked.act == "early" and refusal is None:
            await send(writer, build_answer(413, build_body(asked.number, asked.size, 0), "Connection: close\r\n"))
        received = await read_body(reader, head)
        if refusal is not None:
            deeds.rejected += 1
            await send(writer, build_answer(refusal.status, repr(refusal.body).encode()))
            return True
        if asked.act in BREAKING and (asked.act != "reset" or not deeds.broken):
            deeds.broken += 1
            await break_off(asked, writer)
            return False
        return await self._answer(asked, received, writer)

    def _find_refusal(self, head: bytes) -> RefusalError | None:
        """Return why the token is not believed; None if it is."""
        match = _BEARER.search(head)
        value = match[1].decode() if match else None
        try:
            self._tokens.check(value)
        except RefusalError as refusal:
            if value is None:
                self.ledger.dead["absent"] += 1
            elif refusal.body != EXPIRED:
                self.ledger.dead["revoked"] += 1
            else:
                self.ledger.dead["undated" if value in self.undated else "expired"] += 1
            return refusal
        return None

    async def _answer(self, asked: Asked, received: int, writer: asyncio.StreamWriter) -> bool:
        if asked.act == "early":
            return False
        body = build_body(asked.number, asked.size, received)
        await ACTS.get(asked.act, answer_with_length)(writer, STATUSES.get(asked.act, 200), body)
        if asked.act == "drop":
            self._drop(writer, is_rude=False)
        if asked.size < LARGE:
            self._idle.add(writer)
        return asked.act not in {"closes", "until_close", "drop"}


async def answer_with_length(writer: asyncio.StreamWriter, status: int, body: bytes) -> None:
    """Answer plainly."""
    await send(writer, build_answer(status, body))


async def answer_chunked(writer: asyncio.StreamWriter, status: int, body: bytes) -> None:
    """Answer in chunks."""
    await send(writer, build_head(status, "Transfer-Encoding: chunked\r\n") + build_chunks(body) + b"0\r\n\r\n")


async def answer_until_close(writer: asyncio.StreamWriter, status: int, body: bytes) -> None:
    """Answer without a length: the end of the connection is the end of the body."""
    await send(writer, build_head(status, "") + body)


async def answer_gzip(writer: asyncio.StreamWriter, status: int, body: bytes) -> None:
    """Answer compressed."""
    await send(writer, build_answer(status, gzip.compress(body, 1), "Content-Encoding: gzip\r\n"))


async def answer_and_close(writer: asyncio.StreamWriter, status: int, body: bytes) -> None:
    """Answer, and say that the connection closes."""
    await send(writer, build_answer(status, body, "Connection: close\r\n"))


async def answer_after_hints(writer: asyncio.StreamWriter, status: int, body: bytes) -> None:
    """Answer with an interim answer before."""
    await send(writer, b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n" + build_answer(status, body))


async def answer_slowly(writer: asyncio.StreamWriter, status: int, body: bytes) -> None:
    """Answer late, and then in parts."""
    await asyncio.sleep(LATE_S)
    answer = build_answer(status, body)
    step = len(answer) // 4 + 1
    for start in range(0, len(answer), step):
        await send(writer, answer[start : start + step])
        await asyncio.sleep(LATE_S / 4)


async def answer_late(writer: asyncio.StreamWriter, status: int, body: bytes) -> None:
    """Answer late."""
    await asyncio.sleep(LATE_S)
    await send(writer, build_answer(status, body))


async def answer_in_halves(writer: asyncio.StreamWriter, status: int, body: bytes) -> None:
    """Answer, with a pause in the middle."""
    answer = build_answer(status, body)
    await send(writer, answer[: len(answer) // 2])
    await asyncio.sleep(LATE_S)
    await send(writer, answer[len(answer) // 2 :])


ACTS: dict[str, Callable[[asyncio.StreamWriter, int, bytes], Awaitable[None]]] = {
    "chunked": answer_chunked,
    "until_close": answer_until_close,
    "gzip": answer_gzip,
    "closes": answer_and_close,
    "hints": answer_after_hints,
    "slow": answer_slowly,
    "late": answer_late,
    "held": answer_in_halves,
}
"""How an answer is sent; those that are not here have a length."""


async def break_off(asked: Asked, writer: asyncio.StreamWriter) -> None:
    """Reset without an answer, or close in the middle of one, of a length or in chunks."""
    if asked.act != "cut":
        reset(writer)
        return
    body = build_body(asked.number, asked.size, 0)
    if asked.number % 2:
        await send(writer, build_answer(200, body)[: -len(body) // 2])
    else:
        await send(writer, build_head(200, "Transfer-Encoding: chunked\r\n") + build_chunks(body)[: -len(body) // 2])


async def read_body(reader: asyncio.StreamReader, head: bytes) -> int:
    """Read the body that ``head`` announces; return its checksum."""
    received = 0
    if _CHUNKED.search(head):
        while size := int(await reader.readuntil(b"\r\n"), 16):
            received = zlib.crc32(await reader.readexactly(size), received)
            await reader.readexactly(2)
        await reader.readexactly(2)
    elif match := _LENGTH.search(head):
        left = int(match[1])
        while left:
            data = await reader.readexactly(min(left, 65_536))
            received = zlib.crc32(data, received)
            left -= len(data)
    return received


async def send(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Send bytes, and wait until there is room for more."""
    writer.write(data)
    await writer.drain()


def build_head(status: int, fields: str) -> bytes:
    """Build the head of an answer."""
    return f"HTTP/1.1 {status} Scripted\r\nContent-Type: text/plain\r\n{fields}\r\n".encode()


def build_answer(status: int, body: bytes, fields: str = "") -> bytes:
    """Build an answer with a length."""
    return build_head(status, f"{fields}Content-Length: {len(body)}\r\n") + body


def build_chunks(body: bytes) -> bytes:
    """Build the chunks of a body, without the last one."""
    step = len(body) // 3 + 1
    parts = [body[start : start + step] for start in range(0, len(body), step)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with a reset."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()

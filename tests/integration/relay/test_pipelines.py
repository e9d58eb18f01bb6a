"""Pipelines at random: several clients that send ahead, in pieces, while the upstream does all that it may do.

Each seed is one afternoon: what is asked, how it is cut into pieces, how it is answered and when the token dies follow
from it.  The rule that is held against the proxy: each request gets its own answer, in order, and leaves one record.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from harness.running import build_document, running_proxy, until
from harness.upstream import Peer, scripted_upstream

if TYPE_CHECKING:
    from harness.running import RawClient, RunningProxy

    from proxy.simulator.server import Simulator

CLIENTS = 3
MOST_REQUESTS = 15
LARGEST_BODY = 100_000
KINDS = (
    ("GET", "/api/{}", "none", 200),
    ("HEAD", "/api/{}", "none", 200),
    ("POST", "/api/{}", "length", 200),
    ("PUT", "/api/{}", "chunks", 200),
    ("GET", "/nowhere/{}", "none", 404),
    ("OPTIONS", "*", "none", 200),
    ("POST", "/oauth/token?{}", "empty", 200),
)
"""Method, target, framing of the body, status.  The last three are answered by the proxy itself, which waits for no
body to do so, and closes unless it has come: they have none."""
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)\r\n")
_CHUNKED = re.compile(rb"(?i)\r\ntransfer-encoding: *chunked\r\n")
_TOKEN = re.compile(rb"\r\nAuthorization: Bearer (\S+)\r\n")


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, and what must come of it.

    Attributes:
        wire: As it is sent.
        echo: What the upstream says of it, which stands in its field and fills its body; None where none is asked.
    """

    method: str
    target: str
    status: int
    wire: bytes
    echo: bytes | None


def ask(dice: random.Random, name: str) -> Asked:
    """Build a request at random; ``name`` makes it unlike any other."""
    method, form, framing, status = dice.choice(KINDS)
    target = form.format(name)
    has_body = framing in {"length", "chunks"}
    body = dice.randbytes(dice.choice([0, 1, 300, dice.randrange(LARGEST_BODY)])) if has_body else b""
    head = f"{method} {target} HTTP/1.1\r\nHost: proxy\r\n"
    match framing:
        case "length" | "empty":
            wire = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        case "chunks":
            wire = f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + build_chunks(dice, body)
        case _:
            wire = f"{head}\r\n".encode()
    empty_line = b"\r\n" if dice.random() < 0.1 else b""  # RFC 9112, section 2.2: to be passed over
    echo = describe(method.encode(), target.removeprefix("/api").encode(), body) if "/api/" in target else None
    return Asked(method, target, status, empty_line + wire, echo)


def describe(method: bytes, target: bytes, body: bytes) -> bytes:
    """Say what the upstream got."""
    return b"%s %s %d %d;" % (method, target, len(body), sum(body))


def build_chunks(dice: random.Random, data: bytes) -> bytes:
    """Frame ``data`` in chunks."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in cut(dice, data, 3) if piece) + b"0\r\n\r\n"


def cut(dice: random.Random, data: bytes, most: int) -> list[bytes]:
    """Cut ``data`` at up to ``most`` places."""
    places = sorted(dice.randrange(len(data) + 1) for _ in range(dice.randrange(most + 1)))
    return [data[start:end] for start, end in itertools.pairwise([0, *places, len(data)])]


class Upstream:
    """Answers each request with what it was, in every way that HTTP allows; once the token in use dies.

    Attributes:
        dies_at: The request that finds the token dead.
    """

    def __init__(self, seed: int, dies_at: bytes) -> None:
        """Find every token good until ``dies_at`` comes."""
        self.dies_at = dies_at
        self._seed = seed
        self._dead: bytes | None = None

    async def serve(self, peer: Peer) -> None:
        """Be one connection."""
        is_over = False
        while not is_over:
            head = await peer.read_head()
            method, target, _ = head.split(b" ", 2)
            dice = random.Random(f"{self._seed} {target!r}")
            [token] = _TOKEN.findall(head)
            if target == self.dies_at and self._dead is None:
                self._dead = token
            is_dead = token == self._dead
            is_early = is_dead and dice.random() < 0.5
            if is_early:
                await send_in_pieces(dice, peer, build_refusal(dice, method))
            body = await read_body(peer, head)
            if is_dead and not is_early:
                await send_in_pieces(dice, peer, build_refusal(dice, method))
            if not is_dead:
                is_over = dice.random() < 0.1
                answer = build_answer(dice, method, describe(method, target, body), closes=is_over)
                await send_in_pieces(dice, peer, answer)


async def read_body(peer: Peer, head: bytes) -> bytes:
    """Read a request's body."""
    if _CHUNKED.search(head):
        return await peer.read_chunked()
    length = _LENGTH.search(head)
    return await peer.read_exactly(int(length[1])) if length else b""


def build_refusal(dice: random.Random, method: bytes) -> bytes:
    """Build an answer that says that the token is dead."""
    body = dice.randbytes(dice.choice([0, 100, LARGEST_BODY]))
    head = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: %d\r\n\r\n" % len(body)
    return head + (b"" if method == b"HEAD" else body)


def build_answer(dice: random.Random, method: bytes, echo: bytes, *, closes: bool) -> bytes:
    """Build an answer at random, which says ``echo``."""
    body = echo * dice.choice([1, 1, 1, 3000])
    interim = b"HTTP/1.1 100 Continue\r\n\r\n" if dice.random() < 0.2 else b""
    fields = b"X-Echo: " + echo + (b"\r\nConnection: close" if closes else b"")
    if dice.random() < 0.5:
        framing, framed = b"Content-Length: %d" % len(body), body
    else:
        framing, framed = b"Transfer-Encoding: chunked", build_chunks(dice, body)
    head = b"HTTP/1.1 200 OK\r\n%b\r\n%b\r\n\r\n" % (fields, framing)
    return interim + head + (b"" if method == b"HEAD" else framed)


async def send_in_pieces(dice: random.Random, side: Peer | RawClient, data: bytes) -> None:
    """Send ``data`` in pieces, some turns of the loop apart."""
    for piece in cut(dice, data, 20):
        side.send(piece)
        for _ in range(dice.choice([0, 1, 5, 30])):
            await asyncio.sleep(0)


async def read_answer(client: RawClient, method: str) -> tuple[int, bytes, bytes]:
    """Read a final answer: its status, its head and its body."""
    head = await client.read_head()
    while head.startswith(b"HTTP/1.1 1"):
        head = await client.read_head()
    length, body = _LENGTH.search(head), b""
    if method == "HEAD":
        pass
    elif length:
        body = await client.read_exactly(int(length[1]))
    else:
        assert _CHUNKED.search(head)
        while size := int(await client.reader.readuntil(b"\r\n"), 16):
            body += (await client.read_exactly(size + 2))[:-2]
        assert await client.read_exactly(2) == b"\r\n"
    return int(head.split()[1]), head, body


async def be_client(proxy: RunningProxy, dice: random.Random, pipeline: list[Asked]) -> None:
    """Send a pipeline in pieces, and hold each answer against its request."""
    client = await proxy.connect()
    half_closes = dice.random() < 0.7

    async def send() -> None:
        await send_in_pieces(dice, client, b"".join(asked.wire for asked in pipeline))
        if half_closes:
            client.writer.write_eof()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(send())
        for asked in pipeline:
            status, head, body = await read_answer(client, asked.method)
            assert status == asked.status
            if asked.echo is not None:
                assert b"\r\nX-Echo: " + asked.echo + b"\r\n" in head
                assert body.replace(asked.echo, b"") == b""
                assert bool(body) == (asked.method != "HEAD")
    if half_closes:
        assert await client.read_all() == b""
    client.close()


@pytest.mark.parametrize("seed", range(10))
async def test_each_request_of_a_pipeline_gets_its_answer_and_its_record(simulator: Simulator, seed: int) -> None:
    """In order, whole, once; also where the token dies in the midst of it.  Afterwards nothing is left under way."""
    dice = random.Random(seed)
    pipelines = [
        [ask(dice, f"{client}-{number}") for number in range(dice.randint(1, MOST_REQUESTS))]
        for client in range(CLIENTS)
    ]
    every = [asked for pipeline in pipelines for asked in pipeline]
    forwarded = [asked for asked in every if asked.echo is not None]
    large = max(forwarded, key=lambda asked: len(asked.wire))
    dies_at = dice.choice([large, large, *forwarded[:4]])
    upstream = Upstream(seed, dies_at.target.removeprefix("/api").encode())
    async with scripted_upstream(upstream.serve) as scripts:
        document = build_document(f"http://127.0.0.1:{scripts.port}", f"{simulator.url}/oauth/token")
        document["listener"][0]["stub_token"] = True
        async with running_proxy(document) as proxy:
            await asyncio.gather(*(be_client(proxy, random.Random(f"{seed} {i}"), p) for i, p in enumerate(pipelines)))
            exchanges = await proxy.recorder.wait_exchanges(len(every))
            await until(lambda: proxy.service.status().client_connections == 0)

            recorded = [exchange.request.target for exchange in exchanges if exchange.request]
            assert sorted(recorded) == sorted(asked.target for asked in every)
            for pipeline in pipelines:
                own = [asked.target for asked in pipeline if asked.target != "*"]
                assert [target for target in recorded if target in own] == own
            tries = [[attempt.status for attempt in exchange.attempts] for exchange in exchanges if exchange.attempts]
            assert len(tries) == len(forwarded)
            assert all(statuses in ([200], [401, 200]) for statuses in tries)
            assert [401, 200] in tries
            assert [fetch.reason for fetch in proxy.recorder.fetches] == ["start", "rejected"]
            status = proxy.service.status()
            assert (status.in_flight, [pool.busy for pool in status.pools]) == (0, [0])

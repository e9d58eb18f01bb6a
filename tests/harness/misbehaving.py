"""An upstream that answers what a test names in the way that the test says, and everything else well."""

from __future__ import annotations

import re
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal

from harness.reading import ask
from harness.running import RunningProxy, build_document, running_proxy
from harness.upstream import scripted_upstream
from proxy.config.secret import Secret

if TYPE_CHECKING:
    import asyncio
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from harness.reading import Reading
    from harness.upstream import Peer
    from proxy.exchange import Exchange

LENGTH = re.compile(rb"\r\ncontent-length: ([0-9]+)\r\n", re.IGNORECASE)
BASIC = {"grant": "basic", "username": Secret("user", "test"), "password": Secret("a-basic-password", "test")}
Ending = Literal["stays", "closes", "resets", "cuts"]
Act = "Callable[[Peer], Awaitable[Ending]]"


def build_request(
    target: str, *, method: str = "GET", body: bytes = b"", version: str = "1.1", more: str = "Connection: close\r\n"
) -> bytes:
    """Build a request to the route of ``build_document``, after which the client wants the connection closed."""
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    return f"{method} /api{target} HTTP/{version}\r\nHost: proxy\r\n{length}{more}\r\n".encode() + body


def build_answer(body: bytes, *, more: bytes = b"") -> bytes:
    """Build a plain good answer."""
    return b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (more, len(body), body)


async def read_request(peer: Peer) -> str:
    """Read one request with its body; return its target."""
    head = await peer.read_head()
    match = LENGTH.search(head)
    await peer.read_exactly(int(match[1]) if match else 0)
    return head.split(b" ")[1].decode()


def sending(
    *parts: bytes, then: Ending = "stays", between: Sequence[asyncio.Event] = ()
) -> Callable[[Peer], Awaitable[Ending]]:
    """Build an answer made of ``parts``.

    Args:
        parts: As they are sent.
        then: What becomes of the connection.
        between: What is waited for before each part but the first.
    """

    async def act(peer: Peer) -> Ending:
        for index, part in enumerate(parts):
            if index and between:
                await between[index - 1].wait()
            peer.send(part)
            await peer.flush()
        return then

    return act


class Stage:
    """A proxy, and the upstream behind it.

    Attributes:
        proxy: In front of it.
        acts: How the next request for a target is answered; whoever has none gets its own target as the body, so
            that whoever gets another one has got another's answer.
        received: How often each target was asked for.
    """

    def __init__(self) -> None:
        """Answer everything well."""
        self.proxy: RunningProxy
        self.acts: dict[str, Callable[[Peer], Awaitable[Ending]]] = {}
        self.received: Counter[str] = Counter()

    async def serve(self, peer: Peer) -> None:
        """Serve one connection of the proxy's."""
        while True:
            target = await read_request(peer)
            self.received[target] += 1
            act = self.acts.pop(target, None)
            if act is None:
                peer.send(build_answer(target.encode()))
                continue
            ending = await act(peer)
            if ending == "resets":
                peer.reset()
            elif ending == "cuts":
                peer.cut()
            if ending != "stays":
                return

    async def play(self, act: Callable[[Peer], Awaitable[Ending]], request: bytes) -> Played:
        """Have ``act`` answer ``request``, which is for /first; then let another client ask for /second."""
        self.acts["/first"] = act
        before = len(self.proxy.recorder.exchanges)
        return await self.follow(await ask(self.proxy, request), before)

    async def follow(self, first: Reading, before: int) -> Played:
        """Let another client ask for /second, after one has got ``first``; ``before`` exchanges were on record."""
        second = await ask(self.proxy, build_request("/second"))
        [one, other] = (await self.proxy.recorder.wait_exchanges(before + 2))[before:]
        return Played(first, second, one, other)


class Played:
    """What came of an act.

    Attributes:
        first: What the client got that asked for it.
        second: What the next client got.
        exchange: The record of the first.
        next_exchange: The record of the second.
    """

    def __init__(self, first: Reading, second: Reading, exchange: Exchange, next_exchange: Exchange) -> None:
        """Keep both; the second client's answer is always its own."""
        self.first, self.second = first, second
        self.exchange, self.next_exchange = exchange, next_exchange
        assert (second.status, second.body, second.is_whole) == (200, b"/second", True)
        assert next_exchange.outcome == "ok"

    @property
    def was_reused(self) -> bool:
        """Whether the second request went out on the first one's connection."""
        return self.next_exchange.attempts[0].reused

    @property
    def record(self) -> tuple[str, str | None]:
        """The first one's outcome, and the slug of its error."""
        return self.exchange.outcome, self.exchange.error.slug if self.exchange.error else None


@asynccontextmanager
async def staged(
    *, tls: ssl.SSLContext | None = None, beside: int | None = None, name: str = "127.0.0.1", **sections: Any
) -> AsyncIterator[Stage]:
    """Run a proxy in front of a stage, with a Basic credential, so that no token server is needed.

    Args:
        tls: What the stage speaks.
        beside: Port of another upstream, for /beside/.
        name: Host of the stage in the configuration; its address is pinned.
        sections: Of the configuration.
    """
    stage = Stage()
    async with scripted_upstream(stage.serve, tls=tls) as upstream:
        scheme = "http" if tls is None else "https"
        document = build_document(
            f"{scheme}://{name}:{upstream.port}", "", **{"credential": {"core": BASIC}, **sections}
        )
        document["route"][0]["addresses"] = ["127.0.0.1"]
        if beside is not None:
            route = {"name": "beside", "match": {"path": "/beside/"}, "strip": "/beside"}
            document["route"].append({**route, "upstream": f"http://127.0.0.1:{beside}", "credential": "core"})
        async with running_proxy(document) as proxy:
            proxy.upstream = upstream
            stage.proxy = proxy
            yield stage

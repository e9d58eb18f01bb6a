"""Large bodies through a proxy: sent from the simulator or to it, hashed on both sides, held by neither."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.simulator.rehearsal import generate_bytes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from aiohttp import ClientSession

    from bench.process import Process

MEBIBYTE = 1024 * 1024
LARGEST_GROWTH = 30 * MEBIBYTE
"""How much the proxy's resident memory may grow, in bytes, however large the body."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One way to send a body.

    Attributes:
        is_upload: From the client to the upstream; else the other way.
        is_chunked: In chunks; else with a Content-Length.
    """

    is_upload: bool
    is_chunked: bool

    def __str__(self) -> str:
        """Name it."""
        return f"{'upload' if self.is_upload else 'download'}, {'chunked' if self.is_chunked else 'Content-Length'}"


KINDS = tuple(
    Kind(is_upload=is_upload, is_chunked=is_chunked) for is_upload in (False, True) for is_chunked in (False, True)
)


@dataclass(slots=True)
class Growth:
    """How far a process's resident memory rose above where it stood.

    Attributes:
        bytes: Known when the block has ended.
    """

    bytes: int = 0


@contextmanager
def measured_growth(process: Process) -> Iterator[Growth]:
    """Measure the growth to the highest point within a block."""
    process.reset_peak()
    before = process.memory().resident
    growth = Growth()
    yield growth
    growth.bytes = process.memory().peak - before


def build_digest(size: int) -> str:
    """Return the SHA-256 of the ``size`` bytes that are sent."""
    digest = hashlib.sha256()
    for piece in generate_bytes(size):
        digest.update(piece)
    return digest.hexdigest()


async def transfer(session: ClientSession, url: str, kind: Kind, size: int) -> str:
    """Send a body once; return the SHA-256 of what arrived at its other end.

    Args:
        session: The client.
        url: Where the simulator's paths begin.
        kind: How to send it.
        size: Bytes.
    """
    return await (_upload if kind.is_upload else _download)(session, url, kind, size)


async def _download(session: ClientSession, url: str, kind: Kind, size: int) -> str:
    target = f"{url}/v1/bytes?size={size}" + ("&chunked=1" if kind.is_chunked else "")
    digest = hashlib.sha256()
    async with session.get(target) as answer:
        answer.raise_for_status()
        _check_framing(answer.headers.get("Content-Length"), None if kind.is_chunked else size)
        async for piece in answer.content.iter_any():
            digest.update(piece)
    return digest.hexdigest()


async def _upload(session: ClientSession, url: str, kind: Kind, size: int) -> str:
    headers = {"Content-Type": "application/octet-stream"}
    if not kind.is_chunked:
        headers["Content-Length"] = str(size)
    async with session.post(f"{url}/v1/sink", data=_generate(size), headers=headers) as answer:
        answer.raise_for_status()
        sha256: str = (await answer.json())["body_sha256"]
    return sha256


def _check_framing(length: str | None, expected: int | None) -> None:
    if length != (None if expected is None else str(expected)):
        message = f"the answer's Content-Length is {length} and not {expected}"
        raise ValueError(message)


async def _generate(size: int) -> AsyncIterator[bytes]:
    for piece in generate_bytes(size):
        yield piece

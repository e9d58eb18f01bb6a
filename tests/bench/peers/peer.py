"""What a peer is, and how one is run: from a place of its own, for the length of a block."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aiohttp import ClientSession

from bench.process import BenchError, find_free_port, running
from bench.proxies import RunningProxy, Setting
from proxy.simulator.tokens import TOKEN_PATH

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from bench.programs import Program
    from proxy.simulator.server import Simulator


@dataclass(frozen=True, slots=True)
class Place:
    """What a peer is given.

    Attributes:
        setting: What every proxy is given.
        program: Path of its program.
        directory: Its own: for its configuration, and whatever it writes.
        port: To listen on, at 127.0.0.1.
        token: For one that cannot fetch any.
    """

    setting: Setting
    program: str
    directory: Path
    port: int
    token: str

    @property
    def upstream(self) -> str:
        """Host and port of the upstream."""
        return urlsplit(self.setting.upstream).netloc

    @property
    def access_log(self) -> Path:
        """Where one that keeps a log writes it."""
        return self.directory / "access.log"

    def write(self, name: str, text: str) -> Path:
        """Write a file into the directory; return its path."""
        path = self.directory / name
        path.write_text(text)
        return path


@dataclass(frozen=True, slots=True)
class Peer:
    """Another proxy.

    Attributes:
        name: What the table calls it.
        log: What it writes about each exchange.
        program: What it is run by.
        prepare: Writes its configuration, and returns the command.
        keeps_log: Whether it writes ``Place.access_log``.
    """

    name: str
    log: str
    program: Program
    prepare: Callable[[Place], Sequence[str]]
    keeps_log: bool = False


@dataclass(frozen=True, slots=True)
class RunningPeer(RunningProxy):
    """One that runs.

    Attributes:
        access_log: None for one that keeps none.
    """

    access_log: Path | None

    def tidy(self) -> None:
        """Empty its log, which it appends to.

        Raises:
            BenchError: If there was nothing in it.
        """
        if self.access_log is None:
            return
        if self.access_log.stat().st_size == 0:
            message = f"{self.name} keeps no log"
            raise BenchError(message)
        os.truncate(self.access_log, 0)


@asynccontextmanager
async def running_peer(peer: Peer, setting: Setting) -> AsyncIterator[RunningPeer]:
    """Run a peer for the length of a block.

    Raises:
        BenchError: If its program is missing, or it does not start.
    """
    directory = setting.directory / peer.name.replace(" ", "-")
    directory.mkdir()
    place = Place(setting, peer.program.need(), directory, find_free_port(), await fetch_token(setting.authority))
    command = peer.prepare(place)
    async with running(directory.name, command, setting.directory, core=setting.core) as process:
        await process.wait_listening(place.port)
        access_log = place.access_log if peer.keeps_log else None
        yield RunningPeer(peer.name, peer.log, process, place.port, access_log)


async def fetch_token(authority: Simulator) -> str:
    """Fetch a token, as one who gives it to a proxy by hand would."""
    known = authority.settings
    form = {
        "grant_type": "client_credentials",
        "client_id": known.client_id,
        "client_secret": known.client_secret.reveal(),
    }
    url = f"{authority.url}{TOKEN_PATH}"
    async with ClientSession(raise_for_status=True) as session, session.post(url, data=form) as answer:
        token: str = (await answer.json())["access_token"]
    return token

"""What the doctor says of a configuration of one route and one credential."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.running import build_document
from proxy.config.models import Config
from proxy.doctor.command import examine
from proxy.doctor.finding import Verdict
from proxy.doctor.instruments import Limits
from proxy.doctor.printer import Silence
from proxy.doctor.report import build_conclusion, choose_exit_code

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from proxy.doctor.report import Entry

PATIENT = Limits(connect_s=10, tls_s=10, call_s=10, total_s=60)
"""Never reached, however busy the machine."""
HASTY = Limits(connect_s=0.3, tls_s=0.3, call_s=0.3, total_s=60)
"""For what never answers."""


@dataclass(frozen=True)
class Examination:
    """What the doctor said.

    Attributes:
        entries: All of it.
    """

    entries: Sequence[Entry]

    @property
    def failed(self) -> list[tuple[str, str]]:
        """Link with subject, and whose it is, of every broken link."""
        return [
            (entry.finding.label, str(entry.finding.whose))
            for entry in self.entries
            if entry.finding.verdict is Verdict.FAILED
        ]

    @property
    def exit_code(self) -> int:
        """Of the command."""
        return choose_exit_code(self.entries)

    @property
    def conclusion(self) -> str:
        """The last words."""
        return build_conclusion(self.entries)

    def labels(self, verdict: Verdict) -> list[str]:
        """Return link with subject of all that stands so."""
        return [entry.finding.label for entry in self.entries if entry.finding.verdict is verdict]

    def told(self, label: str) -> str:
        """Return what was said of one link, its fix included."""
        (finding,) = (entry.finding for entry in self.entries if entry.finding.label == label)
        return f"{finding.words} | {finding.fix}"


async def diagnose(
    upstream: str,
    token_url: str | None,
    *,
    limits: Limits = PATIENT,
    wall: Callable[[], float] = time.time,
    route: dict[str, Any] | None = None,
    credential: dict[str, Any] | None = None,
    **sections: Any,
) -> Examination:
    """Examine a configuration.

    Args:
        upstream: Of the route.
        token_url: Of the credential.
        limits: How long to wait for what.
        wall: Seconds since the epoch, by our clock.
        route: More keys of the route.
        credential: More keys of the credential.
        sections: More of the configuration.
    """
    document = build_document(upstream, token_url or "", **sections)
    document["route"][0] |= route or {}
    document["credential"]["core"] |= credential or {}
    config = Config.model_validate(document)
    return Examination(await examine(config, Silence(), limits=limits, wall=wall))


@asynccontextmanager
async def black_hole() -> AsyncIterator[int]:
    """Keep a port that takes no connection and refuses none: its queue is full, and the kernel drops what comes."""
    loop = asyncio.get_running_loop()
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        while True:
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)  # noqa: FBT003 (the socket module's own signature)
            try:
                async with asyncio.timeout(0.2):
                    await loop.sock_connect(filler, server.getsockname())
            except TimeoutError:
                break
        yield server.getsockname()[1]

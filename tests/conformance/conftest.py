"""One proxy and one upstream for all cases of a module; each case begins with fresh connections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest_asyncio
import uvloop
from harness.running import RunningProxy, build_document, running_proxy

from conformance.framing import MOST_BODY
from conformance.heads import MOST_FIELDS, MOST_HEAD, MOST_LINE
from conformance.recorder import Recorder, running_recorder
from proxy.config.secret import Secret
from proxy.http.basic import build_basic

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Callable


@dataclass
class Gateway:
    """The proxy and its upstream.

    Attributes:
        proxy: What is held to the letter.
        recorder: What it forwards to.
    """

    proxy: RunningProxy
    recorder: Recorder
    authorization = build_basic("user", "a-basic-password").encode()

    @property
    def host(self) -> bytes:
        """Value of Host towards the upstream."""
        return b"127.0.0.1:%d" % self.recorder.port

    @property
    def pseudonym(self) -> bytes:
        """Our name in Via; another one in each run."""
        return self.proxy.service._relay.pseudonym.encode()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway() -> AsyncIterator[Gateway]:
    """Run the proxy with a route for everything, and one for a host of its own."""
    async with running_recorder() as recorder:
        route = {"upstream": f"http://127.0.0.1:{recorder.port}", "credential": "core"}
        document = build_document(
            "",
            "",
            credential={
                "core": {
                    "grant": "basic",
                    "username": Secret("user", "test"),
                    "password": Secret("a-basic-password", "test"),
                }
            },
            route=[
                {"name": "by-host", "match": {"host": "api.example"}, **route},
                {"name": "everything", "match": {"path": "/"}, **route},
            ],
            limits={"line": MOST_LINE, "head": MOST_HEAD, "fields": MOST_FIELDS, "body": MOST_BODY},
        )
        async with running_proxy(document) as proxy:
            yield Gateway(proxy, recorder)


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run on the loop that serves; that asyncio's own does the same is the integration tests' to show."""
    return {"uvloop": uvloop.new_event_loop}

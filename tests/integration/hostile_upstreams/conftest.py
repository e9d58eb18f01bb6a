"""A stage that the tests of one module share: to start a proxy for each of hundreds of cases takes most of the time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio
from harness.misbehaving import Stage, staged

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage() -> AsyncIterator[Stage]:
    """Run one proxy in front of one upstream; each test finds it idle, with one connection in its pool at the most."""
    async with staged() as stage:
        yield stage

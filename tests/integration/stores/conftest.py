"""A key, and Redis with and without TLS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from harness.redis import RedisServer, build_store, running_redis

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[RedisServer]:
    """Run a Redis without TLS."""
    async with running_redis(tmp_path) as server:
        yield server


@pytest.fixture
def store(redis: RedisServer) -> dict[str, Any]:
    """Return ``[store]`` for it, as a parsed configuration has it."""
    return build_store(redis)

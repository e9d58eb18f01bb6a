"""Those who wait for a token."""

from __future__ import annotations

import pytest

from proxy.tokens.token import build_token
from proxy.tokens.waiters import Waiters

TOKEN = build_token("abc", 60.0, sent_at=0.0, dice=0.5)


@pytest.fixture
def waiters(timeline):
    """Return waiters, of whom there are none yet."""
    return Waiters(timeline)


async def test_release_serves_all(waiters, timeline, begin):
    """All who wait get the token, and nobody waits any more."""
    tasks = [begin(waiters.join(5.0)) for _ in range(3)]
    await timeline.settle()
    assert len(waiters) == 3

    waiters.release(TOKEN)
    await timeline.settle()

    assert [task.result() for task in tasks] == [TOKEN] * 3
    assert len(waiters) == 0


async def test_each_has_a_limit_of_its_own(waiters, timeline, begin):
    """Whoever came first gives up first."""
    first = begin(waiters.join(5.0))
    await timeline.advance(3.0)
    second = begin(waiters.join(5.0))
    await timeline.advance(2.0)

    assert first.result() is None
    assert not second.done()


async def test_first_release_counts(waiters, timeline, begin):
    """A second release in the same turn, as when a call fails right after one that succeeded, changes nothing."""
    task = begin(waiters.join(5.0))
    await timeline.settle()
    waiters.release(TOKEN)
    waiters.release(None)
    await timeline.settle()

    assert task.result() is TOKEN


async def test_cancelled_waiter_is_forgotten(waiters, timeline, begin):
    """One who leaves is not counted any more, and its limit comes to nothing."""
    task = begin(waiters.join(5.0))
    await timeline.settle()
    task.cancel()
    await timeline.settle()
    await timeline.advance(5.0)

    assert len(waiters) == 0

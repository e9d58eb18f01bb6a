"""A few at a time of each client."""

import asyncio

import pytest

from proxy.tasks import Tasks
from proxy.tokens.turnstile import Turnstile


@pytest.fixture
async def tasks():
    """Return an owner of tasks, stopped after the test."""
    tasks = Tasks()
    yield tasks
    await tasks.stop()


async def settle():
    """Let every task get as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_client_has_a_few_turns_at_once_and_others_have_theirs(tasks):
    """Those who wait get theirs as others leave."""
    turnstile, inside, leave = Turnstile(2), [], asyncio.Event()

    async def go(client, name):
        async with turnstile.turn(client):
            inside.append(name)
            await leave.wait()

    for number in range(4):
        tasks.start(go("one", number), name="one")
    tasks.start(go("other", "other"), name="other")
    await settle()
    assert inside == [0, 1, "other"]
    leave.set()
    await settle()

    assert sorted(map(str, inside)) == ["0", "1", "2", "3", "other"]
    assert len(turnstile) == 0


async def test_who_gives_up_leaves_no_place_taken(tasks):
    """Neither in the gate nor before it."""
    turnstile, held = Turnstile(1), asyncio.Event()

    async def go():
        async with turnstile.turn("one"):
            await held.wait()

    first, second = tasks.start(go(), name="first"), tasks.start(go(), name="second")
    await settle()
    second.cancel()
    first.cancel()
    await settle()
    assert len(turnstile) == 0

    async with asyncio.timeout(5), turnstile.turn("one"):
        pass

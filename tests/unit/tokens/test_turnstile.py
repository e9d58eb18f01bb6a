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
    turnstile, inside, leave = Turnstile(2, 1, 60.0, float), [], asyncio.Event()

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
    turnstile, held = Turnstile(1, 1, 60.0, float), asyncio.Event()

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


async def test_refusals_narrow_a_gate_and_right_logins_widen_it():
    """By half and by double, down to a few; another client's is its own, and after a while it is wide again."""
    now = [0.0]
    turnstile = Turnstile(64, 8, 60.0, lambda: now[0])
    widths = []
    for _ in range(5):
        turnstile.narrow("one")
        widths.append(turnstile.width("one"))
    assert (widths, turnstile.width("other")) == ([32, 16, 8, 8, 8], 64)
    turnstile.widen("one")
    assert turnstile.width("one") == 16
    now[0] = 61.0
    assert turnstile.width("one") == 64
    turnstile.narrow("one")
    turnstile.widen("one")

    assert turnstile.width("one") == 64


async def test_a_gate_that_has_narrowed_lets_nobody_in_until_there_is_room(tasks):
    """Those inside stay; those before it wait, and those among them who were stopped are passed over."""
    turnstile, inside, leave = Turnstile(4, 1, 60.0, float), [], asyncio.Event()

    async def go(name):
        async with turnstile.turn("one"):
            inside.append(name)
            await leave.wait()

    started = [tasks.start(go(number), name="one") for number in range(8)]
    await settle()
    for _ in range(2):
        turnstile.narrow("one")
    started[0].cancel()
    started[5].cancel()
    await settle()
    assert inside == [0, 1, 2, 3]
    leave.set()
    await settle()

    assert inside == [0, 1, 2, 3, 4, 6, 7]
    assert len(turnstile) == 0

"""The machine's clock."""

from __future__ import annotations

import asyncio
import sys
import time

import pytest

from proxy.tokens.clock import SystemClock


@pytest.mark.skipif(sys.platform != "linux", reason="CLOCK_BOOTTIME is Linux's")
def test_clock_runs_through_suspend():
    """On Linux the clock is CLOCK_BOOTTIME, which counts suspend."""
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    now = SystemClock().now()

    assert before <= now <= time.clock_gettime(time.CLOCK_BOOTTIME)


async def test_timer_calls_from_the_loop():
    """A timer's call comes from the event loop."""
    called = asyncio.Event()
    SystemClock().call_later(0.001, called.set)

    await called.wait()

    assert called.is_set()


async def test_cancelled_timer_does_not_call():
    """A timer that was cancelled makes no call; one planned after it does."""
    calls = []
    over = asyncio.Event()
    clock = SystemClock()
    clock.call_later(0.001, lambda: calls.append("cancelled")).cancel()
    clock.call_later(0.002, over.set)

    await over.wait()

    assert calls == []

"""Blocking work in a thread that is there for it alone.

The rule of this file: a daemon thread for each piece of work.  What hangs (a disk, a keyring that waits for a person)
holds up neither other work, as it would among the event loop's own threads, nor the end of the process, which waits
for all of those.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


async def in_thread(work: Callable[[], T], *, name: str, limit_s: float | None = None) -> T:
    """Return what ``work`` does; once begun it cannot be cancelled, only left alone.

    Args:
        work: Blocks; what it raises is raised here.
        name: Of the thread.
        limit_s: How many seconds to wait for it; None: until it ends.

    Raises:
        TimeoutError: After ``limit_s``, in words, as an OSError has them.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        try:
            tell = partial(_settle, answer, answer.set_result, work())
        except Exception as error:  # noqa: BLE001 (it is raised where it is waited for)
            tell = partial(_settle, answer, answer.set_exception, error)
        with contextlib.suppress(RuntimeError):  # the event loop is closed: nobody waits any more
            loop.call_soon_threadsafe(tell)

    threading.Thread(target=run, name=name, daemon=True).start()
    limit = asyncio.timeout(limit_s)
    try:
        async with limit:
            return await answer
    except TimeoutError:
        if limit.expired():
            raise TimeoutError(errno.ETIMEDOUT, f"no answer within {limit_s:g} s") from None
        raise


def _settle(answer: asyncio.Future[T], settle: Callable[[Any], None], outcome: object) -> None:
    if not answer.done():  # else whoever waited has gone
        settle(outcome)

"""Tasks with an owner: none is lost to the garbage collector, none fails unseen.

asyncio keeps only a weak reference to a task; whoever starts one must hold it, look at how it ended, and cancel it
when the owner stops.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

RESTART_S = 1.0
"""Before work that a defect has ended begins anew: it may fail at once, again and again."""

log = structlog.get_logger(__name__)


class Tasks:
    """The tasks of one owner."""

    def __init__(self) -> None:
        """Own nothing yet."""
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_stopping = False

    def __len__(self) -> int:
        """Return how many are under way."""
        return len(self._tasks)

    def start(self, work: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
        """Start ``work``; an exception that it lets out is logged as ``task.failed``."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def keep(self, work: Callable[[], Coroutine[Any, Any, None]], *, name: str) -> asyncio.Task[Any]:
        """Start ``work``, which is to run as long as its owner does.

        A defect that ends it is logged as ``task.failed``, and it begins anew: what depends on it (a time limit, a
        token) would otherwise be missing from then on, and only an outage would tell.
        """
        return self.start(self._go_on(work, name), name=name)

    async def stop(self) -> None:
        """Cancel all, and wait until every one has ended."""
        self._is_stopping = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("task.failed", task=task.get_name(), exc_info=error)

    async def _go_on(self, work: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        while True:
            try:
                await work()
            except Exception:
                if self._is_stopping:  # a library has made the cancellation into an error
                    raise
                log.exception("task.failed", task=name, restart_s=RESTART_S)
            else:
                if self._is_stopping:  # a library has lost the cancellation
                    return
                log.error("task.ended", task=name, restart_s=RESTART_S)
            await asyncio.sleep(RESTART_S)

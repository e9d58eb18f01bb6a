"""Tasks with an owner."""

import asyncio

from structlog.testing import capture_logs

from proxy.tasks import Tasks


async def test_a_task_that_fails_is_told_of():
    """Nobody awaits it, so the log has to know."""
    tasks = Tasks()

    async def fail():
        message = "a defect"
        raise ValueError(message)

    with capture_logs() as events:
        await asyncio.wait([tasks.start(fail(), name="a task")])

    assert [(event["event"], event["task"]) for event in events] == [("task.failed", "a task")]
    assert len(tasks) == 0


async def test_a_task_that_is_kept_goes_on_after_a_defect(monkeypatch):
    """The log has the traceback, and what the task is there for is done again."""
    monkeypatch.setattr("proxy.tasks.RESTART_S", 0.0)
    tasks, runs, goes_on = Tasks(), [], asyncio.Event()

    async def work():
        runs.append(None)
        if len(runs) == 1:
            message = "a defect"
            raise ValueError(message)
        if len(runs) == 3:
            goes_on.set()
            await asyncio.Event().wait()

    with capture_logs() as events:
        task = tasks.keep(work, name="sweep")
        async with asyncio.timeout(10):
            await goes_on.wait()
        await tasks.stop()

    assert [(event["event"], event["task"]) for event in events] == [("task.failed", "sweep"), ("task.ended", "sweep")]
    assert events[0]["exc_info"]
    assert task.cancelled()


async def test_a_task_that_makes_its_cancellation_into_an_error_is_not_waited_for_again():
    """As a library may; it is told, and the stop ends."""
    tasks, runs = Tasks(), asyncio.Event()

    async def work():
        runs.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ConnectionError from None

    with capture_logs() as events:
        _ = tasks.keep(work, name="probe")
        await runs.wait()
        async with asyncio.timeout(10):
            await tasks.stop()

    assert [(event["event"], event["task"]) for event in events] == [("task.failed", "probe")]

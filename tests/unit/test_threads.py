"""Blocking work in a thread that is there for it alone."""

import asyncio
import gc
import threading

import pytest

from proxy.threads import in_thread


async def test_what_the_work_returns_is_returned():
    """From a thread that bears the name given, and that the process does not wait for at its end."""
    thread = await in_thread(threading.current_thread, name="aside")

    assert thread.name == "aside"
    assert thread.daemon


async def test_what_the_work_raises_is_raised_where_it_is_waited_for():
    """The thread ends without a traceback of its own."""

    def fail():
        raise LookupError

    with pytest.raises(LookupError):
        await in_thread(fail, name="aside")


async def test_a_time_limit_says_what_it_was():
    """As an OSError does, so that whoever tells of those tells of this."""
    over = threading.Event()

    with pytest.raises(TimeoutError) as caught:
        await in_thread(over.wait, name="aside", limit_s=0.01)
    over.set()

    assert caught.value.strerror == "no answer within 0.01 s"


async def test_a_time_limit_of_the_works_own_is_its_own():
    """A network disk says the same of itself."""

    def fail():
        raise TimeoutError(110, "the server of the disk is gone")

    with pytest.raises(TimeoutError, match="the server of the disk is gone"):
        await in_thread(fail, name="aside", limit_s=60.0)


@pytest.mark.parametrize("fails", [False, True])
async def test_what_comes_too_late_is_nobodys(fails):
    """Whoever waited has been cancelled; what the work brings after that disturbs nothing."""
    over, complaints, threads = threading.Event(), [], []

    def work():
        threads.append(threading.current_thread())
        over.wait()
        if fails:
            raise ValueError

    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await in_thread(work, name="aside")
    over.set()
    await in_thread(threads[0].join, name="join")
    await asyncio.sleep(0)
    gc.collect()

    assert complaints == []


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_work_outlives_the_loop():
    """A process that ends while a disk hangs says nothing of it."""
    over, threads = threading.Event(), []

    def work():
        threads.append(threading.current_thread())
        over.wait()

    with asyncio.Runner() as runner, pytest.raises(TimeoutError):
        runner.run(in_thread(work, name="aside", limit_s=0.01))
    over.set()
    threads[0].join(10)

    assert not threads[0].is_alive()

"""When a configuration is reloaded, and when it is not; how it is done stands in the integration tests."""

import asyncio
import threading

import pytest
from harness.running import until
from structlog.testing import capture_logs

from proxy.config.models import Config
from proxy.errors import ConfigError
from proxy.reload import Reload, Reloaded

DOCUMENT = {"listener": [], "credential": {}, "route": []}


class Changes:
    """Takes configurations, in the place of a whole proxy."""

    def __init__(self):
        """Begin with a plain one."""
        self.config = Config.model_validate(DOCUMENT)

    async def use(self, config):
        """Use it."""
        self.config = config


class Files:
    """A file that is read when it is let, and says something else each time.

    Attributes:
        reads: How often reading has begun.
        may_end: Set when reading may end.
    """

    def __init__(self):
        """Be readable."""
        self.reads = 0
        self.may_end = threading.Event()
        self.may_end.set()

    def load(self):
        """Read it."""
        self.reads += 1
        reads = self.reads
        self.may_end.wait()
        return Config.model_validate({**DOCUMENT, "limits": {"body": reads}})


@pytest.fixture
def files():
    """Return a file."""
    files = Files()
    yield files
    files.may_end.set()


@pytest.fixture
async def reload(files, clock):
    """Return what reloads it."""
    reload = Reload(Changes(), files.load, clock)
    yield reload
    await reload.stop()


async def test_a_reload_is_counted(reload, clock):
    """With its moment; the next one that is refused leaves that as it is."""
    clock.advance(5.0)
    done = await reload.run()

    assert done == Reloaded(("limits",), ())
    assert (reload.status().used_since, reload.status().reloads, reload.status().is_current) == (1005.0, 1, True)


async def test_hangups_during_a_reload_are_one_more(files, reload):
    """So what is used in the end is what the file said after the last of them."""
    hangup = asyncio.Event()
    reload.obey(hangup)
    files.may_end.clear()
    hangup.set()
    await until(lambda: files.reads == 1)
    for _ in range(3):
        hangup.set()
        await asyncio.sleep(0)
    files.may_end.set()
    await until(lambda: reload.status().reloads == 2)
    for _ in range(20):
        await asyncio.sleep(0.001)

    assert files.reads == 2


async def test_one_reload_follows_the_other(files, reload):
    """Whoever asks while one is under way gets the outcome of his own."""
    files.may_end.clear()
    first, second = (asyncio.ensure_future(reload.run()) for _ in range(2))
    await until(lambda: files.reads == 1)
    files.may_end.set()
    await asyncio.gather(first, second)

    assert files.reads == 2


async def test_a_proxy_that_stops_reloads_no_more(files, reload):
    """What is under way is given up, and whoever asked for it is told."""
    files.may_end.clear()
    waiting = asyncio.ensure_future(reload.run())
    await until(lambda: files.reads == 1)
    await reload.stop()
    with pytest.raises(ConfigError, match="stopping"):
        await waiting
    with pytest.raises(ConfigError, match="stopping"):
        await reload.run()

    assert reload.status().refusals == 0


async def test_a_defect_is_a_refusal(files, reload):
    """It is told with its traceback, but not to whoever asked, and is no reason to think that the file is used."""
    files.reads = "none"
    with capture_logs() as logs, pytest.raises(ConfigError, match=r"could not be done \(TypeError\)"):
        await reload.run()

    assert [(entry["event"], type(entry["exc_info"])) for entry in logs] == [("config.refused", TypeError)]
    assert (reload.status().refusals, reload.status().is_current) == (1, False)


async def test_a_file_that_cannot_be_read_is_given_up(files, reload, monkeypatch):
    """Its thread is left alone, and the next reload has one of its own."""
    monkeypatch.setattr("proxy.reload.READ_S", 0.01)
    files.may_end.clear()
    with capture_logs() as logs, pytest.raises(ConfigError, match="could not be read within"):
        await reload.run()

    assert [(line["event"], line["key"]) for line in logs] == [("config.refused", "reload")]
    assert (reload.status().refusals, reload.status().is_current) == (1, False)


async def test_without_a_file_nothing_is_read(clock):
    """A signal is noted, and a command is told."""
    reload = Reload(Changes(), None, clock)
    hangup = asyncio.Event()
    with capture_logs() as logs:
        reload.obey(hangup)
        hangup.set()
        await until(lambda: bool(logs))
    with pytest.raises(ConfigError, match="no file"):
        await reload.run()
    await reload.stop()

    assert [line["event"] for line in logs] == ["signal.ignored"]
    assert reload.status().is_current

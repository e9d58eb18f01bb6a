"""Tokens in a file: what outlives a restart, and what is not believed."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest
from harness.running import until
from structlog.testing import capture_logs

from proxy.errors import ConfigError
from proxy.tokens.file_store import FileStore
from proxy.tokens.seal import Sealer
from proxy.tokens.sealed_file import SealedFile
from proxy.tokens.store import Claim
from proxy.tokens.stored import StoredToken, build_json

KEY = bytes(range(32))
TOKEN = StoredToken("a-token", life_s=3600.0, age_s=10.0)


@pytest.fixture
def path(tmp_path):
    """Return where the file is to be."""
    return tmp_path / "tokens"


@pytest.fixture
async def open_store(path, clock):
    """Return a function that starts a store, as a process does; all are stopped after the test."""
    stores = []

    async def open_store(key=KEY, **limits):
        store = FileStore(SealedFile(path, Sealer(key)), wall=clock, **limits)
        await store.start(lambda: None)
        stores.append(store)
        return store

    yield open_store
    for store in stores:
        await store.stop()


def write(path, content):
    """Write a file as a process does that has ended since."""
    file = SealedFile(path, Sealer(KEY))
    file.write(content)
    file.release()


async def keep(store, name, token=TOKEN):
    """Store a token as after a call."""
    await store.end_turn(name, (await store.take_turn(name, steal=False)).claim, token)


async def test_a_token_outlives_a_restart(open_store, clock):
    """As old as it has become."""
    first = await open_store()
    await keep(first, "core")
    await first.stop()
    clock.advance(100)

    found = await (await open_store()).agree("core", None)

    assert found == StoredToken("a-token", 3600.0, pytest.approx(110.0))


async def test_a_token_in_hand_is_stored_under_its_new_name(open_store):
    """As when the secret has changed and the token serves on; an older one does not push out a newer one."""
    first = await open_store()

    assert await first.agree("renewed", TOKEN) == TOKEN
    assert (await first.agree("renewed", StoredToken("older", 3600.0, 100.0))).access_token == "a-token"
    await first.stop()

    assert (await (await open_store()).agree("renewed", None)).access_token == "a-token"


async def test_a_token_is_written_without_a_stop(open_store, path):
    """A process that is killed has left it behind."""
    store = await open_store()

    await keep(store, "core")
    await until(path.exists)

    assert b"a-token" in await asyncio.to_thread(SealedFile(path, Sealer(KEY)).read)


async def test_a_file_of_another_proxy_stops_the_start(open_store, path):
    """Each would undo what the other has stored."""
    await open_store()

    with pytest.raises(ConfigError) as caught:
        await open_store()

    assert caught.value.where == "store.file"
    assert caught.value.problem == f"{path} is in use by another proxy (pid {os.getpid()})"
    assert caught.value.fix == "stop that one, or give this one a path of its own"


async def test_a_missing_directory_is_told_as_one(tmp_path, clock):
    """The proxy runs without a store, and the file is written once there is a directory."""
    path = tmp_path / "none" / "tokens"
    store = FileStore(SealedFile(path, Sealer(KEY)), wall=clock, retry_s=0.0)

    with capture_logs() as logs:
        await store.start(lambda: None)
        await keep(store, "core")
        await until(lambda: not store.status().usable)
        path.parent.mkdir()
        await until(lambda: store.status().usable)
        await store.stop()

    lost, recovered = logs
    assert (lost["event"], recovered["event"]) == ("store.lost", "store.recovered")
    assert lost["fix"] == "create its directory, writable by the proxy's user"
    assert lost["meanwhile"] == "tokens are kept in memory alone: a restart has to fetch new ones"
    assert path.exists()


async def test_there_is_always_a_turn(open_store):
    """Nobody else writes the file."""
    turn = await (await open_store()).take_turn("core", steal=False)

    assert (turn.claim, turn.found) == (Claim(), None)


async def test_each_credential_has_its_own(open_store):
    """And another has none."""
    store = await open_store()
    await keep(store, "core")
    await keep(store, "edx", StoredToken("other", 60.0, 0.0))

    assert (await store.agree("edx", None)).access_token == "other"
    assert await store.agree("lis", None) is None


@pytest.mark.parametrize("step_s", [-11.0, -86_400.0, 3591.0, 1e9])
async def test_a_stepped_clock_makes_no_token(open_store, clock, step_s):
    """Issued in the future, or long dead."""
    first = await open_store()
    await keep(first, "core")
    await first.stop()
    clock.advance(step_s)

    assert await (await open_store()).agree("core", None) is None


async def test_dead_tokens_leave_the_file(open_store, clock):
    """Those of credentials that are gone would stay in it for ever."""
    store = await open_store()
    await keep(store, "gone", StoredToken("old", 60.0, 0.0))
    clock.advance(61)
    await keep(store, "core")
    await store.stop()

    clock.advance(-61)

    assert await (await open_store()).agree("gone", None) is None


async def test_a_wrong_key_runs_without_a_store(open_store, path):
    """The file is left as it is, an alarm says so, and tokens are kept in memory alone."""
    first = await open_store()
    await keep(first, "core")
    await first.stop()
    before = path.read_bytes()

    with capture_logs() as logs:
        store = await open_store(KEY[::-1])
        await keep(store, "core", StoredToken("new", 60.0, 0.0))
        await store.stop()

    assert path.read_bytes() == before
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [("store.unreadable", "error")]
    assert "move it aside" in logs[0]["fix"]
    assert not store.status().usable
    assert "another key" in store.status().last_error
    assert (await (await open_store()).agree("core", None)).access_token == "a-token"


@pytest.mark.parametrize("content", [b"[]", b"{}", b'{"tokens": 5}', b'{"tokens": {"core": 5}}', b"no json"])
async def test_content_of_another_shape_has_no_tokens(open_store, path, content):
    """Sealed with the right key, and still not believed."""
    await asyncio.to_thread(write, path, content)

    assert await (await open_store()).agree("core", None) is None


async def test_content_without_times_has_no_tokens(open_store, path):
    """There is no telling how old they are."""
    content = build_json({"tokens": {"core": {"access_token": "a", "life_s": 60}}})
    await asyncio.to_thread(write, path, content)

    assert await (await open_store()).agree("core", None) is None


async def test_a_disk_that_takes_nothing_is_told_once(open_store, path):
    """Counted and shown; once it takes something again, that is told as well."""
    blocker = path.with_name(".tokens.new")
    blocker.mkdir()
    store = await open_store(retry_s=0.0)

    with capture_logs() as logs:
        await keep(store, "core")
        await until(lambda: store.status().failures >= 3)
        lost = store.status()
        blocker.rmdir()
        await until(lambda: store.status().usable)
    await store.stop()

    assert not lost.usable
    assert lost.last_error.startswith("cannot be written")
    assert [entry["event"] for entry in logs] == ["store.lost", "store.recovered"]
    assert (await (await open_store()).agree("core", None)).access_token == "a-token"


class HangingFile(SealedFile):
    """A file on a disk that hangs until it is released.

    Attributes:
        begun: Set once a call hangs.
        error: What the disk says to the first call; None: it works.
    """

    def __init__(self, path, sealer, *, hangs, error=None):
        """Hang at every call of the method named ``hangs``; the first one then meets the error."""
        super().__init__(path, sealer)
        self.begun = threading.Event()
        self.released = threading.Event()
        self.error = error
        self._hangs = hangs

    def read(self):
        """Wait, and then read."""
        self._hang("read")
        return super().read()

    def write(self, data):
        """Wait, and then write."""
        self._hang("write")
        super().write(data)

    def _hang(self, method):
        if method == self._hangs:
            error, self.error = self.error, None
            self.begun.set()
            self.released.wait()
            if error is not None:
                raise error


@pytest.fixture
async def hang(path, clock):
    """Return a function that starts a store on a disk that hangs, and counts its returns; released after the test."""
    opened = []

    async def hang(method, error=None, **limits):
        file = HangingFile(path, Sealer(KEY), hangs=method, error=error)
        store = FileStore(file, wall=clock, **limits)
        returns = []
        opened.append((file, store))
        await store.start(lambda: returns.append(None))
        return file, store, returns

    yield hang
    for file, store in opened:
        file.released.set()
        await store.stop()


async def test_nobody_waits_for_the_disk(hang):
    """A disk that hangs holds up neither a token nor, for longer than its limit, the end."""
    _, store, _ = await hang("write", last_write_s=0.01)

    with capture_logs() as logs:
        async with asyncio.timeout(5):
            await keep(store, "core")
            found = await store.agree("core", None)
            await store.stop()

    assert found.access_token == "a-token"
    assert [entry["event"] for entry in logs] == ["store.lost"]
    assert logs[0]["problem"] == "cannot be written (no answer within 0.01 s)"


async def test_a_write_that_hangs_is_told(hang):
    """Though nobody waits for it; and when it has ended well after all, that is told as well."""
    file, store, _ = await hang("write", write_s=0.01)

    with capture_logs() as logs:
        await keep(store, "core")
        await until(lambda: not store.status().usable)
        lost = store.status()
        file.released.set()
        await until(lambda: store.status().usable)

    assert lost.last_error == "has taken nothing for 0.01 s"
    assert [entry["event"] for entry in logs] == ["store.lost", "store.recovered"]
    assert "look after the disk" in logs[0]["fix"]


async def test_a_write_that_the_stop_has_cut_off_is_made_again(hang, open_store):
    """The one under way may come to nothing."""
    file, store, _ = await hang("write", OSError(5, "Input/output error"))
    await keep(store, "core")
    await until(file.begun.is_set)

    stopping = asyncio.gather(store.stop())
    await asyncio.sleep(0)
    file.released.set()
    await stopping

    assert (await (await open_store()).agree("core", None)).access_token == "a-token"


async def test_a_read_that_hangs_does_not_hold_up_the_start(hang, open_store):
    """The proxy does without what is stored until it is there; what came meanwhile is the newer one."""
    first = await open_store()
    await keep(first, "core", StoredToken("old", 3600.0, 100.0))
    await keep(first, "edx")
    await first.stop()

    with capture_logs() as logs:
        file, store, returns = await hang("read", read_s=0.01)
        lost, nothing = store.status(), await store.agree("edx", None)
        await keep(store, "core", StoredToken("new", 3600.0, 0.0))
        file.released.set()
        await until(lambda: returns != [])

    assert not lost.usable
    assert lost.last_error == "could not be read within 0.01 s"
    assert nothing is None
    assert [entry["event"] for entry in logs] == ["store.lost", "store.recovered"]
    assert "look after the disk" in logs[0]["fix"]
    assert store.status().usable
    assert (await store.agree("edx", None)).access_token == "a-token"
    assert (await store.agree("core", None)).access_token == "new"
    await store.stop()
    assert (await (await open_store()).agree("core", None)).access_token == "new"


async def test_a_start_that_reads_at_once_returns_nothing_to_anybody(hang):
    """All that is stored is there before anybody asks."""
    _, store, returns = await hang("write")

    assert store.status().usable
    assert returns == []


async def test_what_was_not_read_in_time_is_never_overwritten(hang, open_store, path):
    """The stop neither waits for it nor writes."""
    first = await open_store()
    await keep(first, "core")
    await first.stop()
    before = path.read_bytes()

    _, store, _ = await hang("read", read_s=0.01)
    await keep(store, "edx")
    async with asyncio.timeout(5):
        await store.stop()

    assert path.read_bytes() == before


async def test_an_unexpected_error_at_the_start_runs_without_a_store(hang):
    """A defect of ours keeps no centre from its start; it is told with a traceback."""
    with capture_logs() as logs:
        file, store, _ = await hang("read", LookupError("with a secret"), read_s=0.01)
        file.released.set()
        await until(lambda: len(logs) > 1)

    assert [entry["event"] for entry in logs] == ["store.lost", "store.unreadable"]
    assert isinstance(logs[1]["exc_info"], LookupError)
    assert store.status().last_error == "cannot be read (LookupError)"


async def test_an_unexpected_error_does_not_end_the_writing(hang, open_store):
    """It counts as a failure like any other: told, with a traceback, and tried again."""
    file, store, _ = await hang("write", LookupError("with a secret"), retry_s=0.0)
    file.released.set()

    with capture_logs() as logs:
        await keep(store, "core")
        await until(lambda: store.status().failures == 1 and store.status().usable)
    await store.stop()

    assert [entry["event"] for entry in logs] == ["store.lost", "store.recovered"]
    assert logs[0]["problem"] == "cannot be written (LookupError)"
    assert isinstance(logs[0]["exc_info"], LookupError)
    assert (await (await open_store()).agree("core", None)).access_token == "a-token"

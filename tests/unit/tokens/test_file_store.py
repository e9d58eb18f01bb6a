"""Tokens in a file: what outlives a restart, and what is not believed."""

from __future__ import annotations

import asyncio
import threading

import pytest
from harness.running import until
from structlog.testing import capture_logs

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

    assert (await (await open_store()).agree("core", None)).access_token == "a-token"


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
    await asyncio.to_thread(SealedFile(path, Sealer(KEY)).write, content)

    assert await (await open_store()).agree("core", None) is None


async def test_content_without_times_has_no_tokens(open_store, path):
    """There is no telling how old they are."""
    content = build_json({"tokens": {"core": {"access_token": "a", "life_s": 60}}})
    await asyncio.to_thread(SealedFile(path, Sealer(KEY)).write, content)

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

    assert not lost.usable
    assert lost.last_error.startswith("cannot be written")
    assert [entry["event"] for entry in logs] == ["store.lost", "store.recovered"]
    assert (await (await open_store()).agree("core", None)).access_token == "a-token"


class HangingFile(SealedFile):
    """A file on a disk that hangs until it is released."""

    def __init__(self, path, sealer):
        """Hang."""
        super().__init__(path, sealer)
        self.released = threading.Event()

    def write(self, data):
        """Wait, and then write."""
        self.released.wait()
        super().write(data)


async def test_nobody_waits_for_the_disk(path):
    """A disk that hangs holds up neither a token nor, for longer than its limit, the end."""
    file = HangingFile(path, Sealer(KEY))
    store = FileStore(file, last_write_s=0.01)
    await store.start(lambda: None)

    async with asyncio.timeout(5):
        await keep(store, "core")
        found = await store.agree("core", None)
        await store.stop()
    file.released.set()

    assert found.access_token == "a-token"

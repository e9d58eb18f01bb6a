"""Files of secrets that change while the proxy runs."""

import asyncio
import os
import threading

import pytest
from harness.running import until
from structlog.testing import capture_logs

from proxy.config import watch
from proxy.config.places import File
from proxy.config.watch import FileWatch, WatchedFile

KEYS = ["credential.core.client_secret"]


def replace(path, content):
    """Put another file in the place of one, as editors and secret managers do."""
    beside = path.with_name("beside")
    beside.write_text(content)
    beside.chmod(0o600)
    beside.replace(path)


@pytest.fixture
def path(tmp_path):
    """Return a file that holds the first secret."""
    path = tmp_path / "secret"
    replace(path, "first\n")
    return path


@pytest.fixture
def watched(path):
    """Return it, watched, and found as it was loaded."""
    watched = WatchedFile(File(path), File(path).read(), KEYS)
    assert look(watched, 3) == []
    return watched


def look(watched, times):
    """Look so often; return the values of what was found."""
    return [secret.reveal() for _ in range(times) if (secret := watched.look()) is not None]


def test_a_new_file_is_read_once_it_has_stopped_changing(watched, path):
    """At the second look that finds it the same; and told once."""
    replace(path, "second\n")

    assert look(watched, 1) == []
    assert look(watched, 3) == ["second"]


def test_a_change_before_the_first_look_is_found(path):
    """Between the loading and the watching is time enough."""
    watched = WatchedFile(File(path), File(path).read(), KEYS)
    replace(path, "second\n")

    assert look(watched, 3) == ["second"]


def test_half_a_secret_is_never_taken(watched, path):
    """A writer that pauses is waited for as long as the file grows."""
    found = []
    with path.open("w") as file:
        for part in ("sec", "ond-", "whole"):
            file.write(part)
            file.flush()
            found += look(watched, 1)

    assert found == []
    assert look(watched, 3) == ["second-whole"]


def test_a_file_written_to_while_it_is_read_is_read_again(path):
    """What was read may be half of it."""

    class WrittenMeanwhile(File):
        __slots__ = ()

        def read(self):
            secret = super().read()
            if secret.reveal() == "second":
                replace(path, "second-whole\n")
            return secret

    watched = WatchedFile(WrittenMeanwhile(path), File(path).read(), KEYS)
    assert look(watched, 2) == []
    replace(path, "second\n")

    assert look(watched, 5) == ["second-whole"]


def test_a_file_that_is_touched_is_no_change(watched, path):
    """What counts is what it holds."""
    replace(path, "first")

    assert look(watched, 3) == []


@pytest.mark.parametrize("spoil", [lambda path: path.write_text(""), os.unlink], ids=["empty", "gone"])
def test_the_old_value_serves_while_a_file_cannot_be_read(watched, path, spoil):
    """It is complained of once, with key and fix and no value, and once more when it is over."""
    with capture_logs() as logs:
        spoil(path)
        during = look(watched, 5)
        replace(path, "second\n")
        after = look(watched, 3)

    assert (during, after) == ([], ["second"])
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [
        ("secret.unreadable", "error"),
        ("secret.recovered", "warning"),
    ]
    assert logs[0]["keys"] == ("credential.core.client_secret",)
    assert logs[0]["problem"].startswith(f"file {path} ")
    assert logs[0]["fix"]


def test_a_file_that_comes_back_as_it_was_is_no_change(watched, path):
    """A mount that was away."""
    path.rename(path.with_name("away"))
    assert look(watched, 3) == []
    path.with_name("away").rename(path)

    assert look(watched, 3) == []


def test_a_file_that_may_be_read_again_is_read(watched, path):
    """Rights that are mended change nothing about the content, nor its date."""
    path.write_bytes(b"\xff")
    assert look(watched, 3) == []
    os.utime(path, ns=(0, 0))
    path.write_text("second")
    os.utime(path, ns=(0, 0))

    assert look(watched, 3) == ["second"]


def test_a_mount_that_kubernetes_swaps_is_a_change(tmp_path):
    """It points a link in the middle of the path elsewhere; the file's own name leads to another one then."""
    for version, content in (("..1", "first"), ("..2", "second")):
        (tmp_path / version).mkdir()
        replace(tmp_path / version / "key", content)
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "key").symlink_to("..data/key")
    watched = WatchedFile(File(tmp_path / "key"), File(tmp_path / "key").read(), KEYS)
    assert look(watched, 3) == []

    (tmp_path / "..new").symlink_to("..2")
    (tmp_path / "..new").replace(tmp_path / "..data")

    assert look(watched, 3) == ["second"]


@pytest.fixture
async def watch_file(path, monkeypatch):
    """Return a function that watches the file from a thread; it gives the watch, and a queue of what was told."""
    monkeypatch.setattr(watch, "LOOK_S", 0.01)
    told = asyncio.Queue()
    watched = WatchedFile(File(path), await asyncio.to_thread(File(path).read), KEYS)
    running = FileWatch([watched], told.put_nowait, asyncio.get_running_loop())
    yield lambda: (running.start(), told)[1]
    running.stop()


async def test_changes_are_told_on_the_loop(watch_file, path):
    """By the place that they were read from."""
    told = watch_file()
    replace(path, "second\n")

    async with asyncio.timeout(10):
        changed = await told.get()

    assert {place: secret.reveal() for place, secret in changed.items()} == {File(path): "second"}


async def test_a_file_system_that_hangs_holds_up_nothing_else(watch_file, path):
    """A pipe without a writer hangs whoever opens it; the loop runs on meanwhile, and waits for nothing at the end."""
    os.mkfifo(beside := path.with_name("beside"))
    beside.replace(path)
    told = watch_file()

    with capture_logs() as logs:
        await until(lambda: is_released(path))
        await until(lambda: bool(logs))

    assert [entry["event"] for entry in logs] == ["secret.unreadable"]
    assert told.empty()


@pytest.fixture
def files(tmp_path):
    """Return two files, watched, that hold the first values."""
    watched = []
    for name in ("one", "other"):
        replace(tmp_path / name, "first")
        watched.append(WatchedFile(File(tmp_path / name), File(tmp_path / name).read(), KEYS))
    return watched


async def test_a_file_that_hangs_keeps_no_other_from_being_used(files, tmp_path, monkeypatch):
    """What is found at the others is told, the one that hangs too, once; and once more when it answers again."""
    monkeypatch.setattr(watch, "LOOK_S", 0.01)
    monkeypatch.setattr(watch, "TOGETHER_S", 0.05)
    monkeypatch.setattr(watch, "STALL_S", 0.1)
    told = asyncio.Queue()
    running = FileWatch(files, told.put_nowait, asyncio.get_running_loop())
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "pipe").replace(tmp_path / "one")

    with capture_logs() as logs:
        running.start()
        async with asyncio.timeout(10):
            await until(lambda: bool(logs))
            for value in ("second", "third"):
                replace(tmp_path / "other", value)
                assert [secret.reveal() for secret in (await told.get()).values()] == [value]
        assert [(entry["event"], entry["watched"]) for entry in logs] == [("file.stalled", f"file {tmp_path / 'one'}")]
        await until(lambda: is_released(tmp_path / "one"))
        replace(tmp_path / "one", "second")
        async with asyncio.timeout(10):
            assert {place.path.name: secret.reveal() for place, secret in (await told.get()).items()} == {
                "one": "second"
            }
    running.stop()

    assert logs[0]["fix"]
    assert "file.recovered" in [entry["event"] for entry in logs]


async def test_a_pair_that_changes_together_is_told_together(files, tmp_path, monkeypatch):
    """An id and its secret, each in its file and looked at in its thread."""
    monkeypatch.setattr(watch, "LOOK_S", 0.01)
    monkeypatch.setattr(watch, "TOGETHER_S", 60.0)
    told = asyncio.Queue()
    for name in ("one", "other"):
        replace(tmp_path / name, "second")
    running = FileWatch(files, told.put_nowait, asyncio.get_running_loop())
    running.start()

    async with asyncio.timeout(10):
        changed = await told.get()
    running.stop()

    assert {place.path.name for place in changed} == {"one", "other"}


async def test_what_is_found_after_the_end_is_not_told(monkeypatch):
    """A look under way may end later; what it has found was wanted by settings that are no longer used."""
    monkeypatch.setattr(watch, "LOOK_S", 0.01)
    begun, may_end, told = threading.Event(), threading.Event(), []
    before = set(threading.enumerate())

    class Slow:
        key = "slow"

        def look(self):
            begun.set()
            may_end.wait(10)
            return "found"

    running = FileWatch([Slow()], told.append, asyncio.get_running_loop())
    running.start()
    await until(begun.is_set)
    threads = set(threading.enumerate()) - before
    running.stop()
    may_end.set()
    await until(lambda: not any(thread.is_alive() for thread in threads))
    await asyncio.sleep(0)

    assert told == []


async def test_the_threads_end_with_the_watch(files, tmp_path, monkeypatch):
    """A proxy that is stopped within a longer-lived process leaves nothing running."""
    monkeypatch.setattr(watch, "LOOK_S", 0.01)
    name = f"file {tmp_path / 'one'}"
    running = FileWatch(files, print, asyncio.get_running_loop())
    running.start()
    await until(lambda: name in [thread.name for thread in threading.enumerate()])

    running.stop()

    await until(lambda: name not in [thread.name for thread in threading.enumerate()])


def is_released(pipe):
    """Let go who hangs at the other end of a pipe; return whether somebody did."""
    try:
        end = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return False
    pipe.unlink()
    os.close(end)
    return True

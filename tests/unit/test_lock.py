"""The lock of a file: one holder at a time, whatever becomes of the file."""

import os
import signal
import stat
import subprocess
import sys

import pytest
import structlog

from proxy.lock import FileLock

HOLD = """
import pathlib, sys
from proxy.lock import FileLock
lock = FileLock(pathlib.Path(sys.argv[1]))
lock.take()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path):
    """Return what the lock is for; it is not there, and need not be."""
    return tmp_path / "traffic.jsonl"


def test_it_stands_beside_the_file_and_is_its_owners(path):
    """Under a name that no pattern for log files takes along; the file itself is not touched."""
    lock = FileLock(path)
    lock.take()

    assert [item.name for item in path.parent.iterdir()] == [".traffic.jsonl.lock"]
    assert stat.S_IMODE(lock.path.stat().st_mode) == 0o600
    assert repr(lock) == f"<FileLock {lock.path} held>"
    lock.release()
    assert repr(lock) == f"<FileLock {lock.path} free>"


def test_it_may_be_taken_again_by_its_holder(path):
    """Whoever reopens the file need not know whether it is the first time."""
    lock = FileLock(path)
    lock.take()
    lock.take()

    with pytest.raises(BlockingIOError):
        FileLock(path).take()
    lock.release()


def test_another_process_is_named_and_its_death_frees_the_path(path):
    """Also the death that leaves no time to tidy up."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "held\n"

    with pytest.raises(BlockingIOError) as caught:
        FileLock(path).take()
    assert caught.value.strerror == f"in use by another proxy (pid {holder.pid})"
    holder.send_signal(signal.SIGKILL)
    holder.communicate(timeout=30)
    lock = FileLock(path)
    lock.take()
    lock.release()


def test_a_lock_whose_file_was_removed_is_taken_anew(path):
    """Somebody has emptied the directory; from the next look on nobody else can have the path."""
    lock = FileLock(path)
    lock.take()
    lock.path.unlink()

    lock.take()

    with pytest.raises(BlockingIOError):
        FileLock(path).take()
    lock.release()


def test_what_stands_there_without_a_number_is_not_quoted(path):
    """A full disk may have kept the holder from writing it, and somebody else may have written anything."""
    lock = FileLock(path)
    lock.take()
    lock.path.write_text("\x1b[2J")

    with pytest.raises(BlockingIOError) as caught:
        FileLock(path).take()

    assert caught.value.strerror == "in use by another proxy"
    lock.release()


def test_a_symbolic_link_in_its_place_is_not_followed(path, tmp_path):
    """Its target would be emptied."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    FileLock(path).path.symlink_to(victim)

    with pytest.raises(OSError, match="symbolic links"):
        FileLock(path).take()

    assert victim.read_text() == "precious"


def test_a_hard_link_in_its_place_is_not_written_to(path, tmp_path):
    """The file that it is another name of would be emptied."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    FileLock(path).path.hardlink_to(victim)

    with pytest.raises(OSError, match=r"its lock \.traffic\.jsonl\.lock has another name"):
        FileLock(path).take()

    assert victim.read_text() == "precious"


def test_a_file_system_without_locks_is_told_and_used(path, monkeypatch):
    """As some of the network's are; the system's answer is the one thing that cannot be had here."""

    def refuse(_descriptor, _operation):
        raise OSError(95, os.strerror(95))

    monkeypatch.setattr("fcntl.flock", refuse)
    with structlog.testing.capture_logs() as logs:
        FileLock(path).take()

    assert [entry["event"] for entry in logs] == ["lock.unavailable"]
    assert logs[0]["fix"] == "see that no other proxy writes to the same file"


def test_a_platform_without_locks_is_used_as_well(path, monkeypatch):
    """Windows has no fcntl."""
    monkeypatch.setitem(sys.modules, "fcntl", None)

    FileLock(path).take()
    FileLock(path).take()

"""The encrypted file: read once, replaced whole, never destroyed."""

import os
import stat

import pytest

from proxy.errors import StoreError
from proxy.tokens.seal import Sealer
from proxy.tokens.sealed_file import LARGEST_BYTES, SealedFile

KEY = bytes(range(32))


@pytest.fixture
def path(tmp_path):
    """Return where the file is to be."""
    return tmp_path / "tokens"


@pytest.fixture
def file(path):
    """Return the file, which is not there yet."""
    return SealedFile(path, Sealer(KEY))


def test_what_was_written_is_read(file, path):
    """By the next process."""
    file.write(b"content")

    assert SealedFile(path, Sealer(KEY)).read() == b"content"


def test_its_bytes_show_nothing(file, path):
    """Nor does anything else in its directory."""
    file.write(b"the-content")

    assert b"content" not in path.read_bytes()
    assert sorted(item.name for item in path.parent.iterdir()) == [".tokens.lock", "tokens"]


def test_no_file_is_no_content(file, path):
    """Nor is an empty one, which an installer may have made."""
    assert file.read() is None
    path.touch()
    assert file.read() is None


def test_only_its_owner_may_read_it(file, path):
    """Whatever the umask and the mode of what was there before."""
    path.touch(mode=0o666)
    before = os.umask(0)
    try:
        file.write(b"content")
    finally:
        os.umask(before)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "spoil", [lambda data: data[:-1], lambda data: data[: len(data) // 2], lambda _: b"{}", lambda data: data + b"x"]
)
def test_a_damaged_file_is_told_and_left(file, path, spoil):
    """Somebody may still want to look at it."""
    file.write(b"content")
    path.write_bytes(spoil(path.read_bytes()))
    before = path.read_bytes()

    with pytest.raises(StoreError, match="another key, or is damaged") as caught:
        file.read()

    assert path.read_bytes() == before
    assert "move it aside" in caught.value.fix


def test_a_wrong_key_is_told_and_destroys_nothing(file, path):
    """With the right one it opens again."""
    file.write(b"content")

    with pytest.raises(StoreError, match="another key"):
        SealedFile(path, Sealer(KEY[::-1])).read()

    assert file.read() == b"content"


def test_a_symbolic_link_is_not_followed(file, path, tmp_path):
    """Whoever may write to the directory could point it anywhere."""
    elsewhere = SealedFile(tmp_path / "elsewhere", Sealer(KEY))
    elsewhere.write(b"content")
    path.symlink_to(elsewhere.path)

    with pytest.raises(StoreError, match="cannot be read"):
        file.read()
    file.write(b"new")

    assert not path.is_symlink()
    assert elsewhere.read() == b"content"


def test_a_directory_or_a_pipe_is_no_file(file, path):
    """And nothing waits for a pipe's other end."""
    os.mkfifo(path)

    with pytest.raises(StoreError, match="no regular file"):
        file.read()


def test_a_wrong_path_is_not_read_whole(file, path):
    """Such as that of a log."""
    with path.open("wb") as large:
        large.truncate(LARGEST_BYTES + 1)

    with pytest.raises(StoreError, match="larger than"):
        file.read()


def test_what_a_crash_left_is_in_nobodys_way(file, path):
    """The unfinished file of the last process."""
    path.with_name(".tokens.new").write_bytes(b"half")

    file.write(b"content")

    assert file.read() == b"content"
    assert sorted(item.name for item in path.parent.iterdir()) == [".tokens.lock", "tokens"]


def test_a_failed_write_leaves_what_was_there(file, path):
    """Here the new file cannot even be begun."""
    file.write(b"content")
    blocker = path.with_name(".tokens.new")
    blocker.mkdir()

    with pytest.raises(OSError, match=r"\.tokens\.new"):
        file.write(b"new")

    assert file.read() == b"content"


def test_a_file_that_is_held_is_nobody_elses(file, path):
    """Neither to hold nor to write, however often its holder replaces it; then it is free."""
    other = SealedFile(path, Sealer(KEY))
    file.hold()
    file.write(b"content")

    with pytest.raises(BlockingIOError, match=rf"in use by another proxy \(pid {os.getpid()}\)"):
        other.hold()
    with pytest.raises(BlockingIOError):
        other.write(b"theirs")
    assert file.read() == b"content"
    file.release()
    other.write(b"theirs")
    assert file.read() == b"theirs"

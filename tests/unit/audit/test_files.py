"""The files of a log: in which order, and what of them cannot be read."""

import gzip
from pathlib import Path

import pytest

from proxy.audit.files import open_files, open_log, read_lines, sort_files
from proxy.audit.progress import Progress
from proxy.errors import ConfigError
from proxy.traffic.newest import MOST_LINE_BYTES
from proxy.traffic.verify import Broken

EARLY, LATE = "20261124T090535.914000Z", "20261125T000000.000000Z"


@pytest.mark.parametrize(
    ("given", "sorted_"),
    [
        (["t", f"t.{LATE}", f"t.{EARLY}"], [f"t.{EARLY}", f"t.{LATE}", "t"]),
        ([f"b/t.{LATE}.gz", f"a/t.{EARLY}.gz", "t"], [f"a/t.{EARLY}.gz", f"b/t.{LATE}.gz", "t"]),
        (["t.2", "t.1", "t"], ["t.2", "t.1", "t"]),
        (["t", "t.1"], ["t", "t.1"]),
        ([f"t.{LATE}", f"other.{EARLY}"], [f"t.{LATE}", f"other.{EARLY}"]),
        (["other", f"t.{EARLY}"], ["other", f"t.{EARLY}"]),
        (["t", "t.20261324T000000.000000Z"], ["t", "t.20261324T000000.000000Z"]),
    ],
)
def test_files_of_one_log_are_put_in_order(given, sorted_):
    """By the moment in their names; what the shell makes of a pattern has the newest first."""
    assert sort_files([Path(name) for name in given]) == [Path(name) for name in sorted_]


def test_a_log_is_read_from_what_was_put_aside_first(tmp_path):
    """And a file that is put aside meanwhile is read once."""
    path = tmp_path / "t"
    for name in ("t", f"t.{EARLY}", f"t.{LATE}", "other"):
        (tmp_path / name).write_text(name)
    reading = open_log(path)
    first = next(reading)[0]
    path.rename(tmp_path / "t.20261126T000000.000000Z")
    path.write_text("newer")
    rest = [(file.name, stream.read()) for file, stream in reading]

    assert first.name == f"t.{EARLY}"
    assert rest == [(f"t.{LATE}", f"t.{LATE}".encode()), ("t", b"t")]


def test_a_packed_file_is_unpacked(tmp_path):
    """Line by line."""
    path = tmp_path / "t.gz"
    path.write_bytes(gzip.compress(b"one\ntwo\n"))
    with path.open("rb") as file:
        lines = [(line, place.line) for line, place in read_lines(path, file, Progress(None))]

    assert lines == [(b"one\n", 1), (b"two\n", 2)]


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-12], lambda data: b"x" + data, lambda data: data[:12] + b"x" * 20]
)
def test_a_packed_file_that_is_damaged_is_named(tmp_path, damage):
    """It is the log that is not whole, and no failure of the command."""
    path = tmp_path / "t.gz"
    path.write_bytes(damage(gzip.compress(b"one\ntwo\n")))

    with path.open("rb") as file, pytest.raises(Broken, match=r"t\.gz:[123]: it cannot be unpacked"):
        list(read_lines(path, file, Progress(None)))


def test_a_line_without_an_end_does_not_fill_the_memory(tmp_path):
    """Nobody's record is that long."""
    path = tmp_path / "t"
    with path.open("wb") as file:
        file.truncate(MOST_LINE_BYTES + 10)

    with path.open("rb") as file, pytest.raises(Broken, match=r"t:1: it is longer than any record"):
        list(read_lines(path, file, Progress(None)))


def test_a_file_that_is_not_there_is_told(tmp_path):
    """With its name and the fix."""
    with pytest.raises(ConfigError, match=r"gone: cannot be read \(No such file or directory\)"):
        next(open_files([tmp_path / "gone"]))

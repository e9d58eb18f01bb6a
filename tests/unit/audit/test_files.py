"""The files of a log: in which order, and what of them cannot be read."""

import gzip
import os
import socket
from pathlib import Path

import pytest

from proxy.audit.files import open_files, open_log, read_lines, sort_files
from proxy.audit.progress import Progress
from proxy.errors import ConfigError
from proxy.traffic.newest import MOST_LINE_BYTES
from proxy.traffic.seal import START, Mark, Opening, SealKey, build_opening
from proxy.traffic.verify import Broken

EARLY, LATE = "20261124T090535.914000Z", "20261125T000000.000000Z"
KEY = SealKey(bytes(range(32)))
AT = "2026-11-24T09:05:35.914Z"


def make_socket(path):
    """Leave the socket of a program that is gone."""
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))


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
    assert sort_files([Path(name) for name in given], [KEY]) == [Path(name) for name in sorted_]


def write_file(path, number, *, ahead=b"", key=KEY, packed=False):
    """Write a file of a log, whose first sealed line has a number."""
    previous = Mark(number - 1, b"a" * 64) if number > 1 else None
    line, _ = key.seal(build_opening(AT, Opening("new_file", key.fingerprint, previous)), previous or START)
    path.write_bytes(gzip.compress(ahead + line) if packed else ahead + line)
    return path


def test_files_are_put_in_order_by_their_first_numbers(tmp_path):
    """Whatever they are called, and however they are given: clocks are set back, and programs name files anew."""
    late = write_file(tmp_path / f"t.{LATE}", 1)
    early = write_file(tmp_path / f"t.{EARLY}.gz", 5, packed=True)
    torn = write_file(tmp_path / "t.2", 9, ahead=b'{"ts":"2026\n' * 3)
    last = write_file(tmp_path / "t", 12)
    true = [late, early, torn, last]

    assert sort_files(true, [KEY]) == sort_files(true[::-1], [KEY]) == sort_files(sorted(true), [KEY]) == true


def test_a_number_that_no_key_proves_puts_no_file_elsewhere(tmp_path):
    """It would have another file blamed; nor does what cannot be read as a file."""
    first = write_file(tmp_path / f"t.{EARLY}", 100, key=SealKey(bytes(32)))
    second = write_file(tmp_path / f"t.{LATE}", 5)
    third = tmp_path / "t.20261126T000000.000000Z.gz"
    third.write_bytes(b"no gzip")
    fourth = tmp_path / "t.20261127T000000.000000Z"
    os.mkfifo(fourth)
    last = write_file(tmp_path / "t", 7)

    assert sort_files([last, fourth, third, second, first], [KEY]) == [first, second, third, fourth, last]


def test_a_log_is_read_in_the_order_of_its_numbers(tmp_path):
    """And what was begun behind the file that is written to, while it was opened, is left to the next time."""
    path = write_file(tmp_path / "t", 7)
    write_file(tmp_path / f"t.{LATE}", 1)
    write_file(tmp_path / f"t.{EARLY}", 5)
    write_file(tmp_path / "t.20261126T000000.000000Z", 9)

    assert [file.name for file, _ in open_log(path, [KEY])] == [f"t.{LATE}", f"t.{EARLY}", "t"]


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.mkdir(), lambda path: path.symlink_to("t"), make_socket])
def test_what_was_put_among_the_files_and_is_none_is_named(tmp_path, make):
    """A pipe would hold whoever reads it for ever."""
    path = write_file(tmp_path / "t", 7)
    make(tmp_path / f"t.{EARLY}")

    with pytest.raises(Broken, match=rf"t\.{EARLY}:1: it is a directory, a link or a pipe"):
        list(open_log(path, [KEY]))


def test_a_pipe_that_is_named_is_not_read(tmp_path):
    """A link is followed, since its name was given on purpose."""
    path = write_file(tmp_path / "t", 1)
    (tmp_path / "link").symlink_to(path)
    os.mkfifo(tmp_path / "pipe")

    assert [file.name for file, _ in open_files([tmp_path / "link"])] == ["link"]
    with pytest.raises(Broken, match=r"pipe:1: it is a directory, a link or a pipe"):
        next(open_files([tmp_path / "pipe"]))


def test_a_log_is_read_from_what_was_put_aside_first(tmp_path):
    """And a file that is put aside meanwhile is read once."""
    path = tmp_path / "t"
    for name in ("t", f"t.{EARLY}", f"t.{LATE}", "other"):
        (tmp_path / name).write_text(name)
    reading = open_log(path, [KEY])
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

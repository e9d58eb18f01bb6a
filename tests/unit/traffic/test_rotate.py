"""Files that the log has put aside."""

import pytest

from proxy.traffic.rotate import find_expired, read_ending, read_first_moment, rotated_path

AT = 1_795_507_800.25
"""2026-11-24T08:10:00.25Z."""


def test_a_file_put_aside_is_named_for_the_moment(tmp_path):
    """In UTC, so that names sort by time."""
    path = tmp_path / "traffic.jsonl"

    assert rotated_path(path, AT) == tmp_path / "traffic.jsonl.20261124T081000.250000Z"


def test_no_file_replaces_another(tmp_path):
    """The clock may be set back."""
    path = tmp_path / "traffic.jsonl"
    rotated_path(path, AT).touch()

    assert rotated_path(path, AT) == tmp_path / "traffic.jsonl.20261124T081000.250001Z"


def test_expired_files_are_those_put_aside_before(tmp_path):
    """Other logs, other files and what cannot be a moment are nobody's business here."""
    path = tmp_path / "traffic.jsonl"
    old, young = rotated_path(path, AT - 1), rotated_path(path, AT)
    others = [
        rotated_path(tmp_path / "other.jsonl", AT - 1),
        tmp_path / "traffic.jsonl.20261399T081000.250000Z",
        tmp_path / "traffic.jsonl.20200101T000000.000000Z.gz",
        tmp_path / "traffic.jsonl.1",
    ]
    for file in (path, old, young, *others):
        file.touch()

    assert list(find_expired(path, AT)) == [old]


def test_the_first_moment_is_that_of_the_first_record(tmp_path):
    """The age of a file outlives a restart."""
    path = tmp_path / "traffic.jsonl"
    path.write_text('{"ts":"2026-11-24T08:10:00.250Z","seq":1}\n{"ts":"2027-01-01T00:00:00.000Z"}\n')

    assert read_first_moment(path) == AT


@pytest.mark.parametrize("content", ["", "text\n", '{"seq":1,"ts":"2026-11-24T08:10:00.250Z"}\n'])
def test_a_file_that_begins_otherwise_has_no_first_moment(tmp_path, content):
    """It is not a log of ours."""
    path = tmp_path / "traffic.jsonl"
    path.write_text(content)

    assert read_first_moment(path) is None


@pytest.mark.parametrize(
    ("content", "ending"),
    [
        (None, "new"),
        ("", "new"),
        ('{"event":"exchange.closed"}\n{"ts":"x","event":"log.stopped"}\n', "stopped"),
        ('{"event":"log.stopped"}\n', "stopped"),
        ('{"event":"log.stopped"}\n{"event":"exchange.closed"}\n', "killed"),
        ('{"event":"exchange.closed","body":"' + "x" * 10_000 + '"}\n', "killed"),
        ('{"event":"log.stopped"}\n{"event":"exch', "torn"),
        ("x" * 10_000, "torn"),
    ],
)
def test_the_end_of_a_log_tells_how_it_came(tmp_path, content, ending):
    """A crash, a power cut and a clean stop can be told apart."""
    path = tmp_path / "traffic.jsonl"
    if content is not None:
        path.write_text(content)

    assert read_ending(path) == ending


def test_what_is_no_file_has_no_end(tmp_path):
    """A device or a pipe must not be read."""
    assert read_ending(tmp_path) == "stream"

"""Files that the log has put aside."""

import pytest

from proxy.traffic.rotate import find_excess, find_expired, find_own, read_ending, read_first_moment, rotated_path

DAY_S = 86_400.0
AT = 1_795_507_800.25
"""2026-11-24T08:10:00.25Z."""


def test_a_file_put_aside_is_named_for_the_moment(tmp_path):
    """In UTC, so that names sort by time."""
    path = tmp_path / "traffic.jsonl"

    assert rotated_path(path, AT) == tmp_path / "traffic.jsonl.20261124T081000.250000Z"


def test_no_file_replaces_another(tmp_path):
    """Nor one that somebody has packed since."""
    path = tmp_path / "traffic.jsonl"
    rotated_path(path, AT).touch()
    rotated_path(path, AT).with_name("traffic.jsonl.20261124T081000.250001Z.gz").touch()

    assert rotated_path(path, AT) == tmp_path / "traffic.jsonl.20261124T081000.250002Z"


def test_names_sort_in_the_order_of_writing_after_the_clock_was_set_back(tmp_path):
    """By an hour, or by the day that it was wrong."""
    path = tmp_path / "traffic.jsonl"
    names = []
    for at in (AT, AT - 3600, AT - 86_400, AT + 1):
        names.append(rotated_path(path, at))
        names[-1].touch()

    assert names == sorted(names)
    assert names[2].name == "traffic.jsonl.20261124T081000.250002Z"


@pytest.mark.parametrize("far", ["20361124T081000.250000Z", "99991231T235959.999999Z"])
def test_a_name_that_is_years_ahead_leads_no_other_astray(tmp_path, far):
    """A clock without a battery, or somebody's joke: those that follow have their own moment, by which they expire."""
    path = tmp_path / "traffic.jsonl"
    path.with_name(f"{path.name}.{far}").touch()

    assert rotated_path(path, AT) == tmp_path / "traffic.jsonl.20261124T081000.250000Z"


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

    assert find_own(path) == [old, young]
    assert find_expired(find_own(path), AT + 10, 10, DAY_S) == [old]


@pytest.mark.parametrize("step_s", [401 * DAY_S, 20_000 * DAY_S])
def test_a_clock_that_is_set_ahead_makes_no_file_old(tmp_path, step_s):
    """It would take the whole log away; what was at its end by then may go."""
    path = tmp_path / "traffic.jsonl"
    for day in range(400):
        rotated_path(path, AT + day * DAY_S).touch()

    now = AT + 400 * DAY_S
    files = find_own(path)
    assert not find_expired(files, now, 400 * DAY_S, 2 * DAY_S)
    assert find_expired(files, now + step_s, 400 * DAY_S, 2 * DAY_S) == files[:1]


@pytest.mark.parametrize(("room", "gone"), [(60, 0), (59, 1), (50, 1), (49, 2), (30, 2), (29, 2), (0, 2), (-1, 2)])
def test_what_there_is_no_room_for_is_the_oldest_files(tmp_path, room, gone):
    """Not one more than must be; the newest stays, however large it is."""
    files = [tmp_path / name for name in "abc"]
    for file, size in zip(files, (10, 20, 30), strict=True):
        file.write_bytes(bytes(size))

    assert list(find_excess(files, room)) == files[:gone]


def test_what_somebody_else_removes_meanwhile_takes_no_room(tmp_path):
    """A person with a full disk does that."""
    there = tmp_path / "there"
    there.write_bytes(bytes(10))

    assert not find_excess([tmp_path / "gone", there], 10)


def test_what_only_has_the_name_of_a_file_put_aside_is_not_ours(tmp_path):
    """A link's file, or a directory, was put there by somebody else."""
    path = tmp_path / "traffic.jsonl"
    ours, link, directory = (rotated_path(path, AT + number) for number in range(3))
    ours.touch()
    link.symlink_to(ours)
    directory.mkdir()

    assert find_own(path) == [ours]


def test_files_from_a_time_when_the_clock_was_ahead_let_the_others_expire(tmp_path):
    """They stay until then themselves, and make no other file older."""
    path = tmp_path / "traffic.jsonl"
    old, young, ahead = (
        path.with_name(f"{path.name}.{at}.000000Z") for at in ("20261101T000000", "20261115T000000", "20361101T000000")
    )
    for file in (old, young, ahead):
        file.touch()

    assert find_expired(find_own(path), AT, 10 * DAY_S, 30 * DAY_S) == [old]


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

"""Sinks, on real files and pipes."""

import errno
import os
import stat
from pathlib import Path

import pytest

from proxy.traffic.sink import FileSink, Limits, StreamSink

DAY_S = 86_400.0


@pytest.fixture
def path(tmp_path):
    """Return where the log goes."""
    return tmp_path / "traffic.jsonl"


@pytest.fixture
def make_sink(path, clock):
    """Return a builder of open sinks of small files; they are closed afterwards."""
    sinks = []

    def make(*, max_bytes=100, max_age_s=DAY_S, retain_s=10 * DAY_S, retain_bytes=None):
        sink = FileSink(path, Limits(max_bytes, max_age_s, retain_s, retain_bytes), wall=clock)
        sink.open()
        sinks.append(sink)
        return sink

    yield make
    for sink in sinks:
        sink.close()


def write(sink, text):
    """Write as the writer does; return whether a file was begun."""
    data = memoryview(text.encode())
    begun = sink.prepare(len(data))
    assert sink.write(data) == len(data)
    return begun


def files(path):
    """Return the contents of the log and of what was put aside, the oldest first and the log last."""
    aside = sorted(path.parent.glob(f"{path.name}.*"))
    return [file.read_text() for file in (*aside, path)]


def test_only_the_owner_may_read_the_file(make_sink, path):
    """It holds live tokens."""
    make_sink()

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o604, 0o700])
def test_a_file_that_others_may_read_is_closed_to_them(make_sink, path, mode):
    """It may have come from another log, or from touch; what is put aside keeps the mode."""
    path.write_text("before\n")
    path.chmod(mode)
    sink = make_sink(max_bytes=10)
    write(sink, "after\n")
    write(sink, "again\n")

    assert [stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()] == [0o600] * 3


def test_a_file_that_follows_another_is_closed_to_others_too(make_sink, path):
    """Whoever rotates it may create it with a mode of its own."""
    sink = make_sink()
    path.unlink()
    path.touch(0o644)
    path.chmod(0o644)
    write(sink, "after\n")

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text() == "after\n"


def test_a_symbolic_link_is_not_followed(tmp_path, path, clock):
    """Whoever may write in the directory could lead the log, and its mode, over any file of the proxy's user."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    victim.chmod(0o644)
    path.symlink_to(victim)

    with pytest.raises(OSError, match="symbolic links"):
        FileSink(path, Limits(1, 1, 1), wall=clock).open()

    assert victim.read_text() == "precious"
    assert stat.S_IMODE(victim.stat().st_mode) == 0o644


def test_a_hard_link_is_not_written_to(tmp_path, path, clock):
    """Its other name may be where somebody reads, or a file that must not be written to."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    path.hardlink_to(victim)

    with pytest.raises(OSError, match="it has another name: a hard link"):
        FileSink(path, Limits(1, 1, 1), wall=clock).open()

    assert victim.read_text() == "precious"


@pytest.mark.parametrize("make", [Path.touch, os.mkfifo], ids=["file", "FIFO"])
def test_a_file_of_another_user_is_not_written_to(path, clock, make, monkeypatch):
    """A proxy of root could open it; whoever has made it reads what is written there, whatever its mode."""
    make(path)
    path.chmod(0o600)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    other = path.stat().st_uid + 1
    if os.geteuid() == 0:
        os.chown(path, other, -1)
    else:  # files cannot be given away; that the process were another's is the one thing left to say
        other = os.geteuid()
        monkeypatch.setattr("os.geteuid", lambda: other + 1)
    sink = FileSink(path, Limits(1, 1, 1), wall=clock)

    for _ in range(2):
        with pytest.raises(PermissionError, match=f"it belongs to another user, number {other}"):
            sink.prepare(1)
    assert os.read(reader, 1) == b""
    os.close(reader)


def test_a_fifo_that_nobody_reads_does_not_hold_the_start(path, clock):
    """To open one waits for a reader, for ever; also when it comes in the place of the file later."""
    sink = FileSink(path, Limits(1, 1, 1), wall=clock)
    sink.open()
    path.unlink()
    os.mkfifo(path)

    with pytest.raises(OSError, match="No such device or address"):
        sink.prepare(1)
    with pytest.raises(OSError, match="No such device or address"):
        sink.open()


def test_the_file_is_appended_to(make_sink, path):
    """A restart loses nothing."""
    path.write_text("before\n")

    write(make_sink(), "after\n")

    assert path.read_text() == "before\nafter\n"


def test_a_file_with_nothing_but_a_torn_line_is_not_put_aside(make_sink, path, clock):
    """It would have no line that says where it belongs."""
    path.write_text('{"ts":"1970-01-01T00:00:00.000Z","seq":1,"body":{}')
    clock.now = 5 * DAY_S
    sink = make_sink(max_bytes=5)

    assert not write(sink, '{"half":0}\n')
    assert write(sink, '{"half":1}\n')


def test_a_torn_line_is_ended_before_the_next(make_sink, path):
    """A crash may have left half a record; the next one is whole."""
    path.write_text('{"half')

    write(make_sink(), "next\n")

    assert path.read_text() == '{"half\nnext\n'


def test_the_file_rotates_before_it_grows_too_large(make_sink, path):
    """Each file holds whole lines, and no more bytes than set."""
    sink = make_sink(max_bytes=20)

    begun = [write(sink, f"line {number}\n") for number in range(6)]

    assert begun == [False, False, True, False, True, False]
    assert files(path) == ["line 0\nline 1\n", "line 2\nline 3\n", "line 4\nline 5\n"]


def test_a_file_that_was_emptied_counts_anew(make_sink, path):
    """As logrotate's copytruncate does it: what is no longer in the file does not fill it."""
    sink = make_sink(max_bytes=20)
    write(sink, "line 0\n")
    write(sink, "line 1\n")
    os.truncate(path, 0)

    begun = [write(sink, f"line {number}\n") for number in range(2, 5)]

    assert begun == [False, False, True]
    assert files(path) == ["line 2\nline 3\n", "line 4\n"]


def test_a_batch_larger_than_a_file_is_written_all_the_same(make_sink, path):
    """A new file is never put aside empty."""
    sink = make_sink(max_bytes=4)

    write(sink, "longer\n")
    write(sink, "longest\n")

    assert files(path) == ["longer\n", "longest\n"]


def test_the_file_rotates_by_age(make_sink, path, clock):
    """Counted from its first record."""
    sink = make_sink(max_age_s=DAY_S)
    write(sink, "monday\n")
    clock.advance(DAY_S - 1)
    write(sink, "late monday\n")
    clock.advance(1)
    write(sink, "tuesday\n")

    assert files(path) == ["monday\nlate monday\n", "tuesday\n"]


def test_the_age_outlives_a_restart(make_sink, path, clock):
    """A proxy that is restarted every night must rotate as well."""
    path.write_text('{"ts":"1970-01-01T00:00:00.000Z"}\n')
    clock.now = 2 * DAY_S

    write(make_sink(max_age_s=DAY_S), "next\n")

    assert files(path) == ['{"ts":"1970-01-01T00:00:00.000Z"}\n', "next\n"]


def test_files_are_removed_after_their_time(make_sink, path, clock, events):
    """And not a moment before; each is told, with the setting that had it removed."""
    sink = make_sink(max_bytes=5, retain_s=100)
    write(sink, "one\n")
    clock.advance(1)
    write(sink, "two\n")
    clock.advance(100)
    write(sink, "three\n")
    clock.advance(0.5)
    write(sink, "four\n")

    assert files(path) == ["two\n", "three\n", "four\n"]
    (removed,) = events.all("log.removed")
    assert removed["path"].startswith(f"{path}.")
    assert removed["reason"] == "it was put aside more than 100s ago, which is traffic_log.retain"


def test_all_files_together_keep_to_their_size(make_sink, path, clock, events):
    """Whatever the one in use grows to; the oldest go, each is told, and what is not ours is not touched."""
    others = [path.with_name(f"{path.name}{name}") for name in (".1", ".20200101T000000.000000Z.gz", "x")]
    for other in others:
        other.write_bytes(bytes(1000))
    sink = make_sink(max_bytes=20, retain_bytes=70)
    sizes = []
    for number in range(20):
        clock.advance(1)
        write(sink, f"line {number:02}\n")
        sizes.append(sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*") if file not in others))

    removed = events.all("log.removed")
    assert max(sizes) == 64
    assert all(other.exists() for other in others)
    assert [record["path"] for record in removed] == sorted(record["path"] for record in removed)
    assert len(removed) == 6
    assert {record["reason"] for record in removed} == {
        "all files would have more than 70 B, which is traffic_log.retain_size"
    }


def test_a_start_removes_what_a_smaller_size_has_no_room_for(make_sink, path):
    """The file in use counts with what it has, where that is more than it may become."""
    for day in range(1, 6):
        path.with_name(f"{path.name}.1970010{day}T000000.000000Z").write_text(f"{day}" * 9 + "\n")
    path.write_text('{"a":1}\n' * 3)

    make_sink(max_bytes=10, retain_bytes=45)

    assert files(path) == ["4" * 9 + "\n", "5" * 9 + "\n", '{"a":1}\n' * 3]


def test_another_size_holds_from_the_next_record_on(make_sink, path, clock):
    """Whoever has a full disk does not wait a day for the next file."""
    sink = make_sink(max_bytes=5)
    for name in ("one\n", "two\n", "three\n", "4\n"):
        write(sink, name)
        clock.advance(1)
    sink.use(Limits(5, DAY_S, 10 * DAY_S, 12))
    write(sink, "5\n")

    assert files(path) == ["three\n", "4\n5\n"]


def test_the_newest_file_put_aside_stays_however_large_it_is(make_sink, path, clock):
    """It may have grown while it could not be put aside; it goes when there is another."""
    sink = make_sink(max_bytes=5, retain_bytes=10)
    write(sink, "much longer than that\n")
    clock.advance(1)
    write(sink, "two\n")
    after = files(path)
    clock.advance(1)
    write(sink, "three\n")

    assert after == ["much longer than that\n", "two\n"]
    assert files(path) == ["two\n", "three\n"]


def test_files_that_cannot_be_removed_are_told(make_sink, path, clock, events, monkeypatch):
    """With what it means, and what to do; those behind stay too, or the log would have a gap."""
    unlink = Path.unlink

    def refuse(file, **options):
        if "19700101" in file.name:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        unlink(file, **options)

    for day in range(1, 5):
        path.with_name(f"{path.name}.1970010{day}T000000.000000Z").write_text(str(day))
    clock.now = 5 * DAY_S
    monkeypatch.setattr(Path, "unlink", refuse)

    make_sink(retain_s=DAY_S, retain_bytes=102)

    (told,) = events.all("log.removal_failed")
    assert told["meanwhile"] == "files that traffic_log.retain or retain_size would have removed are still there"
    assert told["fix"]
    assert files(path) == ["1", "2", "3", "4", ""]


def test_a_second_sink_at_the_same_path_is_refused(make_sink, path, clock):
    """Before it has written or changed anything; the message says who has it."""
    write(make_sink(), "first\n")
    second = FileSink(path, Limits(1, 1, 1), wall=clock)

    with pytest.raises(BlockingIOError, match=rf"in use by another proxy \(pid {os.getpid()}\)"):
        second.open()

    assert files(path) == ["first\n"]


@pytest.mark.parametrize("away", ["rotate", "move", "delete"])
def test_the_path_stays_taken_while_its_file_comes_and_goes(make_sink, path, clock, away):
    """Also between the moment that a log shipper takes the file away and the next record."""
    sink = make_sink(max_bytes=5)
    write(sink, "one\n")
    if away == "rotate":
        write(sink, "two\n")
    elif away == "move":
        path.rename(f"{path}.1")
    else:
        path.unlink()

    with pytest.raises(BlockingIOError):
        FileSink(path, Limits(1, 1, 1), wall=clock).open()

    write(sink, "three\n")
    assert path.read_text() == "three\n"


def test_the_path_is_free_once_the_sink_is_closed(make_sink):
    """A restart finds it so."""
    make_sink().close()

    assert make_sink().open() == "new"


def test_expired_files_are_removed_at_the_start(make_sink, path, clock):
    """Those that the log has grown beyond."""
    for day in range(1, 21):
        (path.parent / f"{path.name}.197001{day:02}T000000.000000Z").write_text(str(day))
    clock.now = 20 * DAY_S

    make_sink()

    assert files(path) == [*map(str, range(11, 21)), ""]


@pytest.mark.parametrize("step_s", [11 * DAY_S, 5000 * DAY_S])
def test_a_clock_that_is_set_ahead_takes_no_file_away(make_sink, path, clock, step_s):
    """Neither at the next rotation nor at the next start; the same for a proxy that was off for years."""
    sink = make_sink(max_bytes=5)
    for name in ("one\n", "two\n", "three\n"):
        write(sink, name)
        clock.advance(1)
    clock.advance(step_s)
    write(sink, "four\n")
    sink.close()
    clock.advance(step_s)
    make_sink()

    assert files(path) == ["one\n", "two\n", "three\n", "four\n"]


@pytest.mark.parametrize("away", [lambda path: path.unlink(), lambda path: path.rename(f"{path}.1")])
def test_a_file_that_was_taken_away_is_begun_anew(make_sink, path, away):
    """Logrotate moves it, and people delete it."""
    sink = make_sink()
    write(sink, "before\n")

    away(path)

    assert write(sink, "after\n") is True
    assert path.read_text() == "after\n"


def test_a_file_that_was_replaced_is_followed(make_sink, path):
    """The path is what stays the same."""
    sink = make_sink()
    write(sink, "before\n")
    path.unlink()
    path.write_text("theirs\n")

    write(sink, "ours\n")

    assert path.read_text() == "theirs\nours\n"


def test_a_file_that_was_emptied_is_written_from_its_beginning(make_sink, path):
    """Logrotate's copytruncate leaves no gap of zeros."""
    sink = make_sink()
    write(sink, "before\n")
    os.truncate(path, 0)

    write(sink, "after\n")

    assert path.read_text() == "after\n"


def test_half_a_line_is_not_put_aside(make_sink, path):
    """The file rotates once the line is whole."""
    sink = make_sink(max_bytes=10)
    write(sink, "one\ntw")

    assert write(sink, "o and more\n") is False
    assert write(sink, "three\n") is True
    assert files(path) == ["one\ntwo and more\n", "three\n"]


def test_a_rotation_that_fails_leaves_the_log_in_use(make_sink, path, clock, events, monkeypatch):
    """It is told, and tried again after a while."""
    sink = make_sink(max_bytes=5)
    write(sink, "one\n")
    monkeypatch.setattr("proxy.traffic.sink.rotated_path", lambda path, _at: path / "not" / "there")

    write(sink, "two\n")
    write(sink, "three\n")
    monkeypatch.undo()
    clock.advance(60)
    write(sink, "four\n")

    (told,) = events.all("log.rotation_failed")
    assert told["path"] == str(path)
    assert told["meanwhile"] == "the file goes on growing; tried again in 60 s"
    assert told["fix"]
    assert files(path) == ["one\ntwo\nthree\n", "four\n"]


def test_a_file_that_cannot_be_opened_says_so(tmp_path, clock):
    """The writer tries again; the start gives up."""
    sink = FileSink(tmp_path / "none" / "log", Limits(1, 1, 1), wall=clock)

    with pytest.raises(FileNotFoundError):
        sink.open()
    with pytest.raises(FileNotFoundError):
        sink.prepare(1)


def test_a_device_is_neither_rotated_nor_synced(clock, tmp_path):
    """A path may lead to one."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    sink = FileSink(path, Limits(1, 1, 1), wall=clock)

    assert sink.open() == "stream"
    assert write(sink, "one\n") is False
    clock.advance(10)
    assert write(sink, "two\n") is False
    sink.close()

    assert os.read(reader, 100) == b"one\ntwo\n"
    os.close(reader)


def test_a_stream_is_written_and_left_open():
    """Standard output is others' as well."""
    reader, writer = os.pipe()
    sink = StreamSink(writer)

    assert sink.open() == "stream"
    assert write(sink, "one\n") is False
    sink.close()
    os.write(writer, b"more\n")

    assert os.read(reader, 100) == b"one\nmore\n"
    os.close(reader)
    os.close(writer)


def test_a_stream_that_is_non_blocking_takes_what_it_can():
    """Whoever shares our terminal may have made it so."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    sink = StreamSink(writer)
    data = memoryview(bytes(1 << 20))

    taken = sink.write(data)

    assert 0 < taken < len(data)
    assert sink.write(data) == 0
    os.read(reader, taken)
    assert sink.write(data) > 0
    os.close(reader)
    os.close(writer)


def test_a_stream_without_a_reader_says_so():
    """The writer counts what is lost."""
    reader, writer = os.pipe()
    os.close(reader)

    with pytest.raises(BrokenPipeError):
        StreamSink(writer).write(memoryview(b"one\n"))
    os.close(writer)


def test_a_file_that_cannot_be_closed_to_others_is_never_written_to(tmp_path, monkeypatch):
    """Another user's, since a rotator has made it: not at the next try either."""
    path = tmp_path / "traffic.jsonl"
    path.write_bytes(b"")
    path.chmod(0o666)

    def refuse(_descriptor, _mode):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.fchmod", refuse)
    sink = FileSink(path, Limits(1000, 1000.0, 1000.0))
    for _ in range(2):
        with pytest.raises(PermissionError):
            sink.prepare(10)

    assert path.read_bytes() == b""

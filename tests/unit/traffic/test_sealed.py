"""The sealed sink, over real files: what it writes, goes on from, and says of what is missing."""

import json
import os
import stat

import pytest

from proxy.traffic.newest import newest_path, read_newest
from proxy.traffic.seal import SealKey
from proxy.traffic.sealed import SealedSink
from proxy.traffic.sink import FileSink, Limits
from proxy.traffic.verify import Broken, Place, Verifier
from proxy.traffic.writer import Writer

KEY = SealKey(bytes(range(32)))
OTHER = SealKey(bytes(32))
DAY_S = 86_400.0


class PiecesOf:
    """A sink that hands on a few bytes at a time, and loses its file to somebody else when it is told to."""

    def __init__(self, sink, piece):
        """Hand on ``piece`` bytes at a time."""
        self._sink = sink
        self._piece = piece

    def __getattr__(self, name):
        """Be the sink in all else."""
        return getattr(self._sink, name)

    def write(self, data):
        """Write a piece."""
        return self._sink.write(data[: self._piece])


@pytest.fixture
def path(tmp_path):
    """Return where the log goes."""
    return tmp_path / "traffic.jsonl"


@pytest.fixture
def make_sink(path, clock):
    """Return a builder of open sealed sinks; those that a test has not dropped are closed afterwards."""
    sinks = []

    def make(*, max_bytes=1_000_000, key=KEY, piece=None, now=lambda: 0.0):
        inner = FileSink(path, Limits(max_bytes, DAY_S, 10 * DAY_S), wall=clock)
        sink = SealedSink(inner if piece is None else PiecesOf(inner, piece), path, key, wall=clock, clock=now)
        sinks.append((inner, sink))
        sink.open()
        return sink

    def kill():
        inner, _ = sinks.pop()
        inner.close()

    make.kill = kill
    yield make
    for _, sink in sinks:
        sink.close()


def write(sink, *names, tries=1000):
    """Write a batch of lines as the writer does."""
    batch = b"".join(b'{"event":"%s"}\n' % name.encode() for name in names)
    done = 0
    for _ in range(tries):
        if done == len(batch):
            return
        if sink.prepare(len(batch) - done):
            done = batch.rfind(b"\n", 0, done) + 1
        done += sink.write(memoryview(batch)[done:])


def files_of(path):
    """Return the files of a log, the oldest first."""
    return [*sorted(path.parent.glob(f"{path.name}.*")), path]


def verify(path, *, keys=(KEY,), files=None, newest=None):
    """Verify a log as the command does; return the verifier."""
    verifier = Verifier(keys, str(path), newest or read_newest(path, keys[-1]))
    for file in files or files_of(path):
        for number, line in enumerate(file.read_bytes().splitlines(keepends=True), 1):
            verifier.take(line, Place(file.name, number))
    verifier.end()
    return verifier


def records_of(path):
    """Return the records of a log."""
    return [json.loads(line) for file in files_of(path) for line in file.read_text().splitlines()]


def test_a_file_begins_with_what_it_goes_on_from(make_sink, path):
    """The first of all goes on from nothing; then come the lines, numbered."""
    write(make_sink(), "one", "two")
    opening, *lines = records_of(path)

    assert opening["event"] == "log.sealed"
    assert (opening["reason"], opening["previous"], opening["key"]) == ("started", None, KEY.fingerprint)
    assert [line["event"] for line in lines] == ["one", "two"]
    assert [record["seal"].partition(":")[0] for record in [opening, *lines]] == ["1", "2", "3"]
    assert verify(path).lines == 3


def test_the_chain_runs_over_rotations(make_sink, path, clock):
    """Each file's first line names the last of the one before it."""
    sink = make_sink(max_bytes=500)
    for number in range(12):
        clock.advance(1)
        write(sink, f"line {number}")
    sink.close()
    first, second = files_of(path)[:2]
    last = json.loads(first.read_text().splitlines()[-1])
    opening = json.loads(second.read_text().splitlines()[0])

    assert (opening["reason"], opening["previous"]) == ("new_file", last["seal"])
    assert len(files_of(path)) > 2
    assert verify(path).first == 1


def test_a_log_whose_oldest_files_are_gone_holds(make_sink, path, clock):
    """They are removed by their age; it is said where it begins."""
    sink = make_sink(max_bytes=600)
    for number in range(12):
        clock.advance(1)
        write(sink, f"line {number}")
    sink.close()
    files_of(path)[0].unlink()
    verifier = verify(path)

    assert verifier.first > 1
    assert "are in older files, which are not here" in verifier.notes[0]


def test_the_chain_runs_over_restarts(make_sink, path):
    """The end of the file says where it stands."""
    for name in ("one", "two", "three"):
        sink = make_sink()
        write(sink, name)
        sink.close()

    assert verify(path).lines == 6
    assert [record.get("missing") for record in records_of(path)[::2]] == [0, 0, 0]


def test_a_restart_at_an_empty_file_goes_on_from_the_one_put_aside(make_sink, path):
    """It was killed between the two."""
    sink = make_sink()
    write(sink, "one")
    sink.close()
    path.rename(path.with_name(f"{path.name}.20261124T080000.000000Z"))
    write(make_sink(), "two")

    assert verify(path).lines == 4


def test_a_killed_proxy_costs_no_break(make_sink, path):
    """What it has written is there, though what is kept beside it is older."""
    write(make_sink(), "one", "two")
    newest_path(path).unlink()
    make_sink.kill()
    sink = make_sink()
    write(sink, "three")
    sink.close()
    verifier = verify(path)

    assert verifier.lines == 5
    assert "could not be missed" in verifier.notes[-1]


def test_a_torn_line_is_told_and_no_break(make_sink, path):
    """What stands there is known by its hash; whoever verifies learns that one record is lost."""
    write(make_sink(), "one", "two")
    make_sink.kill()
    path.write_bytes(path.read_bytes() + b'{"event":"thr')
    sink = make_sink()
    write(sink, "four")
    sink.close()
    verifier = verify(path)

    assert verifier.lines == 5
    assert any("traffic.jsonl:4: this line was torn" in note for note in verifier.notes)


def test_a_torn_line_that_is_changed_or_removed_is_found(make_sink, path):
    """It is no record, and still what was written."""
    write(make_sink(), "one")
    make_sink.kill()
    path.write_bytes(path.read_bytes() + b'{"event":"tw')
    make_sink().close()
    sink = make_sink()
    write(sink, "three")
    sink.close()
    whole = path.read_bytes()
    for changed in (b'{"event":"xx\n', b""):
        path.write_bytes(whole.replace(b'{"event":"tw\n', changed))
        with pytest.raises(Broken, match=r"traffic\.jsonl:3"):
            verify(path)


def test_kills_in_a_row_leave_torn_lines_that_are_no_break(make_sink, path):
    """Each start tells of all that stands behind the last sealed line; also over a file that was moved meanwhile."""
    write(make_sink(), "one")
    make_sink.kill()
    path.write_bytes(path.read_bytes() + b'{"event":"tw')
    for size in (40, 90, 1):
        write(make_sink(piece=size), "three", tries=1)
        make_sink.kill()
    sink = make_sink(piece=30)
    write(sink, "four", tries=1)
    path.rename(path.with_name(f"{path.name}.20261124T080000.000000Z"))
    write(sink, "four")
    sink.close()
    verifier = verify(path)

    assert verifier.lines == 4
    assert verifier.notes[1] == (
        "traffic.jsonl.20261124T080000.000000Z:3: this line was torn when the proxy was killed or its disk failed, and "
        "is no record"
    )
    lines = files_of(path)[0].read_bytes().splitlines(keepends=True)
    for index in range(2, len(lines)):
        files_of(path)[0].write_bytes(b"".join(lines[:index] + lines[index + 1 :]))
        with pytest.raises(Broken, match=r"Z:3: it has no seal"):
            verify(path)


def test_a_torn_end_is_no_break_before_the_next_record(make_sink, path):
    """The proxy may be killed again before it has written what it goes on from; a forged whole line is found."""
    write(make_sink(), "one")
    make_sink.kill()
    path.write_bytes(path.read_bytes() + b'{"event":"tw')
    make_sink()
    verifier = verify(path)
    path.write_bytes(path.read_bytes() + b'{"event":"forged"}\n')

    assert "traffic.jsonl:3: the end of this line is not there" in verifier.notes[-1]
    with pytest.raises(Broken, match=r"traffic\.jsonl:4: it has no seal"):
        verify(path)


def test_the_chain_does_not_fork_where_its_file_is_elsewhere(make_sink, path, events):
    """What is kept beside it may be a second old: the file that was moved away has more lines, and all of them hold."""
    sink = make_sink()
    write(sink, "one")
    write(sink, "two", "three")
    assert read_newest(path, KEY).number == 2
    make_sink.kill()
    moved = path.with_name("moved")
    path.rename(moved)
    sink = make_sink()
    write(sink, "four")
    sink.close()
    verifier = verify(path, files=[moved, path])

    assert verifier.lines == 6
    assert "traffic.jsonl:1: the proxy was started with no sealed line in its file" in verifier.notes[-1]
    (told,) = events.all("log.file_gone")
    assert told["after"].startswith("2:")
    moved.write_bytes(b"".join(moved.read_bytes().splitlines(keepends=True)[:1]))
    with pytest.raises(Broken, match=r"traffic\.jsonl:1: before this line, 1 line is missing"):
        verify(path, files=[moved, path])


def test_a_file_that_is_elsewhere_while_the_key_changes_is_gone_on_from(make_sink, path):
    """The new key proves nothing that the old one has kept, and still knows where the chain stood."""
    sink = make_sink()
    write(sink, "one")
    sink.close()
    moved = path.with_name("moved")
    path.rename(moved)
    sink = make_sink(key=OTHER)
    write(sink, "two")
    sink.close()

    assert verify(path, keys=[KEY, OTHER], files=[moved, path]).lines == 4


@pytest.mark.parametrize("name", [".{}.seal", "{}", "{}.20261124T080000.000000Z"], ids=["beside", "log", "put aside"])
@pytest.mark.parametrize("below_end", [5, 10**17])
def test_a_number_that_nobody_can_have_reached_is_not_gone_on_from(make_sink, path, name, below_end):
    """Whoever forges one has no key; numbers would soon find no room, and repeat for ever."""
    seal = f"{10**18 - below_end}:{'0' * 64}"
    line = f'{{"newest":"{seal}"}}\n' if name.startswith(".") else f'{{"event":"x","seal":"{seal}"}}\n'
    path.with_name(name.format(path.name)).write_text(line)
    for names in (["one", "two"], ["three", "four", "five"]):
        sink = make_sink()
        write(sink, *names)
        sink.close()
    numbers = [int(json.loads(line)["seal"].partition(":")[0]) for line in path.read_text().splitlines()]

    assert numbers[-7:] == [1, 2, 3, 4, 5, 6, 7]


def test_the_file_put_aside_last_is_known_by_its_numbers(make_sink, path):
    """Its name may be older than others', after a step of the clock."""
    names = [f"{path.name}.2026112{day}T080000.000000Z" for day in (4, 6, 5)]
    for name in names:
        sink = make_sink()
        write(sink, "one")
        sink.close()
        path.rename(path.with_name(name))
    sink = make_sink()
    write(sink, "two")
    sink.close()

    assert verify(path, files=[*(path.with_name(name) for name in names), path]).lines == 8


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), os.mkfifo, lambda path: path.symlink_to("nowhere")])
def test_what_lies_among_the_files_and_is_none_keeps_no_proxy_from_starting(make_sink, path, make):
    """Nor from finding the one that it goes on from."""
    sink = make_sink()
    write(sink, "one")
    sink.close()
    path.rename(path.with_name(f"{path.name}.20261124T080000.000000Z"))
    other = path.with_name(f"{path.name}.20261124T090000.000000Z")
    make(other)
    sink = make_sink()
    write(sink, "two")
    sink.close()

    assert verify(path, files=[file for file in files_of(path) if file != other]).lines == 4


def test_who_had_an_old_key_cannot_go_on_with_it(make_sink, path):
    """Neither from where the log stands now, nor from where it was changed with the end cut off."""
    for key in (KEY, OTHER):
        sink = make_sink(key=key)
        write(sink, "one")
        sink.close()
    kept = newest_path(path).read_bytes()
    whole = path.read_bytes().splitlines(keepends=True)
    for lines in (4, 3, 2):
        path.write_bytes(b"".join(whole[:lines]))
        newest_path(path).unlink()
        sink = make_sink()
        write(sink, "forged")
        sink.close()
        if lines == 2:
            with pytest.raises(Broken, match="it is not the line that was written here last"):
                verify(path, keys=[KEY, OTHER], newest=OTHER.parse_newest(kept))
            assert "is sealed with an older key" in verify(path, keys=[KEY, OTHER]).notes[-1]
        else:
            with pytest.raises(Broken, match=rf":{lines + 1}: it is sealed with a key that was out of use"):
                verify(path, keys=[KEY, OTHER])


def test_a_whole_line_added_while_the_proxy_was_stopped_is_no_torn_one(make_sink, path):
    """The next start takes nothing for its own that it has not sealed."""
    sink = make_sink()
    write(sink, "one")
    sink.close()
    path.write_bytes(path.read_bytes() + b'{"event":"forged"}\n')
    write(make_sink(), "two")

    with pytest.raises(Broken, match=r"traffic\.jsonl:3: it has no seal"):
        verify(path)


def test_an_end_that_is_cut_off_is_missed_at_the_next_start(make_sink, path, events):
    """The proxy says so at once, and the log for as long as it is kept."""
    sink = make_sink()
    write(sink, "one", "two", "three")
    sink.close()
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-2]))
    write(make_sink(), "four")

    with pytest.raises(Broken, match=r"traffic\.jsonl:3: before this line, 2 lines are gone"):
        verify(path)
    assert events.all("log.cut")[0]["records"] == 2


def test_an_end_that_is_cut_off_is_missed_by_whoever_verifies(make_sink, path):
    """What is kept beside the log says how far it went."""
    sink = make_sink()
    write(sink, "one", "two", "three")
    sink.close()
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))

    with pytest.raises(Broken, match=r"traffic\.jsonl:3: behind this line, 1 line is cut off"):
        verify(path)


def test_what_is_kept_beside_the_log_is_its_owners_alone_and_written_once_a_second(make_sink, path):
    """Not at each line; and once nothing more comes, the last one is kept too."""
    now = [0.0]
    sink = make_sink(now=lambda: now[0])
    write(sink, "one")
    write(sink, "two")
    kept_at_once = read_newest(path, KEY).number
    now[0] = 0.25
    wait_s = sink.settle()
    now[0] = 1.5
    settled = sink.settle()

    assert kept_at_once == 2
    assert wait_s == pytest.approx(0.75)
    assert settled is None
    assert read_newest(path, KEY).number == 3
    assert sink.settle() is None
    assert stat.S_IMODE(newest_path(path).stat().st_mode) == 0o600


def test_what_stands_where_the_newest_mark_is_begun_is_not_written_to(make_sink, path):
    """A crash has left it, or it is another name of some other file."""
    victim = path.with_name("victim")
    victim.write_text("precious")
    newest_path(path).with_name(f"{newest_path(path).name}.new").hardlink_to(victim)
    sink = make_sink()
    write(sink, "one")
    sink.close()

    assert read_newest(path, KEY).number == 2
    assert victim.read_text() == "precious"


def test_the_writer_has_the_newest_mark_kept_while_nothing_comes(make_sink, path):
    """Else the last lines before a quiet night could be cut off unseen."""
    ticks = iter(range(1000))
    sink = make_sink(now=lambda: float(next(ticks)) / 2)
    writer = Writer(sink, max_bytes=1_000_000)
    writer.start()
    writer.put(b'{"event":"one"}\n')
    try:
        while (mark := read_newest(path, KEY)) is None or mark.number < 2:
            pass
    finally:
        assert writer.stop(10) == 0

    assert verify(path).lines == 2


def test_a_mark_that_cannot_be_kept_stops_nothing_and_is_told_once(make_sink, path, events):
    """The log itself goes on."""
    newest_path(path).mkdir()
    now = [0.0]
    sink = make_sink(now=lambda: now[0])
    for name in ("one", "two", "three"):
        now[0] += 2
        write(sink, name)

    assert len(events.all("log.newest_failed")) == 1
    assert [record["event"] for record in records_of(path)][1:] == ["one", "two", "three"]


@pytest.mark.parametrize("piece", [1, 7, 100, 333])
def test_lines_written_in_pieces_are_sealed_once(make_sink, path, piece):
    """A full disk takes parts of lines; the writer counts whole ones."""
    sink = make_sink(piece=piece)
    write(sink, "one", "two")
    write(sink, "three")

    assert [record["event"] for record in records_of(path)] == ["log.sealed", "one", "two", "three"]
    assert verify(path).lines == 4


@pytest.mark.parametrize("pieces", range(1, 9))
def test_a_file_that_is_moved_in_the_middle_of_a_line_is_followed(make_sink, path, pieces):
    """The line is sealed anew in the next file, and the torn one known by its hash; nothing stands there twice."""
    sink = make_sink(piece=60)
    write(sink, "one", "two", "three", tries=pieces)
    path.rename(path.with_name(f"{path.name}.20261124T080000.000000Z"))
    rest = ["one", "two", "three"]
    before = files_of(path)[0].read_bytes()
    rest = [name for name in rest if b'{"event":"%s","seal":"' % name.encode() not in before.rpartition(b"\n")[0]]
    write(sink, *rest)
    sink.close()
    first, second = files_of(path)
    whole = [json.loads(line)["event"] for line in first.read_bytes().split(b"\n")[:-1]]
    whole += [json.loads(line)["event"] for line in second.read_bytes().split(b"\n")[:-1]]

    assert [event for event in whole if event != "log.sealed"] == ["one", "two", "three"]
    assert verify(path).first == 1


def test_a_changed_key_goes_on_with_the_chain(make_sink, path):
    """The first line behind it says which key it is; both prove the whole."""
    for key in (KEY, OTHER):
        sink = make_sink(key=key)
        write(sink, "one")
        sink.close()

    assert verify(path, keys=[KEY, OTHER]).lines == 4
    with pytest.raises(Broken, match=rf":3: from here on the log is sealed with another key \({OTHER.fingerprint}\)"):
        verify(path)


def test_a_log_that_was_not_sealed_before_is_from_its_next_start_on(make_sink, path):
    """What stood there is not proved, and counted."""
    path.write_bytes(b'{"event":"old"}\n' * 3)
    write(make_sink(), "new")
    verifier = verify(path)

    assert (verifier.lines, verifier.unsealed) == (2, 3)
    assert "the seals begin here, 3 unsealed lines are before it" in verifier.notes[0]


def test_a_line_longer_than_what_is_read_at_once_is_found_at_the_end(make_sink, path):
    """Records with bodies are."""
    sink = make_sink()
    write(sink, "x" * 200_000, "y" * 300_000)
    sink.close()
    write(make_sink(), "z")

    assert verify(path).lines == 5


def test_what_cannot_be_read_back_is_not_sealed(make_sink, path):
    """A FIFO has no end to go on from; the fix is told."""
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with pytest.raises(OSError, match="cannot be read back"):
            make_sink()
    finally:
        os.close(reader)

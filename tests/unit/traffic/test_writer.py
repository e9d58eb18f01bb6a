"""The queue and the thread, against sinks that fail, block and write in pieces."""

import os
import threading

import pytest

from proxy.traffic.sink import FileSink, Limits, StreamSink
from proxy.traffic.writer import BATCH_BYTES, MEANWHILE, Writer


class PieceSink:
    """A sink that writes a few bytes at a time and fails in between, and can begin a new file at any of them."""

    path = "/somewhere/traffic.jsonl"

    def __init__(self, *, piece=7, fails_at=(), begins_at=()):
        """Fail at the numbered calls of ``write``, and begin a file at those of ``prepare``."""
        self.files = [b""]
        self.closed = threading.Event()
        self.ended = threading.Event()
        self._piece = piece
        self._fails_at = fails_at
        self._begins_at = begins_at
        self._writes = 0
        self._prepares = 0

    def open(self):
        """Have nothing before."""
        return "new"

    def prepare(self, size):
        """Begin a file, if it is the time."""
        assert size > 0
        self._prepares += 1
        if self._prepares not in self._begins_at:
            return False
        self.files.append(b"")
        return True

    def write(self, data):
        """Write a piece, or fail."""
        self._writes += 1
        if self._writes in self._fails_at:
            raise OSError(28, "No space left on device")
        piece = bytes(data[: self._piece])
        self.files[-1] += piece
        if self.files[-1].endswith(b" 9\n"):
            self.ended.set()
        return len(piece)

    def settle(self):
        """Have put nothing off."""

    def close(self):
        """Tell that it was closed."""
        self.closed.set()


@pytest.fixture
def pipe():
    """Return both ends of a pipe; the reader's may have been closed by the test."""
    reader, writer = os.pipe()
    yield reader, writer
    for end in (reader, writer):
        try:
            os.close(end)
        except OSError:
            continue


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    """Have a failing sink tried again at once."""
    monkeypatch.setattr("proxy.traffic.writer.RETRY_S", 0.001)


def fill(descriptor):
    """Fill a pipe to the brim."""
    os.set_blocking(descriptor, False)
    size = 0
    try:
        while True:
            size += os.write(descriptor, bytes(4096))
    except BlockingIOError:
        os.set_blocking(descriptor, True)
    return size


def read(descriptor, size):
    """Read so many bytes from a pipe."""
    data = b""
    while len(data) < size:
        data += os.read(descriptor, size - len(data))
    return data


def test_lines_come_out_in_order_without_being_asked_for(pipe):
    """A reader that waits for them gets them."""
    reader, descriptor = pipe
    writer = Writer(StreamSink(descriptor), max_bytes=1000)
    writer.start()

    writer.put(b"one\n")
    writer.put(b"two\n")

    assert read(reader, 8) == b"one\ntwo\n"
    assert writer.stop(10) == 0
    assert (writer.written, writer.dropped, writer.queued_bytes) == (2, 0, 0)


def test_lines_put_before_the_start_are_written():
    """The log may be used while it opens."""
    sink = PieceSink()
    writer = Writer(sink, max_bytes=1000)
    writer.put(b"one\n")
    writer.start()

    assert writer.stop(10) == 0
    assert sink.files == [b"one\n"]


def test_everything_queued_is_written_at_the_stop():
    """Many batches of it."""
    sink = PieceSink(piece=1 << 20)
    writer = Writer(sink, max_bytes=1 << 30)
    lines = [b"%06d %s\n" % (number, b"x" * 1000) for number in range(2000)]
    for line in lines:
        writer.put(line)
    writer.start()

    assert writer.stop(10) == 0
    assert sum(map(len, lines)) > 5 * BATCH_BYTES
    assert sink.files == [b"".join(lines)]
    assert sink.closed.is_set()


def test_lines_from_a_thread_that_never_pauses_all_arrive():
    """No wake-up is lost between the two."""
    sink = PieceSink(piece=1 << 20)
    writer = Writer(sink, max_bytes=1 << 30)
    writer.start()
    for number in range(50_000):
        writer.put(b"%d\n" % number)

    assert writer.stop(10) == 0
    assert sink.files[0].split() == [b"%d" % number for number in range(50_000)]


def test_pieces_make_whole_lines():
    """A sink that takes seven bytes at a time, and fails now and then, tears nothing."""
    sink = PieceSink(fails_at=(2, 3, 5))
    writer = Writer(sink, max_bytes=1000)
    writer.start()
    for number in range(10):
        writer.put(b"a line, number %d\n" % number)

    assert sink.ended.wait(10)
    assert writer.stop(10) == 0
    assert sink.files == [b"".join(b"a line, number %d\n" % number for number in range(10))]


def test_a_failure_is_told_once_and_so_is_its_end(events):
    """Not at every try."""
    sink = PieceSink(piece=1000, fails_at=range(1, 6))
    writer = Writer(sink, max_bytes=1000)
    writer.start()
    writer.put(b"one\n")

    failed = events.wait("log.failed")
    events.wait("log.recovered")
    assert writer.stop(10) == 0
    assert (len(events.all("log.failed")), len(events.all("log.recovered"))) == (1, 1)
    assert failed == {
        "event": "log.failed",
        "path": sink.path,
        "error": "No space left on device",
        "meanwhile": MEANWHILE["drop"],
        "fix": "make room on its disk",
    }
    assert writer.error is None
    assert sink.files == [b"one\n"]


def test_a_failure_is_over_only_when_all_of_the_batch_is_written(events):
    """A disk with room for a few bytes more is still full: who refuses requests meanwhile must not let one in."""
    sink = PieceSink(piece=3, fails_at=(1, 3, 5))
    writer = Writer(sink, max_bytes=1000, when_full="refuse")
    writer.put(b"one and two and three\n")
    writer.start()
    events.wait("log.recovered")

    assert writer.stop(10) == 0
    assert sink.files == [b"one and two and three\n"]
    assert (len(events.all("log.failed")), len(events.all("log.recovered"))) == (1, 1)
    assert "requests are refused (503)" in events.all("log.failed")[0]["meanwhile"]


def test_a_new_file_begins_with_a_whole_line():
    """Half of the line was in the old one, which is gone."""
    sink = PieceSink(piece=6, begins_at=(3,))
    writer = Writer(sink, max_bytes=1000)
    for line in (b"one\n", b"two\n", b"three\n"):
        writer.put(line)
    writer.start()

    assert writer.stop(10) == 0
    assert sink.files == [b"one\ntwo\nthre", b"three\n"]


def test_a_full_queue_drops_the_newest_and_counts():
    """The oldest tell how the trouble began."""
    sink = PieceSink()
    writer = Writer(sink, max_bytes=8)
    for line in (b"one\n", b"two\n", b"six\n", b"ten\n"):
        writer.put(line)
    writer.put_always(b"dropped\n")
    writer.start()

    assert writer.dropped == 2
    assert writer.stop(10) == 0
    assert sink.files == [b"one\ntwo\ndropped\n"]


def test_a_small_queue_is_emptied_before_it_is_full(pipe):
    """The thread is woken in time, however small the configuration makes it."""
    reader, descriptor = pipe
    writer = Writer(StreamSink(descriptor), max_bytes=100)
    writer.start()

    for number in range(50):
        writer.put(b"%049d\n" % number)
        writer.put(b"%049d\n" % number)
        assert read(reader, 100).split() == [b"%049d" % number] * 2
        while writer.queued_bytes:
            pass

    assert writer.dropped == 0
    assert writer.stop(10) == 0


def test_a_sink_that_blocks_does_not_block_the_queue(pipe):
    """A pipe that nobody reads holds the thread, and nobody else; the stop gives up in time."""
    reader, descriptor = pipe
    filled = fill(descriptor)
    writer = Writer(StreamSink(descriptor), max_bytes=100)
    writer.start()
    for _ in range(50):
        writer.put(b"nine byte\n")

    assert writer.dropped == 40
    assert writer.stop(0.01) == 10
    assert read(reader, filled + 100)[filled:] == b"nine byte\n" * 10


def test_a_reader_that_went_away_ends_nothing(pipe, events):
    """As in ``proxy | head -1``."""
    reader, descriptor = pipe
    os.close(reader)
    writer = Writer(StreamSink(descriptor), max_bytes=100)
    writer.start()
    writer.put(b"one\n")

    assert events.wait("log.failed")["error"] == "Broken pipe"
    assert writer.error == "Broken pipe"
    assert writer.stop(10) == 1


def test_a_sink_with_a_defect_does_not_end_the_thread(events):
    """A log that has silently stopped is worse than any error."""
    sink = PieceSink()
    write, failures = sink.write, iter([RuntimeError("a defect")])

    def write_or_fail(data):
        for failure in failures:
            raise failure
        return write(data)

    sink.write = write_or_fail
    writer = Writer(sink, max_bytes=100)
    writer.start()
    writer.put(b"one\n")

    events.wait("log.recovered")
    assert events.wait("log.failed")["error"] == "RuntimeError('a defect')"
    assert writer.stop(10) == 0


def test_a_file_that_is_deleted_under_load_loses_no_line(tmp_path, clock):
    """What is written afterwards is in a new one, and no line is in two pieces."""
    path = tmp_path / "log"
    sink = FileSink(path, Limits(1 << 30, 1e9, 1e9), wall=clock)
    sink.open()
    writer = Writer(sink, max_bytes=1 << 30)
    writer.start()
    kept = []
    for number in range(20_000):
        writer.put(b"%d\n" % number)
        if number % 5000 == 2500 and path.exists():
            aside = tmp_path / f"aside{number}"
            path.rename(aside)
            kept.append(aside)

    assert writer.stop(10) == 0
    written = b"".join(file.read_bytes() for file in (*kept, path) if file.exists())
    assert written.split() == [b"%d" % number for number in range(20_000)]

"""The operational log."""

import io
import json
import logging
import os
from pathlib import Path

import pytest
import structlog

from proxy.config.secret import Secret
from proxy.logs import set_up_logs


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        """Say so."""
        return True


@pytest.fixture
def _logging():
    """Put logging back as it was afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


pytestmark = pytest.mark.usefixtures("_logging")


def read(stream):
    """Return the events written to a stream."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_json_object_a_line():
    """Time, level and event come first."""
    stream = io.StringIO()
    set_up_logs(stream, logging.INFO)

    structlog.get_logger().info("token.fetched", credential="core", life_s=3599)

    (event,) = read(stream)
    assert list(event) == ["ts", "level", "event", "credential", "life_s"]
    assert event["ts"].endswith("Z")
    assert (event["level"], event["event"], event["life_s"]) == ("info", "token.fetched", 3599)


def test_a_terminal_gets_lines_to_read():
    """People start it by hand as well."""
    stream = Terminal()
    set_up_logs(stream, logging.INFO)

    structlog.get_logger().info("token.fetched", credential="core")

    assert "token.fetched" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


HOSTILE = "a\x1b[2J\x9b31m\u2028\u202eb\nc"
ESCAPED = r"a\u001b[2J\u009b31m\u2028\u202eb\u000ac"


def fail():
    """Raise an error that quotes what came from elsewhere."""
    raise ValueError(HOSTILE)


def test_a_terminal_obeys_nothing_that_is_logged():
    """A server's name and a client's bytes come from elsewhere; a traceback keeps its lines."""
    stream = Terminal()
    set_up_logs(stream, logging.INFO)
    try:
        fail()
    except ValueError:
        structlog.get_logger().exception("exchange.failed", detail=HOSTILE, details=[HOSTILE])

    told = stream.getvalue()
    assert ESCAPED in told
    assert "\nTraceback (most recent call last):\n" in told
    assert not {"\x9b", "\u2028", "\u202e"} & set(told)
    assert "\x1b[2J" not in told


def test_a_line_of_json_holds_no_control_and_means_the_same():
    """Files are shown at terminals, too."""
    stream = io.StringIO()
    set_up_logs(stream, logging.INFO)

    structlog.get_logger().info("exchange.failed", detail=HOSTILE)

    assert stream.getvalue().removesuffix("\n").isprintable()
    assert read(stream)[0]["detail"] == HOSTILE


def test_what_is_below_the_level_is_not_written():
    """Debug events are for those who ask."""
    stream = io.StringIO()
    set_up_logs(stream, logging.WARNING)

    structlog.get_logger().info("token.fetched")

    assert stream.getvalue() == ""


def test_a_secret_that_is_learnt_later_is_masked_beside_the_old_ones():
    """The old one is as secret as before."""
    stream = io.StringIO()
    mask = set_up_logs(stream, logging.INFO)
    mask.use([Secret("old-secret", "test")])
    mask.use([Secret("new-secret", "test")])

    structlog.get_logger().info("token.fetched", detail="old-secret new-secret")

    assert read(stream)[0]["detail"] == "*** ***"


def test_what_libraries_say_is_written_in_the_same_form():
    """They use the standard library's logging."""
    stream = io.StringIO()
    set_up_logs(stream, logging.INFO)

    logging.getLogger("asyncio").warning("slow callback of %s s", 2)
    logging.getLogger("asyncio").info("chatter")

    (event,) = read(stream)
    assert (event["level"], event["event"]) == ("warning", "slow callback of 2 s")


@pytest.mark.parametrize("kind", [io.StringIO, Terminal])
def test_a_traceback_shows_no_local_variable(kind):
    """They hold secrets."""
    stream = kind()
    set_up_logs(stream, logging.INFO)
    canary = "c4nary" * 2

    def fail():
        local = canary
        raise ValueError(len(local))

    try:
        fail()
    except ValueError:
        structlog.get_logger().exception("task.failed")

    assert "ValueError: 12" in stream.getvalue()
    assert canary not in stream.getvalue()


@pytest.mark.parametrize("kind", [io.StringIO, Terminal])
@pytest.mark.parametrize(
    "quote", [str, repr, lambda canary: {"form": [canary]}, ValueError, lambda c: c.encode().hex()]
)
def test_a_known_secret_never_passes(kind, quote):
    """Whatever an event quotes, however deep and in whatever object."""
    stream = kind()
    mask = set_up_logs(stream, logging.INFO)
    mask.use([Secret("c4nary-bird", "test")])

    structlog.get_logger().warning("token.refused", seen=quote("c4nary-bird"))
    logging.getLogger("aiohttp").error("cannot read %r", quote("c4nary-bird"))

    assert "***" in stream.getvalue()
    assert "c4nary" not in stream.getvalue()
    assert b"c4nary-bird".hex() not in stream.getvalue()


@pytest.mark.parametrize("kind", [io.StringIO, Terminal])
def test_a_secret_in_an_exception_never_passes(kind):
    """Its text is in the traceback."""
    stream = kind()
    mask = set_up_logs(stream, logging.INFO)
    mask.use([Secret("c4nary-bird", "test")])

    try:
        Path("/c4nary-bird/file").read_text(encoding="ascii")
    except OSError:
        structlog.get_logger().exception("task.failed")
        logging.getLogger("aiohttp").exception("failed")

    assert stream.getvalue().count("No such file or directory: '/***/file'") == 2
    assert "c4nary" not in stream.getvalue()


def test_loggers_made_before_the_secrets_are_known_mask_them_too():
    """Modules make theirs as they are imported, and the configuration is read later."""
    stream = io.StringIO()
    mask = set_up_logs(stream, logging.INFO)
    log = structlog.get_logger()
    log.info("config.reading")

    mask.use([Secret("c4nary-bird", "test")])
    log.info("config.read", value="c4nary-bird")

    assert read(stream)[1]["value"] == "***"


def test_a_stream_that_is_closed_ends_nothing():
    """Standard error may be closed or full while the proxy serves."""
    stream = io.StringIO()
    set_up_logs(stream, logging.INFO)
    stream.close()

    structlog.get_logger().error("task.failed")
    logging.getLogger("asyncio").error("lost")

    assert stream.closed


def test_a_pipe_that_is_full_holds_nobody_up_and_the_loss_is_told():
    """What found no room is counted, and the count stands before the next line that does; no line is half."""
    ours, theirs = os.pipe()
    with os.fdopen(ours, "rb") as reader, os.fdopen(theirs, "w") as stream:
        set_up_logs(stream, logging.INFO)
        log = structlog.get_logger()
        for number in range(100):
            log.info("task.done", number=number, detail="x" * 10_000)
        os.set_blocking(ours, False)
        before = reader.read()
        log.info("task.done", number=100)
        after = reader.read()
        last = [json.loads(line) for line in after.splitlines() if line]
    lines = before.splitlines(keepends=True)
    whole = [json.loads(line) for line in lines if line.endswith(b"\n")]

    assert [event["event"] for event in last] == ["messages.lost", "task.done"]
    assert [event["number"] for event in whole] == list(range(len(whole)))
    assert len(whole) + last[0]["count"] == 100

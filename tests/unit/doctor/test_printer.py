"""Findings while they come."""

import dataclasses
import io

import pytest

from proxy.doctor.check import Check
from proxy.doctor.finding import Place
from proxy.doctor.printer import Printer
from proxy.doctor.report import Entry


class Terminal(io.StringIO):
    """Standard output with a person before it."""

    def isatty(self):
        """Say so."""
        return True


DNS = Place("dns")
CHECK = Check("host:443", (DNS,), run=None)
ENTRIES = [Entry("host:443", DNS.ok("fine")), Entry("host:443", DNS.ok("fine")), Entry("Routes", DNS.ok("fine"))]


def test_each_heading_is_written_once():
    """With an empty line before it."""
    out = io.StringIO()
    printer = Printer(out, str)

    for entry in ENTRIES:
        printer.tell(entry)

    line = "  ok       dns               fine"
    assert out.getvalue().splitlines() == ["", "host:443", line, line, "", "Routes", line]


def test_no_line_drives_the_terminal():
    """Neither a heading nor what is waited for, whatever a configuration names its hosts and routes."""
    out = Terminal()
    printer = Printer(out, str)

    printer.wait(dataclasses.replace(CHECK, group="host\x9b31m"))
    printer.show("route \u2028x\u202e\x1b[2J")

    assert r"host\u009b31m: dns" in out.getvalue()
    assert out.getvalue().endswith("route \\u2028x\\u202e\\u001b[2J\n")


@pytest.mark.parametrize(
    ("out", "shown"), [(Terminal(), "\r\x1b[K  …        host:443: dns\r\x1b[K\n"), (io.StringIO(), "\n")]
)
def test_a_terminal_shows_what_is_waited_for(out, shown):
    """On a line that the next one replaces; a file has no use for it."""
    printer = Printer(out, str)

    printer.wait(CHECK)
    printer.tell(ENTRIES[0])

    assert out.getvalue().startswith(shown)
    assert out.getvalue().count("\x1b") == 2 * out.isatty()


def test_everything_passes_the_mask():
    """Though no finding should need it."""
    out = Terminal()
    printer = Printer(out, lambda text: text.replace("host", "***"))

    printer.wait(CHECK)
    printer.tell(Entry("host:443", DNS.ok("host resolves")))
    printer.show("host")

    assert "host" not in out.getvalue()

"""Who is told of findings while they come: a person at a terminal, a file, or nobody until the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TextIO

from proxy.doctor.report import build_lines
from proxy.printable import escape_unprintable

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.doctor.check import Check
    from proxy.doctor.report import Entry

_ERASE = "\r\x1b[K"
"""To the beginning of the line, and away with it."""


class Audience(Protocol):
    """Whoever follows an examination."""

    def wait(self, check: Check) -> None:
        """Take note of what is waited for."""
        ...

    def tell(self, entry: Entry) -> None:
        """Take a finding."""
        ...


class Silence:
    """Nobody."""

    def wait(self, _check: Check) -> None:
        """Say nothing."""

    def tell(self, _entry: Entry) -> None:
        """Say nothing."""


class Printer:
    """Writes findings under their headings; at a terminal also what is waited for, until it is there."""

    def __init__(self, out: TextIO, mask: Callable[[str], str]) -> None:
        """Write to ``out`` what ``mask`` leaves of it."""
        self._out = out
        self._mask = mask
        self._group = ""
        self._is_waiting = False

    def wait(self, check: Check) -> None:
        """Show what is waited for, on a line that the next one replaces."""
        if self._out.isatty():
            self._is_waiting = True
            shown = escape_unprintable(self._mask(f"{check.group}: {check.name}"))
            print(f"{_ERASE}  …        {shown}", end="", file=self._out, flush=True)

    def tell(self, entry: Entry) -> None:
        """Write a finding, below its heading."""
        if entry.group != self._group:
            self._group = entry.group
            self.show(f"\n{entry.group}")
        for line in build_lines(entry.finding):
            self.show(line)

    def show(self, line: str) -> None:
        """Write a line."""
        erased, self._is_waiting = (_ERASE if self._is_waiting else ""), False
        shown = escape_unprintable(self._mask(line), keep="\n")
        print(f"{erased}{shown}", file=self._out, flush=True)

"""Where a sealed log stands: the end of its file, and what is kept beside it.

The rule of this file: the log's own end says what to go on from, and the small file beside it what must not be gone.
That one is written at most once a second, and is gone on from only if the file that it speaks of is elsewhere; it is of
the same mode as the log.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING

from proxy.traffic.rotate import SAFE, find_rotated, open_to_read
from proxy.traffic.seal import MOST_SEAL_BYTES, TornLines, find_last_seal, parse_claim, parse_sealed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from typing import BinaryIO

    from proxy.traffic.seal import Mark, SealedLine, SealKey

MODE = 0o600
MOST_BYTES = 4096
"""More than is kept beside a log."""
STEP_BYTES = 65_536
MOST_LINE_BYTES = 64 * 1024 * 1024
"""More than a line has; what is longer is none of ours."""
FIRST_LINES = 100
"""Of a file, one of which is sealed: each start that was killed within its first line has left a torn one."""
MOST_UNSEALED_FILES = 8
"""Put aside last, that a sealed line is looked for in."""


@dataclass(frozen=True, slots=True)
class End:
    """How a log ends, as a writer finds it.

    Attributes:
        mark: Of its last sealed line; None: there is none.
        newest: What was kept beside it with this key; None: nothing.
        torn: All that stands behind that line, as far as it is in the log's own file.
        is_gone: Whether there may be more lines, in a file that is elsewhere.
    """

    mark: Mark | None
    newest: Mark | None
    torn: TornLines = field(default_factory=TornLines)
    is_gone: bool = False


def newest_path(path: Path) -> Path:
    """Return where the newest mark of a log is kept."""
    return path.with_name(f".{path.name}.seal")


def read_newest(path: Path, key: SealKey) -> Mark | None:
    """Return the newest mark that was kept for a log; None if there is none that this key has sealed."""
    try:
        with open_to_read(newest_path(path)) as file:
            return key.parse_newest(file.read(MOST_BYTES))
    except OSError:
        return None


def write_newest(path: Path, key: SealKey, mark: Mark) -> None:
    """Keep a mark, in place of the one before; whoever reads meanwhile gets one of the two.

    Raises:
        OSError: If it cannot be written.
    """
    place = newest_path(path)
    fresh = place.with_name(f"{place.name}.new")
    fresh.unlink(missing_ok=True)  # left by a crash, or another name of some other file
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | SAFE, MODE)
    try:
        os.fchmod(descriptor, MODE)
        os.write(descriptor, key.build_newest(mark))
    finally:
        os.close(descriptor)
    fresh.replace(place)


def find_end(path: Path, key: SealKey) -> End:
    """Return how a log ends.

    Its own file says so.  If nothing in that is sealed yet, one of those put aside does, or what is kept beside it,
    whichever is newer; and then nobody knows whether a file that was written to behind these is elsewhere.
    """
    newest = read_newest(path, key)
    here = _find_seal(path)
    if here is not None:
        return End(here[0], newest, _measure(path, here[1]))
    marks = [mark for mark in (_find_aside(path), newest or _read_claim(path)) if mark is not None]
    if not marks:
        return End(None, newest)
    # What stands behind that line in its own file may have been told of where the log went on.
    return End(max(marks, key=attrgetter("number")), newest, _measure(path, 0), is_gone=True)


def read_first_number(file: BinaryIO, is_true: Callable[[bytes, SealedLine], bool]) -> int:
    """Return the number of the first sealed line of a file; 0: none is among its first lines.

    Args:
        file: Read from where it stands.
        is_true: Whether that line counts.
    """
    size = 0
    for _ in range(FIRST_LINES):
        line = file.readline(MOST_LINE_BYTES)
        size += len(line)
        if not line or size >= MOST_LINE_BYTES:
            break
        if (sealed := parse_sealed(line)) is not None:
            return sealed.mark.number if is_true(line, sealed) else 0
    return 0


def find_in_order(path: Path) -> list[Path]:
    """Return the files put aside for a sealed log, in the order of writing; what cannot be read is none of ours."""
    numbered = []
    for aside in find_rotated(path):
        with suppress(OSError), open_to_read(aside) as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                numbered.append((read_first_number(file, lambda _line, _sealed: True), aside))
    return [aside for _, aside in sort_by_numbers(numbered)]


def sort_by_numbers(numbered: Iterable[tuple[int, Path]]) -> list[tuple[int, Path]]:
    """Put files in the order in which they were written, which no clock tells.

    Args:
        numbered: Each with the number of its first sealed line; one that has none (0) stays behind the one before it.

    Returns:
        Each with the number that it goes by.
    """
    latest = 0
    order = []
    for number, path in numbered:
        latest = number or latest
        order.append((latest, path))
    return sorted(order, key=itemgetter(0))


def _find_aside(path: Path) -> Mark | None:
    """Return the mark of the last sealed line in the files put aside for a log; None: there is none."""
    for aside in reversed(find_in_order(path)[-MOST_UNSEALED_FILES:]):
        if (found := _find_seal(aside)) is not None:
            return found[0]
    return None


def _find_seal(path: Path) -> tuple[Mark, int] | None:
    """Return the mark of the last sealed line of a file, and where that line ends; None: there is none."""
    with open_to_read(path) as file:
        size = position = file.seek(0, os.SEEK_END)
        after = b""
        while position > max(0, size - MOST_LINE_BYTES):
            step = min(STEP_BYTES, position)
            position -= step
            file.seek(position)
            part = file.read(step) + after
            if (found := find_last_seal(part)) is not None:
                return found[0], position + found[1]
            # A seal may lie across two steps.
            after = part[:MOST_SEAL_BYTES]
    return None


def _measure(path: Path, offset: int) -> TornLines:
    """Return the lines of a file from a place on."""
    torn = TornLines()
    with open_to_read(path) as file:
        file.seek(offset)
        while line := file.readline(MOST_LINE_BYTES):
            torn.add(line)
    return torn


def _read_claim(path: Path) -> Mark | None:
    """Return what is kept beside a log, whichever key has sealed it; a lie is no line of the log, and shows."""
    with suppress(OSError), open_to_read(newest_path(path)) as file:
        return parse_claim(file.read(MOST_BYTES))
    return None

"""Where a sealed log stands: the end of its file, and what is kept beside it.

The rule of this file: the log's own end says what to go on from, and the small file beside it what must not be gone.
That one is written at most once a second, and never read for anything else; it is of the same mode as the log.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.traffic.rotate import SAFE, find_rotated, open_to_read
from proxy.traffic.seal import Torn, measure_torn, parse_sealed

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

    from proxy.traffic.seal import Mark, SealKey

MODE = 0o600
MOST_BYTES = 4096
"""More than is kept beside a log."""
STEP_BYTES = 65_536
MOST_LINE_BYTES = 64 * 1024 * 1024
"""More than a line has; what is longer is none of ours."""


@dataclass(frozen=True, slots=True)
class End:
    """How a log ends, as a writer finds it.

    Attributes:
        mark: Of its last sealed line; None: there is none.
        torn: What stands behind that line; None: nothing.
    """

    mark: Mark | None
    torn: Torn | None = None


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


def find_end(path: Path) -> End:
    """Return how a log ends: its file, or, if that is empty, the one put aside last."""
    lines = _read_last_lines(path)
    for torn in (None, *(measure_torn(line) for line in lines[-1:])):
        kept = lines if torn is None else lines[:-1]
        if kept and (sealed := parse_sealed(kept[-1])) is not None:
            return End(sealed.mark, torn)
    # A file of one line that is not sealed: its first record was torn.
    torn = measure_torn(lines[0]) if len(lines) == 1 else None
    for aside in find_rotated(path)[-1:] if len(lines) <= 1 else ():
        before = _read_last_lines(aside)
        if before and (sealed := parse_sealed(before[-1])) is not None:
            return End(sealed.mark, torn)
    return End(None, torn)


def _read_last_lines(path: Path) -> list[bytes]:
    """Return the last two lines of a file, or as many as there are; the last may lack its line feed."""
    with open_to_read(path) as file:
        size = file.seek(0, os.SEEK_END)
        tail = _read_tail(file, size)
    lines = tail.split(b"\n")
    whole = [line + b"\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
    return whole[-2:]


def _read_tail(file: BinaryIO, size: int) -> bytes:
    """Read backwards until the tail has two whole lines, and the line feed before them, in it."""
    tail = b""
    while len(tail) < min(size, MOST_LINE_BYTES) and tail.count(b"\n", 0, -1) < 2:  # noqa: PLR2004
        step = min(max(STEP_BYTES, len(tail)), size - len(tail))
        file.seek(size - len(tail) - step)
        tail = file.read(step) + tail
    return tail

"""Files that the traffic log has put aside: their names, their ages, and how a log that was left behind ended.

The rule of this file: it looks and names; sink.py renames and removes.
"""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import BinaryIO

SAFE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
"""A link could lead the log over another file, and a FIFO without a reader holds whoever opens it for ever."""
STOPPED = "log.stopped"
TAIL_BYTES = 4096
"""More than a ``log.stopped`` record has."""
HEAD_BYTES = 1_048_576
"""Of a first line that is looked at; one that is longer counts as whole."""

MOST_SET_BACK = timedelta(days=2)
"""By which names follow a clock that was set back: more than a wrong zone or a wrong day."""
PACKED = ".gz"
"""What a program adds to the name of a file that it has packed."""

_FORMAT = "%Y%m%dT%H%M%S.%fZ"
_SUFFIX = re.compile(r"\.(\d{8}T\d{6}\.\d{6}Z)\Z", re.ASCII)
_STEP = timedelta(microseconds=1)
_FIRST_MOMENT = re.compile(rb'\{"ts":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3})Z"')


def rotated_path(path: Path, at: float) -> Path:
    """Return the name for a file put aside at ``at``, in seconds since the epoch: the moment in UTC, to sort by.

    After the clock was set back, it is the moment behind that of the newest file already aside, packed or not, so that
    names sort in the order of writing.  One that is days ahead of the clock is passed over: names would not be true
    until then, and the files not expire.  No file ever replaces another.
    """
    microseconds = int(at * 1_000_000)
    moment = datetime.fromtimestamp(microseconds // 1_000_000, UTC).replace(microsecond=microseconds % 1_000_000)
    names = (other.name.removesuffix(PACKED) for other in path.parent.iterdir())
    taken = [found for name, found in filter(None, map(_parse, names)) if name == path.name]
    moment = max([moment, *(one + _STEP for one in taken if moment <= one < moment + MOST_SET_BACK)])
    while (aside := path.with_name(f"{path.name}.{moment.strftime(_FORMAT)}")).exists():
        moment += _STEP
    return aside


def parse_rotated(name: str) -> tuple[str, float] | None:
    """Return the name of the log that a file was put aside for, and when; None if it was not."""
    found = _parse(name)
    return None if found is None else (found[0], found[1].timestamp())


def find_rotated(path: Path) -> list[Path]:
    """Return the files put aside for ``path``, the oldest first; nothing that merely looks like one of them."""
    others = sorted(path.parent.iterdir())
    return [other for other in others if (parsed := parse_rotated(other.name)) and parsed[0] == path.name]


def find_own(path: Path) -> list[Path]:
    """Return what of ``find_rotated`` the proxy may have written: neither a link nor a directory."""
    return [other for other in find_rotated(path) if other.is_file() and not other.is_symlink()]


def find_expired(files: Sequence[Path], now: float, retain_s: float, most_gap_s: float) -> Sequence[Path]:
    """Return the beginning of ``files`` that was put aside more than ``retain_s`` before ``now``.

    A log that is written to has a file put aside at intervals that are known.  What is more between two files is a step
    of the clock, or a time in which the proxy stood still: it makes none of them older than ``most_gap_s``, or a clock
    that is years ahead would have the whole log removed.

    Args:
        files: Put aside for one log, in the order of writing.
        now: Seconds since the epoch.
        retain_s: Seconds.
        most_gap_s: Seconds.
    """
    age_s, later = 0.0, now
    for place in reversed(range(len(files))):
        parsed = parse_rotated(files[place].name)
        if parsed is not None:
            age_s += min(max(0.0, later - parsed[1]), most_gap_s)
            later = min(later, parsed[1])
            if age_s > retain_s:
                return files[: place + 1]
    return ()


def find_excess(files: Sequence[Path], most_bytes: int) -> Sequence[Path]:
    """Return the beginning of ``files`` that must go for the rest to have ``most_bytes`` at most.

    The newest stays, however large it is: one that could not be put aside for days must not be lost for that.

    Args:
        files: Put aside for one log, in the order of writing.
        most_bytes: Bytes.
    """
    size = 0
    for place in reversed(range(len(files))):
        size += _measure(files[place])
        if size > most_bytes and place < len(files) - 1:
            return files[: place + 1]
    return ()


def open_to_read(path: Path) -> BinaryIO:
    """Open a file as the sink does: no link is followed, and nothing is waited for."""
    return os.fdopen(os.open(path, os.O_RDONLY | SAFE), "rb")


def _measure(path: Path) -> int:
    try:
        return path.lstat().st_size
    except FileNotFoundError:  # somebody else has removed it meanwhile
        return 0


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(orjson.loads(line), dict)
    except orjson.JSONDecodeError:
        return False


def _parse(name: str) -> tuple[str, datetime] | None:
    match = _SUFFIX.search(name)
    if match is None:
        return None
    try:
        moment = datetime.strptime(match[1], _FORMAT).replace(tzinfo=UTC)
    except ValueError:
        return None
    return name.removesuffix(match[0]), moment


def read_first_moment(path: Path) -> float | None:
    """Return when the first record of a file was written; None if it does not begin with one that is whole."""
    with open_to_read(path) as file:
        line = file.readline(HEAD_BYTES)
    match = _FIRST_MOMENT.match(line)
    if match is None or (len(line) < HEAD_BYTES and not _is_object(line)):
        return None
    return datetime.fromisoformat(match[1].decode()).replace(tzinfo=UTC).timestamp()


def read_ending(path: Path) -> str:
    """Return how a log ended.

    Returns:
        ``new`` (nothing there), ``stopped`` (as it should), ``killed`` (without its last record), ``torn`` (within a
        record), or ``stream`` (no file that could be read back).
    """
    if not path.exists():
        return "new"
    if not path.is_file():
        return "stream"
    with open_to_read(path) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - TAIL_BYTES))
        tail = file.read()
    if not tail:
        return "new"
    if not tail.endswith(b"\n"):
        return "torn"
    last = tail[tail.rfind(b"\n", 0, -1) + 1 :]
    return "stopped" if f'"event":"{STOPPED}"'.encode() in last else "killed"

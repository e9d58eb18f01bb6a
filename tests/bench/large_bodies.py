"""Large bodies: a gibibyte each way, with Content-Length and in chunks, and what the proxy's memory does meanwhile.

    python -m bench.large_bodies [--mebibytes N]

The proxy is a process of its own with its full traffic log on.  Exit code 1 when a byte differs, or resident memory
grows by 30 MiB or more.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

from aiohttp import ClientError, ClientSession, ClientTimeout

from bench.bodies import KINDS, LARGEST_GROWTH, MEBIBYTE, Kind, build_digest, measured_growth, transfer
from bench.process import BenchError
from bench.proxies import OwnProxy, Setting, running_own
from proxy.logs import set_up_logs
from proxy.simulator.server import Simulator

SILENCE_S = 30.0
"""A transfer of which nothing moves for so long has failed."""


def main() -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.large_bodies")
    parser.add_argument("--mebibytes", type=int, default=1024, help="size of each body (default: %(default)s)")
    size = parser.parse_args().mebibytes * MEBIBYTE
    set_up_logs(sys.stderr, logging.WARNING)
    try:
        failures = asyncio.run(send_all(size))
    except BenchError as error:
        failures = [str(error)]
    for failure in failures:
        say(f"FAILED: {failure}")
    if not failures:
        say(f"memory stays within {LARGEST_GROWTH // MEBIBYTE} MiB, every byte is equal")
    return int(bool(failures))


async def send_all(size: int) -> list[str]:
    """Send a body of ``size`` bytes each way; return what failed."""
    failures = []
    expected = build_digest(size)
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bodies-")))
        authority = Simulator()
        await authority.start()
        stack.push_async_callback(authority.stop)
        setting = Setting(authority.url, authority, directory)
        proxy = await stack.enter_async_context(running_own(setting, body_bytes=size))
        session = await stack.enter_async_context(
            ClientSession(timeout=ClientTimeout(total=None, sock_read=SILENCE_S)),
        )
        for kind in KINDS:
            await transfer(session, f"{proxy.url}/egress", kind, 1)  # so that nothing is loaded for the first time
            failures += await send(session, proxy, kind, size, expected)
        await proxy.process.stop()
    return failures


async def send(session: ClientSession, proxy: OwnProxy, kind: Kind, size: int, expected: str) -> list[str]:
    """Send one body and say how it went; return what failed."""
    started = time.monotonic()
    arrived = None
    with measured_growth(proxy.process) as growth:
        try:
            arrived = await transfer(session, f"{proxy.url}/egress", kind, size)
        except (ClientError, TimeoutError) as error:
            proxy.process.check_running()
            return [f"{kind}: {type(error).__name__}: {error}"]
    rate = size / (time.monotonic() - started) / MEBIBYTE
    mebibytes = growth.bytes / MEBIBYTE
    say(f"{f'{kind}':26} {size // MEBIBYTE:6,} MiB {rate:8,.0f} MiB/s   resident memory grew by {mebibytes:5.1f} MiB")
    failures = []
    if arrived != expected:
        failures.append(f"{kind}: other bytes arrived than were sent")
    if growth.bytes >= LARGEST_GROWTH:
        failures.append(f"{kind}: resident memory grew by {mebibytes:.1f} MiB")
    return failures


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

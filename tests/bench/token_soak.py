"""Short tokens under steady load, in real time: no request may ever wait for a token, or go out with a dead one.

    python -m bench.token_soak [--seconds S] [--rate R] [--life L]

The proxy is a process of its own in front of the simulator, which issues tokens that live for L seconds and knows of
each request whether its token was alive when it arrived.  The load does not wait for answers before it sends: a proxy
that held requests up would not slow it down.  Exit code 1 when anything is not as the token policy says.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import math
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.process import BenchError
from bench.proxies import Setting, running_own
from bench.steady import Sent, Steady, say, send_all
from proxy.logs import set_up_logs
from proxy.simulator.server import Simulator
from proxy.simulator.settings import SimulatorSettings
from proxy.tokens.policy import refresh_after, send_margin

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SHOWN = 10
SLACK_S = 0.5
"""By which each refresh may be late: the call itself, and a busy machine."""


@dataclass(frozen=True, slots=True)
class Options(Steady):
    """What to run.

    Attributes:
        life_s: Of each token.
    """

    life_s: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is left when proxy and load have ended.

    Attributes:
        elapsed_s: From the proxy's first token to the end of the load.
        exchanges: The traffic log's records of exchanges.
        fetches: The traffic log's records of token calls.
        arrived: How many requests the simulator received.
        dead: How many of them bore no token that was alive.
        issued: Token calls that the simulator received.
    """

    sent: Sent
    elapsed_s: float
    exchanges: Sequence[dict[str, Any]]
    fetches: Sequence[dict[str, Any]]
    arrived: int
    dead: int
    issued: int


def main() -> int:
    """Run the command; return its exit code."""
    options = parse_options(sys.argv[1:])
    set_up_logs(sys.stderr, logging.WARNING)
    try:
        evidence = asyncio.run(soak(options))
    except BenchError as error:
        say(f"FAILED: {error}")
        return 1
    failures = list(find_failures(evidence, options))
    for failure in failures:
        say(f"FAILED: {failure}")
    if not failures:
        say(describe_success(evidence))
    return int(bool(failures))


def parse_options(arguments: Sequence[str]) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.token_soak")
    parser.add_argument("--seconds", type=float, default=120.0, help="of steady load (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=100.0, help="requests per second (default: %(default)s)")
    parser.add_argument("--life", type=float, default=20.0, help="of each token, in seconds (default: %(default)s)")
    given = parser.parse_args(arguments)
    return Options(given.seconds, given.rate, given.life)


async def soak(options: Options) -> Evidence:
    """Run proxy, simulator and load, and collect what they saw.

    Raises:
        BenchError: If the proxy does not start, or ends by itself.
    """
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        settings = SimulatorSettings(token_life_s=options.life_s, keep_requests=options.requests)
        authority = Simulator(settings)
        await authority.start()
        stack.push_async_callback(authority.stop)
        proxy = await stack.enter_async_context(running_own(Setting(authority.url, authority, directory)))
        ready_at = time.monotonic()
        sent = await send_all(proxy.url, options, lambda: f"{authority.token_requests.total:3} token calls")
        elapsed_s = time.monotonic() - ready_at
        await proxy.process.stop()
        records = list(proxy.traffic.read_records())
        return Evidence(
            sent=sent,
            elapsed_s=elapsed_s,
            exchanges=[record for record in records if record["event"] == "exchange.closed"],
            fetches=[record for record in records if record["event"] == "token.fetched"],
            arrived=authority.requests.total,
            dead=sum(not seen.authorized for seen in authority.requests),
            issued=authority.token_requests.total,
        )


def find_failures(evidence: Evidence, options: Options) -> Iterator[str]:
    """Yield what is not as the token policy says."""
    yield from evidence.sent.failures[:SHOWN]
    counts = (evidence.sent.requests, evidence.arrived, len(evidence.exchanges))
    if len(set(counts)) != 1:
        yield "{} requests sent, {} arrived, {} in the log".format(*counts)
    if evidence.dead:
        yield f"{evidence.dead} requests reached the upstream with no token, or a dead one"
    yield from find_bad_exchanges(evidence.exchanges, send_margin(options.life_s))
    yield from find_bad_fetches(evidence, options.life_s)


def find_bad_exchanges(exchanges: Sequence[dict[str, Any]], margin_s: float) -> Iterator[str]:
    """Yield what the records of the exchanges say against the proxy."""
    waited = [record for record in exchanges if record["timing_ms"]["token"] != 0]
    if waited:
        longest = max(record["timing_ms"]["token"] for record in waited)
        yield f"{len(waited)} requests waited for a token, one of them {longest:.1f} ms"
    retried = sum(len(record["attempts"]) != 1 for record in exchanges)
    if retried:
        yield f"{retried} requests were not sent exactly once"
    late = sum(record["token_expires_in_s"] < margin_s for record in exchanges)
    if late:
        yield f"{late} requests were sent with a token in its last {margin_s:.1f} s"


def find_bad_fetches(evidence: Evidence, life_s: float) -> Iterator[str]:
    """Yield what the token calls say against the proxy."""
    least, most = count_implied_calls(evidence.elapsed_s, life_s)
    if not least <= evidence.issued <= most:
        yield f"{evidence.issued} token calls in {evidence.elapsed_s:.0f} s; the policy implies {least} to {most}"
    if len(evidence.fetches) != evidence.issued:
        yield f"{evidence.issued} token calls arrived, {len(evidence.fetches)} are in the log"
    reasons = [record["reason"] for record in evidence.fetches]
    if reasons != ["start"] + ["refresh"] * (len(reasons) - 1):
        yield f"token calls were made for other reasons than start and refresh: {reasons}"


def count_implied_calls(elapsed_s: float, life_s: float) -> tuple[int, int]:
    """Return the fewest and the most token calls that the policy implies for a span of time, the first included."""
    soonest_s, latest_s = refresh_after(life_s, 0.0), refresh_after(life_s, 1.0) + SLACK_S
    return 1 + math.floor(elapsed_s / latest_s), 1 + math.floor((elapsed_s + SLACK_S) / soonest_s)


def describe_success(evidence: Evidence) -> str:
    """Describe a run that is as it should be."""
    left_s = min(record["token_expires_in_s"] for record in evidence.exchanges)
    slowest_ms = max(record["timing_ms"]["total"] for record in evidence.exchanges)
    tokens = {record["attempts"][0]["token"] for record in evidence.exchanges}
    return (
        f"{len(evidence.exchanges):,} requests, none waited for a token, none bore a dead one: {evidence.issued} token "
        f"calls, {len(tokens)} tokens used, the oldest with {left_s:.1f} s to live; slowest request {slowest_ms:.1f} ms"
    )


if __name__ == "__main__":
    sys.exit(main())

"""A day compressed: short tokens, a token server in bad weather, steady load; no client may ever notice.

    python -m bench.token_day [--seconds S] [--rate R] [--life L] [--seed N]

Ten minutes of tokens that live for five seconds are as many refreshes as five days of RapidSOS's.  The proxy is a
process of its own in front of the simulator, whose token server fails in every way that passes, again and again, for
less time than is left of a token, and whose tokens are revoked.  Exit code 1 if a client saw a failure, or if the
records tell of a request that bore a dead token, or of a storm of token calls.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import math
import random
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.process import BenchError
from bench.proxies import Setting, running_own
from bench.steady import OK, Sent, Steady, say, send_all
from bench.weather import KILLING, Weather
from proxy.logs import set_up_logs
from proxy.simulator.server import Simulator
from proxy.simulator.settings import SimulatorSettings
from proxy.tokens.policy import SHORTEST_PAUSE_S

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator, Sequence

UNAUTHORIZED = 401
SHOWN = 10


@dataclass(frozen=True, slots=True)
class Options(Steady):
    """What to run.

    Attributes:
        life_s: Of each token.
        seed: Of the weather's dice.
    """

    life_s: float
    seed: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is left when proxy and load have ended.

    Attributes:
        elapsed_s: From the proxy's first token to the end of the load.
        exchanges: The traffic log's records of exchanges.
        fetches: The traffic log's records of token calls.
        dead: How many requests reached the upstream with no token that was alive.
        issued: Token calls that the simulator received.
        met: What befell the token server, and how often.
    """

    sent: Sent
    elapsed_s: float
    exchanges: Sequence[dict[str, Any]]
    fetches: Sequence[dict[str, Any]]
    dead: int
    issued: int
    met: Counter[str]


def main() -> int:
    """Run the command; return its exit code."""
    options = parse_options(sys.argv[1:])
    set_up_logs(sys.stderr, logging.WARNING)
    say(f"seed {options.seed}")
    try:
        evidence = asyncio.run(live_through(options))
    except BenchError as error:
        say(f"FAILED: {error}")
        return 1
    say(describe_day(evidence))
    failures = list(find_failures(evidence))
    for failure in failures:
        say(f"FAILED: {failure}")
    if not failures:
        say("PASSED: no client saw a failure")
    return int(bool(failures))


def parse_options(arguments: Sequence[str]) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.token_day")
    parser.add_argument("--seconds", type=float, default=600.0, help="of steady load (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=100.0, help="requests per second (default: %(default)s)")
    parser.add_argument("--life", type=float, default=5.0, help="of each token, in seconds (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of the weather (default: random)")
    given = parser.parse_args(arguments)
    return Options(given.seconds, given.rate, given.life, given.seed)


async def live_through(options: Options) -> Evidence:
    """Run proxy, simulator, weather and load, and collect what they saw.

    Raises:
        BenchError: If the proxy does not start, or ends by itself.
    """
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="day-")))
        authority = Simulator(SimulatorSettings(token_life_s=options.life_s, keep_requests=2 * options.requests))
        await authority.start()
        stack.push_async_callback(authority.stop)
        proxy = await stack.enter_async_context(running_own(Setting(authority.url, authority, directory)))
        ready_at = time.monotonic()
        weather = Weather(authority, options.life_s, random.Random(options.seed))
        async with asyncio.TaskGroup() as tasks:
            blowing = tasks.create_task(weather.blow())
            sent = await send_all(
                proxy.url, options, lambda: f"{authority.token_requests.total:4} token calls   {weather.now}"
            )
            blowing.cancel()
        elapsed_s = time.monotonic() - ready_at
        authority.faults.clear()
        authority.release()
        await proxy.process.stop()
        records = list(proxy.traffic.read_records())
        return Evidence(
            sent=sent,
            elapsed_s=elapsed_s,
            exchanges=[record for record in records if record["event"] == "exchange.closed"],
            fetches=[record for record in records if record["event"] == "token.fetched"],
            dead=sum(not seen.authorized for seen in authority.requests),
            issued=authority.token_requests.total,
            met=weather.met,
        )


def find_failures(evidence: Evidence) -> Iterator[str]:
    """Yield what a client noticed, and what the records say against the proxy."""
    yield from evidence.sent.failures[:SHOWN]
    exchanges = evidence.exchanges
    if len(exchanges) != evidence.sent.requests:
        yield f"{evidence.sent.requests} requests sent, {len(exchanges)} in the log"
    failed = sum(record["response"]["status"] != OK for record in exchanges)
    if failed:
        yield f"{failed} requests failed by the log"
    rejected = sum(count_rejected(record) for record in exchanges)
    if evidence.dead != rejected:
        yield f"{evidence.dead} requests reached the upstream with no token, or a dead one; {rejected} were sent again"
    if rejected and not any(evidence.met[kind] for kind in KILLING):
        yield f"{rejected} requests bore a dead token, though nothing had killed one before its time"
    left_s = [record["token_expires_in_s"] for record in exchanges if record["token_expires_in_s"] is not None]
    expired = sum(left <= 0 for left in left_s)
    if expired:
        yield f"{expired} requests were sent with an expired token"
    most = math.ceil(evidence.elapsed_s / SHORTEST_PAUSE_S) + 1
    if evidence.issued > most:
        yield f"{evidence.issued} token calls in {evidence.elapsed_s:.0f} s; the policy allows {most}"
    if not sum(evidence.met.values()):
        yield "the weather was calm all day; nothing was shown"


def count_rejected(exchange: dict[str, Any]) -> int:
    """Return how many attempts of an exchange the upstream answered with 401."""
    return sum(attempt["status"] == UNAUTHORIZED for attempt in exchange["attempts"])


def describe_day(evidence: Evidence) -> str:
    """Describe what befell the token server, and what requests felt of it."""
    exchanges = evidence.exchanges
    waited = [record["timing_ms"]["token"] for record in exchanges if record["timing_ms"]["token"]]
    again = sum(len(record["attempts"]) > 1 for record in exchanges)
    failed = sum(record["outcome"] != "ok" for record in evidence.fetches)
    slowest_ms = max((record["timing_ms"]["total"] for record in exchanges), default=0.0)
    met = ", ".join(f"{kind} {count}" for kind, count in sorted(evidence.met.items()))
    return (
        f"token calls that met a fault, and revocations: {met}\n"
        f"{len(exchanges):,} requests; {evidence.issued} token calls, {failed} of them failed; {again} requests went "
        f"again with a new token; {len(waited)} waited for one, {max(waited, default=0.0):.0f} ms at most; slowest "
        f"request {slowest_ms:.0f} ms"
    )


if __name__ == "__main__":
    sys.exit(main())

"""A long run of everything at once: no client may see a failure that no fault demands, and nothing may be lost or grow.

    python -m bench.soak [--minutes M] [--rate R] [--life L] [--seed N] [--calm-upstreams]

The proxy is a process of its own in front of two upstreams, one behind TLS, that fail in every way, and of a token
server in bad weather, whose secret changes again and again.  The load does not wait for answers before it sends.  Exit
code 1 when a request failed that no fault accounts for (with calm upstreams: when any did), when one is not in the
traffic log exactly once, when one waited for a token or bore one that had expired, or when memory or descriptors grow.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import math
import random
import sys
from typing import TYPE_CHECKING

from bench.process import BenchError
from bench.proxies import MEBIBYTE
from bench.soak.run import Evidence, Options, say, soak
from proxy.logs import set_up_logs
from proxy.tokens.policy import SHORTEST_PAUSE_S
from proxy.tokens.token import STOPPED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.soak.verdict import Verdict

SHOWN = 10
LARGEST_GROWTH = 8 * MEBIBYTE
MEMORY_JUDGED_S = 900.0
"""A shorter run ends while memory still rises to its level, in steps, as crowds and large bodies happen to meet."""
LONGEST_LAG_S = 0.4
"""A token is sent until it is within half a second of its end (at ten seconds of life)."""
MOST_MORE_DESCRIPTORS = 32
"""Connections come and go; a leak at this load is of thousands."""


def main() -> int:
    """Run the command; return its exit code."""
    options = parse_options(sys.argv[1:])
    set_up_logs(sys.stderr, logging.WARNING)
    say(f"seed {options.seed}: {options.seconds:.0f} s, {options.rate:g} a second, tokens of {options.life_s:g} s")
    try:
        evidence = asyncio.run(soak(options))
    except BenchError as error:
        say(f"FAILED: {error}")
        return 1
    for line in describe(evidence):
        say(line)
    failures = list(find_failures(evidence, is_calm=options.is_calm))
    for failure in failures:
        say(f"FAILED: {failure}")
    if not failures:
        say("PASSED")
    elif evidence.lag_s > LONGEST_LAG_S:
        say("This machine was too busy: what has to do with tokens and time is not to be relied on; run it again.")
    return int(bool(failures))


def parse_options(arguments: Sequence[str]) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak")
    parser.add_argument("--minutes", type=float, default=30.0, help="of load (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=120.0, help="requests per second (default: %(default)s)")
    parser.add_argument("--life", type=float, default=10.0, help="of each token, in seconds (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of the dice (default: random)")
    parser.add_argument(
        "--calm-upstreams", action="store_true", help="the token server alone fails: no client may see it"
    )
    given = parser.parse_args(arguments)
    return Options(60.0 * given.minutes, given.rate, given.life, given.seed, given.calm_upstreams)


def describe(evidence: Evidence) -> Iterator[str]:
    """Yield the numbers, a line each."""
    verdict, early, late = evidence.verdict, evidence.gauge.early(), evidence.gauge.late()
    logged = verdict.sent - len(verdict.missing) - len(verdict.double)
    yield f"requests sent                       {verdict.sent:9,}"
    yield f"answered right                      {verdict.right:9,}"
    yield f"whose clients left first            {verdict.left:9,}"
    for kind, count in sorted(verdict.demanded.items()):
        yield f"failed as demanded: {kind:16}{count:9,}"
    yield f"failed otherwise                    {len(verdict.wrong):9,}"
    yield f"sent again on another connection    {verdict.again:9,}"
    yield f"sent again with another token       {verdict.renewed:9,}"
    yield f"in the log exactly once             {logged:9,}   in {evidence.files + 1} files"
    yield f"missing in the log                  {len(verdict.missing):9,}"
    yield f"double in the log                   {len(verdict.double):9,}"
    yield f"in the log, and of no request       {len(verdict.strange):9,}"
    yield f"memory midway and at the end, MiB   {early.resident / MEBIBYTE:9.1f} {late.resident / MEBIBYTE:9.1f}"
    yield f"descriptors midway, at the end      {early.descriptors:9} {late.descriptors:9}"
    yield f"expired tokens sent                 {count_expired(evidence):9,}"
    yield f"waited for a token                  {verdict.waited:9,}"
    yield f"waited at the end of an outage      {verdict.outlived:9,}"
    yield f"slowest, where no fault slowed      {verdict.slowest_ms:9.0f} ms"
    yield f"this load itself was late, at most  {1000 * evidence.lag_s:9.0f} ms"
    yield f"token calls                         {evidence.issued:9,}   {describe_counts(evidence.fetches)}"
    yield f"idle connections dropped            {evidence.drops:9,}"
    yield f"token calls that met a fault: {describe_counts(evidence.met)}"


def describe_counts(counts: dict[str, int]) -> str:
    """Describe how often each thing was."""
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def count_expired(evidence: Evidence) -> int:
    """Return how many requests bore no token, or one that was dead though nothing had killed it before its time."""
    return evidence.dead["expired"] + evidence.dead["absent"]


def find_failures(evidence: Evidence, *, is_calm: bool = False) -> Iterator[str]:
    """Yield what does not hold."""
    yield from find_bad_requests(evidence.verdict)
    if expired := count_expired(evidence):
        yield f"{expired} requests reached an upstream with no token, or one that had expired"
    most = math.ceil(evidence.elapsed_s / SHORTEST_PAUSE_S) + 1
    if evidence.issued > most:
        yield f"{evidence.issued} token calls in {evidence.elapsed_s:.0f} s; the policy allows {most}"
    unsent = evidence.fetches.total() - evidence.issued
    if not 0 <= unsent <= evidence.fetches[STOPPED]:  # what the end has cut short may not have arrived
        yield f"{evidence.issued} token calls arrived, {evidence.fetches.total()} are in the log"
    early, late = evidence.gauge.early(), evidence.gauge.late()
    if late.at_s >= MEMORY_JUDGED_S and late.resident - early.resident > LARGEST_GROWTH:
        yield f"memory grew by {(late.resident - early.resident) / MEBIBYTE:.1f} MiB"
    if late.descriptors - early.descriptors > MOST_MORE_DESCRIPTORS:
        yield f"descriptors grew from {early.descriptors} to {late.descriptors}"
    if is_calm and evidence.verdict.demanded:
        yield f"clients saw failures of upstreams that had none: {describe_counts(evidence.verdict.demanded)}"
    if not (evidence.met.total() and (is_calm or (evidence.drops and evidence.verdict.demanded))):
        yield "nothing befell the proxy; nothing was shown"


def find_bad_requests(verdict: Verdict) -> Iterator[str]:
    """Yield what a client saw that it should not have, and where the log is not complete."""
    yield from verdict.wrong[:SHOWN]
    if verdict.wrong:
        yield f"{len(verdict.wrong)} requests failed, or were recorded, as no fault demands"
    for numbers, what in ((verdict.missing, "are not in the log"), (verdict.double, "are in the log more than once")):
        if numbers:
            yield f"{len(numbers)} requests {what}, such as {numbers[:SHOWN]}"
    if verdict.strange:
        yield f"{len(verdict.strange)} records are of no request that was sent, such as {verdict.strange[:SHOWN]}"
    if verdict.waited:
        yield f"{verdict.waited} requests waited for a token, and no outage had outlived the last one"


if __name__ == "__main__":
    sys.exit(main())

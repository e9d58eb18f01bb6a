"""The race: our proxy with its full traffic log against others, side by side, each alone on one core.

    python -m bench.race [--quick] [--rounds N] [--seconds S] [--save]

The proxy under load has one core to itself; load generator and upstream share the other, for every proxy alike.
Rounds alternate, and turn about: a machine that slows down slows all of them.  Before the first round each proxy is
seen to relay the same bytes with a token that was really issued; after the last, every exchange must be in the log or
counted as dropped.  Exit code 1 when something of this does not hold, or, without --quick, a floor is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import sys
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import ClientSession

from bench.load import Work, find_load
from bench.process import BenchError, pinned
from bench.proxies import OwnProxy, RunningProxy, Setting, running_own, running_tutorial
from bench.report import Floor, LogCheck, Report, Round, describe_machine
from bench.upstream import Answers, Upstream, running_upstream
from proxy.logs import set_up_logs
from proxy.simulator.server import Simulator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.load import Load

CONNECTIONS = 32
WARM_UP_S = 1.0
FLOORS = (Floor("GET", "aiohttp tutorial", 2.5),)
RESULTS = Path(__file__).parent / "results"

_REMARKS = "caller reports smoke on the third floor, two people cannot leave the building; "
_TRIGGER = json.dumps({"callback": "+15555550100", "location": {"latitude": 38.9, "longitude": -77.03}, "text": ""})
_ALERT = json.dumps({"alert_id": "alert-7f3a91", "caller_id": "15555550100", "status": "NEW", "remarks": ""})


def build_filled(document: str) -> str:
    """Fill the last, empty, text of a JSON document until it is 1 KiB."""
    filling = (_REMARKS * 20)[: 1024 - len(document)]
    return f"{document[:-2]}{filling}{document[-2:]}"


ANSWERS = Answers(get=build_filled(_ALERT), post=json.dumps({"alert_id": "alert-7f3a91"}))
WORKS = (
    Work("GET", "GET", "/egress/v1/location?caller_id=15555550100"),
    Work("POST", "POST", "/ingress/v1/rem/trigger", build_filled(_TRIGGER)),
)


@dataclass(frozen=True, slots=True)
class Options:
    """How long to race.

    Attributes:
        quick: Only to see that everything runs: no floor is judged.
        save: Keep the result under a name of its own.
    """

    rounds: int
    seconds: int
    quick: bool
    save: bool


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


def main() -> int:
    """Race, print, keep; return the exit code."""
    options = parse_options(sys.argv[1:])
    set_up_logs(sys.stderr, logging.WARNING)
    if not hasattr(os, "sched_setaffinity") or not Path("/proc/self/stat").exists():
        say("the race needs Linux: it gives each process a core and reads CPU times from /proc")
        return 1
    try:
        report = asyncio.run(race(options))
    except BenchError as error:
        say(f"the race could not be run: {error}")
        return 1
    say(report.build_table())
    say(f"written: {write_result(report, save=options.save)}")
    return judge(report, quick=options.quick)


def parse_options(arguments: Sequence[str]) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.race", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--quick", action="store_true", help="three rounds of two seconds; no floor is judged")
    parser.add_argument("--rounds", type=int, help="of each proxy at each kind of work (default: 5)")
    parser.add_argument("--seconds", type=int, help="of each round (default: 4)")
    parser.add_argument("--save", action="store_true", help=f"keep the result in {RESULTS.name}/ under its date")
    given = parser.parse_args(arguments)
    rounds, seconds = (3, 2) if given.quick else (5, 4)
    return Options(given.rounds or rounds, given.seconds or seconds, given.quick, given.save)


async def race(options: Options) -> Report:
    """Run everything.

    Raises:
        BenchError: If something does not start, or does not do what it is there for.
    """
    cores = choose_cores()
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="race-")))
        stack.enter_context(pinned(cores.others))
        authority = Simulator()
        await authority.start()
        stack.push_async_callback(authority.stop)
        upstream = await stack.enter_async_context(running_upstream(ANSWERS, directory, cores.others))
        setting = Setting(upstream.url, authority, directory, cores.proxy)
        own = await stack.enter_async_context(running_own(setting))
        tutorial = await stack.enter_async_context(running_tutorial(setting))
        racers = (own, tutorial)
        load = find_load(directory, cores.others)
        report = Report(own.name, build_setting(options, cores, load, upstream, racers))
        for racer in racers:
            await verify(racer, upstream.url, authority)
        await run_rounds(report, racers, load, options)
        report.memory = {racer.name: racer.process.memory() for racer in racers}
        report.log = await check_log(own)
    return report


def choose_cores() -> Cores:
    """Choose two of the cores that we may use."""
    usable = sorted(os.sched_getaffinity(0))
    return Cores(usable[0], usable[1]) if len(usable) > 1 else Cores(None, None)


def build_setting(
    options: Options, cores: Cores, load: Load, upstream: Upstream, racers: Sequence[RunningProxy]
) -> dict[str, object]:
    """Build the part of the result that says what was measured."""
    return {
        **describe_machine(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": cores.describe(),
        "load": load.name,
        "connections": CONNECTIONS,
        "upstream": upstream.name,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "logs": {racer.name: racer.log for racer in racers},
    }


async def verify(racer: RunningProxy, upstream: str, authority: Simulator) -> None:
    """See that a proxy relays the upstream's bytes, with a token that the authority issued.

    Raises:
        BenchError: If not.
    """
    async with ClientSession() as session:
        presented = (await _fetch(session, racer.url, Work("whoami", "GET", "/egress/whoami"))).decode()
        if presented not in {f"Bearer {token.value}" for token in authority.tokens}:
            message = f"{racer.name} sends no token that was issued"
            raise BenchError(message)
        for work in WORKS:
            direct = await _fetch(session, upstream, work, {"Authorization": presented})
            if await _fetch(session, racer.url, work) != direct:
                message = f"{racer.name} answers {work.name} with other bytes than the upstream"
                raise BenchError(message)


async def run_rounds(report: Report, racers: Sequence[RunningProxy], load: Load, options: Options) -> None:
    """Run every round, each proxy first as often as last."""
    for work in WORKS:
        for racer in racers:
            await load.drive(racer.port, work, CONNECTIONS, WARM_UP_S)
        for number in range(options.rounds):
            for racer in racers if number % 2 == 0 else reversed(racers):
                each = await run_round(racer, work, load, options.seconds)
                report.row(work.name, racer.name).rounds.append(each)
                say(f"{work.name} round {number + 1}: {racer.name} {each.rate:,.0f} requests/s, {each.cpu_us:.1f} µs")


async def run_round(racer: RunningProxy, work: Work, load: Load, seconds: float) -> Round:
    """Measure one proxy once."""
    before = racer.process.cpu_s()
    measured = await load.drive(racer.port, work, CONNECTIONS, seconds)
    cpu_s = racer.process.cpu_s() - before
    racer.process.check_running()
    if isinstance(racer, OwnProxy):
        racer.traffic.clear_rotated()
    return Round(measured, cpu_s)


async def check_log(own: OwnProxy) -> LogCheck:
    """Stop our proxy, and compare what it counted with what is in its log.

    Exchanges that the load generator left behind at a round's end close within moments, and are counted too.
    """
    while (metrics := await own.read_metrics())["rapidsos_proxy_exchanges_in_flight"]:  # noqa: ASYNC110 (no event)
        await asyncio.sleep(0.05)
    await own.process.stop()
    own.traffic.count_rest()
    return LogCheck(
        exchanges=int(metrics["rapidsos_proxy_requests_total"]),
        records=own.traffic.exchanges,
        dropped=int(metrics["rapidsos_proxy_log_records_dropped_total"]),
    )


def judge(report: Report, *, quick: bool) -> int:
    """Say what does not hold; return the exit code."""
    errors = report.find_errors()
    for error in errors:
        say(f"FAILED: {error}")
    missed = False
    for floor in FLOORS:
        ratio = report.ratio(floor.work, floor.proxy)
        holds = ratio >= floor.least
        missed |= not holds
        verdict = "not judged, too short a race" if quick else "met" if holds else "MISSED"
        say(f"{floor.work} against {floor.proxy}: {ratio:.2f}, floor {floor.least}: {verdict}")
    return int(bool(errors) or (missed and not quick))


def write_result(report: Report, *, save: bool) -> Path:
    """Write the JSON; return its path."""
    RESULTS.mkdir(exist_ok=True)
    name = report.setting["at"].replace(":", "") if save else "latest"
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(report.build_json(), indent=2) + "\n")
    return path


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


async def _fetch(session: ClientSession, origin: str, work: Work, fields: dict[str, str] | None = None) -> bytes:
    headers = {**work.build_fields(), **(fields or {})}
    async with session.request(work.method, origin + work.path, data=work.body or None, headers=headers) as answer:
        answer.raise_for_status()
        return await answer.read()


if __name__ == "__main__":
    sys.exit(main())

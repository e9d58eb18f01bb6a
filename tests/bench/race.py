"""The race: our proxy with its full traffic log against others, side by side, each alone on one core.

    python -m bench.race [--quick] [--save] [--only PARTS] [--against PEERS] [--rounds N] [--seconds S] [--results DIR]

The proxy under load has one core to itself; load generator and upstream share the other, for every proxy alike.
Rounds alternate, and turn about: a machine that slows down slows all of them.  Before the first round each proxy is
seen to relay the same bytes with a token that was really issued; after the last, every exchange must be in our log.

Exit code 1 when something of this does not hold, or, without --quick, a floor is missed, or cannot be judged because
its peer is missing or somebody was held up by others on its core.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.goals import Standing, build_goals, judge
from bench.load import Wrk
from bench.machine import check_machine, choose_cores, describe_machine, raise_descriptor_limit
from bench.parts.table import PARTS
from bench.peers.table import PEERS
from bench.process import BenchError, pinned
from bench.programs import CHART_PYTHON, check_indispensable
from bench.proxies import OWN
from bench.report import build_table
from bench.result import Result
from bench.track import CONNECTIONS, Options, Track, say
from bench.upstream import running_upstream
from bench.work import ANSWERS
from proxy.logs import set_up_logs
from proxy.simulator.server import Simulator
from proxy.simulator.settings import SimulatorSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.goals import Verdict

RESULTS = Path(__file__).parent / "results"
FAILED = frozenset({Standing.MISSED, Standing.MISSING, Standing.HELD_UP})
_TOKEN_LIFE_S = 86_400.0
"""Longer than any race: only the part about refresh has tokens that die."""


def main() -> int:
    """Race, print, keep; return the exit code."""
    options = parse_options(sys.argv[1:])
    set_up_logs(sys.stderr, logging.WARNING)
    started = time.monotonic()
    try:
        check_machine()
        check_indispensable()
        result = asyncio.run(race(options))
    except BenchError as error:
        say(f"the race could not be run: {error}")
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        say("the race was stopped")
        return 1
    result.setting["took_s"] = round(time.monotonic() - started)
    verdicts = judge(result, build_goals(), quick=options.quick)
    say(f"\n{build_table(result, verdicts)}\n\ntook {result.setting['took_s']} s")
    write_result(result, verdicts, options)
    return find_exit_code(result, verdicts, quick=options.quick)


def parse_options(arguments: Sequence[str]) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.race", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    names = [peer.name.lower() for peer in PEERS]
    parser.add_argument("--quick", action="store_true", help="everything once, for a second; nothing is judged")
    parser.add_argument("--rounds", type=int, help="of each proxy at each kind of work (default: 5)")
    parser.add_argument("--seconds", type=int, help="of each round (default: 4)")
    parser.add_argument("--save", action="store_true", help="keep the result under its date, beside others")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the result is written")
    parser.add_argument("--only", default="", help=f"parts to race, with commas: {', '.join(PARTS)}")
    parser.add_argument("--against", default="", help=f"peers to race, with commas: {', '.join(names)}")
    given = parser.parse_args(arguments)
    rounds, seconds = (1, 1) if given.quick else (5, 4)
    return Options(
        given.rounds or rounds,
        given.seconds or seconds,
        given.quick,
        given.save,
        given.results,
        choose(parser, given.only, PARTS) or tuple(PARTS),
        frozenset(choose(parser, given.against, names)),
    )


def choose(parser: argparse.ArgumentParser, given: str, names: Sequence[str] | dict[str, Any]) -> tuple[str, ...]:
    """Split names at commas; end with an error at one that there is not."""
    chosen = tuple(name.strip().lower() for name in given.split(",") if name.strip())
    for name in chosen:
        if name not in names:
            parser.error(f"there is no {name!r}; there are {', '.join(names)}")
    return chosen


async def race(options: Options) -> Result:
    """Run everything.

    Raises:
        BenchError: If the upstream does not start; what ends one part is in the result.
    """
    stop_in_order()
    descriptors, cores = raise_descriptor_limit(), choose_cores()
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="race-")))
        stack.enter_context(pinned(cores.others))
        authority = Simulator(SimulatorSettings(token_life_s=_TOKEN_LIFE_S))
        await authority.start()
        stack.push_async_callback(authority.stop)
        upstream = await stack.enter_async_context(running_upstream(ANSWERS, directory, cores.others))
        result = build_result(options, cores.describe())
        load = Wrk(directory, cores.others)
        track = Track(options, cores, directory, descriptors, load, authority, upstream, result)
        for part in options.parts:
            try:
                await PARTS[part](track)
            except BenchError as error:
                result.failures[part] = str(error)
                say(f"{part} FAILED: {error}")
    return result


def build_result(options: Options, cores: str) -> Result:
    """Build a result that has only what was measured, and who is missing."""
    setting = {
        **describe_machine(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": cores,
        "connections": CONNECTIONS,
        "quick": options.quick,
        "parts": options.parts,
        "rounds": options.rounds,
        "seconds": options.seconds,
    }
    wanted = [peer for peer in PEERS if not options.against or peer.name.lower() in options.against]
    absent = {peer.name: peer.program.remedy for peer in wanted if peer.program.find() is None}
    for name, remedy in absent.items():
        say(f"MISSING: {name}: {remedy}")
    return Result(OWN, setting, absent=absent, left_out=frozenset({peer.name for peer in PEERS if peer not in wanted}))


def stop_in_order() -> None:
    """Have SIGTERM end the race as Ctrl-C does: what it started is stopped, what it wrote is removed."""
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


def find_exit_code(result: Result, verdicts: Sequence[Verdict], *, quick: bool) -> int:
    """Say what does not hold; return the exit code."""
    errors = result.find_errors()
    for error in errors:
        say(f"FAILED: {error}")
    missed = [verdict for verdict in verdicts if verdict.standing in FAILED]
    for verdict in missed:
        say(f"{verdict.standing.value}: {verdict.goal.number}. {verdict.goal.name}")
    return int(bool(errors) or (bool(missed) and not quick))


def write_result(result: Result, verdicts: Sequence[Verdict], options: Options) -> None:
    """Write JSON, CSV and chart, and say where."""
    options.results.mkdir(exist_ok=True)
    name = result.setting["at"].replace(":", "") if options.save else "latest"
    path = options.results / f"{name}.json"
    document = {**result.build_json(), "own": result.own, "goals": [build_verdict(verdict) for verdict in verdicts]}
    path.write_text(json.dumps(document, indent=2) + "\n")
    path.with_suffix(".csv").write_text(result.build_csv())
    say(f"written: {path}, .csv")
    draw_chart(path)


def build_verdict(verdict: Verdict) -> dict[str, Any]:
    """Build what the JSON keeps of it."""
    goal = {name: value for name, value in asdict(verdict.goal).items() if name != "figure"}
    return {**goal, "figure": verdict.figure, "standing": verdict.standing.value, "reason": verdict.reason}


def draw_chart(path: Path) -> None:
    """Have the chart drawn by the environment that has matplotlib."""
    python = CHART_PYTHON.find()
    chart = path.with_suffix(".png")
    if python is None:
        say(f"no chart: {CHART_PYTHON.remedy}")
        return
    done = subprocess.run(
        [python, str(Path(__file__).with_name("chart.py")), str(path), str(chart)],
        capture_output=True,
        text=True,
        check=False,
    )
    say(f"written: {chart}" if done.returncode == 0 else f"no chart: {done.stderr.strip().splitlines()[-1]}")


if __name__ == "__main__":
    sys.exit(main())

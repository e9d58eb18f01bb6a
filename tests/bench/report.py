"""The table that people read."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from bench.bodies import MEBIBYTE
from bench.goals import Standing
from bench.result import Unknown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.goals import Verdict
    from bench.result import Result, Row

_KIBIBYTE = 1024
_HEADING = f"{'':44}{'requests/s':>12}{'CPU µs':>9}{'core':>7}{'p50 µs':>10}{'p99 µs':>11}   ours to it: requests, CPU"


def build_table(result: Result, verdicts: Sequence[Verdict]) -> str:
    """Build all of it."""
    blocks = (
        _describe_setting(result),
        _describe_heats(result),
        _describe_bulk(result),
        _describe_memory(result),
        _describe_goals(verdicts),
        _describe_rest(result),
    )
    return "\n\n".join("\n".join(lines) for lines in map(list, blocks) if lines)


def _describe_setting(result: Result) -> Iterator[str]:
    setting = result.setting
    machine = setting["machine"]
    before = f"load average {machine['load_average']:.1f} before"
    yield f"{machine['processor']}, {machine['cores']} cores, {before}; {setting['cores']}"
    yield ", ".join(f"{name} {number}" for name, number in setting["versions"].items() if number)
    yield f"commit {setting['commit']}; medians of {setting['rounds']} alternating rounds of {setting['seconds']} s"
    yield from (f"MISSING: {name}: {why}" for name, why in result.absent.items())


def _describe_heats(result: Result) -> Iterator[str]:
    if result.rows:
        yield _HEADING
    for heat in dict.fromkeys(row.heat for row in result.rows):
        yield heat
        yield from (_describe_row(result, row) for row in result.rows if row.heat == heat)
        if heat in result.full_heats:
            yield from (f"  {name:42}{'missing':>12}" for name in result.absent)


def _describe_row(result: Result, row: Row) -> str:
    figures = row.medians()
    return (
        f"  {f'{row.proxy}, {row.log}':42}{figures['requests_per_s']:12,.0f}{figures['cpu_us_per_request']:9.1f}"
        f"{figures['core_share']:7.0%}{figures['p50_us']:10,.0f}{figures['p99_us']:11,.0f}"
        f"{_describe_ratio(result, row)}"
    )


def _describe_ratio(result: Result, row: Row) -> str:
    if row.proxy == result.own:
        return ""
    try:
        requests = result.ratio(row.heat, row.proxy)
    except Unknown:
        return ""
    cpu = result.find(row.heat).median("cpu_us_per_request") / max(0.001, row.median("cpu_us_per_request"))
    return f"   {requests:9.2f} {cpu:14.2f}"


def _describe_bulk(result: Result) -> Iterator[str]:
    if result.bulk:
        yield f"{'bodies of 100 MiB':44}{'MB/s':>12}{'grew MiB':>10}"
    for bulk in result.bulk:
        growth = max(bulk.growths) / MEBIBYTE
        yield f"  {f'{bulk.direction}: {bulk.proxy}':42}{median(bulk.rates):12,.0f}{growth:10.1f}"


def _describe_memory(result: Result) -> Iterator[str]:
    if result.memory:
        yield f"{'resident memory':44}{'idle MiB':>12}{'KiB per idle client':>22}"
    for name, memory in result.memory.items():
        each = f"{memory.each / _KIBIBYTE:.2f} of {memory.clients:,}"
        yield f"  {name:42}{memory.idle / MEBIBYTE:12.1f}{each:>22}"


def _describe_goals(verdicts: Sequence[Verdict]) -> Iterator[str]:
    raced = [verdict for verdict in verdicts if verdict.standing is not Standing.NOT_RACED]
    if raced:
        yield f"{'goals':75}{'figure':>9}{'floor':>9}{'goal':>9}"
    if len(raced) < len(verdicts):
        yield f"  {len(verdicts) - len(raced)} more are about what was not raced this time"
    for verdict in raced:
        goal = verdict.goal
        figure = "" if verdict.figure is None else f"{verdict.figure:.2f}"
        sign = "<=" if goal.at_most else ">="
        wanted = "" if goal.goal is None else f"{sign} {goal.goal:g}"
        why = f": {verdict.reason}" if verdict.reason else ""
        name = f"{goal.number}. {goal.name}"
        yield f"  {name:73}{figure:>9}{f'{sign} {goal.floor:g}':>9}{wanted:>9}   {verdict.standing.value}{why}"


def _describe_rest(result: Result) -> Iterator[str]:
    for part, log in result.logs.items():
        yield (
            f"our traffic log, {part}: {log.records:,} records of {log.exchanges:,} exchanges, "
            f"{log.dropped:,} dropped and counted"
        )

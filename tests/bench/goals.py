"""What a race is to show: each ratio with the floor that must hold and the goal that we are after."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from statistics import median
from typing import TYPE_CHECKING

from bench.bodies import LARGEST_GROWTH, MEBIBYTE
from bench.parts import bodies, crowd, latency, refresh, throughput, workers
from bench.peers.table import ENVOY_PEER, MITMPROXY_PEER, NGINX_PEER, TUTORIAL_PEER
from bench.result import Missing, NotRaced, Unknown
from bench.track import CONNECTIONS
from bench.work import GET, POST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from bench.peers.peer import Peer
    from bench.result import Result

_KIBIBYTE = 1024
_BUSY = 0.9
"""With 32 clients that never rest, a proxy that has less of its core busy is not what limits them."""
_WAITED = 0.1
"""Of a core that is its own, where it is not busy: the threads of a busy one wait for each other."""


class Standing(Enum):
    """How a figure stands to floor and goal."""

    GOAL = "goal met"
    FLOOR = "floor met, goal not"
    MISSED = "FLOOR MISSED"
    HELD_UP = "NOT JUDGED, held up"
    """Somebody had no core to itself: another machine's rest, or another hour's, is wanted."""
    MISSING = "NOT JUDGED"
    """A peer cannot be had."""
    NOT_RACED = "not raced"
    UNKNOWN = "not measured"
    UNJUDGED = "not judged"


@dataclass(frozen=True, slots=True)
class Goal:
    """One thing that must hold.

    Attributes:
        number: Of the goal that it is part of.
        name: What the table calls it.
        figure: Reads it from a result; raises Unknown where it is not there.
        floor: What must hold.
        goal: What we are after; None where that is the floor.
        at_most: Whether less is better.
        heats: Where ours and ``peer`` must not have been held up; for large bodies their direction.
        peer: With whom ours is compared; None for nobody.
    """

    number: int
    name: str
    figure: Callable[[Result], float]
    floor: float
    goal: float | None = None
    at_most: bool = False
    heats: tuple[str, ...] = ()
    peer: str | None = None

    def judge(self, figure: float) -> Standing:
        """Say how a figure stands."""
        if not self._holds(figure, self.floor):
            return Standing.MISSED
        return Standing.GOAL if self.goal is None or self._holds(figure, self.goal) else Standing.FLOOR

    def _holds(self, figure: float, bound: float) -> bool:
        return figure <= bound if self.at_most else figure >= bound


@dataclass(frozen=True, slots=True)
class Verdict:
    """A goal, and what came of it.

    Attributes:
        figure: None if there is none.
        reason: Why there is none; else empty.
    """

    goal: Goal
    standing: Standing
    figure: float | None
    reason: str = ""


def judge(result: Result, goals: Iterable[Goal], *, quick: bool) -> list[Verdict]:
    """Judge every goal; none if the race was only a quick one, whose figures mean little."""
    return [_judge_one(result, goal, quick=quick) for goal in goals]


def _judge_one(result: Result, goal: Goal, *, quick: bool) -> Verdict:
    try:
        figure = goal.figure(result)
    except Unknown as unknown:
        return Verdict(goal, _find_standing(unknown), None, str(unknown))
    if quick:
        return Verdict(goal, Standing.UNJUDGED, figure)
    if held_up := list(_find_held_up(result, goal)):
        return Verdict(goal, Standing.HELD_UP, figure, held_up[0])
    return Verdict(goal, goal.judge(figure), figure)


def _find_held_up(result: Result, goal: Goal) -> Iterator[str]:
    """Say who did less than it could, since load, upstream or neighbours did not let it."""
    racers = (result.own, goal.peer)
    for row in result.rows:
        if row.heat in goal.heats and row.proxy in racers:
            busy, waited = row.median("core_share"), row.median("waited_share")
            if row.heat != latency.HEAT and busy < _BUSY:
                yield f"{row.proxy} had {busy:.0%} of its core busy: {row.heat}"
            if row.heat == latency.HEAT and waited > _WAITED:
                yield f"{row.proxy} waited {waited:.0%} of the time for its core: {row.heat}"
    for bulk in result.bulk:
        if bulk.direction in goal.heats and bulk.proxy in racers and (waited := median(bulk.waits)) > _WAITED:
            yield f"{bulk.proxy} waited {waited:.0%} of the time for its core: 100 MiB {bulk.direction}"


def _find_standing(unknown: Unknown) -> Standing:
    match unknown:
        case Missing():
            return Standing.MISSING
        case NotRaced():
            return Standing.NOT_RACED
        case _:
            return Standing.UNKNOWN


def build_goals() -> Iterator[Goal]:
    """Build all of them, in the order of their numbers."""
    yield from _build_throughput()
    yield _build_latency("p50")
    yield _build_latency("p99")
    yield _build_crowd()
    yield Goal(5, "KiB for each idle client", _read_each, 6, at_most=True)
    yield Goal(5, "MiB resident when idle", _read_idle, 80, 60, at_most=True)
    for direction in (bodies.DOWN, bodies.UP):
        yield _build_bulk(direction)
        yield _build_growth(direction)
    yield Goal(7, "CPU per exchange, two workers to one", _read_workers, 1.1, at_most=True)
    yield Goal(7, "requests/s, two workers to one", _read_workers, 1.6)
    yield _build_refresh()


def _build_throughput() -> Iterator[Goal]:
    plain, tls = throughput.PLAIN, throughput.TLS
    for work in (GET, POST):
        yield _build_ratio(1, throughput.name_heat(work, plain), ENVOY_PEER, 1.1, 1.3)
        yield _build_ratio(1, throughput.name_heat(work, tls), ENVOY_PEER, 1.0, 1.2)
    heats = [throughput.name_heat(work, upstream) for work in (GET, POST) for upstream in (plain, tls)]
    yield from (_build_ratio(2, heat, NGINX_PEER, 0.65, 0.85) for heat in heats)
    yield from (_build_ratio(3, heat, MITMPROXY_PEER, 25) for heat in heats)
    yield from (_build_ratio(3, heat, TUTORIAL_PEER, 3.3) for heat in heats)
    yield _build_ratio(3, throughput.name_heat(GET, plain), TUTORIAL_PEER, 2.5, kept=True)


def _build_ratio(
    number: int, heat: str, peer: Peer, floor: float, goal: float | None = None, *, kept: bool = False
) -> Goal:
    name = f"requests/s to {peer.name}: {heat}" + (", kept floor" if kept else "")
    return Goal(number, name, lambda result: result.ratio(heat, peer.name), floor, goal, heats=(heat,), peer=peer.name)


def _build_latency(figure: str) -> Goal:
    return Goal(
        4,
        f"added {figure}, ours to Envoy's",
        lambda result: _compare_added(result, f"{figure}_us"),
        1.0,
        at_most=True,
        heats=(latency.HEAT,),
        peer=ENVOY_PEER.name,
    )


def _build_crowd() -> Goal:
    heats = tuple(crowd.name_heat(count) for count in (CONNECTIONS, crowd.MANY))
    name = f"CPU per exchange, {crowd.MANY:,} connections to {CONNECTIONS}"
    return Goal(5, name, _compare_crowd, 1.1, at_most=True, heats=heats)


def _build_refresh() -> Goal:
    heats = (refresh.WITHOUT, refresh.WITH, refresh.AGAIN)
    name = "p99 with refresh: difference to without, in spreads"
    return Goal(8, name, _compare_refresh, 1.0, at_most=True, heats=heats)


def _compare_added(result: Result, figure: str) -> float:
    """Return what we add to the time of a request, by what Envoy adds."""
    direct, ours, theirs = (
        result.find(latency.HEAT, proxy).median(figure) for proxy in (latency.DIRECT, None, ENVOY_PEER.name)
    )
    if theirs <= direct:
        message = "Envoy added nothing that could be measured"
        raise Unknown(message)
    return (ours - direct) / (theirs - direct)


def _compare_crowd(result: Result) -> float:
    few, many = (
        result.find(crowd.name_heat(count)).median("cpu_us_per_request") for count in (CONNECTIONS, crowd.MANY)
    )
    return many / few


def _read_each(result: Result) -> float:
    return result.find_memory().each / _KIBIBYTE


def _read_idle(result: Result) -> float:
    return result.find_memory().idle / MEBIBYTE


def _build_bulk(direction: str) -> Goal:
    def compare(result: Result) -> float:
        ours, theirs = (result.find_bulk(direction, name) for name in (None, NGINX_PEER.name))
        return median(ours.rates) / median(theirs.rates)

    name = f"MB/s of 100 MiB {direction}, to nginx"
    return Goal(6, name, compare, 0.8, heats=(direction,), peer=NGINX_PEER.name)


def _build_growth(direction: str) -> Goal:
    def read(result: Result) -> float:
        return max(result.find_bulk(direction).growths) / MEBIBYTE

    return Goal(6, f"MiB that memory grows by, {direction}", read, LARGEST_GROWTH / MEBIBYTE, at_most=True)


def _read_workers(result: Result) -> float:
    if workers.PART in result.unbuilt:
        raise Unknown(result.unbuilt[workers.PART])
    raise NotRaced


def _compare_refresh(result: Result) -> float:
    """Return how far p99 with refresh lies above that without, by how far two runs without lie apart at most."""
    without, again = ([each.p99_us for each in result.find(heat).rounds] for heat in (refresh.WITHOUT, refresh.AGAIN))
    spread = max(abs(one - other) for one, other in zip(without, again, strict=True))
    difference = max(0.0, result.find(refresh.WITH).median("p99_us") - median(without + again))
    return difference / spread if spread else float(difference > 0)

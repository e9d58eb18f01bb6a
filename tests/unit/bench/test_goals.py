"""What the race concludes: each figure as the issue of speed defines it, and nothing met that was not measured."""

from __future__ import annotations

import pytest
from bench.goals import Goal, Standing, build_goals, judge
from bench.load import Measured
from bench.parts import bodies, crowd, latency, refresh, throughput
from bench.race import find_exit_code
from bench.result import Bulk, LogCheck, Memory, Result, Round
from bench.work import GET

OURS = "rapidsos-proxy"
PLAIN = throughput.name_heat(GET, throughput.PLAIN)
TO_ENVOY = f"requests/s to Envoy: {PLAIN}"


def build_round(requests=1000, *, cpu_us=None, p50_us=100.0, p99_us=200.0, errors=None, waited_s=0.0):
    """Build a round of one second, of which the proxy used all unless its time for a request is given."""
    measured = Measured(requests, 1.0, p50_us, p99_us, errors or {})
    cpu_s = 1.0 if cpu_us is None else requests * cpu_us / 1e6
    return Round(measured, cpu_s, requests, 1.0, waited_s)


class Race:
    """A result that is filled by hand."""

    def __init__(self, **known):
        """Begin with nothing measured."""
        self.result = Result(OURS, {}, **known)

    def add(self, heat, proxy, **figures):
        """Add a round."""
        self.result.add(heat, proxy, "log", build_round(**figures))

    def judge(self, name, *, quick=False):
        """Return the verdict on the one goal of that name."""
        (verdict,) = (each for each in judge(self.result, build_goals(), quick=quick) if each.goal.name == name)
        return verdict


@pytest.mark.parametrize(
    ("figure", "standing"),
    [(1.3, Standing.GOAL), (1.29, Standing.FLOOR), (1.1, Standing.FLOOR), (1.09, Standing.MISSED)],
)
def test_more_is_better(figure, standing):
    """A ratio at the goal meets it, one between meets the floor, one below misses it."""
    goal = Goal(1, "ratio", lambda _: figure, 1.1, 1.3)

    assert goal.judge(figure) is standing


@pytest.mark.parametrize(
    ("figure", "standing"),
    [(60, Standing.GOAL), (61, Standing.FLOOR), (80, Standing.FLOOR), (80.1, Standing.MISSED)],
)
def test_less_is_better(figure, standing):
    """Memory is judged the other way round."""
    goal = Goal(5, "idle", lambda _: figure, 80, 60, at_most=True)

    assert goal.judge(figure) is standing


def test_a_ratio_is_that_of_the_medians():
    """One disturbed round of either changes nothing."""
    race = Race()
    for ours, theirs in ((1200, 1000), (1, 1000), (1200, 1), (1200, 1000), (1200, 1000)):
        race.add(PLAIN, OURS, requests=ours)
        race.add(PLAIN, "Envoy", requests=theirs)

    assert race.judge(TO_ENVOY).figure == pytest.approx(1.2)
    assert race.judge(TO_ENVOY).standing is Standing.FLOOR


def test_a_missing_peer_leaves_its_floors_unjudged_and_fails_the_race(capsys):
    """Nobody can take a race without Envoy for one that Envoy lost."""
    race = Race(absent={"Envoy": "install it"})
    race.add(PLAIN, OURS)
    verdict = race.judge(TO_ENVOY)

    assert verdict.standing is Standing.MISSING
    assert verdict.reason == "Envoy is missing: install it"
    assert find_exit_code(race.result, [verdict], quick=False) == 1
    assert TO_ENVOY in capsys.readouterr().out


def test_a_missing_peer_is_no_failure_of_parts_that_were_not_raced():
    """Whoever races memory alone needs no Envoy for throughput."""
    verdict = Race(absent={"Envoy": "install it"}).judge(TO_ENVOY)

    assert verdict.standing is Standing.NOT_RACED


def test_what_was_left_out_is_no_failure():
    """Whoever tunes against one peer is not told that the others were missed."""
    race = Race(left_out=frozenset({"Envoy"}))
    race.add(PLAIN, OURS)
    verdict = race.judge(TO_ENVOY)

    assert verdict.standing is Standing.NOT_RACED
    assert find_exit_code(race.result, [verdict], quick=False) == 0


def test_a_missed_floor_fails_the_race_unless_it_is_a_quick_one():
    """Single seconds prove nothing."""
    race = Race()
    race.add(PLAIN, OURS, requests=500)
    race.add(PLAIN, "Envoy", requests=1000)
    missed, unjudged = race.judge(TO_ENVOY), race.judge(TO_ENVOY, quick=True)

    assert (missed.standing, unjudged.standing) == (Standing.MISSED, Standing.UNJUDGED)
    assert find_exit_code(race.result, [missed], quick=False) == 1
    assert find_exit_code(race.result, [unjudged], quick=True) == 0


@pytest.mark.parametrize("quick", [False, True])
def test_a_worthless_race_fails_even_if_it_is_a_quick_one(quick, capsys):
    """Errors under load, and records that are not in the log, are told and fail it."""
    race = Race()
    race.add(PLAIN, OURS, errors={"status": 3, "read": 0})
    race.result.logs["plain"] = LogCheck(exchanges=10, records=9, dropped=1)

    assert find_exit_code(race.result, [], quick=quick) == 1
    said = capsys.readouterr().out
    assert "{'status': 3}" in said
    assert "not complete" in said


def test_latency_is_what_is_added_to_none_between():
    """30 µs above the upstream's own 20 are half of Envoy's 60."""
    race = Race()
    for proxy, p50_us, p99_us in ((latency.DIRECT, 20, 40), (OURS, 50, 130), ("Envoy", 80, 100)):
        race.add(latency.HEAT, proxy, p50_us=p50_us, p99_us=p99_us)

    assert race.judge("added p50, ours to Envoy's").figure == pytest.approx(0.5)
    assert race.judge("added p99, ours to Envoy's").figure == pytest.approx(1.5)
    assert race.judge("added p99, ours to Envoy's").standing is Standing.MISSED


def test_a_crowd_is_judged_by_cpu_time():
    """However many requests a second there are, what counts is the CPU time of one."""
    race = Race()
    race.add(crowd.name_heat(32), OURS, requests=1000, cpu_us=20)
    race.add(crowd.name_heat(2000), OURS, requests=100, cpu_us=21)

    assert race.judge("CPU per exchange, 2,000 connections to 32").figure == pytest.approx(1.05)


def test_who_was_held_up_is_not_judged(capsys):
    """A neighbour on the peer's core would make it a victory; it fails the race, which is to be run again."""
    race = Race()
    race.add(PLAIN, OURS, requests=2000)
    race.add(PLAIN, "Envoy", requests=1000, cpu_us=500)
    verdict = race.judge(TO_ENVOY)

    assert verdict.standing is Standing.HELD_UP
    assert verdict.reason == f"Envoy had 50% of its core busy: {PLAIN}"
    assert find_exit_code(race.result, [verdict], quick=False) == 1
    assert TO_ENVOY in capsys.readouterr().out


def test_one_connection_leaves_a_core_idle_but_nobody_waits_for_it():
    """There the time spent waiting tells of neighbours."""
    race = Race()
    for proxy, p50_us in ((latency.DIRECT, 20), (OURS, 50), ("Envoy", 80)):
        race.add(latency.HEAT, proxy, p50_us=p50_us, cpu_us=100)
    name = "added p50, ours to Envoy's"
    assert race.judge(name).standing is Standing.GOAL

    race.add(latency.HEAT, "Envoy", p50_us=80, waited_s=0.5)
    assert race.judge(name).standing is Standing.HELD_UP


def test_a_bystander_that_was_held_up_changes_nothing():
    """Only those that are compared count."""
    race = Race()
    race.add(PLAIN, OURS, requests=2000)
    race.add(PLAIN, "Envoy", requests=1000)
    race.add(PLAIN, "HAProxy", requests=1000, cpu_us=100)

    assert race.judge(TO_ENVOY).standing is Standing.GOAL


def test_refresh_is_judged_by_the_spread_of_two_runs_without():
    """A p99 that is 30 µs longer is within what two runs differ by, 40; one 80 µs longer is not."""
    race = Race()
    for without, again in ((200, 200), (200, 240), (210, 200)):
        race.add(refresh.WITHOUT, OURS, p99_us=without)
        race.add(refresh.AGAIN, OURS, p99_us=again)
    name = "p99 with refresh: difference to without, in spreads"

    race.add(refresh.WITH, OURS, p99_us=230)
    assert race.judge(name).figure == pytest.approx(30 / 40)
    race.add(refresh.WITH, OURS, p99_us=330)
    assert race.judge(name).figure == pytest.approx(80 / 40)


def test_bodies_are_judged_against_nginx_and_by_the_worst_growth():
    """The median of the rates counts, and the round in which memory grew most."""
    race = Race()
    race.result.bulk += [
        Bulk(bodies.DOWN, OURS, [900.0, 10.0, 900.0], [0, 0, 0], [0, 31 * 2**20, 0]),
        Bulk(bodies.DOWN, "nginx", [1000.0, 1000.0, 1.0], [0, 0, 0], [0, 0, 0]),
    ]

    assert race.judge("MB/s of 100 MiB down, to nginx").figure == pytest.approx(0.9)
    assert race.judge("MiB that memory grows by, down").standing is Standing.MISSED


def test_memory_is_judged_idle_and_for_each_client():
    """In the units that the goals have."""
    race = Race()
    race.result.memory[OURS] = Memory(70 * 2**20, 10_000, 3.5 * 1024)

    assert race.judge("MiB resident when idle").standing is Standing.FLOOR
    assert race.judge("KiB for each idle client").figure == pytest.approx(3.5)


def test_every_goal_of_a_race_without_figures_says_why_there_is_none():
    """None is met by default."""
    verdicts = judge(Result(OURS, {}, unbuilt={"workers": "not built"}), build_goals(), quick=False)

    assert {verdict.standing for verdict in verdicts} == {Standing.NOT_RACED, Standing.UNKNOWN}
    assert {verdict.goal.number for verdict in verdicts} == set(range(1, 9))
    assert {verdict.reason for verdict in verdicts if verdict.goal.number == 7} == {"not built"}

"""The command behind `make bench`, its options, and a part of a race as people run it."""

from __future__ import annotations

import csv
import json
import os
import sys

import pytest
from bench.parts.table import PARTS
from bench.programs import REPOSITORY
from bench.race import parse_options
from harness.tools import find_tool, run_tool


def test_a_race_is_five_rounds_of_everything():
    """Medians of fewer are no finding."""
    options = parse_options([])

    assert (options.rounds, options.parts, options.against) == (5, tuple(PARTS), frozenset())


def test_a_quick_race_has_all_parts_too():
    """Once each."""
    options = parse_options(["--quick"])

    assert (options.rounds, options.seconds, options.parts) == (1, 1, tuple(PARTS))


def test_parts_and_peers_can_be_chosen():
    """In the order given, whatever the case."""
    options = parse_options(["--only", "tls,plain", "--against", "Envoy, aiohttp tutorial"])

    assert options.parts == ("tls", "plain")
    assert options.against == {"envoy", "aiohttp tutorial"}


@pytest.mark.parametrize("arguments", [["--only", "plian"], ["--against", "squid"]])
def test_an_unknown_name_is_answered_with_those_that_there_are(arguments, capsys):
    """A misspelt part is not a race of nothing."""
    with pytest.raises(SystemExit):
        parse_options(arguments)
    assert "there are" in capsys.readouterr().err


async def test_a_part_of_the_race_runs(tmp_path):
    """Ours and nginx get the same load; the table, every round and the medians are kept; nothing is left running."""
    find_tool("nginx")
    find_tool("wrk")
    command = (sys.executable, "-m", "bench.race", "--quick", "--only", "plain", "--against", "nginx")
    path = os.pathsep.join((str(REPOSITORY), str(REPOSITORY / "tests")))
    environ = {"PYTHONPATH": path, "PATH": os.environ["PATH"], "TMPDIR": str(tmp_path)}
    results = tmp_path / "results"

    done = (await run_tool(*command, "--results", str(results), environ=environ)).check()

    said = done.output.decode()
    result = json.loads((results / "latest.json").read_text())
    figures = list(csv.DictReader((results / "latest.csv").read_text().splitlines()))
    heats = ["GET, plain upstream", "POST, plain upstream"]
    assert [(row["heat"], row["proxy"]) for row in result["rows"]] == [
        (heat, proxy) for heat in heats for proxy in ("rapidsos-proxy", "nginx")
    ]
    assert all(row["requests_per_s"] > 100 and len(row["rounds"]) == 1 for row in result["rows"])
    assert {row["figure"] for row in figures} >= {"requests_per_s", "cpu_us_per_request", "p99_us"}
    assert result["logs"]["plain"]["records"] == result["logs"]["plain"]["exchanges"] > 100
    assert "requests/s to nginx: POST, plain upstream" in said
    assert not list(tmp_path.glob("race-*"))

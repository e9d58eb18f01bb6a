"""The table cannot rot: each rule is shown, by cases that exist, and each case shows a rule."""

from __future__ import annotations

import ast
from pathlib import Path

from conformance.__main__ import build_table
from conformance.answers import ANSWERS
from conformance.framing import FRAMING
from conformance.heads import HEADS
from conformance.passage import PASSAGE
from conformance.table import TABLE

ROOT = Path(__file__).parents[2]
CASES = [*FRAMING, *HEADS, *PASSAGE, *ANSWERS]
GROUPS = {case.group for case in CASES}
LEVELS = {"MUST", "MUST NOT", "SHOULD", "SHOULD NOT", "MAY"}
RUNNERS = {"test_a_request_is_read_in_one_way", "test_an_answer_is_read_in_one_way"}
"""Tests that run cases; each other test of the modules is named by a rule itself."""


def find_tests(path: Path) -> set[str]:
    """Return the names of the tests in a file."""
    functions = ast.FunctionDef | ast.AsyncFunctionDef
    names = {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, functions)}
    return {name for name in names if name.startswith("test_")}


def find_own_tests() -> set[str]:
    """Return the tests beside this one that a rule must name."""
    modules = ("test_requests.py", "test_answers.py", "test_dialogues.py")
    return set().union(*(find_tests(Path(__file__).parent / name) for name in modules)) - RUNNERS


def exists(name: str) -> bool:
    """Return whether what a rule names can be run."""
    path, _, test = name.rpartition("::")
    if path:
        return test in find_tests(ROOT / path)
    return name in GROUPS | {case.id for case in CASES} | find_own_tests()


def test_each_rule_is_shown() -> None:
    """By at least one case or test, and all that it names exist."""
    assert [rule for rule in TABLE if not rule.cases] == []
    assert [name for rule in TABLE for name in rule.cases if not exists(name)] == []


def test_each_case_shows_a_rule() -> None:
    """No case, and no test of a dialogue, is there without a rule that demands it."""
    named = {name for rule in TABLE for name in rule.cases}

    assert [case.id for case in CASES if not {case.group, case.id} & named] == []
    assert find_own_tests() - named == set()


def test_each_rule_says_how_it_is_kept() -> None:
    """A MAY is told, and a rule that we depart from has its reason."""
    assert {rule.level for rule in TABLE} <= LEVELS
    bare = [rule for rule in TABLE if rule.ours.startswith(("Stricter:", "Departs")) and len(rule.ours.split()) < 5]
    assert bare == []


def test_each_case_has_a_name_of_its_own() -> None:
    """So that a failure says which bytes it was."""
    names = [case.id for case in CASES]

    assert sorted(set(names)) == sorted(names)


def test_the_table_can_be_printed() -> None:
    """One line a rule, and no cell breaks it."""
    lines = build_table().splitlines()

    assert len(lines) == len(TABLE) + 2
    assert {line.count("|") for line in lines} == {6}

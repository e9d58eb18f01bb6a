"""The matrix of faults names tests that exist, and leaves out none of its rows."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest
from harness.fault_matrix import MATRIX, Row

TESTS = Path(__file__).parents[1]
ROWS = [row for rows in MATRIX.values() for row in rows]


@cache
def find_tests(module: str) -> set[str]:
    """Return the names of the tests of a module, named as in the matrix."""
    folder, _, name = module.rpartition("/")
    tree = ast.parse((TESTS / folder / f"test_{name}.py").read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.fault)
def test_every_test_that_is_named_exists(row: Row):
    """Whoever renames or removes one has to look at what it showed; what shows nothing says what it waits for."""
    missing = [test for test in row.tests if test.partition("::")[2] not in find_tests(test.partition("::")[0])]

    assert missing == []
    assert row.tests or row.waits_for
    assert row.right


def test_faults_have_names_of_their_own():
    """Each stands in the matrix once."""
    names = [row.fault for row in ROWS]

    assert len(set(names)) == len(names)
    assert set(MATRIX) == {"token server", "upstream", "clients", "host"}


def test_every_test_of_the_faults_stands_in_the_matrix():
    """What is made in tests/integration/faults is made for a row."""
    named = {test for row in ROWS for test in row.tests}
    made = {
        f"integration/faults/{path.stem.removeprefix('test_')}::{name}"
        for path in (TESTS / "integration" / "faults").glob("test_*.py")
        for name in find_tests(f"integration/faults/{path.stem.removeprefix('test_')}")
        if name.startswith("test_")
    }

    assert made - named == set()

"""The version of the package."""

import re

from proxy.version import describe_version, find_version


def test_there_is_one_answer():
    """That of the package that is installed, or that it is none."""
    assert re.fullmatch(r"\d+\.\d+\.\d+|0\+sources", find_version())


def test_people_are_told_how_it_was_built():
    """A report of what is slow, or wrong in one build alone, has it."""
    assert re.fullmatch(r"\S+ \((compiled|pure Python)\)", describe_version())

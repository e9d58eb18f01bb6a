"""The version of the package."""

import re

from proxy.version import find_version


def test_there_is_one_answer():
    """That of the package that is installed, or that it is none."""
    assert re.fullmatch(r"\d+\.\d+\.\d+|0\+sources", find_version())

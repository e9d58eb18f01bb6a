"""What the process asks of its runtime."""

import gc

import pytest

from proxy import process
from proxy.errors import ConfigError


class PurePythonParser:
    """Stands for the parser of aiohttp's pure-Python wheel."""


def test_the_aiohttp_that_is_installed_is_safe():
    """Recent, and on its C parser."""
    process.check_aiohttp()


@pytest.mark.parametrize("version", ["3.14.4", "3.9.0", "3.14"])
def test_an_old_aiohttp_is_refused(version):
    """The message names the version and the fix."""
    with pytest.raises(ConfigError, match=f"(?s)aiohttp {version} .*pip install"):
        process.check_aiohttp(version)


def test_an_aiohttp_without_its_c_parser_is_refused():
    """Pip takes such a wheel without a word where no binary one fits."""
    with pytest.raises(ConfigError, match="pure-Python parser"):
        process.check_aiohttp(parser=PurePythonParser)


def test_the_collector_looks_less_often():
    """And no more at what lives as long as the process."""
    before = gc.get_threshold()
    try:
        process.settle_collector()

        assert gc.get_threshold()[0] == process.GC_YOUNG
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)


def test_the_allocator_is_settled_or_left_alone():
    """Whatever libc there is, it raises nothing."""
    process.settle_allocator()

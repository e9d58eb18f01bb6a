"""The version of this package, and how it was built: one answer for command line, metrics and bug reports."""

from __future__ import annotations

from importlib.machinery import EXTENSION_SUFFIXES
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

DISTRIBUTION = "rapidsos-auth-proxy"
NOT_INSTALLED = "0+sources"
"""Where the package runs from its sources alone, which know no version."""


DATA_PATH = "proxy.relay.transfer"
"""A module that is compiled where any is."""


def describe_version() -> str:
    """Return the version that is installed, and whether its data path is compiled (docs/design.md)."""
    return f"{find_version()} ({'compiled' if is_compiled() else 'pure Python'})"


def is_compiled() -> bool:
    """Return whether the data path is machine code, and not interpreted."""
    spec = find_spec(DATA_PATH)
    return spec is not None and str(spec.origin).endswith(tuple(EXTENSION_SUFFIXES))


def find_version() -> str:
    """Return the version that is installed."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return NOT_INSTALLED

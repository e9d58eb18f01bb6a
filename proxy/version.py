"""The version of this package: one answer for the command line, the metrics and bug reports."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

DISTRIBUTION = "rapidsos-auth-proxy"
NOT_INSTALLED = "0+sources"
"""Where the package runs from its sources alone, which know no version."""


def find_version() -> str:
    """Return the version that is installed."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return NOT_INSTALLED

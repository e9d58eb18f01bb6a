"""One harness under atheris, which follows the coverage: ``python -m fuzz.guided NAME`` and libFuzzer's arguments."""

from __future__ import annotations

import sys

import atheris


def main() -> None:
    """Load the harness with what it tests instrumented, and fuzz it."""
    program, name, *arguments = sys.argv
    with atheris.instrument_imports(include=["proxy"]):
        from fuzz.table import HARNESSES  # noqa: PLC0415 (what is to be instrumented is imported here)
    atheris.Setup([program, *arguments], HARNESSES[name].fuzz_one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

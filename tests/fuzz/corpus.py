"""The inputs kept: for each harness a file, one input a line, as Python writes bytes, so that a change can be read."""

from __future__ import annotations

import ast
from pathlib import Path

PLACE = Path(__file__).parent / "corpus"


def read_corpus(name: str) -> list[bytes]:
    """Return the inputs kept for a harness."""
    path = PLACE / f"{name}.txt"
    lines = path.read_text().splitlines() if path.exists() else []
    return [ast.literal_eval(line) for line in lines]


def write_corpus(name: str, inputs: list[bytes]) -> None:
    """Keep these inputs for a harness, the shortest first."""
    PLACE.mkdir(exist_ok=True)
    ordered = sorted(set(inputs), key=lambda data: (len(data), data))
    (PLACE / f"{name}.txt").write_text("".join(f"{data!r}\n" for data in ordered))

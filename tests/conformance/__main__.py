"""Print the table as Markdown: ``PYTHONPATH=tests python -m conformance``."""

from __future__ import annotations

import sys

from conformance.table import TABLE


def build_table() -> str:
    """Build one line for each rule."""
    lines = ["| RFC and section | level | demanded | ours | shown by |", "|---|---|---|---|---|"]
    for rule in TABLE:
        cases = ", ".join(f"`{case}`" for case in rule.cases)
        lines.append(f"| {rule.section} | {rule.level} | {rule.text} | {rule.ours} | {cases} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(build_table())

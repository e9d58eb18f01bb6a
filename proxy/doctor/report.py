"""Findings as people and programs are told them.

The rule of this file: pure; what a server wrote about itself, in a certificate for one, is shown without its control
characters.
"""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Final

from proxy.doctor.finding import Finding, Verdict, Whose
from proxy.printable import escape_unprintable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from proxy.errors import ConfigError

WIDTH = 118
MARKS: Final = {Verdict.OK: "ok", Verdict.WARNING: "warning", Verdict.FAILED: "FAILED", Verdict.SKIPPED: "skipped"}
WHERE: Final = {
    Whose.MACHINE: "on this machine",
    Whose.NETWORK: "in the centre's network",
    Whose.RAPIDSOS: "at RapidSOS",
    Whose.CONFIGURATION: "in the configuration",
}
_MARK_WIDTH, _LABEL_WIDTH = 9, 18
_INDENT = " " * (2 + _MARK_WIDTH + _LABEL_WIDTH)
DONE, BROKEN, CONFIGURATION = 0, 1, 2
"""Exit codes."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A finding and the heading that it stands under."""

    group: str
    finding: Finding


def build_lines(finding: Finding) -> Iterator[str]:
    """Build the lines of one finding: mark, link, words; and the fix below them."""
    head = f"  {MARKS[finding.verdict]:<{_MARK_WIDTH}}{finding.label:<{_LABEL_WIDTH - 2}}  "
    yield from wrap(
        escape_unprintable(finding.words), WIDTH, initial_indent=head, subsequent_indent=_INDENT, break_long_words=False
    )
    if finding.fix:
        text = f"fix: {escape_unprintable(finding.fix)}"
        yield from wrap(
            text, WIDTH, initial_indent=_INDENT, subsequent_indent=f"{_INDENT}     ", break_long_words=False
        )


def build_conclusion(entries: Sequence[Entry]) -> str:
    """Build the end of the report: which link is broken, whose it is, and the next step."""
    broken = find_broken(entries)
    if not broken:
        warnings = sum(entry.finding.verdict is Verdict.WARNING for entry in entries)
        untried = [entry.finding.label for entry in entries if entry.finding.verdict is Verdict.SKIPPED]
        holds = f"Every link that was tried holds; not tried: {', '.join(untried)}" if untried else "Every link holds"
        return f"{holds}{f'; {_count(warnings)}, see above' if warnings else ''}."
    first, finding = broken[0], broken[0].finding
    others = len(broken) - 1
    more = f" ({others} more marked FAILED above.)" if others else ""
    where = f", {WHERE[finding.whose]}" if finding.whose is not None else ""
    return f"Broken: {finding.label} ({first.group}){where}. Next step: {escape_unprintable(finding.fix)}.{more}"


def find_broken(entries: Sequence[Entry]) -> list[Entry]:
    """Return the broken links, in order: what is hung on one was skipped, so the first is where to begin."""
    return [entry for entry in entries if entry.finding.is_broken]


def choose_exit_code(entries: Sequence[Entry]) -> int:
    """Return 0 when no link is broken, else 1."""
    return BROKEN if find_broken(entries) else DONE


def build_document(about: Mapping[str, str], entries: Sequence[Entry]) -> dict[str, Any]:
    """Build the report for programs.

    Args:
        about: What was examined, when, and by which version.
        entries: All findings.
    """
    broken = find_broken(entries)
    return {
        **about,
        "exit_code": choose_exit_code(entries),
        "broken": _build_member(broken[0]) if broken else None,
        "conclusion": build_conclusion(entries),
        "findings": [_build_member(entry) for entry in entries],
    }


def build_config_document(about: Mapping[str, str], error: ConfigError) -> dict[str, Any]:
    """Build the report for programs on a configuration that cannot be used."""
    member = {
        "group": "Configuration",
        "link": "configuration",
        "subject": "",
        "verdict": str(Verdict.FAILED),
        "words": f"{error.where}: {error.problem}",
        "fix": error.fix,
        "whose": str(Whose.CONFIGURATION),
    }
    return {**about, "exit_code": CONFIGURATION, "broken": member, "conclusion": str(error), "findings": [member]}


def _build_member(entry: Entry) -> dict[str, Any]:
    finding = entry.finding
    return {
        "group": entry.group,
        "link": finding.link,
        "subject": finding.subject,
        "verdict": str(finding.verdict),
        "words": escape_unprintable(finding.words),
        "fix": escape_unprintable(finding.fix),
        "whose": None if finding.whose is None else str(finding.whose),
    }


def _count(warnings: int) -> str:
    return f"{warnings} warning{'' if warnings == 1 else 's'}"

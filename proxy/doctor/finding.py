"""What the doctor finds: one link of the way to RapidSOS, how it stands, and what to do about it.

The rule of this file: pure, and no finding holds a secret, a token or a person's name.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

STATUS_PAGE = "look at https://status.rapidsos.com, and report it to RapidSOS if it lasts"
"""The next step where RapidSOS itself fails."""


class Verdict(StrEnum):
    """How a link stands."""

    OK = "ok"
    WARNING = "warning"
    """It holds, but someone should look."""
    FAILED = "failed"
    SKIPPED = "skipped"
    """Not looked at: another link before it failed, or only a person could try it."""


class Whose(StrEnum):
    """Who can mend a broken link."""

    MACHINE = "this machine"
    NETWORK = "the centre's network"
    RAPIDSOS = "RapidSOS"
    CONFIGURATION = "the configuration"


@dataclass(frozen=True, slots=True)
class Finding:
    """One link.

    Attributes:
        link: What was looked at: ``dns``, ``tls``, ``grant``; for programs as for people.
        verdict: How it stands.
        words: What was found, in plain words.
        fix: The next step; empty where there is none to take.
        whose: Who can take it; None where nothing is broken.
        subject: Which credential, listener or route it is about; empty where the group says it.
    """

    link: str
    verdict: Verdict
    words: str
    fix: str = ""
    whose: Whose | None = None
    subject: str = ""

    @property
    def is_broken(self) -> bool:
        """Whether nothing gets past it."""
        return self.verdict is Verdict.FAILED

    @property
    def label(self) -> str:
        """Link and subject, as people are shown them."""
        return f"{self.link} {self.subject}".rstrip()


@dataclass(frozen=True, slots=True)
class Place:
    """A link that can be found fault with; makes the findings about it."""

    link: str
    subject: str = ""

    def ok(self, words: str) -> Finding:
        """Say that it holds."""
        return Finding(self.link, Verdict.OK, words, subject=self.subject)

    def warning(self, words: str, fix: str, whose: Whose) -> Finding:
        """Say that it holds, and what someone should look at."""
        return Finding(self.link, Verdict.WARNING, words, fix, whose, self.subject)

    def failed(self, words: str, fix: str, whose: Whose) -> Finding:
        """Say that it is broken, whose it is and what to do."""
        return Finding(self.link, Verdict.FAILED, words, fix, whose, self.subject)

    def skipped(self, words: str) -> Finding:
        """Say why it was not looked at."""
        return Finding(self.link, Verdict.SKIPPED, words, subject=self.subject)


@dataclass(frozen=True, slots=True)
class Cause:
    """The link on account of which others are not looked at.

    Attributes:
        label: What people call it, with its heading where that is another.
        is_broken: Whether it failed; else it was not tried.
    """

    label: str
    is_broken: bool = True

    def __str__(self) -> str:
        """Say it in a clause."""
        return f"{self.label} {'failed' if self.is_broken else 'was not tried'}"


def skip(places: Iterable[Place], cause: Cause) -> tuple[Finding, ...]:
    """Say of each place that it was not looked at, and why."""
    return tuple(place.skipped(f"not looked at, because {cause}") for place in places)

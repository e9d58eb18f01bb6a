"""What is wrong with a configuration, gathered so that all of it is told at once."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from proxy.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

_BEGINNING = 3
"""Letters that make an abbreviation worth a guess."""


class Problems:
    """A list that is raised as one ConfigError."""

    def __init__(self, source: str) -> None:
        """Begin with none.

        Args:
            source: The file, as people know it; it opens every message.
        """
        self.source = source
        self._found: list[ConfigError] = []

    def add(self, key: str, problem: str, fix: str) -> None:
        """Note one problem with ``key``; an empty key blames the file as a whole."""
        self._found.append(ConfigError(f"{self.source}: {key}" if key else self.source, problem, fix))

    @property
    def are_any(self) -> bool:
        """Whether anything was noted."""
        return bool(self._found)

    def raise_any(self) -> None:
        """Raise what was noted, if anything was.

        Raises:
            ConfigError: As ``build_error`` builds it.
        """
        if self.are_any:
            raise self.build_error()

    def build_error(self) -> ConfigError:
        """Build one error of all that was noted: the only one itself, or a list of them."""
        if len(self._found) == 1:
            return self._found[0]
        listed = "\n".join(f"{number}. {error}" for number, error in enumerate(self._found, 1))
        return ConfigError(self.source, f"{len(self._found)} problems\n{listed}", "")


def suggest(wrong: str, known: Iterable[str]) -> str | None:
    """Return the known name that is nearest to a wrong one, or begins with it; None when none does."""
    names = list(known)
    begun = [name for name in names if len(wrong) >= _BEGINNING and name.startswith(wrong)]
    return next(iter(get_close_matches(wrong, names, n=1, cutoff=0.6) or begun), None)

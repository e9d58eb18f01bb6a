"""Redaction by value: no configured secret stands in a record, whatever put it there.

The rule of this file: a record that holds none costs one search of the rendered line.  One that might is taken
apart, its strings are looked at one by one, and it is rendered again, so that a line stays JSON whatever the secret
looks like.  Masking never fails: what cannot be cut out precisely takes its whole string with it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson

from proxy.traffic.finder import Finder
from proxy.traffic.names import MASK
from proxy.traffic.variants import LEAST_LENGTH, build_needles, build_pattern, unescape

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from proxy.config.secret import Secret

TAIL_LEAST = 3
"""Characters of a secret's beginning that are masked at a cut; fewer tell nothing, and stand there by chance."""
WIDEST = 12
"""Characters that one can become: a surrogate pair in JSON, or four bytes in a URL."""
MOST_STARTS = 1024
"""Places that are tried for the exact beginning of a secret at a cut: a few milliseconds."""
ROUNDS = 3

_ESCAPES = Finder([rb"\\", b"&#", b"&amp;", b"&lt;", b"&gt;", b"&quot;", b"&apos;"])
"""A backslash that the text itself has, as JSON renders it, and XML's escapes; a ``&`` alone is in every query."""
_CUT_ESCAPE = re.compile(r"(?:[0-9a-fA-F]?%|(?:[0-9a-fA-F]{0,3}u)?\\|\ufffd)+")
"""An escape that a cut has left unfinished, read backwards; U+FFFD stands for half of a surrogate pair, or some octets
of UTF-8.  Backwards, since a search for what ends the text would begin anew at each of its characters."""


class Redactions:
    """How often a secret was masked, by all the redactors that share this count."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        """Start at zero."""
        self.count = 0


class Redactor:
    """Masks a set of secrets."""

    def __init__(self, secrets: Iterable[Secret], redactions: Redactions, *, tokens: Iterable[str] = ()) -> None:
        """Prepare for ``secrets``; those shorter than ``LEAST_LENGTH`` are left out.

        Args:
            secrets: The configured ones.
            redactions: Counts what is masked.
            tokens: More values to mask.
        """
        values = {*tokens, *(secret.reveal() for secret in secrets)}
        needles = {needle for value in values if len(value) >= LEAST_LENGTH for needle in build_needles(value)}
        self._needles = sorted(needles, key=len, reverse=True)
        self._heads = frozenset(needle[:TAIL_LEAST] for needle in needles)
        self._patterns: dict[str, re.Pattern[str]] = {}
        self._in_text = Finder([needle.encode() for needle in self._needles])
        rendered = [orjson.dumps(needle)[1:-1] for needle in self._needles]
        self._in_line = Finder(rendered)
        self._redactions = redactions

    def __repr__(self) -> str:
        """Show how much is searched for, and nothing of it."""
        return f"<Redactor of {len(self._needles)} forms>"

    def redact(self, record: dict[str, Any], line: bytes) -> dict[str, Any] | None:
        """Mask every secret in a record.

        Args:
            record: What JSON can hold.
            line: The same, rendered: most records hold nothing, and one search of the line shows it.

        Returns:
            A copy without secrets, or None when there are none.
        """
        if not self._needles:
            return None
        in_plain = self._in_line.is_in(line)
        if not in_plain and not _has_escapes(line):
            return None
        before = self._redactions.count
        masked = {key: self._mask_part(part, in_plain) for key, part in record.items()}
        return masked if self._redactions.count != before else None

    def mask(self, text: str) -> str:
        """Return ``text`` with every secret masked."""
        if not _may_have_escapes(text) and not self._in_text.is_in(text.encode()):
            return text
        for _ in range(ROUNDS):
            found = self._find(text)
            if not found:
                return text
            for needle in found:
                text = self._mask_needle(needle, text)
        if not self._find(text):
            return text
        self._redactions.count += 1
        return MASK

    def mask_tail(self, text: str) -> str:
        """Return ``text``, which goes on beyond a cut, without an end that could be the beginning of a secret."""
        if not self._needles:
            return text
        window = max(0, len(text) - len(self._needles[0]) * WIDEST)
        end = text[window:]
        beginning = max(len(plain) - self._find_beginning(plain) for plain in _build_ends(end))
        if not beginning:
            return text
        self._redactions.count += 1
        # Each of its characters may be an escape of WIDEST, and the last of them unfinished.
        first = max(0, len(end) - beginning * WIDEST - (len(end) - _find_cut(end)))
        return text[: window + self._find_escaped_beginning(end, first)] + MASK

    def _find_escaped_beginning(self, end: str, first: int) -> int:
        """Return where the beginning of a secret starts, not before ``first``.

        To try for the place takes a look at each; where that is many, whoever wrote the body would choose the cost,
        and all of them are given up.
        """
        if len(end) - first > MOST_STARTS:
            return first
        return next((start for start in range(first, len(end)) if self._begins_secret(end[start:])), first)

    def _mask_part(self, part: Any, in_plain: bool) -> Any:  # noqa: ANN401, FBT001 (whatever JSON can hold; hot)
        """Mask a part of a record; what has no escapes is looked at only if a secret was seen without them."""
        if isinstance(part, str):
            return self.mask(part) if in_plain or _may_have_escapes(part) else part
        if isinstance(part, dict):
            return {key: self._mask_part(item, in_plain) for key, item in part.items()}
        # Header fields are many, and hold nothing as a rule: to render them costs less than to look at each.
        if isinstance(part, list | tuple) and (in_plain or _has_escapes(orjson.dumps(part))):
            return [self._mask_part(item, in_plain) for item in part]
        return part

    def _find(self, text: str) -> list[str]:
        """Return the needles that stand in ``text``, escaped or not."""
        found: set[int] = set()
        for plain in unescape(text):
            data = plain.encode("utf-8", "replace")
            if self._in_text.is_in(data):
                found |= self._in_text.find(data)
        return [self._needles[index] for index in sorted(found)]

    def _mask_needle(self, needle: str, text: str) -> str:
        plain = text.count(needle)
        if plain:
            self._redactions.count += plain
            return text.replace(needle, MASK)
        if needle not in self._patterns:
            self._patterns[needle] = build_pattern(needle)
        text, escaped = self._patterns[needle].subn(MASK, text)
        self._redactions.count += escaped
        return text

    def _begins_secret(self, text: str) -> bool:
        """Return whether all of ``text``, its escapes undone, is the beginning of a secret."""
        return any(map(self._is_beginning, _build_ends(text)))

    def _find_beginning(self, plain: str) -> int:
        """Return where the beginning of a secret starts that ``plain`` ends with; its length when it ends with none."""
        first = max(0, len(plain) - len(self._needles[0]))
        starts = range(first, len(plain) - TAIL_LEAST + 1)
        return next((start for start in starts if self._is_beginning(plain[start:])), len(plain))

    def _is_beginning(self, plain: str) -> bool:
        return plain[:TAIL_LEAST] in self._heads and any(needle.startswith(plain) for needle in self._needles)


def _build_ends(text: str) -> Iterator[str]:
    """Yield what ``text`` says, its escapes undone, with and without an escape that the cut has left unfinished."""
    for plain in unescape(text[: _find_cut(text)]):
        yield plain
        if (cut := _find_cut(plain)) < len(plain):
            yield plain[:cut]


def _find_cut(text: str) -> int:
    """Return where the escapes begin that a cut has left unfinished; the length when there are none."""
    match = _CUT_ESCAPE.match(text[::-1])
    return len(text) - match.end() if match else len(text)


def _may_have_escapes(text: str) -> bool:
    return "%" in text or "\\" in text or "&" in text


def _has_escapes(rendered: bytes) -> bool:
    """Return whether text rendered as JSON has escapes of its own, which could be those of a secret."""
    return b"%" in rendered or _ESCAPES.is_in(rendered)

"""Redaction by value: no configured secret stands in a record, whatever put it there.

The rule of this file: a record that holds none costs one search of the rendered line.  One that might is taken
apart, its strings are looked at one by one, and it is rendered again, so that a line stays JSON whatever the secret
looks like.  Masking never fails: what cannot be cut out precisely takes its whole string with it.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from proxy.traffic.finder import Finder
from proxy.traffic.fold import find_unfinished, fold, fold_beginning
from proxy.traffic.live import LiveTokens
from proxy.traffic.names import MASK
from proxy.traffic.variants import LEAST_LENGTH, build_folded, build_needles

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.config.secret import Secret

TAIL_LEAST = 3
"""Bytes of a secret's beginning that are masked at a cut; fewer tell nothing, and stand there by chance."""
WIDEST = 12
"""Characters that one can become: a surrogate pair in JSON, or four bytes in a URL."""
MOST_STARTS = 512
"""Places that are tried for the exact beginning of a secret at a cut: a few milliseconds."""
MOST_PLACES = 8
"""Of one secret in one text that are cut out in one round where it is escaped; of a text with more, nothing is left."""
WINDOW = 2048
"""Characters in which such a place is looked for at once."""
ROUNDS = 3

_ESCAPES = (rb"\\", b"&#", b"&amp;", b"&lt;", b"&gt;", b"&quot;", b"&apos;")
"""A backslash that the text itself has, as JSON renders it, and XML's escapes; a ``&`` alone is in every query."""


class Redactions:
    """How often a secret was masked, by all the redactors that share this count."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        """Start at zero."""
        self.count = 0


@dataclass(frozen=True, slots=True)
class _Spellings:
    """What one secret looks like.

    Attributes:
        needles: In text as it stands.
        forms: In folded text.
    """

    needles: tuple[str, ...]
    forms: frozenset[bytes]

    @classmethod
    def build(cls, value: str) -> _Spellings:
        """Work them out; of a value too short there are none."""
        if len(value) < LEAST_LENGTH:
            return cls((), frozenset())
        needles = build_needles(value)
        return cls(tuple(needles), frozenset(form for needle in needles for form in build_folded(needle)))


class _Search:
    """What to look for, and how: of a set of secrets, whatever tokens there are beside them.

    Attributes:
        spellings: By secret.
        needles, forms: Of all of them, the longest first.
        in_text, in_folded, in_line: Finders of needles in text, of forms in folded text, of needles in rendered JSON.
        in_suspect: Of those in rendered JSON, and of escapes: one search for both, since nearly every line has neither.
        beginnings: What a text may end with the beginning of.
        heads: The first bytes of each of those.
        longest: Bytes of the longest of those.
    """

    __slots__ = (
        "beginnings",
        "forms",
        "heads",
        "in_folded",
        "in_line",
        "in_suspect",
        "in_text",
        "longest",
        "needles",
        "spellings",
    )

    def __init__(self, spellings: dict[str, _Spellings]) -> None:
        """Build the finders, which takes a while."""
        self.spellings = spellings
        self.needles = sorted({needle for each in spellings.values() for needle in each.needles}, key=len, reverse=True)
        self.forms = sorted({form for each in spellings.values() for form in each.forms}, key=len, reverse=True)
        plain = [needle.encode() for needle in self.needles]
        rendered = [orjson.dumps(needle)[1:-1] for needle in self.needles]
        self.in_text = Finder(plain)
        self.in_folded = Finder(self.forms)
        self.in_line = Finder(rendered)
        self.in_suspect = Finder([*_ESCAPES, *rendered])
        self.beginnings = [*plain, *self.forms]
        self.heads = frozenset(form[:TAIL_LEAST] for form in self.beginnings)
        self.longest = max(map(len, self.beginnings), default=0)


class Redactor:
    """Masks a set of secrets.

    Attributes:
        search: What it looks for, for the redactor that comes after this one.
    """

    def __init__(
        self,
        secrets: Iterable[Secret],
        redactions: Redactions,
        *,
        tokens: LiveTokens | None = None,
        former: Redactor | None = None,
    ) -> None:
        """Prepare for ``secrets``; those shorter than ``LEAST_LENGTH`` are left out.

        Args:
            secrets: The configured ones.
            redactions: Counts what is masked.
            tokens: Masked as well; those that it learns later, too.
            former: Knows most of these secrets already: what it has worked out is not worked out again.
        """
        self._secrets = tuple(secrets)
        self.search: _Search = _build_search(self._secrets, None if former is None else former.search)
        self._redactions = redactions
        self._tokens = LiveTokens(lambda: 0.0) if tokens is None else tokens

    def __repr__(self) -> str:
        """Show how much is searched for, and nothing of it."""
        return f"<Redactor of {len(self.search.needles)} forms, {self._tokens!r}>"

    def with_tokens(self, tokens: LiveTokens) -> Redactor:
        """Return one that masks the same secrets, and these tokens."""
        return Redactor(self._secrets, self._redactions, tokens=tokens, former=self)

    def redact(self, record: dict[str, Any], line: bytes) -> dict[str, Any] | None:
        """Mask every secret in a record, bodies with escapes excepted: ``try_mask`` has seen those.

        Args:
            record: What JSON can hold.
            line: The same, rendered: most records hold nothing, and one search of the line shows it.

        Returns:
            A copy without secrets, or None when there are none.
        """
        if not self._knows_any or not self._is_suspect(line):
            return None
        in_plain = self.search.in_line.is_in(line) or self._tokens.is_in(line)
        before = self._redactions.count
        masked = {key: self._mask_part(part, in_plain) for key, part in record.items()}
        return masked if self._redactions.count != before else None

    def mask(self, text: str) -> str:
        """Return ``text`` with every secret masked; nothing of it, if it cannot be searched."""
        masked = self.try_mask(text)
        if masked is not None:
            return masked
        self._redactions.count += 1
        return MASK

    def try_mask(self, text: str) -> str | None:
        """Return ``text`` with every secret masked; None if it has too many escapes to be searched (fold.py)."""
        for _ in range(ROUNDS):
            masked = self._mask_plain(text)
            folded = _fold(masked) if may_have_escapes(masked) else b""
            if folded is None:
                return None
            found = [self.search.forms[index] for index in self.search.in_folded.find(folded)]
            found += self._tokens.find(folded)
            if not found and masked == text:
                return text
            text = masked
            for form in sorted(found, key=len, reverse=True):
                text = self._mask_escaped(text, form)
        self._redactions.count += 1
        return MASK

    def mask_tail(self, text: str) -> str:
        """Return ``text``, which goes on beyond a cut, without an end that could be the beginning of a secret."""
        if not self._knows_any:
            return text
        window = max(0, len(text) - self._find_longest() * WIDEST)
        end = text[window:]
        beginning = max(len(plain) - self._find_beginning(plain) for plain in _read_end(end))
        if not beginning:
            return text
        self._redactions.count += 1
        # Each of its characters may be an escape of WIDEST, and the last of them unfinished.
        data = end.encode("utf-8", "replace")
        first = max(0, len(end) - beginning * WIDEST - (len(data) - find_unfinished(data)))
        return text[: window + self._find_escaped_beginning(end, first)] + MASK

    def _find_escaped_beginning(self, end: str, first: int) -> int:
        """Return where the beginning of a secret starts, not before ``first``.

        To try for the place takes a look at each; where that is many, whoever wrote the body would choose the cost,
        and all of them are given up.
        """
        if len(end) - first > MOST_STARTS:
            return first
        return next(
            (start for start in range(first, len(end)) if any(map(self._is_beginning, _read_end(end[start:])))), first
        )

    def _mask_part(self, part: Any, in_plain: bool) -> Any:  # noqa: ANN401, FBT001 (whatever JSON can hold; hot)
        """Mask a part of a record; what has no escapes is looked at only if a secret was seen without them."""
        if isinstance(part, str):
            return self.mask(part) if in_plain or may_have_escapes(part) else part
        if isinstance(part, dict):
            return {
                key: item if key == "body" and not in_plain else self._mask_part(item, in_plain)
                for key, item in part.items()
            }
        if isinstance(part, tuple):
            return [self._mask_part(item, in_plain) for item in part]
        # Header fields are many, and hold nothing as a rule: to render them costs less than to look at each.
        if isinstance(part, list) and self._is_suspect(orjson.dumps(part)):
            return [self._mask_part(item, in_plain) for item in part]
        return part

    def _is_suspect(self, line: bytes) -> bool:
        """Return whether something rendered might hold a secret: as it is, or since it has escapes of its own."""
        return b"%" in line or self.search.in_suspect.is_in(line) or self._tokens.is_in(line)

    @property
    def _knows_any(self) -> bool:
        return bool(self.search.needles or self._tokens)

    def _find_longest(self) -> int:
        return max(self.search.longest, self._tokens.longest)

    def _mask_plain(self, text: str) -> str:
        data = text.encode("utf-8", "replace")
        found = [self.search.needles[index] for index in self.search.in_text.find(data)]
        found += [form.decode() for form in self._tokens.find(data)]
        for needle in sorted(found, key=len, reverse=True):
            self._redactions.count += text.count(needle)
            text = text.replace(needle, MASK)
        return text

    def _mask_escaped(self, text: str, form: bytes) -> str:
        start = 0
        for _ in range(MOST_PLACES):
            place = _find_place(text, form, start)
            if place is None:
                break
            self._redactions.count += 1
            start = place.start
            text = text[:start] + MASK + text[place.stop :]
        return text

    def _find_beginning(self, plain: bytes) -> int:
        """Return where the beginning of a secret starts that ``plain`` ends with; its length when it ends with none."""
        first = max(0, len(plain) - self._find_longest())
        starts = range(first, len(plain) - TAIL_LEAST + 1)
        return next((start for start in starts if self._is_beginning(plain[start:])), len(plain))

    def _is_beginning(self, plain: bytes) -> bool:
        if plain[:TAIL_LEAST] in self.search.heads and any(form.startswith(plain) for form in self.search.beginnings):
            return True
        return self._tokens.is_beginning(plain)


def _build_search(secrets: Iterable[Secret], former: _Search | None) -> _Search:
    known = {} if former is None else former.spellings
    values = [secret.reveal() for secret in secrets]
    if former is not None and known.keys() == set(values):
        return former
    return _Search({value: known.get(value) or _Spellings.build(value) for value in values})


def may_have_escapes(text: str) -> bool:
    """Return whether ``text`` could say something else than what stands there."""
    return "%" in text or "\\" in text or "&" in text


def _fold(text: str) -> bytes | None:
    return fold(text.encode("utf-8", "replace"))


def _find_place(text: str, form: bytes, start: int) -> range | None:
    """Return the first place from ``start`` on that says ``form``; None if it cannot be found."""
    reach = len(form) * WIDEST
    size = max(WINDOW, 2 * reach)

    def says(part: str) -> bool:
        return form in (_fold(part) or b"")

    for at in range(start, len(text), size - reach):
        window = text[at : at + size]

        if says(window):
            # The shortest beginning that says it, then the shortest end of that: by halving.
            stop = bisect_left(range(len(window)), 1, key=lambda end: says(window[:end]))
            last = bisect_left(range(stop), 1, key=lambda first: not says(window[first:stop]))
            return range(at + max(0, last - 1), at + stop)
    return None


def _read_end(text: str) -> tuple[bytes, ...]:
    """Return what a text that a cut has ended may say, with and without an escape that the cut has left unfinished."""
    data = text.encode("utf-8", "replace")
    folded = fold(data) if may_have_escapes(text) else None
    return (data,) if folded is None else (data, folded, fold_beginning(data))

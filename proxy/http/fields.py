"""Field sections: the lines between the first line of a head and its end (RFC 9110, section 5; RFC 9112, section 5).

A legacy client sends the same fields with every request, an upstream nearly the same with every answer.  So a
section is parsed once and shared by all heads that have it, byte for byte, and what anybody works out from one is
kept with it: which lines go on, where the body ends, how the traffic record shows it.  Sections never change.

The rule of this file: what two parsers could read differently is not read at all.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""RFC 9110, section 5.6.2."""
FIELD_VALUE = re.compile(r"[\t -~\x80-\xff]*")
"""RFC 9110, section 5.5: visible ASCII, SP, HTAB and obs-text; no other control."""
SECRET_ENDINGS = (
    "authorization",
    "cookie",
    "cookie2",
    "passphrase",
    "passwd",
    "password",
    "pwd",
    "secret",
    "token",
    "apikey",
    *(f"{kind}-key" for kind in ("access", "account", "api", "auth", "client", "private", "secret", "subscription")),
)
"""How the names of fields end that hold a credential: ``X-Client-Secret``, ``Proxy-Authorization``.  A section with one
of them is not remembered, since a credential must not outlive its exchange, and the traffic record masks them.
Not every ``-Key`` is one: ``Idempotency-Key`` and ``Sec-WebSocket-Key`` are none."""
LONGEST_ENDING = max(map(len, SECRET_ENDINGS))

Fields = list[tuple[str, str]]
"""Name and value of each field line, in the order and case received; bytes above 0x7F as latin-1."""
T = TypeVar("T")


class FieldSection:
    """The field lines of a head, checked.

    Attributes:
        fields: Name and value as received, the white space around the value taken off.
        names: The name of each in lower case, in the same order.
    """

    __slots__ = ("_derived", "fields", "names")

    def __init__(self, fields: Fields, names: list[str]) -> None:
        """Take fields whose syntax is right."""
        self.fields = fields
        self.names = names
        self._derived: dict[Any, Any] = {}

    def __repr__(self) -> str:
        """Show the names; a value may be a secret."""
        return f"<FieldSection {', '.join(self.names)}>"

    def all(self, name: str) -> list[str]:
        """Return the values of every field line called ``name`` (in lower case)."""
        return [field[1] for field, lower in zip(self.fields, self.names, strict=True) if lower == name]

    def derive(self, work: Callable[[FieldSection], T]) -> T:
        """Return what ``work`` makes of this section; it is done at most once, unless it raises."""
        derived = self._derived
        if work in derived:
            value: T = derived[work]
            return value
        value = derived[work] = work(self)
        return value


def build_section(fields: Iterable[tuple[str, str]]) -> FieldSection:
    """Build a section of our own making."""
    fields = list(fields)
    return FieldSection(fields, [name.lower() for name, _ in fields])


def is_secret_field(name: str) -> bool:
    """Return whether fields of this name, in lower case, hold a credential; ``_`` counts as ``-``."""
    return _is_secret_ending(name[-LONGEST_ENDING:])


@lru_cache(maxsize=1024)
def _is_secret_ending(text: str) -> bool:
    return text.replace("_", "-").endswith(SECRET_ENDINGS)


class _LowerNames:
    """Valid field names seen so far, each with its lower case: a look-up instead of a match and a copy."""

    __slots__ = ("_known",)

    MOST: Final = 512
    """Real traffic uses a few dozen names; past this, names are checked each time and not remembered."""
    LONGEST: Final = 64

    def __init__(self) -> None:
        """Start with none."""
        self._known: dict[str, str] = {}

    def __getitem__(self, name: str) -> str:
        """Return a name in lower case; one not seen before is checked (RFC 9110, section 5.1).

        Raises:
            ValueError: If it is no token: empty, with white space before the colon, or a folded line.
        """
        known = self._known.get(name)
        if known is not None:
            return known
        if TOKEN.fullmatch(name) is None:
            message = "a field name is not a token (white space before the colon, or a folded line)"
            raise ValueError(message)
        lower = name.lower()
        if len(self._known) < self.MOST and len(name) <= self.LONGEST:
            self._known[name] = lower
        return lower


class _Sections:
    """Sections seen of late, by their bytes."""

    __slots__ = ("_bytes", "_known")

    MOST_BYTES: Final = 1_500_000
    """Past this all are forgotten and those in use learnt anew, so that no order has to be kept."""
    LONGEST: Final = 2048
    """Bytes of a section that is remembered."""

    def __init__(self) -> None:
        """Start with none."""
        self._known: dict[bytes, FieldSection] = {}
        self._bytes = 0

    def __getitem__(self, data: bytes) -> FieldSection:
        """Return a section; one not seen before is parsed.

        Raises:
            ValueError: If it is none; the message says why.
        """
        section = self._known.get(data)
        return self._learn(data) if section is None else section

    def _learn(self, data: bytes) -> FieldSection:
        section = _parse(data)
        if len(data) <= self.LONGEST and not any(map(is_secret_field, section.names)):
            size = _estimate_size(data, section)
            if self._bytes + size > self.MOST_BYTES:
                self.clear()
            self._bytes += size
            self._known[data] = section
        return section

    def clear(self) -> None:
        """Forget all of them."""
        self._known.clear()
        self._bytes = 0


def _estimate_size(data: bytes, section: FieldSection) -> int:
    """Return the bytes that a section takes, with all that is derived from it: several copies, and an object a line."""
    return 1500 + 5 * len(data) + 250 * len(section.fields)


_lower_names = _LowerNames()
_sections = _Sections()


def parse_section(data: bytes) -> FieldSection:
    """Parse a field section.

    Args:
        data: Whole lines, each with its CRLF; empty when there are none.

    Raises:
        ValueError: If any octet is not where the grammar has it; the message says which rule it breaks.
    """
    return _sections[data]


def _parse(data: bytes) -> FieldSection:
    lines = data.decode("latin-1").split("\r\n")[:-1]
    text = "".join(lines)
    # A CR or LF that is not part of a CRLF stays inside a line and is found here (RFC 9112, section 2.2).
    # isprintable() is one pass in C and true of nearly every section; the pattern decides about the rest.
    if not text.isprintable() and FIELD_VALUE.fullmatch(text) is None:
        message = "the head has a control character, or a line that does not end in CRLF"
        raise ValueError(message)
    fields: Fields = []
    names: list[str] = []
    for line in lines:
        name, colon, value = line.partition(":")
        names.append(_lower_names[name])
        if not colon:
            message = "a field line has no colon"
            raise ValueError(message)
        fields.append((name, value.strip(" \t")))
    return FieldSection(fields, names)

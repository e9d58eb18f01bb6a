"""What stands in the place of a masked value that may be shown in part: its last four digits, or a keyed hash.

The rule of this file: a value is read as its reader would read it, escapes undone, so that one caller looks alike in a
query, a form, JSON and XML; what cannot be read, or has fields of its own in it, is masked whole.
"""

from __future__ import annotations

import hmac
import html
import json
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Cover = Callable[[bytes], bytes]

LAST = 4
FEWEST_DIGITS = 7
"""Of a value whose last four are shown: a local telephone number.  Of a shorter one they would be most."""
HASH_DIGITS = 16
"""64 bits: no two callers of a centre look alike."""

_STARS = b"***"
_PURPOSE = b"rapidsos-proxy traffic log 1: masked values"


def build_covers(shown: Mapping[str, str], key: bytes) -> dict[bytes, Cover]:
    """Build what covers each value, by the lower-case name of its field.

    Args:
        shown: ``last4`` or ``hash``, by name.
        key: 32 random bytes; the same key gives the same value the same hash.
    """
    own = hmac.digest(key, _PURPOSE, "sha256")

    def cover_by_hash(text: bytes) -> bytes:
        return _STARS + hmac.digest(own, text.strip(), "sha256").hex()[:HASH_DIGITS].encode()

    ways: dict[str, Cover] = {"hash": cover_by_hash, "last4": cover_but_last_digits}
    return {name.lower().encode(): ways[way] for name, way in shown.items()}


def cover_but_last_digits(text: bytes) -> bytes:
    """Return the last four digits behind the mask; the mask alone where there are too few."""
    digits = bytes(byte for byte in text if byte in b"0123456789")
    return _STARS + digits[-LAST:] if len(digits) >= FEWEST_DIGITS else _STARS


def read_pair(value: bytes) -> bytes:
    """Read a value of a query or a form."""
    return unquote_to_bytes(value.replace(b"+", b" "))


def read_xml(value: bytes) -> bytes | None:
    """Read what an element or an attribute holds; None if that is more than text."""
    return None if b"<" in value else html.unescape(value.decode(errors="surrogateescape")).encode(errors="replace")


def read_json(value: bytes, quote: bytes) -> bytes | None:
    """Read a member's value; None if it is no string and no scalar, or has no end.

    Args:
        value: As it stands, with its quotes.
        quote: What the strings of this level begin and end with: inside other JSON it has backslashes.
    """
    if not value.startswith(quote):
        return None if value[:1] in {b"[", b"{"} else value
    if len(value) < 2 * len(quote) or not value.endswith(quote):
        return None
    text = value[len(quote) : -len(quote)].decode(errors="replace")
    # 0, 1, 3, 7 backslashes: JSON, JSON in JSON, and so on.
    for _ in range(len(quote).bit_length()):
        try:
            text = json.loads(f'"{text}"', strict=False)
        except ValueError:
            return None
    return text.encode(errors="replace")

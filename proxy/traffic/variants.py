"""Every form that a secret can take on its way through HTTP.

The rule of this file: encodings without a key.  What escapes single characters (URL, JSON, XML) is undone before the
search (fold.py), since an encoder may escape any character it likes; what moves the bits (Base64, hex) is searched
for in the form it takes.
"""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

from proxy.traffic.fold import fold

if TYPE_CHECKING:
    from collections.abc import Iterator

LEAST_LENGTH = 6
"""Characters; a shorter secret would mask words that have nothing to do with it."""
LEAST_FOLDED = 4
"""Bytes of a secret that has lost its percent signs and backslashes."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_BASE64_SKIP = (0, 2, 3)
"""Characters that a first, second or third place among three bytes shares with what stands before it."""


def build_needles(secret: str) -> list[str]:
    """Build the strings to search for, in text whose escapes have been undone; the longest first.

    Heads are latin-1 text and bodies UTF-8, so what is not ASCII has two forms as text already.
    """
    raws = _encode(secret)
    needles = {secret, secret.replace(" ", "+")}
    for raw in raws:
        needles.update((raw.decode("latin-1"), raw.decode("latin-1").replace(" ", "+")))
        needles.update((raw.hex(), raw.hex().upper()))
    escaped = _escape(secret, raws)
    for form in raws | escaped:
        needles.update(_build_base64(form))
    if not build_folded(secret):
        # It is all percent signs and backslashes, and nearly nothing once folded.
        for text in (form.decode("latin-1") for form in escaped):
            needles.update((text, quote(text, safe=""), json.dumps(text)[1:-1]))
    return sorted(filter(_is_encodable, needles), key=len, reverse=True)


def build_folded(needle: str) -> set[bytes]:
    """Build what to search for in folded text; nothing, if that is too little to be told from other text."""
    forms = {
        *_encode(needle),
        *(_spell_in_json(needle, form).encode() for form in (r"\u{:04x}", r"\u{:04X}")),
        *(_spell_in_xml(needle, form).encode() for form in ("&#{};", "&#x{:x};", "&#x{:X};")),
    }
    return {folded for form in forms if (folded := fold(form)) is not None and len(folded) >= LEAST_FOLDED}


def _encode(secret: str) -> set[bytes]:
    """Return the secret as bytes; latin-1 is what many legacy clients use for Basic."""
    raws = {secret.encode("utf-8", "surrogateescape")}
    try:
        raws.add(secret.encode("latin-1"))
    except UnicodeEncodeError:
        return raws
    return raws


def _spell_in_json(text: str, form: str) -> str:
    """Spell what is not ASCII by its numbers in UTF-16."""
    return re.sub(r"\\u([0-9a-f]{4})", lambda match: form.format(int(match[1], 16)), json.dumps(text)[1:-1])


def _spell_in_xml(text: str, form: str) -> str:
    """Spell what is not ASCII by its number."""
    return "".join(character if character.isascii() else form.format(ord(character)) for character in text)


def _escape(secret: str, raws: set[bytes]) -> set[bytes]:
    """Return escaped forms that may stand inside Base64 (RFC 6749, section 2.3.1 has URL-encoding in Basic)."""
    quoted = {encode(raw, safe=safe) for raw in raws for encode in (quote, quote_plus) for safe in ("", "/")}
    quoted |= {re.sub(r"%..", lambda match: match[0].lower(), form) for form in quoted}
    in_json = {json.dumps(secret, ensure_ascii=ensure_ascii)[1:-1] for ensure_ascii in (True, False)}
    in_json |= {form.replace("/", "\\/") for form in in_json}
    return {form.encode("utf-8", "surrogateescape") for form in quoted | in_json}


def _build_base64(raw: bytes) -> Iterator[str]:
    """Yield the characters of Base64 that depend on ``raw`` alone, wherever it stands in what was encoded."""
    for before, skip in enumerate(_BASE64_SKIP):
        whole = (before + len(raw)) * 8 // 6
        encoded = base64.b64encode(bytes(before) + raw).decode()[skip:whole]
        yield encoded
        yield encoded.translate(str.maketrans("+/", "-_"))


def _is_encodable(text: str) -> bool:
    """Return whether ``text`` can stand in a record; what has lone surrogates was bytes, and stands there as such."""
    return _SURROGATE.search(text) is None

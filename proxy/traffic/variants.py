"""Every form that a secret can take on its way through HTTP.

The rule of this file: encodings without a key.  What escapes single characters (URL, JSON, XML) is undone before the
search, to a few levels, since an encoder may escape any character it likes; what moves the bits (Base64, hex) is
searched for in the form it takes.
"""

from __future__ import annotations

import base64
import html
import json
import re
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus, unquote

if TYPE_CHECKING:
    from collections.abc import Iterator

LEAST_LENGTH = 6
"""Characters; a shorter secret would mask words that have nothing to do with it."""
DEPTH = 3
"""Levels of escapes undone: JSON in a form in JSON."""

_URL_ESCAPE = re.compile("%([0-9a-fA-F]{2})")
_JSON_ESCAPE = re.compile(r'\\(?:u([0-9a-fA-F]{4})|(["\\/bfnrt]))')
_JSON_SHORT = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_SHORT_OF = {character: letter for letter, character in _JSON_SHORT.items()} | {"/": "/", '"': '"', "\\": "\\"}
_XML_NAMES = {"&": "amp", "<": "lt", ">": "gt", '"': "quot", "'": "apos"}
"""XML 1.0, section 4.6; LIS speaks XML."""
_SURROGATE = re.compile("[\ud800-\udfff]")
_BACKSLASHES = r"(?:\\|%(?:25)*5[cC])+"
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
    for form in raws | _escape(secret, raws):
        needles.update(_build_base64(form))
    return sorted(filter(_is_encodable, needles), key=len, reverse=True)


def unescape(text: str) -> Iterator[str]:
    """Yield ``text``, and what it says once URL, JSON and XML escapes are undone, in any order, ``DEPTH`` deep."""
    seen = {text}
    level = [text]
    yield text
    for _ in range(DEPTH):
        level = [plain for escaped in level for plain in _undo(escaped) if plain not in seen]
        if not level:
            return
        seen.update(level)
        yield from dict.fromkeys(level)


def build_pattern(needle: str) -> re.Pattern[str]:
    """Build the pattern that finds ``needle`` with any of its characters escaped, once or several times over."""
    return re.compile("".join(f"(?:{'|'.join(_spellings(character))})" for character in needle))


def _encode(secret: str) -> set[bytes]:
    """Return the secret as bytes; latin-1 is what many legacy clients use for Basic."""
    raws = {secret.encode("utf-8", "surrogateescape")}
    try:
        raws.add(secret.encode("latin-1"))
    except UnicodeEncodeError:
        return raws
    return raws


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


def _undo(text: str) -> Iterator[str]:
    """Yield what ``text`` says with one level of escapes undone."""
    if "%" in text:
        plain = _URL_ESCAPE.sub(_undo_url, text)
        yield plain
        if not plain.isascii():
            yield unquote(text, "utf-8", "replace")
    if "\\" in text:
        plain = _JSON_ESCAPE.sub(_undo_json, text)
        if _SURROGATE.search(plain):
            plain = plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        yield plain
    if "&" in text:
        yield html.unescape(text)


def _undo_url(match: re.Match[str]) -> str:
    """Return one octet as latin-1; what UTF-8 made several octets of has such a form among the needles."""
    return chr(int(match[1], 16))


def _undo_json(match: re.Match[str]) -> str:
    code, short = match.groups()
    return chr(int(code, 16)) if code else _JSON_SHORT.get(short, short)


def _spellings(character: str) -> Iterator[str]:
    """Yield patterns for one character: itself, URL-encoded, escaped as in JSON and in XML."""
    yield re.escape(character)
    yield from map(_spell_in_url, _encode(character))
    units = character.encode("utf-16-be", "surrogatepass").hex()
    yield "".join(f"{_BACKSLASHES}u{_hex(units[start : start + 4])}" for start in range(0, len(units), 4))
    if character in _SHORT_OF:
        short = _SHORT_OF[character]
        yield f"{_BACKSLASHES}(?:{re.escape(short)}|{_spell_in_url(short.encode())})"
    code = ord(character)
    yield f"&(?:amp;)*#(?:0*{code}|[xX]0*{_hex(f'{code:x}')});"
    if character in _XML_NAMES:
        yield f"&(?:amp;)*{_XML_NAMES[character]};"


def _spell_in_url(raw: bytes) -> str:
    return "".join(f"%(?:25)*{_hex(f'{octet:02x}')}" for octet in raw)


def _hex(digits: str) -> str:
    return "".join(f"[{digit}{digit.upper()}]" if digit.isalpha() else digit for digit in digits)


def _is_encodable(text: str) -> bool:
    """Return whether ``text`` can stand in a record; what has lone surrogates was bytes, and stands there as such."""
    return _SURROGATE.search(text) is None

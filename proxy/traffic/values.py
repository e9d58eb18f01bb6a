"""Redaction by name: the values of secret fields in queries, forms, JSON (also inside JSON) and XML.

The rule of this file: the content decides, not its Content-Type, which legacy clients get wrong.  A text is looked at
only where a secret name ends, for so many steps at most; one that needs more cannot be shown.
"""

from __future__ import annotations

import re
import string
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from proxy.traffic.covers import read_json, read_pair, read_xml
from proxy.traffic.names import LONGEST, MASK
from proxy.traffic.spelling import mask_pairs, spell_members

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.traffic.names import SecretNames

MOST_STEPS = 1000
"""Names, brackets and tags looked at in one text, at 1 to 2 µs each."""
DEEPEST = 15
"""Backslashes before a quote: each level of JSON doubles them and adds one, so this is four levels."""

_MASK = MASK.encode()
_NAME = (string.ascii_letters + string.digits + "_.-").encode() + bytes(range(0x80, 0x100))
_BEFORE_PAIR = frozenset(b"?&;#")
_LINE_END = re.compile(rb"\\++[nrt]")
"""As text in JSON has it."""
_IN_XML = frozenset(b"=> \t\r\n\\")
"""What follows the name of an element or an attribute; text in JSON has its line ends with a backslash."""
_COLON = re.compile(rb"\s*+(?:\\++[nrt]\s*+)*+:\s*+(?:\\++[nrt]\s*+)*+")
_SCALAR = re.compile(rb'(?!null\b)[^\s",\[\]{}\\]+')
_BRACKET = re.compile(rb"[\[\]{}]")
_FORM_VALUE = re.compile(rb'[^&\r\n"\\]*')
"""A URL may stand in quotes in a body."""
_QUERY_VALUE = re.compile(rb"[^&#]*")
_PART_HEAD = re.compile(rb'"[^\r\n]{0,128}+(?:\r?\n[^\r\n]{1,128}+){0,4}+\r?\n\r?\n')
_EQUALS = re.compile(rb"(?:\s|\\++[nrt])*+=(?:\s|\\++[nrt])*+(\\*+[\"'])")
"""XML, section 3.1: an attribute's equals sign may stand alone."""
_ENDING_TAG = re.compile(rb"<\\*/")
_USER_INFO = re.compile(r"//[^/?#\s]*@")


def mask_url(url: str, names: SecretNames) -> str:
    """Return a URL or a request target without user information and secret query fields."""
    if "@" in url:
        url = _USER_INFO.sub(f"//{MASK}@", url)
    if "=" not in url:
        return url
    data = url.encode()
    if names.may_be_in(data):
        masked = mask(data, names, is_url=True)
    elif "%" in url:
        masked = mask_pairs(data, names, _QUERY_VALUE)
    else:
        return url
    return f"{url.partition('?')[0]}?{MASK}" if masked is None else masked.decode()


def mask(data: bytes, names: SecretNames, *, is_url: bool = False) -> bytes | None:
    """Return a body's text without the values of secret fields; None when there are too many.

    Args:
        data: UTF-8.
        names: Which are secret.
        is_url: Whether the text is a URL, in which nothing but ``&`` and ``#`` ends a value.
    """
    spelled = mask_pairs(data, names, _QUERY_VALUE if is_url else _FORM_VALUE)
    spelled = spelled if is_url or spelled is None else spell_members(spelled, names)
    if spelled is None:
        return None
    data = spelled
    ends = names.find(data)
    if not ends:
        return data
    if len(ends) > MOST_STEPS:
        return None
    try:
        return _Text(data, names, is_url=is_url).mask(ends)
    except _TooMuch:
        return None


@dataclass(slots=True)
class _Value:
    """Where a value stands, and what takes its place."""

    start: int
    end: int
    mask: bytes = _MASK


class _TooMuch(Exception):
    """A text needs more steps than it is worth."""


class _Text:
    """A text whose secret fields are being masked."""

    def __init__(self, data: bytes, names: SecretNames, *, is_url: bool) -> None:
        self._data = data
        self._names = names
        self._is_url = is_url
        self._left = MOST_STEPS

    def mask(self, ends: list[int]) -> bytes:
        """Mask the values behind the names that end there."""
        parts: list[bytes] = []
        done = 0
        for end in ends:
            if end > done and (value := self._find(end - 1)) is not None:
                parts += (self._data[done : value.start], value.mask)
                done = value.end
        return b"".join((*parts, self._data[done:]))

    def _find(self, end: int) -> _Value | None:
        """Find the value of the field whose name ends at ``end``."""
        start = self._find_start(end)
        name = self._data[start:end]
        if _LINE_END.match(self._data, max(0, start - 1)) and self._names.is_secret(name[1:]):
            start, name = start + 1, name[1:]
        if not self._names.is_secret(name):
            return None
        value = self._find_value(start, end)
        if value is not None and (cover := self._names.covers.get(name.lower())) is not None:
            value.mask = self._cover(value, end, cover)
        return value

    def _cover(self, value: _Value, end: int, cover: Callable[[bytes], bytes]) -> bytes:
        """Return what is shown of a value in its place; ``end`` is that of its field's name."""
        data = self._data
        raw = data[value.start : value.end]
        quote = value.mask[: (len(value.mask) - len(_MASK)) // 2]
        text: bytes | None = raw
        if quote:
            text = read_json(raw, quote)
        elif data[end : end + 1] == b"=" and value.start == end + 1:
            text = read_pair(raw)
        elif data[end] in _IN_XML:
            text = read_xml(raw)
        return value.mask if text is None else quote + cover(text) + quote

    def _find_value(self, start: int, end: int) -> _Value | None:
        """Find what belongs to a name, by what stands behind it."""
        data = self._data
        after = data[end : end + 1]
        if after == b"=":
            return self._find_pair(start, end) or self._find_attribute(start, end)
        if self._is_url:
            return None
        if after in b"> \t\r\n":
            return self._find_element(start, end) or self._find_attribute(start, end)
        if data.endswith(b'name="', 0, start):
            return self._find_part(start, end)
        found = self._find_member(start, end)
        if found is None and _LINE_END.match(data, end):
            found = self._find_element(start, end) or self._find_attribute(start, end)
        return found

    def _step(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise _TooMuch

    def _find_start(self, end: int) -> int:
        self._step()
        before = self._data[max(0, end - LONGEST) : end]
        return end - len(before) + len(before.rstrip(_NAME))

    def _find_pair(self, start: int, end: int) -> _Value | None:
        if start and self._data[start - 1] not in _BEFORE_PAIR:
            return None
        match = (_QUERY_VALUE if self._is_url else _FORM_VALUE).match(self._data, end + 1)
        return _Value(match.start(), match.end()) if match else None

    def _find_attribute(self, start: int, end: int) -> _Value | None:
        data = self._data
        match = _EQUALS.match(data, end)
        if match is None or not (data[start - 1 : start].isspace() or _LINE_END.match(data, max(0, start - 2), start)):
            return None
        return _Value(match.end(), _end_at(data.find(match[1], match.end()), data))

    def _find_element(self, start: int, end: int) -> _Value | None:
        """Find what an XML element holds; ``<wsse:Password Type="…">`` has a prefix and an attribute."""
        data = self._data
        if data[start - 1 : start] == b":":
            start = self._find_start(start - 1)
        if not start or data[start - 1] != ord("<"):
            return None
        opened = data.find(b">", end)
        if opened < 0 or data[opened - 1] == ord("/"):
            return None
        name = data[start:end]
        for tag in _ENDING_TAG.finditer(data, opened):
            self._step()
            if data.startswith(name, tag.end()):
                return _Value(opened + 1, tag.start())
        return _Value(opened + 1, len(data))

    def _find_part(self, start: int, end: int) -> _Value | None:
        """Find what a part of a multipart form holds (RFC 7578, section 4.2)."""
        data = self._data
        head = _PART_HEAD.match(data, end)
        if head is None:
            return self._find_member(start, end)
        stop = data.find(b"\n--", head.end())
        return _Value(head.end(), _end_at(stop - 1 if data[stop - 1 : stop] == b"\r" else stop, data))

    def _find_member(self, start: int, end: int) -> _Value | None:
        """Find what a member of a JSON object holds; text inside JSON has backslashes before its quotes."""
        data = self._data
        if not start or data[start - 1] != ord('"'):
            return None
        before = data[max(0, start - 2 - DEEPEST) : start - 1]
        quote = before[len(before.rstrip(b"\\")) :] + b'"'
        colon = _COLON.match(data, end + len(quote))
        if colon is None or len(quote) > DEEPEST + 1 or not data.startswith(quote, end):
            return None
        begin = colon.end()
        stop = self._find_value_end(begin, quote)
        return None if stop == begin else _Value(begin, stop, quote + _MASK + quote)

    def _find_value_end(self, begin: int, quote: bytes) -> int:
        """Return where a value ends that begins at ``begin``; there, if it is null or none."""
        data = self._data
        if data.startswith(quote, begin):
            return self._find_string_end(begin + len(quote), quote)
        if data[begin : begin + 1] in {b"[", b"{"}:
            return self._find_container_end(begin, quote)
        match = _SCALAR.match(data, begin)
        return match.end() if match else begin

    def _find_string_end(self, begin: int, quote: bytes) -> int:
        found = self._data.find(quote, begin)
        if found >= 0 and self._data[found - 1] != ord("\\"):
            return found + len(quote)
        match = _build_string_end(len(quote) - 1).search(self._data, begin)
        return match.end() if match else len(self._data)

    def _find_container_end(self, begin: int, quote: bytes) -> int:
        """Return where an array or an object ends, with all that is in it."""
        depth, at = 0, begin
        parts = _build_part(len(quote) - 1)
        while match := parts.search(self._data, at):
            self._step()
            at = match.end()
            if _BRACKET.fullmatch(match[0]) is None:
                at = self._find_string_end(at, quote)
                continue
            depth += 1 if match[0] in b"[{" else -1
            if not depth:
                return at
        return len(self._data)


@lru_cache(maxsize=DEEPEST + 1)
def _build_string_end(backslashes: int) -> re.Pattern[bytes]:
    """Build the pattern of a string's last quote, which has so many backslashes and whole escaped ones before it."""
    return re.compile(rb'(?<!\\)(?:\\{%d})*\\{%d}"' % (2 * (backslashes + 1), backslashes))


@lru_cache(maxsize=DEEPEST + 1)
def _build_part(backslashes: int) -> re.Pattern[bytes]:
    """Build the pattern of what makes up an array or an object: a string's first quote, or a bracket."""
    return re.compile(rb'(?<!\\)\\{%d}"|[\[\]{}]' % backslashes)


def _end_at(found: int, data: bytes) -> int:
    return found if found >= 0 else len(data)

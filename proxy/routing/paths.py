"""Path prefixes, and the spellings that could lead out of one or around one.

The rule of this file: a path is matched by its bytes and sent as it came, so a path that an upstream could read as
another one than we matched is refused, not repaired.  On a route narrower than ``/`` that is: dot segments in any
spelling, a backslash, NUL; and a path whose normal form has a narrow route's prefix that its bytes have not
(``/a%2fb``, ``//a/b``, ``/a;x/b``, ``/%61/b``, ``/c/../a/b``).  Behind the prefix, ``%2F``, ``+`` and empty segments
are data.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import unquote_to_bytes

from proxy.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_DECODINGS = 3
"""How often an upstream and what stands before it might decode a path, each believing to be the only one."""
_UNICODE = re.compile(rb"%u([0-9a-fA-F]{4})")
"""Microsoft's; never a standard."""
_SLASHES = str.maketrans("\u2044\u2215", "//")
"""Fraction and division slash: IIS takes them for what they look like, NFKC does not."""
_PARAMETERS = re.compile(r"[;?#][^/]*")
"""Servlet containers cut ``;…`` off each segment; ``?`` and ``#`` were encoded, or would not be in the path."""
_DOTS = frozenset({".", ".."})


@dataclass(frozen=True, slots=True)
class Prefix:
    """A prefix of whole segments.

    Attributes:
        base: Without its last slash: ``/ingress``; empty for ``/``.
        is_narrow: Whether it is more than ``/``.
    """

    base: str
    is_narrow: bool
    _followed: tuple[str, str]

    def __str__(self) -> str:
        """Return it as it is written in a configuration."""
        return f"{self.base}/"

    def is_in(self, path: str) -> bool:
        """Return whether ``path``, a query included, begins with it by its bytes."""
        return not self.is_narrow or path.startswith(self._followed) or path == self.base

    def covers(self, other: Prefix) -> bool:
        """Return whether every path that ``other`` is in has this one as well."""
        return self.is_in(other.base)


def parse_prefix(text: str) -> Prefix:
    """Parse ``/ingress/``, ``/ingress`` or ``/``; both spellings of one mean the same."""
    base = text.removesuffix("/")
    return Prefix(base, bool(base), (f"{base}/", f"{base}?"))


def is_odd(path: str) -> bool:
    """Return whether ``path`` could be read as another one; False for nearly every real path."""
    return _has_marks(path) and _has_marks(path.partition("?")[0])


def _has_marks(text: str) -> bool:
    return "%" in text or "//" in text or "/." in text or ";" in text or "\\" in text


def check_inside(path: str) -> None:
    """Prove that ``path`` cannot lead out of a prefix that it has.

    Raises:
        Malformed: If it has a dot segment in any spelling, a backslash or a NUL.
    """
    text = _decode(path)
    if not _DOTS.isdisjoint(_split(text)):
        _refuse("the path has a dot segment (. or ..), which could lead out of its route; leave it out in the client")
    if "\\" in path.partition("?")[0]:
        _refuse(r"the path has a backslash; write / or %5C in the client")
    if "\0" in text:
        _refuse("the path has a NUL (%00); leave it out in the client")


def normal_form(path: str) -> str:
    """Return the shortest path that an upstream could take ``path`` for, without its query."""
    kept: list[str] = []
    for segment in _split(_decode(path)):
        if segment == "..":
            del kept[-1:]
        elif segment not in {"", "."}:
            kept.append(segment)
    return "/" + "/".join(kept)


def _decode(path: str) -> str:
    """Take the query off ``path``, and decode it as often, and as laxly, as an upstream might."""
    data = path.partition("?")[0].encode()
    for _ in range(MOST_DECODINGS):
        before, data = data, _decode_once(data)
        if data == before:
            break
    return data.decode("latin-1")


def _decode_once(data: bytes) -> bytes:
    data = _UNICODE.sub(lambda match: chr(int(match[1], 16)).encode("utf-8", "surrogatepass"), unquote_to_bytes(data))
    for spelling, plain in _OVERLONG:
        data = data.replace(spelling, plain)
    if data.isascii():
        return data
    # U+FF0E is a full stop to whoever maps "compatible" characters, as Windows does between code pages.
    text = unicodedata.normalize("NFKC", data.decode("utf-8", "surrogateescape"))
    return text.translate(_SLASHES).encode("utf-8", "surrogateescape")


def _split(text: str) -> list[str]:
    """Split a decoded path as the most eager upstream would: without parameters, backslashes taken for slashes."""
    return [segment.strip() for segment in _PARAMETERS.sub("", text.replace("\\", "/")).split("/")]


def _spell_overlong(plain: bytes) -> Iterator[bytes]:
    """Yield UTF-8 that is none, and that lax decoders take for one ASCII character (RFC 3629, section 10)."""
    high, low = divmod(plain[0], 0x40)
    for lead in (b"\xfc\x80\x80\x80", b"\xf8\x80\x80", b"\xf0\x80", b"\xe0"):
        yield lead + bytes((0x80 | high, 0x80 | low))
    # Some take whatever follows for the rest.
    yield from (bytes((0xC0 | high, rest | low)) for rest in (0x80, 0x00, 0x40, 0xC0))


_OVERLONG = [(spelling, plain) for plain in (b".", b"/", b"\\", b"\0", b"%") for spelling in _spell_overlong(plain)]


def _refuse(detail: str) -> NoReturn:
    raise Malformed(detail)

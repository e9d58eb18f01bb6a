r"""Planted secrets, and a search for them that no usual encoding hides.

How it works: a canary is made of fragments, random-looking letters and digits, with special characters between them.
What escapes characters (URL, JSON, ``repr``, HTML) leaves letters and digits alone, so a fragment that leaks is found
as it is; a part of one is found too, since every run of ``WINDOW`` characters is searched for.  What moves bits
(Base64, hex) is searched for in the form it takes, and the text itself is looked at with its escapes undone as well.
It shares nothing with proxy.traffic.redact but its purpose.  Base64 of Base64 is out of reach of both (README, Limits).
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from ahocorasick_rs import BytesAhoCorasick

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

WINDOW = 8
"""Characters of a secret that must not stand together anywhere."""
BASE64_WINDOW = 12
"""The same in Base64: what nine bytes become."""
DEPTH = 3
"""How many layers of escapes are undone."""
_FRAGMENT = re.compile(rf"[0-9A-Za-z]{{{WINDOW},}}")
_JSON_ESCAPE = re.compile(rb'\\(?:u00([0-9a-fA-F]{2})|(["\\/]))')


@dataclass(frozen=True)
class Canary:
    """A secret planted to be looked for.

    Attributes:
        name: Which one; for the message of a test that found it.
        value: The secret.
    """

    name: str
    value: str

    @property
    def fragments(self) -> list[str]:
        """The runs of letters and digits, which no escaping changes."""
        return _FRAGMENT.findall(self.value)


@dataclass(frozen=True)
class Leak:
    """A canary that was found, or a part of it.

    Attributes:
        canary: Its name.
        form: The encoding that it was found in.
        excerpt: What stands around it.
    """

    canary: str
    form: str
    excerpt: str


class Search:
    """Looks for a set of canaries."""

    def __init__(self, canaries: Iterable[Canary]) -> None:
        """Prepare for ``canaries``."""
        self._exact: dict[bytes, tuple[str, str]] = {}
        self._folded: dict[bytes, tuple[str, str]] = {}
        for canary in canaries:
            assert canary.fragments, f"{canary.name} could not be found"
            for fragment in canary.fragments:
                self._add(canary.name, fragment.encode())
        self._exact_finder = BytesAhoCorasick(self._exact)
        self._folded_finder = BytesAhoCorasick(self._folded)

    def find(self, data: bytes) -> list[Leak]:
        """Return what was found, each canary and encoding once."""
        found: dict[tuple[str, str], Leak] = {}
        for view in _undo_escapes(data):
            for text, needles, finder in (
                (view, self._exact, self._exact_finder),
                (view.lower(), self._folded, self._folded_finder),
            ):
                forms = list(needles.values())
                for index, start, end in finder.find_matches_as_indexes(text):
                    excerpt = text[max(0, start - 60) : end + 60].decode("utf-8", "replace")
                    found.setdefault(forms[index], Leak(*forms[index], excerpt))
        return list(found.values())

    def _add(self, name: str, fragment: bytes) -> None:
        for window in _windows(fragment.lower(), WINDOW):
            self._folded[window] = (name, "plain")
            self._folded[b"\0".join(window[place : place + 1] for place in range(WINDOW))] = (name, "UTF-16")
        for window in _windows(fragment, WINDOW):
            self._folded[window.hex().encode()] = (name, "hex")
            for form, escape in (("%XX", "%{:02x}"), (r"\xXX", r"\x{:02x}"), (r"\u00XX", r"\u{:04x}")):
                self._folded["".join(map(escape.format, window)).encode()] = (name, form)
        for core in _base64_cores(fragment):
            for window in _windows(core, BASE64_WINDOW):
                self._exact[window] = (name, "Base64")


def _windows(data: bytes, size: int) -> Iterator[bytes]:
    for start in range(max(1, len(data) - size + 1)):
        yield data[start : start + size]


def _base64_cores(data: bytes) -> Iterator[bytes]:
    """Yield what Base64 makes of ``data`` wherever it stands, without the characters that its neighbours change."""
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + data)
        first = -(-before * 8 // 6)
        last = (before + len(data)) * 8 // 6
        yield encoded[first:last]
        yield encoded[first:last].translate(bytes.maketrans(b"+/", b"-_"))


def _undo_escapes(data: bytes) -> Iterator[bytes]:
    """Yield ``data``, and what it says with URL and JSON escapes undone, layer by layer, in any order."""
    seen = {data}
    layer = [data]
    yield data
    for _ in range(DEPTH):
        undone = [plain for escaped in layer for plain in (unquote_to_bytes(escaped), _undo_json(escaped))]
        layer = [plain for plain in dict.fromkeys(undone) if plain not in seen]
        seen.update(layer)
        yield from layer


def _undo_json(data: bytes) -> bytes:
    return _JSON_ESCAPE.sub(lambda match: match[2] or bytes.fromhex(match[1].decode()), data)

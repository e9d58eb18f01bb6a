r"""Names of fields that are spelled with escapes: ``client%5Fsecret=``, ``"client\u005fsecret":``, ``user[password]=``.

The rule of this file: whoever reads a field undoes its name's escapes, so they are undone before names are compared.
Every search runs in C and begins where a name ends; only names that have an escape are looked at, so many at most.
"""

from __future__ import annotations

import re
import string
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from proxy.traffic.covers import read_pair
from proxy.traffic.names import LONGEST, MASK

if TYPE_CHECKING:
    from proxy.traffic.names import SecretNames

MOST_SPELLED = 600
"""Names with escapes that are looked at in one text, at 2 to 3 µs each; a long one counts for several."""
MOST_EQUALS = 20_000
"""Equals signs that are looked at in one text, at 0.1 µs each."""
DECODINGS = 3
"""How often a name may be URL-encoded; no reader undoes more."""
WIDEST = 3 * LONGEST
"""Bytes of a name whose every character is escaped."""

_NAME_BYTES = (string.ascii_letters + string.digits + "_.-~%+[]").encode() + bytes(range(0x80, 0x100))
_MEMBER = re.compile(rb'u00[2-7][0-9a-fA-F](?:[A-Za-z0-9_.\-]|\\++u00[2-7][0-9a-fA-F])*+(?=(\\*+"[\s\\nrt]*+:)?)')
r"""What follows the first escape of a word in JSON, and whether the word is a name; it takes the whole word, so that a
search never looks at one twice."""
_IN_JSON = re.compile(rb"\\++u00([2-7][0-9a-fA-F])")
_MASK = MASK.encode()


def mask_pairs(data: bytes, names: SecretNames, value: re.Pattern[bytes]) -> bytes | None:
    """Return a query or a form without the values of secret fields whose names have escapes or brackets.

    Args:
        data: Any text.
        names: Which are secret.
        value: Matches a value from its first byte.

    Returns:
        None when there are too many.
    """
    if (b"%" not in data and b"+" not in data and b"]=" not in data) or b"=" not in data:
        return data
    if data.count(b"=") > MOST_EQUALS:
        return None
    parts: list[bytes] = []
    done, end, left = 0, -1, MOST_SPELLED
    while (end := data.find(b"=", end + 1)) >= 0:
        tail = data[max(done, end - WIDEST) : end]
        name = tail[len(tail.rstrip(_NAME_BYTES)) :]
        if not (b"%" in name or b"+" in name or name.endswith(b"]")):
            continue
        left -= 1 + len(name) // 16
        if left < 0:
            return None
        if (secret := _find_secret(name, names)) is not None and (match := value.match(data, end + 1)):
            cover = names.covers.get(secret.lower())
            parts += (data[done : end + 1], _MASK if cover is None else cover(read_pair(match[0])))
            done = match.end()
            end = done - 1
    return b"".join((*parts, data[done:]))


def _find_secret(name: bytes, names: SecretNames) -> bytes | None:
    """Return a name as it is read, if it is that of a secret; ``user[password]`` and ``password[0]`` are."""
    for _ in range(DECODINGS):
        before, name = name, unquote_to_bytes(name.replace(b"+", b" "))
        if name == before:
            break
    name = name.strip()
    if names.is_secret(name):
        return name
    parts = name.replace(b"]", b"[").split(b"[")
    return next((part for part in reversed(parts) if names.is_secret(part)), None)


def spell_members(data: bytes, names: SecretNames) -> bytes | None:
    """Return JSON in which the names of secret members are spelled plainly; None when there are too many escapes."""
    if b"u00" not in data:
        return data
    parts: list[bytes] = []
    done, left = 0, MOST_SPELLED
    for match in _MEMBER.finditer(data):
        if match[1] is None:
            continue
        left -= 1
        if left < 0:
            return None
        first = max(done, match.start() - LONGEST)
        start = first + len(data[first : match.start()].rstrip(b"\\").rstrip(_NAME_BYTES))
        name = _IN_JSON.sub(lambda escape: bytes.fromhex(escape[1].decode()), data[start : match.end()])
        if names.is_secret(name):
            parts += (data[done:start], name)
            done = match.end()
    return b"".join((*parts, data[done:]))

"""A token in the query, for an upstream that takes it there (RFC 6750, section 2.3): RapidSOS's alerts socket does.

The rule of this file: whatever the client wrote under that name is taken out, as its Authorization would be; every
other byte of the query stays.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote_plus

_SEPARATORS = re.compile(r"([&;])")
"""Some servers part parameters at a semicolon, too."""


def place_in_query(path: str, name: str, value: str) -> str:
    """Put a parameter behind all others.

    Args:
        path: Path and query, as they go to the upstream.
        name: Of the parameter.
        value: Its value, not yet encoded.
    """
    base, mark, query = path.partition("?")
    ours = f"{name}={quote(value, safe='*')}"
    kept = _drop(query, name) if mark else ""
    return f"{base}?{kept}&{ours}" if kept or (mark and not query) else f"{base}?{ours}"


def _drop(query: str, name: str) -> str:
    """Return a query without the parameters of a name, and every other byte of it."""
    parts = ["", *_SEPARATORS.split(query)]
    kept = [part for part in zip(parts[::2], parts[1::2], strict=True) if not _is_named(part[1], name)]
    return "".join(separator + pair for separator, pair in kept)[len(kept[0][0]) if kept else 0 :]


def _is_named(pair: str, name: str) -> bool:
    """Return whether an upstream could read ``pair`` as the parameter; case does not count, to be safe."""
    return unquote_plus(pair.partition("=")[0]).strip().lower() == name.lower()

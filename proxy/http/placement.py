"""A token in the query, for an upstream that takes it there (RFC 6750, section 2.3): RapidSOS's alerts socket does.

The rule of this file: whatever the client wrote under that name is taken out, as its Authorization would be; every
other byte of the query stays.
"""

from __future__ import annotations

from urllib.parse import quote, unquote_plus


def place_in_query(path: str, name: str, value: str) -> str:
    """Put a parameter behind all others.

    Args:
        path: Path and query, as they go to the upstream.
        name: Of the parameter.
        value: Its value, not yet encoded.
    """
    base, mark, query = path.partition("?")
    pairs = [pair for pair in query.split("&") if not _is_named(pair, name)] if mark else []
    ours = f"{name}={quote(value, safe='*')}"
    return f"{base}?{'&'.join([*pairs, ours])}"


def _is_named(pair: str, name: str) -> bool:
    """Return whether an upstream could read ``pair`` as the parameter; case does not count, to be safe."""
    return unquote_plus(pair.partition("=")[0]).strip().lower() == name.lower()

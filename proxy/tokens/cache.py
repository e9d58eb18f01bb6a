"""Where tokens are kept: bounded, and an expired one is never handed out.

The rule of this file: a token is looked up by its key at each use, and the cache compares its ``usable_until`` with
the clock each time.  A token that is not usable when it arrives is not kept at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cachetools import TLRUCache

from proxy.tokens.token import Token, TokenKey

if TYPE_CHECKING:
    from collections.abc import Callable

LEAST_TOKENS = 16_384
"""Room for this many, so that the bound is never what costs a request its token, also after a reload."""

TokenCache = TLRUCache[TokenKey, Token]


def build_cache(now: Callable[[], float], credentials: int) -> TokenCache:
    """Build an empty cache with room for the tokens of so many credentials.

    Args:
        now: The clock that the tokens' ``usable_until`` is of.
        credentials: How many; twice as many tokens fit.
    """
    return TLRUCache(max(LEAST_TOKENS, 2 * credentials), ttu=_usable_until, timer=now)


def _usable_until(_key: TokenKey, token: Token, _now: float) -> float:
    return token.usable_until

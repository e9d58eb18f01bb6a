"""The cache of tokens."""

from __future__ import annotations

import pytest

from proxy.tokens.cache import LEAST_TOKENS, build_cache
from proxy.tokens.token import TokenKey, build_token

KEY = TokenKey("k")


@pytest.fixture
def cache(timeline):
    """Return an empty cache."""
    return build_cache(timeline.now, 1)


async def test_token_ends_with_its_margin(cache, timeline):
    """A token is there until its expiry less the send margin, and not a moment longer."""
    cache[KEY] = token = build_token("abc", 100.0, sent_at=timeline.now(), dice=0.5)
    await timeline.advance(94.9)
    assert cache[KEY] is token

    await timeline.advance(0.1)

    with pytest.raises(KeyError):
        cache[KEY]


def test_dead_token_is_not_kept(cache, timeline):
    """A token that is not usable when it comes is not kept."""
    cache[KEY] = build_token("abc", 100.0, sent_at=timeline.now() - 96.0, dice=0.5)

    assert KEY not in cache


def test_cache_is_bounded(cache, timeline):
    """The cache holds so many tokens and no more; the one longest unused goes first."""
    for number in range(LEAST_TOKENS + 1):
        cache[TokenKey(str(number))] = build_token("abc", 100.0, sent_at=timeline.now(), dice=0.5)

    assert len(cache) == LEAST_TOKENS
    assert TokenKey("0") not in cache


def test_cache_grows_with_the_credentials(timeline):
    """There is room for every credential's token twice."""
    assert build_cache(timeline.now, 10_000).maxsize == 20_000

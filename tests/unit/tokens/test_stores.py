"""Configuration to store."""

import base64

import pytest

from proxy.config.models import Config, Outbound
from proxy.config.secret import Secret
from proxy.errors import ConfigError
from proxy.tokens.file_store import FileStore
from proxy.tokens.redis_store import RedisStore
from proxy.tokens.store import Claim, MemoryStore, StoreStatus, Turn
from proxy.tokens.stored import StoredToken
from proxy.tokens.stores import build_sealer, build_store

KEY = Secret(base64.b64encode(bytes(32)).decode(), "test")


def build(**store):
    """Build the store of a configuration that is otherwise empty."""
    config = Config(listener=(), credential={}, route=(), store=store)
    return build_store(config, build_sealer(config.store), None)


def test_without_a_place_tokens_live_in_memory():
    """That is the default."""
    store = build()

    assert isinstance(store, MemoryStore)
    assert store.status() == StoreStatus("memory", None, usable=True, failures=0, last_error=None)


async def test_memory_has_a_turn_for_everybody_and_nothing_else():
    """A source with it does as if it were alone, which it is."""
    store, token = MemoryStore(), StoredToken("a-token", 60.0, 0.0)

    assert await store.agree("core", None) is None
    assert await store.agree("core", token) == token
    assert await store.take_turn("core", steal=False) == Turn(Claim())
    await store.end_turn("core", Claim(), token)
    assert await store.agree("core", None) is None


def test_a_file_is_one_store_and_redis_another(tmp_path):
    """Neither is opened before it is started."""
    file, redis = build(file=str(tmp_path / "tokens"), key=KEY), build(redis="redis://127.0.0.1:1", key=KEY)

    assert isinstance(file, FileStore)
    assert (file.status().kind, file.status().place) == ("file", str(tmp_path / "tokens"))
    assert isinstance(redis, RedisStore)
    assert (redis.status().kind, redis.status().place) == ("redis", "redis://127.0.0.1:1")


def test_names_are_the_same_on_every_replica():
    """They come from the key and nothing else; without a store they are the process's own."""
    config = Config(listener=(), credential={}, route=(), store={"file": "tokens", "key": KEY})

    assert build_sealer(config.store).hash_key == build_sealer(config.store).hash_key
    assert build_sealer(Config(listener=(), credential={}, route=()).store) is None


def test_authorities_of_the_way_out_are_looked_at(tmp_path):
    """Redis behind a proxy that inspects TLS is trusted as RapidSOS is."""
    outbound = Outbound(ca_file=str(tmp_path / "missing.pem"))
    store = {"redis": "rediss://127.0.0.1:1", "key": KEY}
    config = Config(listener=(), credential={}, route=(), outbound=outbound, store=store)

    with pytest.raises(ConfigError, match=r"outbound\.ca_file"):
        build_store(config, build_sealer(config.store), None)

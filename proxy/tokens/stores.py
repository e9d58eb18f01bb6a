"""Configuration to store.

The rule of this file: what a store needs is imported where it is built.  redis-py takes 20 MB, and most proxies have no
Redis.
"""
# ruff: noqa: PLC0415 (imports inside functions are the rule of this file)

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from proxy.config.keys import decode_key
from proxy.config.store import parse_redis_url
from proxy.tls import build_tls_context
from proxy.tokens.store import MemoryStore

if TYPE_CHECKING:
    import ssl

    from proxy.config.models import Config
    from proxy.config.models import Store as Settings
    from proxy.tokens.seal import Sealer
    from proxy.tokens.store import Store


def build_sealer(settings: Settings) -> Sealer | None:
    """Build what encrypts; None where nothing is stored.

    Args:
        settings: Checked.
    """
    if settings.key is None:
        return None
    from proxy.tokens.seal import Sealer

    return Sealer(decode_key(settings.key.reveal()))


def build_store(config: Config, sealer: Sealer | None, tls: ssl.SSLContext | None) -> Store:
    """Build the store of a configuration.

    Args:
        config: Checked.
        sealer: What ``build_sealer`` built.
        tls: Instead of the context that ``config.outbound`` describes; ``config.store.ca_file`` has one of its own.
    """
    if sealer is None:
        return MemoryStore()
    if config.store.file is not None:
        from proxy.tokens.file_store import FileStore
        from proxy.tokens.sealed_file import SealedFile

        return FileStore(SealedFile(Path(config.store.file), sealer))
    return _build_redis_store(config, sealer, tls)


def _build_redis_store(config: Config, sealer: Sealer, tls: ssl.SSLContext | None) -> Store:
    from proxy.tokens.redis_link import RedisLink, build_client
    from proxy.tokens.redis_store import RedisStore, build_keys

    settings = config.store
    url = settings.redis or ""
    context = build_tls_context(config.outbound.ca_file) if tls is None or settings.ca_file else tls
    if settings.ca_file:
        context.load_verify_locations(cafile=settings.ca_file)
    client = build_client(parse_redis_url(url), settings, context)
    link = RedisLink(client, build_keys(settings.prefix, "probe"))
    return RedisStore(link, sealer, url=url, prefix=settings.prefix, longest_call_s=config.timeouts.token)

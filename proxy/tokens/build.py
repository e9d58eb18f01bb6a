"""Configuration to token sources: built together, started together, stopped together."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

from proxy.errors import ConfigError
from proxy.resolver import Resolver
from proxy.tokens.basic import BasicSource
from proxy.tokens.bearer import BearerSource, Shared
from proxy.tokens.cache import build_cache
from proxy.tokens.clock import SystemClock
from proxy.tokens.fetch import TokenFetcher
from proxy.tokens.people import People
from proxy.tokens.stores import build_sealer, build_store
from proxy.tokens.token import build_token_key

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from proxy.config.models import Config, Credential
    from proxy.tokens.clock import Clock
    from proxy.tokens.source import Source, TokenObserver
    from proxy.tokens.store import Store, StoreStatus
    from proxy.tokens.token import CredentialStatus

HASH_KEY_BYTES = 32
BY_LOGIN = "basic"
"""``from_client``: the client sends a person's name and password."""


class Sources:
    """The token sources of all credentials.

    Attributes:
        by_name: By the credential's name; that of a user whom clients may name is ``credential/user``.
        people: By the credential's name, where each person proves himself.
    """

    def __init__(
        self,
        by_name: Mapping[str, Source],
        people: Mapping[str, People],
        fetcher: TokenFetcher,
        store: Store,
        hash_key: bytes,
    ) -> None:
        """Own the sources, the fetcher and the store that they share, and the key that hides their secrets in names."""
        self.by_name = by_name
        self.people = people
        self._fetcher = fetcher
        self._store = store
        self._hash_key = hash_key

    def statuses(self) -> list[CredentialStatus]:
        """Return how each credential stands."""
        return [source.status() for source in self._all()]

    async def refresh(self, name: str, *, force: bool) -> CredentialStatus:
        """Replace a token now, and return how its credential stands then; see ``Source.refresh``.

        Where each person has a token of his own there is none to replace.
        """
        if name in self.people:
            return self.people[name].status()
        return await self.by_name[name].refresh(force=force)

    def store_status(self) -> StoreStatus:
        """Return how the store stands."""
        return self._store.status()

    def renew(self, name: str, credential: Credential) -> None:
        """Let the sources of this credential use another secret from now on."""
        if name in self.people:
            self.people[name].renew(credential)
        for source, part in split_credential(name, credential).items():
            self.by_name[source].renew_credential(part, build_token_key(part, self._hash_key))

    async def start(self) -> None:
        """Read the store, and start all; each makes its first call at once, and none is waited for."""
        await self._store.start(self._resync)
        await asyncio.gather(*(source.start() for source in self._all()))

    async def stop(self) -> None:
        """Stop all."""
        await asyncio.gather(*(source.stop() for source in self._all()))
        await self._store.stop()
        await self._fetcher.close()

    def _all(self) -> list[Source | People]:
        return [*self.by_name.values(), *self.people.values()]

    def _resync(self) -> None:
        for source in self.by_name.values():
            if isinstance(source, BearerSource):
                source.resync()


def build_sources(
    config: Config,
    observer: TokenObserver,
    *,
    clock: Clock | None = None,
    tls: ssl.SSLContext | None = None,
    resolver: Resolver | None = None,
) -> Sources:
    """Build the source of every credential.

    Args:
        config: Checked.
        observer: Is told of each token call.
        clock: Instead of the system's.
        tls: Instead of the context that ``config.outbound`` describes.
        resolver: Shared with the relay, instead of one of its own.
    """
    clock = clock or SystemClock()
    resolver = resolver or Resolver(config.timeouts.connect)
    fetcher = TokenFetcher(config.outbound, config.timeouts.token, tls=tls, resolver=resolver)
    sealer = build_sealer(config.store)
    store = build_store(config, sealer, tls)
    shared = Shared(
        cache=build_cache(clock.now, len(config.credential)),
        fetch=fetcher,
        clock=clock,
        observer=observer,
        wait_s=config.timeouts.token_wait,
        store=store,
    )
    hash_key = secrets.token_bytes(HASH_KEY_BYTES) if sealer is None else sealer.hash_key
    by_name = {
        part: _build_source(part, credential, shared, hash_key, user=find_user(name, part))
        for name, whole in config.credential.items()
        for part, credential in split_credential(name, whole).items()
    }
    people = {
        name: People(name, credential, shared, hash_key)
        for name, credential in config.credential.items()
        if credential.from_client == BY_LOGIN
    }
    return Sources(by_name, people, fetcher, store, hash_key)


def split_credential(name: str, credential: Credential) -> dict[str, Credential]:
    """Return a credential for each source that it takes, by the source's name: one, or one for each user.

    None where each person proves himself: those sources come with them.
    """
    if credential.from_client is None:
        return {name: credential}
    return {
        name_user(name, user): credential.model_copy(
            update={"username": login.username, "password": login.password, "from_client": None, "users": {}}
        )
        for user, login in credential.users.items()
    }


def name_user(credential: str, user: str) -> str:
    """Return the name of the source of a user whom clients may name."""
    return f"{credential}/{user}"


def find_credential(source: str) -> str:
    """Return the name of the credential that a source, by its name, is one of; no credential's has a slash in it."""
    return source.partition("/")[0]


def find_user(credential: str, source: str) -> str | None:
    """Return the user whose source this is; None where it is the credential's own."""
    return None if source == credential else source.removeprefix(name_user(credential, ""))


def _build_source(
    name: str, credential: Credential, shared: Shared, hash_key: bytes, *, user: str | None = None
) -> Source:
    if credential.grant != "basic":
        return BearerSource(name, credential, build_token_key(credential, hash_key), shared, user=user)
    if credential.username is None or credential.password is None:
        where = f"credential.{name}"
        raise ConfigError(where, "grant basic needs username and password", "add both")
    return BasicSource(name, credential.username, credential.password)

"""Configuration to token sources: built together, started together, stopped together."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, replace
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


@dataclass(frozen=True, slots=True)
class SourceSet:
    """The sources of one configuration.

    Attributes:
        by_name: By the credential's name; that of a user whom clients may name is ``credential/user``.
        people: By the credential's name, where each person proves himself.
    """

    by_name: Mapping[str, Source]
    people: Mapping[str, People]

    def all(self) -> list[Source | People]:
        """Return each of them."""
        return [*self.by_name.values(), *self.people.values()]


@dataclass(frozen=True, slots=True)
class Change:
    """Another configuration's sources, before they are used.

    Attributes:
        chosen: They, those that stay as they are among them.
        newcomers: Those that are new, or have another login than the one of their name; not started yet.
        fetcher: Of the token calls, where it is another.
        shared: What all of them are to have in common.
        renewed: Where persons prove themselves, and nothing but the client's secret may be another.
    """

    chosen: SourceSet
    newcomers: tuple[Source | People, ...]
    fetcher: TokenFetcher | None
    shared: Shared
    renewed: Mapping[str, Credential]

    def own(self) -> tuple[Source | People | TokenFetcher, ...]:
        """Return what it would be to end if it came to nothing."""
        return self.newcomers if self.fetcher is None else (*self.newcomers, self.fetcher)


class Sources:
    """The token sources of all credentials.

    Attributes:
        chosen: Those that serve.
    """

    def __init__(self, chosen: SourceSet, shared: Shared, fetcher: TokenFetcher, store: Store, hash_key: bytes) -> None:
        """Own the sources, the fetcher and the store that they share, and the key that hides their secrets in names."""
        self.chosen = chosen
        self._shared = shared
        self._fetcher = fetcher
        self._store = store
        self._hash_key = hash_key

    @property
    def by_name(self) -> Mapping[str, Source]:
        """See ``SourceSet``."""
        return self.chosen.by_name

    @property
    def people(self) -> Mapping[str, People]:
        """See ``SourceSet``."""
        return self.chosen.people

    def statuses(self) -> list[CredentialStatus]:
        """Return how each credential stands."""
        return [source.status() for source in self.chosen.all()]

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
        await asyncio.gather(*(source.start() for source in self.chosen.all()))

    async def stop(self) -> None:
        """Stop all."""
        await asyncio.gather(*(source.stop() for source in self.chosen.all()))
        await self._store.stop()
        await self._fetcher.close()

    def prepare(self, config: Config, fetcher: TokenFetcher | None) -> Change:
        """Build what another configuration needs beyond what there is; nothing is started, and nothing used.

        A source whose token would be kept under the same key stays, with the token that it has.

        Args:
            config: Checked.
            fetcher: Makes the token calls from then on; None: the one that does now.
        """
        wait_s = config.timeouts.token_wait
        shared = replace(self._shared, fetch=fetcher or self._fetcher, wait_s=wait_s)
        built = _build_set(config.credential, shared, self._hash_key)
        by_name = {name: self._find_same(source) or source for name, source in built.by_name.items()}
        kept = {name: old for name in built.people if (old := self._find_people(name, config)) is not None}
        chosen = SourceSet(by_name, {**built.people, **kept})
        known = set(map(id, self.chosen.all()))
        newcomers = tuple(source for source in chosen.all() if id(source) not in known)
        return Change(chosen, newcomers, fetcher, shared, {name: config.credential[name] for name in kept})

    def use(self, change: Change) -> tuple[Source | People | TokenFetcher, ...]:
        """Serve with other sources from now on; return what is not needed any more, for the caller to end."""
        kept = set(map(id, change.chosen.all()))
        former: list[Source | People | TokenFetcher] = [
            source for source in self.chosen.all() if id(source) not in kept
        ]
        self.chosen, self._shared = change.chosen, change.shared
        for source in self.chosen.all():
            source.share(change.shared)
        for name, credential in change.renewed.items():
            self.people[name].renew(credential)
        if change.fetcher is not None:
            former.append(self._fetcher)
            self._fetcher = change.fetcher
        return tuple(former)

    def _find_same(self, built: Source) -> Source | None:
        """Return the source of this name whose token is the one that ``built`` would get."""
        old = self.by_name.get(built.name)
        is_same = isinstance(old, BearerSource) and isinstance(built, BearerSource) and old.key == built.key
        return old if is_same else None

    def _find_people(self, name: str, config: Config) -> People | None:
        """Return those of this credential who are here, if their tokens are good for the new one."""
        old = self.people.get(name)
        return old if old is not None and old.is_for(config.credential[name]) else None

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
    return Sources(_build_set(config.credential, shared, hash_key), shared, fetcher, store, hash_key)


def _build_set(credentials: Mapping[str, Credential], shared: Shared, hash_key: bytes) -> SourceSet:
    by_name = {
        part: _build_source(part, credential, shared, hash_key, user=find_user(name, part))
        for name, whole in credentials.items()
        for part, credential in split_credential(name, whole).items()
    }
    people = {
        name: People(name, credential, shared, hash_key)
        for name, credential in credentials.items()
        if credential.from_client == BY_LOGIN
    }
    return SourceSet(by_name, people)


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

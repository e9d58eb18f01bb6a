"""From one configuration to another while the proxy runs, without dropping an exchange.

The rule of this file: everything that can fail is done before anything is changed.  Ports are taken, certificates are
read, new credentials get their tokens; then, within one turn of the loop, all of it is used.  What goes wrong before
that leaves everything as it was; and what is no longer needed ends when nothing is under way with it.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog

from proxy.descriptors import allow_descriptors, count_descriptors
from proxy.errors import ConfigError, NoToken
from proxy.interception import Interceptions
from proxy.relay.build import build_dialer, build_plan
from proxy.relay.entrance import Entrance
from proxy.relay.listener import bind
from proxy.tasks import Tasks
from proxy.threads import in_thread
from proxy.tls import build_tls_context
from proxy.tokens.bearer import BearerSource
from proxy.tokens.build import find_credential, find_user
from proxy.tokens.fetch import TokenFetcher

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from proxy.config.models import Config, Listener
    from proxy.relay.listener import ListeningSocket
    from proxy.relay.relay import Relay
    from proxy.renewal import KeptCertificate, Renewal
    from proxy.resolver import Resolver
    from proxy.rotation import Rotation
    from proxy.tokens.build import Change, Sources
    from proxy.tokens.people import People
    from proxy.tokens.source import Source
    from proxy.traffic.log import TrafficLog

    Ending = Source | People | TokenFetcher

FINISH_S: Final = 60.0
"""How long token sources that are not needed any more are kept for the exchanges that began with them."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Parts:
    """The running proxy, as far as it hangs on the configuration.

    Attributes:
        interceptions: What tunnels are opened with.
        tls: The way out that is verified.
        listeners: The sockets that clients connect to, in the order of the configuration.
        hide: Takes a configuration whose secrets are about to be used, and hides them from every log.
    """

    relay: Relay
    sources: Sources
    log: TrafficLog
    rotation: Rotation
    renewal: Renewal
    interceptions: Interceptions
    resolver: Resolver
    tls: ssl.SSLContext
    listeners: list[ListeningSocket]
    hide: Callable[[Config], None]


@dataclass(frozen=True, slots=True)
class Served:
    """A listener of the configuration to come.

    Attributes:
        socket: Its own; the one that there is at its address, whichever listener it has served so far.
        entrance: What connections come in by from then on; the one that there is, where it lets in the same.
    """

    socket: ListeningSocket
    entrance: Entrance


@dataclass(frozen=True, slots=True)
class Prepared:
    """A configuration of which nothing can fail any more."""

    config: Config
    tls: ssl.SSLContext
    certificates: Mapping[str, KeptCertificate]
    interceptions: Interceptions
    listeners: Sequence[Served]
    sources: Change


class Changeover:
    """Puts one configuration after another to use."""

    def __init__(self, config: Config, parts: Parts) -> None:
        """Change ``parts``, which were built from ``config``."""
        self._built_from = config
        self._parts = parts
        self._tasks = Tasks()

    @property
    def config(self) -> Config:
        """The configuration in use, its secrets as they are now."""
        return self._parts.rotation.config

    async def use(self, config: Config) -> None:
        """Prepare a configuration and use it, or undo what was begun in vain.

        Raises:
            ConfigError: If it cannot be used; everything is as it was then.
        """
        parts = self._parts
        parts.hide(config)
        async with contextlib.AsyncExitStack() as undo:
            certificates = await parts.renewal.prepare(config.listener)
            interceptions = await self._prepare_interceptions(config, undo)
            listeners = [await self._prepare_listener(one, certificates, undo) for one in config.listener]
            tls = await self._prepare_tls(config)
            change = parts.sources.prepare(config, self._prepare_fetcher(config, tls))
            undo.push_async_callback(end_all, change.own())
            await start_sources(change.newcomers, config.timeouts.token + config.timeouts.token_wait)
            for one in listeners:
                if one.socket not in parts.listeners:
                    await one.socket.listen()
            undo.pop_all()
            self._switch(Prepared(config, tls, certificates, interceptions, listeners, change))

    async def stop(self) -> None:
        """End what older exchanges still had a use for."""
        await self._tasks.stop()

    async def _prepare_listener(
        self, listener: Listener, certificates: Mapping[str, KeptCertificate], undo: contextlib.AsyncExitStack
    ) -> Served:
        """Find the socket at a listener's address, or take the address."""
        kept = certificates.get(listener.name)
        security = None if kept is None else kept.security
        present = self._parts.listeners
        if one := next((one for one in present if one.is_where(listener)), None):
            is_same = one.entrance.is_for(listener.name, security)
            return Served(one, one.entrance if is_same else Entrance(listener.name, security))
        if one := next((one for one in present if one.bound.overlaps(listener.bind)), None):
            problem = f"{listener.bind} overlaps {one.bound}, where listener {one.name} serves at present"
            where = f"listener {listener.name}: bind"
            raise ConfigError(where, problem, "restart the proxy, or choose a port that it does not use yet")
        opened = await bind(listener, self._parts.relay, security)
        undo.callback(opened.close)
        return Served(opened, opened.entrance)

    async def _prepare_interceptions(self, config: Config, undo: contextlib.AsyncExitStack) -> Interceptions:
        """Have the certificates issued that tunnels need, if they are others."""
        if self._parts.interceptions.is_for(config):
            return self._parts.interceptions
        prepared = Interceptions(config)
        undo.push_async_callback(prepared.stop)
        await prepared.start()
        return prepared

    async def _prepare_tls(self, config: Config) -> ssl.SSLContext:
        """Build the context for connections out; its authorities are read again, since their file may have changed."""
        ca_file = config.outbound.ca_file
        if ca_file is None and self._built_from.outbound.ca_file is None:
            return self._parts.tls
        return await in_thread(partial(build_tls_context, ca_file), name="authorities")

    def _prepare_fetcher(self, config: Config, tls: ssl.SSLContext) -> TokenFetcher | None:
        """Build what makes the token calls, if it must be another."""
        before = self._built_from
        is_same = config.outbound == before.outbound and config.timeouts.token == before.timeouts.token
        if is_same and tls is self._parts.tls:
            return None
        return TokenFetcher(config.outbound, config.timeouts.token, tls=tls, resolver=self._parts.resolver)

    def _switch(self, prepared: Prepared) -> None:
        """Use a prepared configuration, all of it at once."""
        parts, config, relay = self._parts, prepared.config, self._parts.relay
        # A connection through another corporate proxy is another connection.
        pools = relay.pools() if config.outbound == self._built_from.outbound else {}
        self._built_from = config
        parts.tls = prepared.tls
        parts.resolver.timeout_s = config.timeouts.connect
        former = parts.sources.use(prepared.sources)
        dialer = build_dialer(config, parts.tls, parts.resolver)
        if parts.interceptions is not prepared.interceptions:
            _ = self._tasks.start(parts.interceptions.stop(), name="former interceptions")
            parts.interceptions = prepared.interceptions
        find_interceptor = parts.interceptions.find
        relay.use(build_plan(config, prepared.sources.chosen, dialer, relay.ground, find_interceptor, pools))
        parts.renewal.use(prepared.certificates)
        parts.rotation.use(config)
        parts.log.use(config.traffic_log, queue_bytes=config.limits.log_queue)
        self._switch_listeners(prepared.listeners)
        allow_descriptors(count_descriptors(config))
        if former:
            _ = self._tasks.start(self._end(former), name="former token sources")

    def _switch_listeners(self, wanted: Sequence[Served]) -> None:
        listeners = self._parts.listeners
        before, places = listeners.copy(), {one.url: one.name for one in listeners}
        listeners[:] = [one.socket for one in wanted]
        for socket in before:
            if socket not in listeners:
                socket.retire()
        for one in wanted:
            one.socket.use(one.entrance)
        places_now = {one.url: one.name for one in listeners}
        for url, name in places.items():
            if places_now.get(url) != name:
                log.info("listener.closed", listener=name, url=url)
        for url, name in places_now.items():
            if places.get(url) != name:
                log.info("listener.opened", listener=name, url=url)

    async def _end(self, former: Iterable[Ending]) -> None:
        try:
            await self._parts.relay.finish_older(FINISH_S)
        finally:
            await end_all(former)


async def start_sources(newcomers: Iterable[Source | People], limit_s: float) -> None:
    """Start sources, and wait until each has its first token.

    Raises:
        ConfigError: If one is refused, or has no token within the limit.
    """
    tasks = Tasks()
    starts = [tasks.start(_find_failure(source, limit_s), name=source.name) for source in newcomers]
    try:
        failures = await asyncio.gather(*starts)
    finally:
        await tasks.stop()
    for failure in failures:
        if failure is not None:
            raise failure


async def end_all(former: Iterable[Ending]) -> None:
    """Stop sources, and close what made their calls."""
    for one in former:
        await (one.close() if isinstance(one, TokenFetcher) else one.stop())


async def _find_failure(source: Source | People, limit_s: float) -> ConfigError | None:
    """Start a source; return why it has no token, if so.  Persons get theirs when they come."""
    await source.start()
    if not isinstance(source, BearerSource):
        return None
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(limit_s):
            while not source.is_refused:
                with contextlib.suppress(NoToken):
                    await source.wait()
                    return None
    status = source.status()
    problem = f"no token could be had with it: {status.last_error or f'no answer within {limit_s:g} s'}"
    return ConfigError(_find_key(source.name), problem, status.next_step or "reload again when its server answers")


def _find_key(source: str) -> str:
    credential = find_credential(source)
    user = find_user(credential, source)
    return f"credential.{credential}" if user is None else f"credential.{credential}.users.{user}"

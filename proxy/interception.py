"""What tunnels are opened with: a certificate for each routed host, by the local authority, renewed each day.

The rule of this file: every listener that intercepts always has a certificate that is good for each of its hosts.  An
authority that changes on disk is used for new tunnels if it can be; if not, the old one serves on, and that is told.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog

from proxy.ca.authority import list_paths, read_authority
from proxy.certificates import DAY_S
from proxy.config.watch import FileWatch
from proxy.relay.handshakes import Handshakes
from proxy.relay.tunnel import explain_distrust
from proxy.renewal import CertificateStatus, WatchedCertificate, read_first
from proxy.routing.table import find_routed_hosts
from proxy.tasks import Tasks
from proxy.threads import in_thread

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping

    from proxy.ca.authority import LocalAuthority
    from proxy.config.models import Config, Interception

LOOK_S: Final = 60.0
"""Between two looks at the clock: it may have been set, or the machine suspended."""
RENEW_S: Final = DAY_S
"""Age at which a host's certificate is replaced; it is good for seven times as long."""
WHERE: Final = "interception"
FIX: Final = (
    "make another with `rapidsos-proxy ca init --dir DIR`, have the clients trust it as well, then put it into the "
    "files of this one"
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Issued:
    """What an authority has issued.

    Attributes:
        contexts: By host.
        at: Seconds since the epoch.
    """

    authority: LocalAuthority
    contexts: Mapping[str, ssl.SSLContext]
    at: float


class Interceptor:
    """What one listener's tunnels are opened with; see proxy.relay.tunnel.

    Attributes:
        contexts: By host; none before the start.
        handshakes: Those that failed.
    """

    def __init__(self, listener: str, hosts: frozenset[str], ca_certificate: str) -> None:
        """Have nothing yet."""
        self.listener = listener
        self.hosts = hosts
        self.contexts: Mapping[str, ssl.SSLContext] = {}
        self.handshakes = Handshakes(listener, time.monotonic, partial(explain_distrust, ca_certificate=ca_certificate))


class Interceptions:
    """Keeps the certificates of all listeners that intercept."""

    def __init__(self, config: Config, wall: Callable[[], float] = time.time) -> None:
        """Prepare; nothing is read before ``start``.

        Args:
            config: Checked.
            wall: Gives seconds since the epoch.
        """
        self._settings = config.interception
        self._wall = wall
        self._interceptors: dict[str, Interceptor] = {}
        if self._settings is not None:
            for name, hosts in _find_hosts(config).items():
                self._interceptors[name] = Interceptor(name, hosts, self._settings.ca_certificate)
        self._hosts = frozenset[str]().union(*(one.hosts for one in self._interceptors.values()))
        self._issued: Issued | None = None
        self._tasks = Tasks()
        self._watch: FileWatch[str, Issued] | None = None

    def is_for(self, config: Config) -> bool:
        """Return whether another configuration needs the same."""
        hosts = {name: one.hosts for name, one in self._interceptors.items()}
        return config.interception == self._settings and _find_hosts(config) == hosts

    async def start(self) -> None:
        """Read the authority, have it issue certificates, and begin to look for changes.

        Raises:
            ConfigError: If it cannot be used.
        """
        settings = self._settings
        if settings is None:
            return
        paths, read_files = list_paths(settings), partial(self._read, settings)
        stamps, issued = await read_first(WHERE, paths, read_files)
        self._use(issued)
        self._warn(issued)
        watched = WatchedCertificate(WHERE, WHERE, paths, stamps, read_files)
        self._watch = FileWatch([watched], self.take, asyncio.get_running_loop())
        self._watch.start()
        _ = self._tasks.keep(self._renew_daily, name=WHERE)

    async def stop(self) -> None:
        """Look no more."""
        if self._watch is not None:
            self._watch.stop()
        await self._tasks.stop()

    def find(self, listener: str) -> Interceptor | None:
        """Return what a listener's tunnels are opened with; None for one that opens none."""
        return self._interceptors.get(listener)

    def statuses(self) -> Iterator[CertificateStatus]:
        """Yield the state of each listener that intercepts; the certificate is the authority's."""
        if self._issued is not None:
            end = self._issued.authority.validity.not_after
            for one in self._interceptors.values():
                yield CertificateStatus(one.listener, end, dict(one.handshakes.failures))

    def take(self, read: Mapping[str, Issued]) -> None:
        """Use what was read for new tunnels."""
        for issued in read.values():
            self._use(issued)
            authority = issued.authority
            log.info("authority.renewed", subject=authority.subject, until=authority.validity.until)
            self._warn(issued)

    def _read(self, settings: Interception) -> Issued:
        return self._issue(read_authority(settings))

    def _issue(self, authority: LocalAuthority) -> Issued:
        now = self._wall()
        return Issued(authority, authority.build_contexts(self._hosts, now), now)

    def _use(self, issued: Issued) -> None:
        self._issued = issued
        for one in self._interceptors.values():
            one.contexts = {host: issued.contexts[host] for host in one.hosts}

    async def _renew_daily(self) -> None:
        """Have new certificates issued when those in use are a day old, or the clock says that they are of tomorrow."""
        while True:
            await asyncio.sleep(LOOK_S)
            await self.renew_if_due()

    async def renew_if_due(self) -> None:
        """Have new certificates issued, if it is time."""
        issued = self._issued
        if issued is None or 0 <= self._wall() - issued.at < RENEW_S:
            return
        new = await in_thread(partial(self._issue, issued.authority), name=WHERE)
        if self._issued is issued:  # else the files have changed meanwhile
            self._use(new)
        self._warn(new)

    def _warn(self, issued: Issued) -> None:
        validity = issued.authority.validity
        if (trouble := validity.find_trouble(self._wall())) is not None:
            subject = issued.authority.subject
            log.warning("authority.expiring", subject=subject, problem=trouble, until=validity.until, fix=FIX)


def _find_hosts(config: Config) -> dict[str, frozenset[str]]:
    """Return the routed hosts of each listener that intercepts."""
    names = [listener.name for listener in config.listener if listener.intercept]
    return {name: find_routed_hosts(config.route, name) for name in names}

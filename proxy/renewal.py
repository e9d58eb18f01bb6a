"""Certificates of listeners that are renewed while the proxy runs: noticed, checked, and used for new connections.

The rule of this file: a listener always has a certificate that works.  New files that cannot be used leave the old ones
in service, with an error that says the fix; connections that are open stay with what they began with.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

import structlog

from proxy.certificates import DAY_S, CertificateError, read_server_tls
from proxy.config.places import File
from proxy.config.watch import FileWatch
from proxy.errors import ConfigError
from proxy.relay.handshakes import Handshakes
from proxy.tasks import Tasks
from proxy.threads import in_thread

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from proxy.certificates import ServerTLS
    from proxy.config.models import Listener, ListenerTLS
    from proxy.config.places import Stamp

FIX = "renew it, and put the new one into the same file: it is used within a second, without a restart"
_REPORT = "this is a defect of the proxy: report it with this line; another certificate may do meanwhile"

Stamps = tuple["Stamp | None", ...]
"""The states of several files at one moment."""
Found = TypeVar("Found")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class CertificateStatus:
    """One listener's TLS at one moment.

    Attributes:
        listener: Its name.
        not_after: End of the certificate in use, in seconds since the epoch.
        failures: Handshakes that failed, by reason.
    """

    listener: str
    not_after: float
    failures: Mapping[str, int]


class Security:
    """What one listener's handshakes are made with at present.

    Attributes:
        handshakes: Those that failed.
    """

    def __init__(self, name: str, tls: ServerTLS) -> None:
        """Use this, until another takes its place."""
        self.name = name
        self.tls = tls
        self.handshakes = Handshakes(name, time.monotonic)

    @property
    def context(self) -> ssl.SSLContext:
        """For the next connection."""
        return self.tls.context

    def status(self) -> CertificateStatus:
        """Return the state now."""
        return CertificateStatus(self.name, self.tls.validity.not_after, dict(self.handshakes.failures))


class WatchedCertificate(Generic[Found]):
    """The files of a certificate and what belongs to it, and the state in which they were last read."""

    def __init__(
        self, key: str, where: str, paths: Sequence[str], used: Stamps, read_files: Callable[[], Found]
    ) -> None:
        """Compare with the states that the files had before what is used was read.

        Args:
            key: Whose they are.
            where: The table of the configuration that names them.
            paths: They.
            used: Those states.
            read_files: Returns what is to be used; raises a CertificateError if they cannot be.
        """
        self.key = key
        self._where = where
        self._paths = paths
        self._seen = self._read = used
        self._read_files = read_files

    def __str__(self) -> str:
        """Name it for people."""
        return f"certificate of {self._where}"

    def look(self) -> Found | None:
        """Look once; return what new connections are to use, if that has changed.

        The files are read when all of them have stopped changing: certificate and key come one after the other.
        """
        stamps = stamp_files(self._paths)
        is_steady, self._seen = stamps == self._seen, stamps
        if not is_steady or stamps == self._read:
            return None
        try:
            found = self._read_files()
        except Exception as error:  # noqa: BLE001 (told of, once: what can be wrong with a certificate has no end)
            if stamp_files(self._paths) == stamps:  # else it was read while it was written
                self._read = stamps
                self._complain(error)
            return None
        if stamp_files(self._paths) != stamps:
            return None
        self._read = stamps
        return found

    def _complain(self, error: Exception) -> None:
        if isinstance(error, CertificateError):
            key, problem, fix, defect = f"{self._where}.{error.key}", error.problem, error.fix, None
        else:
            key, problem, fix, defect = self._where, f"cannot be read ({type(error).__name__})", _REPORT, error
        log.error("certificate.unusable", key=key, problem=problem, fix=fix, used="the old one", exc_info=defect)


@dataclass(frozen=True, slots=True, eq=False)
class KeptCertificate:
    """What is kept of one listener's TLS.

    Attributes:
        settings: Of the configuration.
        security: What handshakes are made with.
        watch: Looks at the files that these settings name, for this security and no other.
    """

    settings: ListenerTLS
    security: Security
    watch: FileWatch[str, ServerTLS]


class Renewal:
    """Keeps the certificates of all listeners as their files have them."""

    def __init__(self, listeners: Sequence[Listener], wall: Callable[[], float] = time.time) -> None:
        """Prepare; nothing is read before ``start``.

        Args:
            listeners: Of the configuration.
            wall: Gives seconds since the epoch.
        """
        self._listeners = listeners
        self._wall = wall
        self._kept: dict[str, KeptCertificate] = {}
        self._tasks = Tasks()

    async def start(self) -> None:
        """Read what there is, and begin to look for changes.

        Raises:
            ConfigError: If a listener's files cannot be used.
        """
        self.use(await self.prepare(self._listeners))
        _ = self._tasks.keep(self._warn_daily, name="certificates")

    async def prepare(self, listeners: Sequence[Listener]) -> dict[str, KeptCertificate]:
        """Read what listeners need beyond what is kept already; nothing of it is used yet.

        Raises:
            ConfigError: If a listener's files cannot be used.
        """
        needed = {}
        for name, tls in ((listener.name, listener.tls) for listener in listeners if listener.tls is not None):
            kept = self._kept.get(name)
            if kept is None or kept.settings != tls:
                kept = await self._read(name, tls)
            needed[name] = kept
        return needed

    def use(self, kept: Mapping[str, KeptCertificate]) -> None:
        """Keep these from now on, as ``prepare`` read them."""
        before, self._kept = self._kept, dict(kept)
        for name, one in before.items():
            if kept.get(name) is not one:
                one.watch.stop()
        for name, one in kept.items():
            if before.get(name) is not one:
                one.watch.start()
                self._warn(one.security)

    async def stop(self) -> None:
        """Look no more."""
        for kept in self._kept.values():
            kept.watch.stop()
        await self._tasks.stop()

    def find(self, listener: str) -> Security | None:
        """Return what a listener's handshakes are made with; None for one of plain HTTP."""
        kept = self._kept.get(listener)
        return None if kept is None else kept.security

    def statuses(self) -> Iterator[CertificateStatus]:
        """Yield the state of each listener of TLS."""
        return (kept.security.status() for kept in self._kept.values())

    async def _read(self, name: str, tls: ListenerTLS) -> KeptCertificate:
        where, paths, read_files = f"listener[{name}].tls", _list_paths(tls), partial(read_server_tls, tls)
        stamps, found = await read_first(where, paths, read_files)
        watched, security = WatchedCertificate(name, where, paths, stamps, read_files), Security(name, found)
        watch = FileWatch([watched], partial(self._renew, security), asyncio.get_running_loop())
        return KeptCertificate(tls, security, watch)

    def _renew(self, security: Security, read: Mapping[str, ServerTLS]) -> None:
        """Use what was read for new connections."""
        for name, tls in read.items():
            security.tls = tls
            log.info("certificate.renewed", listener=name, subject=tls.subject, until=tls.validity.until)
            self._warn(security)

    async def _warn_daily(self) -> None:
        while True:
            await asyncio.sleep(DAY_S)
            for kept in self._kept.values():
                self._warn(kept.security)

    def _warn(self, security: Security) -> None:
        validity = security.tls.validity
        if (trouble := validity.find_trouble(self._wall())) is not None:
            log.warning("certificate.expiring", listener=security.name, problem=trouble, until=validity.until, fix=FIX)


async def read_first(where: str, paths: Sequence[str], read_files: Callable[[], Found]) -> tuple[Stamps, Found]:
    """Read files at the start; the states are those before, so that a change meanwhile is seen at the first look.

    Raises:
        ConfigError: If they cannot be used; ``where`` is the table of the configuration that names them.
    """

    def read() -> tuple[Stamps, Found]:
        return stamp_files(paths), read_files()

    try:
        return await in_thread(read, name=where)
    except CertificateError as error:
        key = f"{where}.{error.key}"
        raise ConfigError(key, error.problem, error.fix) from error


def stamp_files(paths: Sequence[str]) -> Stamps:
    """Return the state that each file is in now; None for one that cannot be looked at."""
    return tuple(File(Path(path)).stamp() for path in paths)


def _list_paths(tls: ListenerTLS) -> Sequence[str]:
    return [path for path in (tls.certificate, tls.key, tls.client_ca) if path is not None]

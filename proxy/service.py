"""The running proxy: everything built from the configuration, started in order, drained and stopped in order.

Started from the log outwards: by the time a client can connect, its exchange can be recorded.  Only the ports are
taken before that, so that a second proxy learns that the first one runs before it touches its files.  Stopped from the
clients inwards: the log is the last to close, so that every exchange is in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from typing import TYPE_CHECKING, Any

import structlog

from proxy.admin.app import build_admin, build_health
from proxy.admin.door import Door
from proxy.admin.login import choose_password
from proxy.admin.view import ProxyStatus
from proxy.changeover import Changeover, Parts
from proxy.control.server import ControlSocket
from proxy.descriptors import allow_descriptors, count_descriptors
from proxy.errors import ConfigError
from proxy.interception import Interceptions
from proxy.observer import Observers
from proxy.process import check_aiohttp, settle_process
from proxy.relay.build import build_dialer, build_relay
from proxy.relay.listener import ListeningSocket, bind, build_bind_error
from proxy.reload import Reload
from proxy.renewal import Renewal
from proxy.resolver import Resolver
from proxy.rotation import Rotation
from proxy.signals import Signals
from proxy.tasks import Tasks
from proxy.tls import build_tls_context
from proxy.tokens.build import build_sources
from proxy.traffic.log import TrafficLog, find_secrets
from proxy.traffic.tally import Tally
from proxy.version import find_version

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Sequence
    from pathlib import Path

    from aiohttp import web

    from proxy.config.models import Config, Match
    from proxy.config.secret import Secret
    from proxy.config.units import SocketAddress
    from proxy.control.place import Place
    from proxy.observer import Observer
    from proxy.reload import Reloaded
    from proxy.tokens.token import CredentialStatus

log = structlog.get_logger(__name__)

DRAINED = 0
LOST = 1
"""Exit codes: everything was done and recorded; records are missing from the end of the log."""


class Service:
    """One process that serves; needs a running event loop.

    Attributes:
        tally: Counts of every exchange and token call.
        listeners: The sockets that clients connect to; empty before ``start``.
        admin_url: Of the admin listener; empty before ``start``.
        health_url: Of the second one, for probes; empty where there is none.
        control_path: Of the control socket; None where there is none.
        admin_password: The login's, made at start where none is configured.
    """

    def __init__(
        self,
        config: Config,
        observers: Sequence[Observer] = (),
        *,
        learn: Callable[[Iterable[Secret]], None] = lambda _secrets: None,
        control: Place | None = None,
        load: Callable[[], Config] | None = None,
    ) -> None:
        """Build everything; nothing is opened yet.

        Args:
            config: Checked.
            observers: Told of each exchange and token call, after the log and the counters.
            learn: Told of secrets that have changed, before anything uses them, so as to hide them.
            control: Where commands ask; None: nowhere.
            load: Reads the configuration again, and checks it; see ``Reload``.

        Raises:
            ConfigError: If outbound.ca_file cannot be used.
        """
        self._config = config
        self.tally = Tally()
        self.admin_password = choose_password(config.admin)
        self._log = TrafficLog(
            config.traffic_log,
            [*find_secrets(config), self.admin_password],
            queue_bytes=config.limits.log_queue,
        )
        self._learn = learn
        self._rotation = Rotation(config, self._renew)
        self._renewal = Renewal(config.listener)
        interceptions = Interceptions(config)
        observer = Observers([self._log, self.tally, self._rotation, *observers])
        tls = build_tls_context(config.outbound.ca_file)
        resolver = Resolver(config.timeouts.connect)
        self._sources = build_sources(config, observer, tls=tls, resolver=resolver)
        self._relay = build_relay(
            config,
            self._sources.chosen,
            observer,
            build_dialer(config, tls, resolver),
            is_log_full=lambda: self._log.is_full,
            find_interceptor=interceptions.find,
        )
        self.listeners: list[ListeningSocket] = []
        self._parts = Parts(
            relay=self._relay,
            sources=self._sources,
            log=self._log,
            rotation=self._rotation,
            renewal=self._renewal,
            interceptions=interceptions,
            resolver=resolver,
            tls=tls,
            listeners=self.listeners,
            hide=self._hide,
        )
        self._changeover = Changeover(config, self._parts)
        self._reload = Reload(self._changeover, load)
        self.admin_url = ""
        self.health_url = ""
        self.control_path: Path | None = None
        self._doors: list[Door | ControlSocket] = []
        self._control = control
        self._tasks = Tasks()
        self._is_listening = False
        self._is_stopped = False
        self._started_at = time.time()
        self._version = find_version()

    async def start(self) -> None:
        """Take the ports, open the log, fetch tokens, listen.

        Raises:
            ConfigError: If a port, a certificate, the log or the store cannot be had, or aiohttp is unsafe; nothing is
                left open then.
        """
        check_aiohttp()
        try:
            await self._renewal.start()
            await self._parts.interceptions.start()
            for listener in self._config.listener:
                self.listeners.append(await bind(listener, self._relay, self._renewal.find(listener.name)))
            await self._open_doors()
            await self._log.start()
            await self._sources.start()
            self._rotation.start()
            if self._control is not None:
                await self._open_control(self._control)
            for listening in self.listeners:
                await listening.listen()
        except BaseException:
            await self.stop()
            raise
        self._is_listening = True
        _ = self._tasks.keep(self._relay.sweep, name="relay.sweep")
        log.info("service.started", listeners=len(self.listeners), routes=len(self._config.route))

    async def drain(self) -> None:
        """Accept nothing new, and let what is under way finish, within timeouts.drain seconds."""
        log.info("service.draining", in_flight=self._relay.occupancy.in_flight)
        await self._reload.stop()
        for listener in self.listeners:
            listener.close()
        await self._relay.drain()

    async def stop(self) -> None:
        """Close everything; what is still under way is cut and recorded, and the log is written to its end."""
        if self._is_stopped:
            return
        self._is_stopped = True
        # Last in, first out; a step that fails does not keep the others from being taken, the log's above all.
        async with contextlib.AsyncExitStack() as steps:
            steps.callback(log.info, "service.stopped")
            steps.push_async_callback(self._log.stop)
            for door in self._doors:  # the control socket is one of them
                steps.push_async_callback(door.close)
            steps.push_async_callback(self._sources.stop)
            steps.push_async_callback(self._changeover.stop)
            steps.push_async_callback(self._reload.stop)
            steps.push_async_callback(self._rotation.stop)
            steps.push_async_callback(self._renewal.stop)
            steps.push_async_callback(self._parts.interceptions.stop)
            steps.push_async_callback(self._tasks.stop)
            steps.push_async_callback(self._relay.close)
            for listener in self.listeners:
                steps.callback(listener.close)

    def status(self) -> ProxyStatus:
        """Return the state now; see ``AdminView``."""
        relay = self._relay
        return ProxyStatus(
            version=self._version,
            started_at=self._started_at,
            listening=self._is_listening and not relay.is_draining,
            draining=relay.is_draining,
            in_flight=relay.occupancy.in_flight,
            client_connections=relay.occupancy.connections,
            turned_away=relay.occupancy.turned_away,
            credentials=tuple(self._sources.statuses()),
            pools=tuple(relay.pool_snapshots()),
            log=self._log.stats(),
            store=self._sources.store_status(),
            certificates=(*self._renewal.statuses(), *self._parts.interceptions.statuses()),
            config=self._reload.status(),
        )

    @property
    def lost_records(self) -> int:
        """How many records could not be written at the stop; 0 before it."""
        return self._log.lost

    def _renew(self, config: Config, credentials: Iterable[str]) -> None:
        """Use secrets that have changed; until they are hidden, nothing may send them anywhere."""
        self._hide(config)
        for name in credentials:
            self._sources.renew(name, config.credential[name])

    def _hide(self, config: Config) -> None:
        secrets = tuple(find_secrets(config))
        self._log.learn(secrets)
        self._learn(secrets)

    async def reload(self) -> Reloaded:
        """Read the configuration again, and use it; see ``Reload.run``."""
        return await self._reload.run()

    def reload_on(self, hangup: asyncio.Event) -> None:
        """Reload whenever the event is set, from now on."""
        self._reload.obey(hangup)

    async def refresh_token(self, credential: str, *, force: bool) -> CredentialStatus:
        """Replace a credential's token now, with its secret as it is now; see ``Source.refresh``."""
        await self._rotation.read_for_operator(credential)
        return await self._sources.refresh(credential, force=force)

    async def _open_control(self, place: Place) -> None:
        control = ControlSocket(self, place)
        self._doors.append(control)
        try:
            await control.open()
        except ConfigError as error:
            if place.is_configured:
                raise
            # Nobody has asked for it, and callers are waiting.
            log.warning("control.unavailable", problem=error.problem, fix="set admin.control to a path that can be had")
        else:
            self.control_path = place.path

    async def _open_doors(self) -> None:
        admin, machine = self._config.admin, socket.gethostname()
        app = build_admin(self, admin, self.admin_password, machine=machine)
        self.admin_url = await self._open_door(app, admin.bind, "admin.bind")
        if admin.health_bind is not None:
            app = build_health(self, admin, machine=machine)
            self.health_url = await self._open_door(app, admin.health_bind, "admin.health_bind")

    async def _open_door(self, app: web.Application, bind: SocketAddress, where: str) -> str:
        door = Door(app)
        self._doors.append(door)
        try:
            await door.open(bind)
        except OSError as error:
            raise build_bind_error(where, bind, error) from error
        return door.url


async def run(
    config: Config,
    *,
    announce: Callable[[Sequence[str]], None],
    observers: Sequence[Observer] = (),
    learn: Callable[[Iterable[Secret]], None] = lambda _secrets: None,
    control: Place | None = None,
    load: Callable[[], Config] | None = None,
) -> int:
    """Serve until a signal says to stop, drain, stop.

    Args:
        config: Checked.
        announce: Takes, once all is up, lines for the operator: where what listens, and the admin login.
        observers: Told of each exchange and token call.
        learn: See ``Service``.
        control: Where commands ask; None: nowhere.
        load: See ``Service``.

    Returns:
        The exit code: 0 once drained, 1 if records were lost at the stop.

    Raises:
        ConfigError: If it cannot be started as configured.
    """
    signals = Signals()
    allow_descriptors(count_descriptors(config))
    service = Service(config, observers, learn=learn, control=control, load=load)
    if not await _start(service, signals):
        return DRAINED
    try:
        settle_process()
        announce(describe_service(service, config))
        service.reload_on(signals.hangup)
        await signals.first.wait()
        await _drain(service, signals)
    finally:  # whatever went wrong: what has been recorded is written
        await service.stop()
    return LOST if service.lost_records else DRAINED


async def _start(service: Service, signals: Signals) -> bool:
    """Start, or give that up at a signal; return which: a disk that hangs must not keep anyone from stopping it."""
    tasks = Tasks()
    starting = tasks.start(_find_failure(service.start()), name="service.start")
    ends = {starting, tasks.start(signals.first.wait(), name="signal")}
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await tasks.stop()
    if starting.cancelled():
        return False
    if (failure := starting.result()) is not None:
        raise failure
    return True


async def _find_failure(work: Coroutine[Any, Any, None]) -> Exception | None:
    """Return what ``work`` raises: it is told where the program ends, and not as a task's failure."""
    try:
        await work
    except Exception as error:  # noqa: BLE001 (it is raised by the caller)
        return error
    return None


async def _drain(service: Service, signals: Signals) -> None:
    """Drain, or give that up at a second signal."""
    tasks = Tasks()
    ends = {tasks.start(service.drain(), name="service.drain"), tasks.start(signals.second.wait(), name="signal")}
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    await tasks.stop()


def describe_service(service: Service, config: Config) -> list[str]:
    """Say what listens where, where requests go, and how to log in to the admin listener."""
    made = config.admin.password is None
    login = (
        f"{config.admin.username} / {service.admin_password.reveal()}"
        if made
        else f"{config.admin.username} / (configured)"
    )
    return [
        *(f"listener {listener.name}: {listener.url}" for listener in service.listeners),
        *(f"route {route.name}: {_describe_match(route.match)} -> {route.upstream}" for route in config.route),
        *([f"health: {service.health_url}"] if service.health_url else []),
        *([f"control: {service.control_path}"] if service.control_path else []),
        f"admin: {service.admin_url} (login: {login})",
    ]


def _describe_match(match: Match) -> str:
    return f"{match.host or ''}{match.path}"

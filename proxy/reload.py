"""The configuration reloaded while the proxy runs: when it is asked for, what came of it, and how it stands.

The rule of this file: a reload that is refused changes nothing, and is told by key, problem and fix.  How a
configuration is put to use is changeover.py's.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import structlog

from proxy.config.live import find_changes, settle
from proxy.errors import ConfigError
from proxy.tasks import Tasks
from proxy.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.changeover import Changeover
    from proxy.config.models import Config

READ_S: Final = 60.0
"""Within which the file and every secret must have been read; commands and keyrings have limits of their own."""
_WHERE: Final = "reload"
_REPORT: Final = (
    "this is a defect of the proxy: report it with the log line config.refused; a restart reads the file anew"
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What came of a reload that was not refused.

    Attributes:
        changed: Sections of the configuration that are others now.
        needs_restart: Keys that are others in the file, and are not used before the next start.
    """

    changed: tuple[str, ...]
    needs_restart: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReloadStatus:
    """How the configuration in use stands to its file, as it was when somebody last had it read.

    Attributes:
        used_since: Wall time of the start or the last reload that was done, in seconds since the epoch.
        reloads: How many were done.
        refusals: How many were refused.
        problem: Why the last one was refused; None if it was not.
        needs_restart: See ``Reloaded``.
    """

    used_since: float
    reloads: int = 0
    refusals: int = 0
    problem: str | None = None
    needs_restart: tuple[str, ...] = ()

    @property
    def is_current(self) -> bool:
        """Whether what is used is what was last read."""
        return self.problem is None and not self.needs_restart


class Reload:
    """Reloads the configuration, one request to do so after another."""

    def __init__(
        self, changeover: Changeover, load: Callable[[], Config] | None, wall: Callable[[], float] = time.time
    ) -> None:
        """Prepare.

        Args:
            changeover: Puts a configuration to use.
            load: Reads and checks the configuration, and raises ConfigError; it may block.  None: there is no file.
            wall: Gives seconds since the epoch.
        """
        self._changeover = changeover
        self._load = load
        self._wall = wall
        self._status = ReloadStatus(wall())
        self._lock = asyncio.Lock()
        self._is_over = False
        self._tasks = Tasks()

    def status(self) -> ReloadStatus:
        """Return how the configuration in use stands to its file."""
        return self._status

    def obey(self, hangup: asyncio.Event) -> None:
        """Reload whenever the event is set; however often that is during a reload, one more follows it."""

        async def reload_on_hangup() -> None:
            while True:
                await hangup.wait()
                hangup.clear()
                if self._load is None:
                    log.info("signal.ignored", signal="SIGHUP", reason="there is no file to read again")
                    continue
                with contextlib.suppress(ConfigError):  # which has been told
                    await self.run()

        _ = self._tasks.keep(reload_on_hangup, name="reload on SIGHUP")

    async def run(self) -> Reloaded:
        """Reload now, or after the reload that is under way.

        Raises:
            ConfigError: If it is refused; everything goes on as before then.
        """
        if self._is_over:
            raise build_stopping()
        if self._load is None:
            problem = "this proxy has no file to read again"
            raise ConfigError(_WHERE, problem, "stop it, and start it again")
        attempt = self._tasks.start(self._attempt(self._load), name="reload")
        await asyncio.wait({attempt})
        if attempt.cancelled():
            raise build_stopping()
        outcome: Reloaded | ConfigError = attempt.result()
        if isinstance(outcome, ConfigError):
            raise outcome
        return outcome

    async def stop(self) -> None:
        """Give up what is under way, and begin no more: the proxy is stopping."""
        self._is_over = True
        await self._tasks.stop()

    async def _attempt(self, load: Callable[[], Config]) -> Reloaded | ConfigError:
        """Reload, or return why not: it is the one who asked that is told, and not the owner of the task."""
        async with self._lock:
            used = self._changeover.config
            try:
                config, needs_restart = settle(used, await _read(load))
                await self._changeover.use(config)
            except ConfigError as error:
                self._refuse(error)
                return error
            except Exception as error:  # noqa: BLE001 (told of; nobody must think that the reload was done)
                refusal = ConfigError(_WHERE, f"could not be done ({type(error).__name__})", _REPORT)
                self._refuse(refusal, error)
                return refusal
            done = Reloaded(find_changes(used, config), needs_restart)
            counts = self._status
            self._status = ReloadStatus(self._wall(), counts.reloads + 1, counts.refusals, None, needs_restart)
            log.info("config.reloaded", changed=done.changed, needs_restart=done.needs_restart)
            return done

    def _refuse(self, error: ConfigError, defect: Exception | None = None) -> None:
        self._status = replace(self._status, refusals=self._status.refusals + 1, problem=str(error))
        used = "the configuration before it"
        log.error("config.refused", key=error.where, problem=error.problem, fix=error.fix, used=used, exc_info=defect)


async def _read(load: Callable[[], Config]) -> Config:
    """Read the configuration in a thread: neither a disk nor a command that hangs holds anything up."""
    try:
        return await in_thread(load, name="configuration", limit_s=READ_S)
    except TimeoutError as error:
        problem = f"the file, or what it names, could not be read within {READ_S:g} s"
        raise ConfigError(_WHERE, problem, "see to the disk, and reload again") from error


def build_stopping() -> ConfigError:
    """Build the refusal of a proxy that drains."""
    return ConfigError(_WHERE, "the proxy is stopping", "start it again: it reads the file then")

"""The traffic log: one line of JSON for each closed exchange and each token call.

The rule of this file: nothing here waits or raises on the event loop, whatever the disk does.  What cannot be kept
is counted, and the log itself says how much is missing and since when.
"""

from __future__ import annotations

import asyncio
import errno
import os
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import structlog

from proxy.config.inventory import find_configured
from proxy.config.keys import KEY_BYTES, decode_key
from proxy.config.secret import Secret
from proxy.config.sources import IN_FILE
from proxy.disk import find_fix
from proxy.errors import ConfigError, LogFull
from proxy.exchange import Exchange
from proxy.threads import in_thread
from proxy.tokens.token import TokenFetch, build_basic_token
from proxy.traffic.covers import build_covers
from proxy.traffic.newest import find_in_order
from proxy.traffic.record import RecordBuilder
from proxy.traffic.render import Renderer, build_record_logger
from proxy.traffic.rotate import STOPPED, find_own
from proxy.traffic.seal import SealKey
from proxy.traffic.sealed import SealedSink
from proxy.traffic.sink import MODE, FileSink, Limits, StreamSink
from proxy.traffic.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from proxy.config.models import Config
    from proxy.config.models import TrafficLog as Settings
    from proxy.traffic.sink import Sink

T = TypeVar("T")
STANDARD_OUTPUT = "-"
ASIDE = "traffic-log-aside"
STOP_S = 5.0
"""Seconds that stop() gives a slow disk."""
FULL_AT = 0.75
"""Share of the queue at which requests are refused; the rest is for exchanges already under way."""
FREE_AT = 0.5
"""Share below which they are let in again, and below which a loss counts as over."""
LOOK_AGAIN_S = 1.0
"""After a loss, until it is looked whether there is room to tell of it."""
TOO_SLOW = "the sink is too slow"
MODE_FIX = f"it must be of mode {MODE:04o}, as it holds live tokens: let it belong to the proxy's user"
ROOM_FIX = "before the next stop, do what log.failed advised; if the sink was too slow, find a faster disk"
MISSING = {
    "drop": "so many records are missing from the log since then",
    "refuse": "so many records are missing from the log since then, of refused requests first of all",
}
LOSS_FIXES = {
    "drop": 'do what log.failed advises, find a faster disk, or refuse requests: traffic_log.when_full = "refuse"',
    "refuse": "do what log.failed advises; if the sink is too slow, find a faster disk",
}
"""What a loss means and what to do, by ``traffic_log.when_full``."""
ENDINGS = {
    "killed": "the proxy before this was killed: what it had not written yet is missing",
    "torn": "the proxy before this was killed in the middle of a record: that one is cut, and others may be missing",
}
"""What ``rotate.read_ending`` means for whoever reads the log."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LogStats:
    """How the traffic log keeps up.

    Attributes:
        queue_bytes: Waiting to be written.
        written: Records in the sink.
        dropped: Records lost since there was no room in the queue.
        redactions: How often a secret was masked by value.
        error: Why nothing can be written now, in the system's words; None while all is well.
        refusing: Whether requests are refused because of it.
    """

    queue_bytes: int
    written: int
    dropped: int
    redactions: int
    error: str | None
    refusing: bool


class TrafficLog:
    """Writes the record of everything that passes; an Observer.

    Attributes:
        lost: Records that could not be written at the stop; 0 before it.
    """

    def __init__(
        self,
        settings: Settings,
        secrets: Iterable[Secret],
        *,
        queue_bytes: int,
        wall: Callable[[], float] = time.time,
        sink: Sink | None = None,
    ) -> None:
        """Prepare to log; nothing is opened before ``start``.

        Args:
            settings: The section ``traffic_log``.
            secrets: Masked by value wherever they turn up.
            queue_bytes: Of records that may wait for a slow disk.
            wall: Seconds since the epoch.
            sink: Instead of the one that the settings name.
        """
        self._path = settings.path
        self._wall = wall
        self._file = None if sink is not None else _build_file(settings, wall)
        self._sink = sink or _build_sink(settings, self._file, wall)
        self._writer = Writer(self._sink, max_bytes=queue_bytes, when_full=settings.when_full)
        self._cover_key = _find_key(settings) or os.urandom(KEY_BYTES)
        self._builder = self._build_builder(settings, 0)
        self._renderer = Renderer(self._builder, secrets, wall, shows_tokens=_shows_tokens(settings))
        self._records = build_record_logger(self._writer, self._renderer)
        self._keep_to(settings, queue_bytes)
        self._is_full = False
        self._refusals = 0
        self.lost = 0
        self._failed = 0
        self._withheld = 0
        self._reported = 0
        self._lost_since: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        """Show where it writes, and how that goes."""
        return f"<TrafficLog {self._path} {self._writer!r}>"

    @property
    def is_full(self) -> bool:
        """Whether requests must be refused until the disk takes records again, and has caught up."""
        if self._full_bytes is None:
            return False
        queued = self._writer.queued_bytes
        is_behind = queued > (self._free_bytes if self._is_full else self._full_bytes)
        self._is_full = is_behind or self._writer.error is not None
        if not self._is_full:
            self._refusals = 0
        return self._is_full

    def stats(self) -> LogStats:
        """Return the counts at this moment."""
        writer = self._writer
        redactions = self._renderer.redactions
        return LogStats(
            writer.queued_bytes, writer.written, self._dropped, redactions, writer.error, refusing=self.is_full
        )

    def learn(self, secrets: Iterable[Secret]) -> None:
        """Mask ``secrets`` as well from now on; called before anything uses them."""
        self._renderer.learn(secrets)

    def use(self, settings: Settings, *, queue_bytes: int) -> None:
        """Log by other settings from the next record on; path and seal stay as they are."""
        self._builder = self._build_builder(settings, self._builder.seq)
        self._renderer.use(self._builder, shows_tokens=_shows_tokens(settings))
        self._writer.use(max_bytes=queue_bytes, when_full=settings.when_full)
        if self._file is not None:
            self._file.use(_build_limits(settings))
        self._keep_to(settings, queue_bytes)

    def _keep_to(self, settings: Settings, queue_bytes: int) -> None:
        self._missing, self._loss_fix = MISSING[settings.when_full], LOSS_FIXES[settings.when_full]
        self._full_bytes = queue_bytes * FULL_AT if settings.when_full == "refuse" else None
        self._free_bytes = queue_bytes * FREE_AT

    def _build_builder(self, settings: Settings, seq: int) -> RecordBuilder:
        return RecordBuilder(
            cap=settings.bodies,
            shows_tokens=_shows_tokens(settings),
            mask=(*settings.mask, *settings.mask_as),
            covers=build_covers(settings.mask_as, self._cover_key),
            seq=seq,
        )

    async def start(self) -> None:
        """Open the sink and begin to write.

        Raises:
            ConfigError: When the file cannot be opened, or another proxy writes to it.
        """
        try:
            previous = await in_thread(self._sink.open, name=ASIDE)
        except OSError as error:
            await in_thread(self._sink.close, name=ASIDE)
            raise _build_open_error(self._path, error) from error
        self._writer.start()
        self._records.log_changed("log.started", previous=previous, pid=os.getpid())
        if previous in ENDINGS:
            log.warning("log.unclean", path=self._path, previous=previous, meaning=ENDINGS[previous])

    async def stop(self) -> None:
        """Write everything queued, for up to ``STOP_S``; what is lost then is counted, and told on standard error."""
        if not self._writer.is_started:
            return
        if self._timer is not None:
            self._timer.cancel()
        if self._lost_since is not None:
            self._report_loss(self._lost_since)
        self._records.log_changed(STOPPED, dropped=self._dropped)
        self.lost = await in_thread(partial(self._writer.stop, STOP_S), name=ASIDE)
        if self.lost:
            reason = self._writer.error or TOO_SLOW
            log.error("log.lost", records=self.lost, path=self._path, error=reason, fix=ROOM_FIX)

    def exchange_closed(self, exchange: Exchange) -> None:
        """Log a closed exchange."""
        if exchange.error is not None and self._is_one_refusal_more(exchange):
            self._withheld += 1
            self._watch_loss()
        else:
            self._record(self._records.exchange_closed, exchange)

    def token_fetched(self, fetch: TokenFetch) -> None:
        """Log a token call that has ended."""
        self._record(self._records.token_fetched, fetch)

    def _record(self, put: Callable[[T], None], subject: T) -> None:
        """Let ``put`` queue a record, and take note of what is lost."""
        before = self._writer.dropped
        try:
            put(subject)
        except Exception:
            self._failed += 1
            log.exception("record.failed", **_name(subject))
        if self._writer.dropped != before or self._lost_since is not None:
            self._watch_loss()

    @property
    def _dropped(self) -> int:
        return self._writer.dropped + self._withheld + self._failed

    def _is_one_refusal_more(self, exchange: Exchange) -> bool:
        """Return whether an exchange was refused because the log is full, and is not the first to be.

        The first is recorded. A client that asks on and on must not fill what is kept free for the records of
        exchanges that were let in; its refusals are counted with what is dropped.
        """
        if not isinstance(exchange.error, LogFull):
            return False
        self._refusals += 1
        return self._refusals > 1

    def _watch_loss(self) -> None:
        """Tell of records lost: at once on standard error, and in the log itself when there is room again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._lost_since is None:
            self._lost_since = self._wall()
            meanwhile = "records are lost, and counted; log.dropped will say how many"
            reason = self._writer.error or TOO_SLOW
            log.error("log.overflowed", path=self._path, error=reason, meanwhile=meanwhile, fix=self._loss_fix)
        elif self._writer.error is None and self._writer.queued_bytes < self._free_bytes:
            self._report_loss(self._lost_since)
            return
        self._timer = asyncio.get_running_loop().call_later(LOOK_AGAIN_S, self._watch_loss)

    def _report_loss(self, since: float) -> None:
        count = self._dropped - self._reported
        self._reported += count
        self._lost_since = None
        begun = self._builder.build_timestamp(since)
        self._records.log_changed("log.dropped", count=count, since=begun)
        fix = self._loss_fix
        log.warning("log.dropped", count=count, since=begun, path=self._path, meaning=self._missing, fix=fix)


def _name(subject: object) -> dict[str, str]:
    """Return what tells people which record it is that cannot be made."""
    if isinstance(subject, Exchange):
        return {"exchange": subject.id}
    return {"credential": subject.credential} if isinstance(subject, TokenFetch) else {}


def find_secrets(config: Config) -> Iterator[Secret]:
    """Yield every secret of a configuration; a client id that stands in the file for all to read is none.

    What Basic makes of a login is one of its own: an upstream may send it back in Base64 once more.
    """
    for secret in find_configured(config).values():
        if secret.origin != IN_FILE:
            yield secret
    logins = [(credential.username, credential.password) for credential in config.credential.values()]
    for username, password in (*logins, (config.outbound.username, config.outbound.password)):
        if username is not None and password is not None:
            value = build_basic_token(username, password).authorization
            yield Secret(value.removeprefix("Basic "), password.origin)


def _build_open_error(path: str, error: OSError) -> ConfigError:
    where = "traffic_log.path"
    if isinstance(error, BlockingIOError):
        return ConfigError(where, f"{path} is {error.strerror}", find_fix(error.errno))
    fix = MODE_FIX if error.errno == errno.EPERM else find_fix(error.errno)
    return ConfigError(where, f"{path} cannot be opened ({error.strerror})", f"{fix}, or set another path")


def _shows_tokens(settings: Settings) -> bool:
    return settings.token == "full"  # noqa: S105 (a choice, not a password) # nosec B105


def _build_file(settings: Settings, wall: Callable[[], float]) -> FileSink | None:
    if settings.path == STANDARD_OUTPUT:
        return None
    find_aside = find_own if settings.seal is None else find_in_order
    return FileSink(Path(settings.path), _build_limits(settings), find_aside=find_aside, wall=wall)


def _build_limits(settings: Settings) -> Limits:
    rotate = settings.rotate
    return Limits(rotate.size, rotate.age, settings.retain, settings.retain_size)


def _build_sink(settings: Settings, file: FileSink | None, wall: Callable[[], float]) -> Sink:
    if file is None:
        return StreamSink()
    key = _find_key(settings)
    return file if key is None else SealedSink(file, Path(settings.path), SealKey(key), wall=wall)


def _find_key(settings: Settings) -> bytes | None:
    """Return the key of the seal; None if there is none."""
    return None if settings.seal is None else decode_key(settings.seal.key.reveal())

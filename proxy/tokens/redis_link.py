"""The way to Redis: whether it is there, that it went, that it is back.

The rule of this file: nobody waits for Redis longer than half a second, and while it is lost nobody waits at all.  A
task of its own tries until it is back; its going and its coming are told once each.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
from typing import TYPE_CHECKING, Any, Final

import structlog
from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.connection import Connection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from proxy.errors import StoreError
from proxy.tasks import Tasks
from proxy.tokens.redis_scripts import PROBE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from proxy.config.models import Store
    from proxy.config.store import RedisPlace

log = structlog.get_logger(__name__)

LIMIT_S: Final = 0.5
"""For one operation, a new connection included: within a centre's network it takes milliseconds, and whoever has no
token waits for it."""
FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 5.0
"""Between two attempts to reach a lost one: recovery follows its return within this time."""

PROBE_MS: Final = 10_000
"""How long what a probe writes is kept."""

CHECK_WAY = "check store.redis, this machine's way to it, and whether it runs"
# In this order: redis-py's classes descend from one another.
WORDS: Final[tuple[tuple[type[Exception], str, str], ...]] = (
    (TimeoutError, f"did not answer within {LIMIT_S:g} s", CHECK_WAY),
    (exceptions.TimeoutError, f"did not answer within {LIMIT_S:g} s", CHECK_WAY),
    (exceptions.AuthenticationError, "refused the login", "check store.username and store.password"),
    (exceptions.NoPermissionError, "does not let its user do what is needed", "give it the rights that README lists"),
    (exceptions.ReadOnlyError, "is a replica that takes no writes", "name the primary in store.redis"),
    (exceptions.OutOfMemoryError, "has no memory left", "give it more, or let it evict (maxmemory-policy)"),
    (
        ssl.SSLCertVerificationError,
        "shows a certificate that is not trusted",
        "check store.ca_file and the host's name",
    ),
    (ssl.SSLError, "failed the TLS handshake", "check that its port speaks TLS 1.2 or newer"),
    (exceptions.ConnectionError, "could not be reached", CHECK_WAY),
    (OSError, "could not be reached", CHECK_WAY),
    (exceptions.ResponseError, "answered with an error", "check that it is Redis 6.2 or newer, and its log"),
    (Exception, "failed", CHECK_WAY),
)
"""What is said of each error, and what to do; the texts of redis-py may quote what was sent."""


class RedisLink:
    """One Redis, there or lost.

    Attributes:
        failures: Operations and attempts that failed.
        error: Why it is lost, in plain words; None while it is there.
    """

    def __init__(self, client: Redis, probe_keys: Sequence[str]) -> None:
        """Connect to nothing yet.

        Args:
            client: What ``build_client`` built.
            probe_keys: Lock, fence and token of no credential, to try whether all is permitted.
        """
        self.failures = 0
        self.error: str | None = None
        self._client = client
        self._probe_keys = probe_keys
        self._attempts = 0
        self._tasks = Tasks()
        self._on_return: Callable[[], None] = _nobody

    def start(self, on_return: Callable[[], None]) -> None:
        """Call ``on_return`` when a lost Redis is back, and again soon after; the first operation connects."""
        self._on_return = on_return

    async def stop(self) -> None:
        """Close all connections."""
        await self._tasks.stop()
        with contextlib.suppress(Exception):  # it is over either way
            async with asyncio.timeout(LIMIT_S):
                await self._client.aclose()

    async def run(self, script: str, keys: Sequence[str], *arguments: bytes | str | int) -> Any:  # noqa: ANN401 (as Redis answers)
        """Run a script.

        Raises:
            StoreError: At once if Redis is lost, or within half a second if it turned out to be.
        """
        if self.error is not None:
            raise StoreError(self.error, CHECK_WAY)
        try:
            answer = await self._send(script, keys, *arguments)
        except StoreError as error:
            self._lose(error)
            raise
        self._attempts = 0
        return answer

    async def _send(self, script: str, keys: Sequence[str], *arguments: bytes | str | int) -> Any:  # noqa: ANN401 (see run)
        try:
            async with asyncio.timeout(LIMIT_S):
                return await self._client.eval(script, len(keys), *keys, *arguments)
        except Exception as error:  # noqa: BLE001 (whatever it is, tokens must do without Redis then)
            self.failures += 1
            # From None: what redis-py raises may quote what was sent.
            raise _map_error(error) from None

    def _lose(self, error: StoreError) -> None:
        """Take note of a loss; of several operations that were under way together, only the first tells."""
        if self.error is None:
            log.warning(
                "store.lost",
                problem=f"Redis {error.problem}",
                fix=error.fix,
                meanwhile="each proxy fetches its own tokens",
            )
            _ = self._tasks.start(self._find_again(), name="store.find_again")
        self.error = error.problem

    async def _find_again(self) -> None:
        loop = asyncio.get_running_loop()
        lost_at = loop.time()
        while self.error is not None:
            await asyncio.sleep(self._next_pause_s())
            try:
                await self._send(PROBE, self._probe_keys, PROBE_MS)
            except StoreError as error:
                self.error = error.problem
            else:
                self.error = None
        log.warning("store.recovered", outage_s=round(loop.time() - lost_at, 3))
        self._on_return()
        # Once more when the last replica has found it, too, and told it of its token.
        await asyncio.sleep(LONGEST_PAUSE_S)
        if self.error is None:
            self._on_return()

    def _next_pause_s(self) -> float:
        """Double the pause from attempt to attempt, until an operation has succeeded and not only an attempt."""
        longest_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(self._attempts, 16))
        self._attempts += 1
        return longest_s * random.uniform(0.5, 1.0)  # noqa: S311 (jitter, no secret) # nosec B311


class _VerifiedConnection(Connection):
    """A connection over TLS with the proxy's own context; redis-py's would be built from options."""

    def __init__(self, *, context: ssl.SSLContext, **options: Any) -> None:  # noqa: ANN401 (redis-py's)
        super().__init__(**options)
        self._context = context

    def _connection_arguments(self) -> Mapping[str, Any]:
        return {**super()._connection_arguments(), "ssl": self._context}


def build_client(place: RedisPlace, settings: Store, tls: ssl.SSLContext) -> Redis:
    """Build the client; it connects when it is used, and never tries anything twice."""
    options: dict[str, Any] = {
        "host": place.host,
        "port": place.port,
        "db": place.database,
        "username": None if settings.username is None else settings.username.reveal(),
        "password": None if settings.password is None else settings.password.reveal(),
        # The limit is ours: redis-py's works by asyncio.wait_for, which before Python 3.12 loses a cancellation that
        # comes together with the result, so that the task goes on for ever.
        "socket_timeout": None,
        "socket_connect_timeout": None,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
        "driver_info": None,  # it would read files for its own version, on each new connection
    }
    if place.is_tls:
        options |= {"connection_class": _VerifiedConnection, "context": tls}
    return Redis.from_pool(ConnectionPool(**options))


def _map_error(error: Exception) -> StoreError:
    """Find the words for an error, or for what it was raised from: redis-py wraps what sockets raise."""
    chain = (error, error.__cause__, error.__context__)
    return next(
        StoreError(problem, fix) for cause, problem, fix in WORDS if any(isinstance(one, cause) for one in chain)
    )


def _nobody() -> None:
    """Before ``start`` nobody is told."""

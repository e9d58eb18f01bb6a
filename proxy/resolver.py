"""Names to addresses, in threads of our own, so that a DNS that hangs holds up nothing but itself.

getaddrinfo blocks, for minutes where a DNS server says nothing.  In the event loop's own threads such calls would
pile up in front of everything else that runs there, and the process would wait for all of them before it ends.

The rule of this file: one look-up of a name is under way however many ask for it; it runs in a daemon thread; all
state belongs to the event loop.  While a look-up hangs or fails, the addresses that the name had last are used on.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohappyeyeballs
import structlog
from aiohttp.abc import AbstractResolver, ResolveResult

from proxy.http.authority import is_address

if TYPE_CHECKING:
    from collections.abc import Callable

log = structlog.get_logger(__name__)

LAST_GOOD_S = 3600.0
"""How long the addresses of a name are used on while DNS fails: an hour, the life of a token."""
PATIENCE_S = 1.0
"""How long a look-up may take before last good addresses are used in its place; a sound DNS takes milliseconds."""
MOST_THREADS = 32
"""Look-ups at once; the names are those of the configuration, seldom more than ten."""
NO_ADDRESS = socket.gaierror(socket.EAI_NONAME, "DNS gave no address")
"""What an empty answer means; it must not take the place of the last good one."""
HANGS = "DNS gave no answer in time"
NUMERIC = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV

AddressInfo = aiohappyeyeballs.AddrInfoType
Name = tuple[str, int]
Answer = list[AddressInfo] | OSError


@dataclass(frozen=True, slots=True)
class LookUp:
    """A look-up under way.

    Attributes:
        began: Seconds of the resolver's clock.
        answer: Never cancelled, and never fails: an error is an answer.
    """

    began: float
    answer: asyncio.Future[Answer]


@dataclass(frozen=True, slots=True)
class LastGood:
    """The addresses that a name had when it was looked up last with success."""

    found_at: float
    addresses: list[AddressInfo]


class Resolver:
    """Looks names up; one for the whole process, used from one event loop.

    Attributes:
        timeout_s: How long a name without last good addresses is waited for.
    """

    def __init__(self, timeout_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Wait up to ``timeout_s`` for a name that has no last good addresses."""
        self.timeout_s = timeout_s
        self._clock = clock
        self._under_way: dict[Name, LookUp] = {}
        self._waiting: deque[Name] = deque()
        self._threads = 0
        self._last_good: dict[Name, LastGood] = {}
        self._failing: set[Name] = set()

    def __repr__(self) -> str:
        """Show what is under way, and what fails."""
        failing = ", ".join(host for host, _ in sorted(self._failing)) or "none"
        return f"<Resolver {len(self._under_way)} under way, failing: {failing}>"

    async def resolve(self, host: str, port: int) -> list[AddressInfo]:
        """Return the addresses of ``host``; an address stands for itself.

        However it ends, and if the caller is cancelled as well, the look-up goes on: its answer serves the next.

        Raises:
            socket.gaierror: If there are none, last good ones included.
        """
        if is_address(host):
            return read_address(host, port)
        name = (host, port)
        look_up = self._under_way.get(name) or self._begin(name)
        kept = self._find_last_good(name)
        await asyncio.wait({look_up.answer}, timeout=self._find_patience(look_up, kept))
        answer = look_up.answer.result() if look_up.answer.done() else socket.gaierror(socket.EAI_AGAIN, HANGS)
        if not isinstance(answer, OSError):
            return answer
        self._note_failure(name, answer, kept)
        if kept is None:
            # A new one each time: many may wait for the answer, and each adds its traceback.
            raise socket.gaierror(answer.errno or socket.EAI_FAIL, answer.strerror or str(answer)) from answer
        return kept.addresses

    def _find_last_good(self, name: Name) -> LastGood | None:
        kept = self._last_good.get(name)
        return kept if kept is not None and self._clock() - kept.found_at < LAST_GOOD_S else None

    def _find_patience(self, look_up: LookUp, kept: LastGood | None) -> float:
        """Return for how many seconds to wait; whoever comes late to one that hangs waits the less."""
        if kept is None:
            return self.timeout_s
        return min(self.timeout_s, max(0.0, look_up.began + PATIENCE_S - self._clock()))

    def _begin(self, name: Name) -> LookUp:
        """Begin a look-up, as soon as there is a thread for it."""
        look_up = LookUp(self._clock(), asyncio.get_running_loop().create_future())
        self._under_way[name] = look_up
        self._waiting.append(name)
        self._start_threads()
        return look_up

    def _start_threads(self) -> None:
        while self._waiting and self._threads < MOST_THREADS:
            name = self._waiting.popleft()
            self._threads += 1
            try:
                self._start_thread(name)
            except RuntimeError as error:  # the system's limit on threads
                self._settle(name, OSError(str(error)))

    def _start_thread(self, name: Name) -> None:
        loop = asyncio.get_running_loop()

        def deliver(answer: Answer) -> None:
            with contextlib.suppress(RuntimeError):  # the event loop is closed: nobody waits any more
                loop.call_soon_threadsafe(self._settle, name, answer)

        thread = threading.Thread(target=_look_up, args=(*name, deliver), name=f"dns {name[0]}", daemon=True)
        thread.start()

    def _settle(self, name: Name, answer: Answer) -> None:
        """Take a look-up's answer, however late; a good one becomes the last good one."""
        self._threads -= 1
        if not isinstance(answer, OSError):
            self._last_good[name] = LastGood(self._clock(), answer)
            if name in self._failing:
                self._failing.discard(name)
                log.info("name.recovered", host=name[0])
        self._under_way.pop(name).answer.set_result(answer)
        self._start_threads()

    def _note_failure(self, name: Name, error: OSError, kept: LastGood | None) -> None:
        """Tell of a name that fails, once until it is well again."""
        if name not in self._failing:
            self._failing.add(name)
            age_s = None if kept is None else round(self._clock() - kept.found_at)
            log.warning("name.failed", host=name[0], error=error.strerror or str(error), last_good_age_s=age_s)


class AiohttpResolver(AbstractResolver):
    """The same for aiohttp's connector."""

    def __init__(self, resolver: Resolver) -> None:
        """Ask ``resolver``."""
        self._resolver = resolver

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """See ``AbstractResolver``."""
        return [
            ResolveResult(hostname=host, host=address[0], port=port, family=found, proto=proto, flags=NUMERIC)
            for found, _, proto, _, address in await self._resolver.resolve(host, port)
            if family in (socket.AF_UNSPEC, found)
        ]

    async def close(self) -> None:
        """Do nothing: it is not ours."""


def read_address(address: str, port: int) -> list[AddressInfo]:
    """Return what is to be connected to for an IP address; this never blocks."""
    return [*socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=NUMERIC)]


def _look_up(host: str, port: int, deliver: Callable[[Answer], object]) -> None:
    """Look a name up, and deliver the answer: in a thread.

    Where this machine has no IPv6, IPv6 addresses are not asked for: some DNS servers never answer that question, and
    the whole look-up then hangs.  Loopback addresses do not count as having IPv6, but ``localhost`` may mean one.
    """
    answer: Answer
    flags = 0 if host == "localhost" else socket.AI_ADDRCONFIG
    try:
        answer = [*socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)] or NO_ADDRESS
    except OSError as error:
        answer = error
    except Exception as error:  # noqa: BLE001 (a look-up without an answer would never end)
        answer = socket.gaierror(socket.EAI_FAIL, str(error))
    deliver(answer)

"""Proxy, upstreams, token server, weather and clients, for as long as is asked for."""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import signal
import ssl
import sys
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import trustme

from bench.proxies import MEBIBYTE, OwnProxy, Setting, running_own, write_secret
from bench.soak.clients import Clients
from bench.soak.gauge import Gauge, find_early
from bench.soak.ledger import Ledger
from bench.soak.plan import AROUND_S, Planner, find_phase
from bench.soak.upstream import FickleUpstream
from bench.soak.verdict import Book, Sight, Verdict, reconcile
from bench.weather import Weather
from proxy.config.secret import Secret
from proxy.simulator.server import Simulator
from proxy.simulator.settings import SimulatorSettings

if TYPE_CHECKING:
    from bench.soak.plan import Order

ROTATE_BYTES = 4 * MEBIBYTE
CROWD = 200
WARMING_S = 5.0
MOST_UNDER_WAY = 200
"""Before a crowd comes on top; the proxy takes 500 of one client's.  Only a machine that is too busy gets there."""
LAG_LOOK_S = 0.05
PROGRESS_S = 10.0
LOOK_S = 1.0
NAME = "rapidsos.example"
_TLS_ROUTE = """\
[[route]]
name = "tls"
match = {{ path = "/tls/" }}
strip = "/tls"
upstream = "https://{name}:{port}"
addresses = ["127.0.0.1"]
credential = "core"

[outbound]
ca_file = "{ca_file}"
"""


@dataclass(frozen=True, slots=True)
class Options:
    """What to run.

    Attributes:
        seconds: Of load.
        rate: Requests per second, which do not wait for answers.
        life_s: Of each token.
        seed: Of the dice.
        is_calm: Whether nothing befalls the upstreams; the token server has its weather in any case.
    """

    seconds: float
    rate: float
    life_s: float
    seed: int
    is_calm: bool = False


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is left when everything has ended.

    Attributes:
        elapsed_s: From the proxy's first token to its end.
        verdict: On the requests.
        gauge: Of the proxy.
        dead: Requests that reached an upstream with no token that was alive, by what had become of it.
        met: What befell the token server, and how often.
        issued: Token calls that it received.
        fetches: Token calls by the log, by their outcome.
        drops: Connections without a request that the upstreams closed.
        files: Log files that were put aside.
        lag_s: For how long, at most, the machine kept the load's own process from running.
    """

    elapsed_s: float
    verdict: Verdict
    gauge: Gauge
    dead: Counter[str]
    met: Counter[str]
    issued: int
    fetches: Counter[str]
    drops: int
    files: int
    lag_s: float


async def soak(options: Options) -> Evidence:
    """Run everything, and collect what it saw.

    Raises:
        BenchError: If the proxy does not start, ends by itself, or does not stop.
    """
    dice = random.Random(options.seed)
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        authority = Simulator(SimulatorSettings(token_life_s=options.life_s, keep_requests=1))
        await authority.start()
        stack.push_async_callback(authority.stop)
        ledger, undated = Ledger(), set[str]()
        plain, tls = (FickleUpstream(ledger, authority.tokens, undated) for _ in range(2))
        server_side, ca_file = build_tls(directory)
        await plain.start()
        await tls.start(server_side)
        more = _TLS_ROUTE.format(name=NAME, port=tls.port, ca_file=ca_file)
        setting = Setting(f"http://127.0.0.1:{plain.port}", authority, directory)
        proxy = await stack.enter_async_context(running_own(setting, rotate_bytes=ROTATE_BYTES, more=more))
        for upstream in (plain, tls):
            stack.push_async_callback(upstream.stop)
        weather = Weather(authority, options.life_s, dice, lambda: change_secret(authority, proxy), undated)
        field = Field(options, proxy, ledger, weather, authority)
        async with asyncio.TaskGroup() as tasks:
            _ = tasks.create_task(field.watch())
            faults = [weather.blow(), field.watch_lag()]
            if not options.is_calm:
                faults += [plain.drop_idle(dice), tls.drop_idle(dice), plain.come_and_go(field.find_phase)]
            passing = [tasks.create_task(each) for each in faults]
            await field.load(dice)
            for task in passing:
                _ = task.cancel()
        return await field.end()


def build_tls(directory: Path) -> tuple[ssl.SSLContext, Path]:
    """Build an upstream's side of TLS, and the file of the authority that vouches for it."""
    authority = trustme.CA()
    ca_file = directory / "ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(NAME).configure_cert(context)
    return context, ca_file


def change_secret(authority: Simulator, proxy: OwnProxy) -> None:
    """Have the token server believe a new secret alone, and give it to the proxy by its file."""
    secret = Secret(secrets.token_hex(20), "soak")
    authority.tokens.change_client_secret(secret)
    write_secret(proxy.secret, secret)
    proxy.process.signal(signal.SIGHUP)


class Field:
    """The load, and what is seen of it and of the proxy while it lasts."""

    def __init__(
        self, options: Options, proxy: OwnProxy, ledger: Ledger, weather: Weather, authority: Simulator
    ) -> None:
        """Begin with nothing sent."""
        self._options = options
        self._proxy = proxy
        self._ledger = ledger
        self._weather = weather
        self._authority = authority
        self._orders: list[Order] = []
        self._sights: dict[int, Sight] = {}
        self._seen: Counter[str] = Counter()
        self._book = Book()
        self._gauge = Gauge()
        self._files = 0
        self._crowd_at_s = 0.0
        self._is_over = False
        self._lag_s = 0.0
        self._started = time.monotonic()

    def find_phase(self) -> str | None:
        """Return which fault is frequent now."""
        return None if self._options.is_calm else find_phase(time.monotonic() - self._started)

    async def load(self, dice: random.Random) -> None:
        """Send every request at its moment, whatever the answers do; return when each has its answer."""
        planner = Planner(dice, is_calm=self._options.is_calm)
        clients = Clients(self._proxy.port, self._ledger)
        self._started = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            while (elapsed_s := time.monotonic() - self._started) < self._options.seconds and self._is_running:
                for _ in range(self._count_coming(elapsed_s)):
                    orders = planner.plan(elapsed_s)
                    self._orders += orders
                    _ = tasks.create_task(self._carry_out(clients, orders))
                while len(self._orders) - len(self._sights) > MOST_UNDER_WAY:  # noqa: ASYNC110 (it has no event)
                    await asyncio.sleep(LAG_LOOK_S)
                await asyncio.sleep(self._started + planner.planned / self._options.rate - time.monotonic())
        clients.close()
        self._is_over = True

    async def watch(self) -> None:
        """Look at the proxy once a second, and say every few how it goes, until the load ends."""
        told_at = time.monotonic()
        while self._is_running and not self._is_over:
            with contextlib.suppress(OSError, KeyError):  # it has just ended, and has neither any more
                self._gauge.look(self._proxy.process, time.monotonic() - self._started)
            await asyncio.sleep(LOOK_S)
            if time.monotonic() - told_at >= PROGRESS_S:
                told_at = time.monotonic()
                await asyncio.to_thread(self._read_rotated)
                say(self._describe())

    async def watch_lag(self) -> None:
        """Measure how late this process itself is, for ever."""
        while True:
            before = time.monotonic()
            await asyncio.sleep(LAG_LOOK_S)
            self._lag_s = max(self._lag_s, time.monotonic() - before - LAG_LOOK_S)

    async def end(self) -> Evidence:
        """Stop the proxy, read its log to the end, and compare."""
        self._authority.faults.clear()
        self._authority.release()
        await self._proxy.process.stop()
        elapsed_s = time.monotonic() - self._started
        self._read_rotated()
        for record in self._proxy.traffic.read_records():
            self._book.add(record)
        return Evidence(
            elapsed_s=elapsed_s,
            verdict=reconcile(self._orders, self._sights, self._book, self._ledger),
            gauge=self._gauge,
            dead=self._ledger.dead,
            met=self._weather.met,
            issued=self._authority.token_requests.total,
            fetches=self._book.fetches,
            drops=len(self._ledger.drops),
            files=self._files,
            lag_s=self._lag_s,
        )

    @property
    def _is_running(self) -> bool:
        return self._proxy.process.is_running

    def _count_coming(self, elapsed_s: float) -> int:
        """Return how many clients come now: one, or a crowd, each time around all faults.

        What memory crowds take is given back in part only, and the most is reached after dozens of them, so until
        memory is looked at first they come more often.
        """
        if elapsed_s < self._crowd_at_s:
            return 1
        is_early = elapsed_s < find_early(self._options.seconds)
        self._crowd_at_s = elapsed_s + (WARMING_S if is_early else AROUND_S)
        return CROWD

    async def _carry_out(self, clients: Clients, orders: list[Order]) -> None:
        for order, sight in zip(orders, await clients.carry_out(orders), strict=True):
            self._sights[order.number] = sight
            self._seen["right" if sight.is_right else "left" if sight.has_left else "failed"] += 1

    def _read_rotated(self) -> None:
        """Read what the log has put aside, and remove it: half an hour is half a gigabyte."""
        self._files += self._proxy.traffic.count_rotated()
        for record in self._proxy.traffic.take_rotated():
            self._book.add(record)

    def _describe(self) -> str:
        latest = self._gauge.samples[-1]
        sent, seen = len(self._orders), self._seen
        upstream = "calm" if self._options.is_calm else find_phase(latest.at_s) or "drops"
        return (
            f"{latest.at_s:6.0f} s {sent:8,} sent {seen['right']:8,} right {seen['left']:6,} left {seen['failed']:6,} "
            f"failed {sent - seen.total():4} under way   {latest.resident / MEBIBYTE:6.1f} MiB "
            f"{latest.descriptors:4} descriptors   upstream: {upstream}, token server: "
            f"{self._weather.now}"
        )


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()

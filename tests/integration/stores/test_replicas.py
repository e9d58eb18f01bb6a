"""Three whole proxies, one Redis, one RapidSOS: one token for all of them, and no request lost whatever Redis does."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from harness.redis import build_store, running_redis
from harness.running import RunningProxy, build_document, running_proxy, until
from structlog.testing import capture_logs

from proxy.simulator.faults import Fault
from proxy.simulator.server import Simulator
from proxy.simulator.settings import SimulatorSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from harness.redis import RedisServer

# The loop that serves; what is asked of Redis is shown on both.
pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"])

GET = b"GET /api/v1/echo HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\n\r\n"
LIFE_S = 4.0
REPLICAS = 3


@asynccontextmanager
async def rapidsos(life_s: float = 3599.0) -> AsyncIterator[Simulator]:
    """Run a simulated RapidSOS whose tokens live so long."""
    simulator = Simulator(SimulatorSettings(token_life_s=life_s))
    await simulator.start()
    try:
        yield simulator
    finally:
        await simulator.stop()


@asynccontextmanager
async def replicas(simulator: Simulator, store: dict[str, Any], **sections: Any) -> AsyncIterator[list[RunningProxy]]:
    """Run three proxies that share a store, started together."""
    document = build_document(simulator.url, f"{simulator.url}/oauth/token", store=store, **sections)
    async with AsyncExitStack() as stack:
        proxies = (stack.enter_async_context(running_proxy(document)) for _ in range(REPLICAS))
        yield list(await asyncio.gather(*proxies))


def fingerprints(proxies: list[RunningProxy]) -> list[str | None]:
    """Return which token each of them holds."""
    return [proxy.service.status().credentials[0].fingerprint for proxy in proxies]


def agree(proxies: list[RunningProxy]) -> bool:
    """Return whether all hold the same token."""
    return len({*fingerprints(proxies)}) == 1 and None not in fingerprints(proxies)


class Ledger:
    """When tokens were handed out; the simulator forgets the dead ones."""

    def __init__(self, simulator: Simulator) -> None:
        """Begin with those that live."""
        self._simulator = simulator
        self._issued: set[float] = set()
        self.look()

    def look(self) -> int:
        """Add those that live by now; return how many there are."""
        self._issued |= {token.issued_at for token in self._simulator.tokens}
        return len(self._issued)

    @property
    def latest_gap_s(self) -> float:
        """The time between the last two."""
        earlier, later = sorted(self._issued)[-2:]
        return later - earlier

    @property
    def shortest_gap_s(self) -> float:
        """The shortest time from one to the next."""
        return min(later - earlier for earlier, later in itertools.pairwise(sorted(self._issued)))


class Load:
    """Requests to all proxies in turn, until it is stopped.

    Attributes:
        statuses: Of all answers.
    """

    def __init__(self, proxies: list[RunningProxy]) -> None:
        """Send nothing yet."""
        self.statuses: list[bytes] = []
        self._proxies = itertools.cycle(proxies)
        self._is_over = False

    async def run(self) -> None:
        """Send one request after the other."""
        while not self._is_over:
            answer = await next(self._proxies).talk(GET)
            self.statuses.append(answer.split()[1])
            await asyncio.sleep(0.002)

    async def reach(self, more: int) -> None:
        """Wait for so many more answers."""
        count = len(self.statuses) + more
        await until(lambda: len(self.statuses) >= count)

    def stop(self) -> None:
        """Send no more."""
        self._is_over = True


@asynccontextmanager
async def under_load(proxies: list[RunningProxy]) -> AsyncIterator[Load]:
    """Load the proxies for the length of a block."""
    load = Load(proxies)
    async with asyncio.TaskGroup() as group:
        group.create_task(load.run())
        try:
            yield load
        finally:
            load.stop()


async def test_replicas_fetch_one_token_for_each_life(store: dict[str, Any]) -> None:
    """Started together, and over several lives; a token is replaced at half of its."""
    async with rapidsos(LIFE_S) as simulator, replicas(simulator, store) as proxies:
        assert simulator.token_requests.total == 1
        assert agree(proxies)

        ledger = Ledger(simulator)
        async with under_load(proxies) as load:
            await until(lambda: ledger.look() >= 5)
            await until(lambda: agree(proxies))

        assert ledger.shortest_gap_s > 0.45 * LIFE_S
        assert set(load.statuses) == {b"200"}
        assert all(request.authorized for request in simulator.requests)


async def test_a_slow_token_server_is_called_once(store: dict[str, Any]) -> None:
    """Those who wait do not call as well."""
    async with rapidsos() as simulator:
        simulator.faults.add(Fault(where="token", kind="slow", delay_s=1.0))
        async with replicas(simulator, store) as proxies:
            assert agree(proxies)
            assert simulator.token_requests.total == 1


async def test_a_revoked_token_is_replaced_once_for_all(store: dict[str, Any]) -> None:
    """At all replicas at once, under load: one new token, and every request succeeds."""
    async with rapidsos() as simulator, replicas(simulator, store) as proxies:
        simulator.tokens.revoke_all()
        answers = await asyncio.gather(*(proxy.talk(GET) for proxy in proxies * 20))

        assert {answer.split()[1] for answer in answers} == {b"200"}
        assert simulator.token_requests.total == 2
        assert agree(proxies)


async def test_a_late_replica_needs_no_call(store: dict[str, Any]) -> None:
    """Nor a token server: it starts while that is down."""
    async with rapidsos() as simulator, replicas(simulator, store) as proxies:
        simulator.faults.add(Fault(where="token", kind="reset"))
        document = build_document(simulator.url, f"{simulator.url}/oauth/token", store=store)
        async with running_proxy(document) as late:
            answer = await late.talk(GET)

            assert answer.startswith(b"HTTP/1.1 200 ")
            assert agree([*proxies, late])
            assert simulator.token_requests.total == 1


async def test_redis_dies_and_comes_back_under_load(redis: RedisServer, store: dict[str, Any]) -> None:
    """No request fails; each replica has tokens of its own meanwhile, and afterwards they have one again."""
    async with rapidsos(LIFE_S) as simulator, replicas(simulator, store) as proxies:
        with capture_logs() as logs:
            async with under_load(proxies) as load:
                await load.reach(20)
                await redis.kill()
                await until(lambda: not any(proxy.service.status().store.usable for proxy in proxies))
                await until(lambda: len({*fingerprints(proxies)}) == REPLICAS)
                lost = [proxy.service.status() for proxy in proxies]
                await redis.start()
                await until(lambda: all(proxy.service.status().store.usable for proxy in proxies))
                await until(lambda: agree(proxies))
                ledger = Ledger(simulator)
                issued = ledger.look()
                await until(lambda: ledger.look() >= issued + 2)
                await until(lambda: agree(proxies))

        assert set(load.statuses) == {b"200"}
        assert all(request.authorized for request in simulator.requests)
        assert ledger.latest_gap_s > 0.45 * LIFE_S
        assert all(status.credentials[0].usable and status.store.failures for status in lost)
        events = [entry["event"] for entry in logs if entry["event"].startswith("store.")]
        assert sorted(events) == ["store.lost"] * REPLICAS + ["store.recovered"] * REPLICAS


async def test_a_frozen_redis_is_not_noticed_by_clients(redis: RedisServer, store: dict[str, Any]) -> None:
    """It takes connections and answers nothing: the worst that it can do."""
    async with rapidsos(LIFE_S) as simulator, replicas(simulator, store) as proxies:
        async with under_load(proxies) as load:
            redis.freeze()
            await until(lambda: not any(proxy.service.status().store.usable for proxy in proxies))
            await load.reach(50)
            redis.thaw()
            await until(lambda: all(proxy.service.status().store.usable for proxy in proxies))
            await until(lambda: agree(proxies))

        assert set(load.statuses) == {b"200"}
        assert max(exchange.token_wait_s for proxy in proxies for exchange in proxy.recorder.exchanges) == 0


async def test_replicas_start_without_redis(redis: RedisServer, store: dict[str, Any]) -> None:
    """Each with a token of its own; once it is there they have one."""
    await redis.kill()
    async with rapidsos() as simulator, replicas(simulator, store) as proxies:
        answers = await asyncio.gather(*(proxy.talk(GET) for proxy in proxies))
        assert {answer.split()[1] for answer in answers} == {b"200"}
        assert simulator.token_requests.total == REPLICAS

        await redis.start()
        await until(lambda: agree(proxies))

        assert simulator.token_requests.total == REPLICAS


async def test_replicas_share_over_tls(tmp_path: Path, authority: Any, ca_file: Path) -> None:
    """With ``store.ca_file`` for an authority of the centre's own."""
    certificate = tmp_path / "redis.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(certificate))
    async with (
        running_redis(tmp_path, certificate) as redis,
        rapidsos() as simulator,
        replicas(simulator, build_store(redis, ca_file=str(ca_file))) as proxies,
    ):
        assert agree(proxies)
        assert simulator.token_requests.total == 1
        assert all(proxy.service.status().store.usable for proxy in proxies)

"""Under load: a token server that dies and comes back, and a token that is revoked."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from harness.running import PATIENCE_S, RunningProxy, build_document, running_proxy, until

from proxy.simulator.faults import Fault
from proxy.simulator.server import Simulator
from proxy.simulator.settings import SimulatorSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

GET = b"GET /api/v1/echo HTTP/1.1\r\nHost: proxy\r\n\r\n"
BODY = b'{"callback":"+15555550100"}' * 100
POST = b"POST /api/v1/echo HTTP/1.1\r\nHost: proxy\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY


class Load:
    """Clients that each send one request after the other, on a connection of their own.

    Attributes:
        served: Requests answered with 200.
        unserved: Requests answered with 503, for want of a token.
        wronged: Answers that should have been others, in words.
        is_outage: Whether no token can have come between an answer and the look at it.
    """

    def __init__(self, proxy: RunningProxy) -> None:
        """Send nothing yet."""
        self.served = self.unserved = 0
        self.wronged: list[str] = []
        self.is_outage = True
        self._proxy = proxy
        self._is_over = False

    @property
    def is_token_usable(self) -> bool:
        """Whether the proxy has a token to send."""
        [credential] = self._proxy.service.status().credentials
        return credential.usable

    async def send_on(self) -> None:
        """Be one client, until ``end``."""
        client = await self._proxy.connect()
        number = 0
        while not self._is_over:
            number += 1
            client.send(POST if number % 2 else GET)
            head, _ = await client.read_answer()
            self._judge(head)

    def end(self) -> None:
        """Let each client take the answer that it waits for, and no more."""
        self._is_over = True

    def _judge(self, head: bytes) -> None:
        status = head.split()[1]
        self.served += status == b"200"
        self.unserved += status == b"503"
        has_token = self.is_outage and self.is_token_usable
        if status != b"200" and (status != b"503" or has_token):
            self.wronged.append(head.decode())


@asynccontextmanager
async def under_load(proxy: RunningProxy, clients: int) -> AsyncIterator[Load]:
    """Keep so many clients busy for the length of a block."""
    load = Load(proxy)
    async with asyncio.timeout(3 * PATIENCE_S), asyncio.TaskGroup() as tasks:
        for _ in range(clients):
            tasks.create_task(load.send_on())
        yield load
        load.end()


def document(simulator: Simulator, **sections: object) -> dict[str, object]:
    """Describe a proxy in front of a simulator."""
    return build_document(simulator.url, f"{simulator.url}/oauth/token", **sections)


async def test_an_outage_is_noticed_at_the_true_expiry_and_its_end_at_once() -> None:
    """The token server dies at half of the token's life: the token serves to its end; then each try may be the first.

    From the server's return the next call is a second away at most, and it brings the token that serves again.
    """
    # The margin before a token's end is a share of its life: of a short one, a busy machine takes longer to send.
    simulator = Simulator(SimulatorSettings(token_life_s=10.0))
    await simulator.start()
    try:
        async with (
            running_proxy(document(simulator, timeouts={"token_wait": 0.1})) as proxy,
            under_load(proxy, 10) as load,
        ):
            simulator.faults.add(Fault(where="token", kind="reset"))
            await until(lambda: simulator.token_requests.total >= 3)
            served = load.served
            await until(lambda: load.unserved >= 20)
            tried = simulator.token_requests.total

            [credential] = proxy.service.status().credentials
            load.is_outage = False
            simulator.faults.clear()
            assert credential.next_refresh_in_s is None or credential.next_refresh_in_s <= 1.0
            await until(lambda: load.is_token_usable)
            assert simulator.token_requests.total - tried <= 2
            back = load.served
            await until(lambda: load.served >= back + 20)
    finally:
        await simulator.stop()

    assert load.wronged == []
    assert served < back
    assert all(seen.authorized for seen in simulator.requests)
    outcomes = [fetch.outcome for fetch in proxy.recorder.fetches]
    assert outcomes[0] == "ok"
    assert outcomes.count("network") >= 2
    assert len({fetch.fingerprint for fetch in proxy.recorder.fetches if fetch.fingerprint}) >= 2


async def test_a_revocation_under_load_costs_one_call_and_no_request(simulator: Simulator) -> None:
    """A hundred clients, each with requests under way, and their bodies: all succeed, with one new token."""
    async with running_proxy(document(simulator)) as proxy, under_load(proxy, 100) as load:
        await until(lambda: load.served >= 200)
        simulator.tokens.revoke_all()
        served = load.served
        await until(lambda: load.served >= served + 400)

    assert load.wronged == []
    assert load.unserved == 0
    assert simulator.token_requests.total == 2
    assert [fetch.reason for fetch in proxy.recorder.fetches] == ["start", "rejected"]
    attempts = [[attempt.status for attempt in exchange.attempts] for exchange in proxy.recorder.exchanges]
    assert [401, 200] in attempts
    assert all(statuses in ([200], [401, 200]) for statuses in attempts)

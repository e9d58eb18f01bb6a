"""A steady load that does not wait for answers before it sends: whoever holds requests up does not slow it down."""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRESS_S = 5.0
ANSWER_S = 30.0
TOO_MANY = 100
"""Failures after which there is nothing left to learn."""
OK = 200
BODY = b'{"callback":"+15555550100","remarks":"smoke on the third floor"}'


@dataclass(frozen=True, slots=True)
class Steady:
    """What to send.

    Attributes:
        rate: Requests per second.
    """

    seconds: float
    rate: float

    @property
    def requests(self) -> int:
        """How many to send in all."""
        return int(self.seconds * self.rate)


@dataclass(slots=True)
class Sent:
    """What the load has done so far.

    Attributes:
        failures: Answers that were not 200, and broken connections, in words.
    """

    requests: int = 0
    answered: int = 0
    failures: list[str] = field(default_factory=list)

    @property
    def under_way(self) -> int:
        """How many have no answer yet."""
        return self.requests - self.answered


async def send_all(url: str, steady: Steady, describe: Callable[[], str]) -> Sent:
    """Send every request at its moment, and say every few seconds how it goes.

    Args:
        url: Of the proxy.
        steady: What to send.
        describe: What to say beside what the load itself knows.
    """
    sent = Sent()
    started = told_at = time.monotonic()
    connector, timeout = TCPConnector(limit=0), ClientTimeout(total=ANSWER_S)
    async with ClientSession(connector=connector, timeout=timeout) as session, asyncio.TaskGroup() as tasks:
        while sent.requests < steady.requests and len(sent.failures) < TOO_MANY:
            await asyncio.sleep(started + sent.requests / steady.rate - time.monotonic())
            _ = tasks.create_task(send(session, url, sent, number=sent.requests))
            sent.requests += 1
            if time.monotonic() - told_at >= PROGRESS_S:
                told_at = time.monotonic()
                say(f"{describe_progress(sent, told_at - started)}   {describe()}")
    return sent


async def send(session: ClientSession, url: str, sent: Sent, *, number: int) -> None:
    """Send one request, push and pull in turn, and take note of its answer."""
    try:
        if number % 2:
            answer = await session.post(f"{url}/ingress/v1/echo", data=BODY)
        else:
            answer = await session.get(f"{url}/egress/v1/echo?number={number}")
        async with answer:
            await answer.read()
    except (ClientError, TimeoutError) as error:
        sent.failures.append(f"request {number}: {type(error).__name__}: {error}")
        return
    sent.answered += 1
    if answer.status != OK:
        sent.failures.append(f"request {number}: status {answer.status}")


def describe_progress(sent: Sent, passed_s: float) -> str:
    """Describe how far the load is."""
    return f"{passed_s:5.0f} s   {sent.requests:7,} sent   {sent.under_way:4} under way   {len(sent.failures)} failed"


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()

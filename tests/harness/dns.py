"""DNS as a test wants it: the system's getaddrinfo, with names that answer, fail or hang when told."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE_S = 30


class ScriptedDNS:
    """Takes the place of ``socket.getaddrinfo``; what it was not told about, the system answers.

    Attributes:
        asked: Every name that was looked up, in order.
    """

    def __init__(self) -> None:
        """Know no names yet."""
        self.asked: list[str] = []
        self._system = socket.getaddrinfo
        self._answers: dict[str, list[str] | Exception] = {}
        self._holds: dict[str, threading.Event] = {}

    def answer(self, host: str, *addresses: str) -> None:
        """Let ``host`` have these addresses from now on."""
        self._answers[host] = list(addresses)

    def fail(self, host: str, error: Exception | None = None) -> None:
        """Let look-ups of ``host`` fail from now on."""
        self._answers[host] = error or socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    def hang(self, host: str) -> None:
        """Let look-ups of ``host`` hang until ``let_go``."""
        self._holds[host] = threading.Event()

    def let_go(self, host: str) -> None:
        """Answer what hangs, and at once what comes later, as told last."""
        self._holds.pop(host).set()

    def __call__(self, host: Any, port: Any, *rest: Any, **named: Any) -> Any:
        """See ``socket.getaddrinfo``."""
        if host not in self._answers and host not in self._holds:
            return self._system(host, port, *rest, **named)
        self.asked.append(host)
        hold = self._holds.get(host)
        if hold is not None:
            hold.wait(PATIENCE_S)
        answer = self._answers.get(host, [])
        if isinstance(answer, Exception):
            raise answer
        named["flags"] = socket.AI_NUMERICHOST
        return [info for address in answer for info in self._system(address, port, *rest, **named)]

    def close(self) -> None:
        """Let everything go."""
        for host in list(self._holds):
            self.let_go(host)


@contextmanager
def scripted_dns() -> Iterator[ScriptedDNS]:
    """Put a scripted DNS in the system's place for the length of a block; no look-up outlives it."""
    dns = ScriptedDNS()
    system, socket.getaddrinfo = socket.getaddrinfo, dns
    try:
        yield dns
    finally:
        dns.close()
        for thread in threading.enumerate():
            if thread.name.startswith("dns "):
                thread.join(PATIENCE_S)
        socket.getaddrinfo = system

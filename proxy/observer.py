"""Who is told when an exchange closes or a token call ends: the traffic log, the counters, the demo's terminal.

The rule of this file: the shape alone, so that the relay and the token source know none of those who listen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import structlog

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proxy.exchange import Exchange
    from proxy.tokens.token import TokenFetch


log = structlog.get_logger(__name__)


class Observer(Protocol):
    """Told on the event loop; returns at once and raises nothing."""

    def exchange_closed(self, exchange: Exchange) -> None:
        """Take note of an exchange that has its outcome; it does not change any more."""
        ...

    def token_fetched(self, fetch: TokenFetch) -> None:
        """Take note of a token call that has ended, well or badly."""
        ...


class Observers:
    """Several observers as one."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        """Tell ``observers`` in this order."""
        self._observers = tuple(observers)

    def exchange_closed(self, exchange: Exchange) -> None:
        """Tell all; one that fails costs the others nothing."""
        for observer in self._observers:
            try:
                observer.exchange_closed(exchange)
            except Exception:
                log.exception("observer.failed", exchange=exchange.id)

    def token_fetched(self, fetch: TokenFetch) -> None:
        """Tell all; one that fails costs the others nothing."""
        for observer in self._observers:
            try:
                observer.token_fetched(fetch)
            except Exception:
                log.exception("observer.failed", credential=fetch.credential)

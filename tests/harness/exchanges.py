"""Exchanges and attempts as the relay leaves them, for what reads them."""

from __future__ import annotations

from typing import Any

from proxy.exchange import Attempt, Exchange


def build_exchange(started: float, **parts: Any) -> Exchange:
    """Build an exchange that began at ``started``, with attributes of these values."""
    exchange = Exchange("e-1", 1_700_000_000.0, started, "cad", "127.0.0.1")
    for name, value in parts.items():
        setattr(exchange, name, value)
    return exchange


def build_attempt(url: str, **parts: Any) -> Attempt:
    """Build an attempt on a connection of its own, with attributes of these values."""
    attempt = Attempt(url, reused=parts.pop("reused", False), fingerprint=parts.pop("fingerprint", None))
    for name, value in parts.items():
        setattr(attempt, name, value)
    return attempt

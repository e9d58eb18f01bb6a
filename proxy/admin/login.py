"""The login of the admin listener: HTTP Basic (RFC 7617), with a limit on guessing.

The rule of this file: the password is not kept, only a digest of what a right answer looks like, and the time of a
comparison says nothing about how near a guess came.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import ipaddress
import secrets
from base64 import b64decode
from typing import TYPE_CHECKING

import structlog
from aiohttp import web
from cachetools import TTLCache

from proxy.admin.answers import build_problem
from proxy.config.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from aiohttp.typedefs import Handler, Middleware

    from proxy.config.models import Admin

log = structlog.get_logger(__name__)

PASSWORD_BYTES = 18
"""Of randomness in a password made at start: 24 characters that nobody has to remember."""
MOST_FAILURES = 10
"""In a row from one address before it has to wait; a person mistypes less often."""
PAUSE_S = 60
"""Seconds without a further attempt after which an address may try again."""
MOST_ADDRESSES = 1024
"""Remembered; past this, the one that failed longest ago is forgotten."""
CHALLENGE = {"WWW-Authenticate": 'Basic realm="rapidsos-proxy", charset="UTF-8"'}


def choose_password(settings: Admin) -> Secret:
    """Return the configured password, or make one for this run."""
    return settings.password or Secret(secrets.token_urlsafe(PASSWORD_BYTES), "made at start")


class Throttle:
    """Counts the failures of each address, in bounded memory."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Remember nobody yet.

        Args:
            clock: Seconds, monotonic.
        """
        self._failures: TTLCache[str, int] = TTLCache(MOST_ADDRESSES, ttl=PAUSE_S, timer=clock)

    def __len__(self) -> int:
        """Return how many addresses are remembered."""
        return len(self._failures)

    def is_closed_to(self, address: str) -> bool:
        """Return whether ``address`` has failed too often and has to wait."""
        return self._failures.get(_network_of(address), 0) >= MOST_FAILURES

    def failed(self, address: str) -> None:
        """Count one failure; the pause begins anew with each."""
        network = _network_of(address)
        self._failures[network] = self._failures.get(network, 0) + 1

    def succeeded(self, address: str) -> None:
        """Forget the failures of ``address``."""
        self._failures.pop(_network_of(address), None)


class Login:
    """Knows whether a request comes from the administrator."""

    def __init__(self, username: str, password: Secret, throttle: Throttle) -> None:
        """Keep a digest of the right credentials."""
        self._digest = _digest(f"{username}:{password.reveal()}".encode())
        self._throttle = throttle

    def refuse(self, authorization: str | None, address: str) -> web.Response | None:
        """Return the answer for a request that may not pass, or None when it may.

        Args:
            authorization: The Authorization field's value, None when there is none.
            address: The client's, without a port.
        """
        if authorization is None:
            # A browser asks once without: that is no failure.
            return _build_challenge("Log in as the administrator; the name and password were printed at start.")
        if self._throttle.is_closed_to(address):
            # Even the right password has to wait, or waiting would cost a guesser nothing.
            return _build_pause()
        if not hmac.compare_digest(_digest(_decode(authorization)), self._digest):
            self._throttle.failed(address)
            log.warning("login.failed", address=address)
            return _build_challenge("The name or the password is wrong.")
        self._throttle.succeeded(address)
        return None


def build_login(login: Login, open_paths: Container[str]) -> Middleware:
    """Build the step that lets only the administrator past ``open_paths``, unknown paths included."""

    @web.middleware
    async def require_login(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path not in open_paths:
            refusal = login.refuse(request.headers.get("Authorization"), request.remote or "")
            if refusal is not None:
                return refusal
        return await handler(request)

    return require_login


def _decode(authorization: str) -> bytes:
    """Return ``name:password`` of a Basic credential (RFC 7617, section 2), or nothing if it is none."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != "basic":
        return b""
    try:
        return b64decode(value.strip(" "), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _digest(credentials: bytes) -> bytes:
    """Return a digest, so that what is compared always has one length."""
    return hashlib.sha256(credentials).digest()


def _network_of(address: str) -> str:
    """Return what one client can be held to: its IPv4 address, or the /64 that it can choose IPv6 addresses from."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 4:  # noqa: PLR2004 (IPv4)
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((parsed, 64), strict=False))


def _build_challenge(detail: str) -> web.Response:
    return build_problem(401, "login", "This path needs the login", detail, fields=CHALLENGE)


def _build_pause() -> web.Response:
    detail = f"Too many wrong passwords from this address; try again after {PAUSE_S} seconds."
    return build_problem(
        429, "login_paused", "The login is paused for this address", detail, fields={"Retry-After": str(PAUSE_S)}
    )

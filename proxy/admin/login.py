"""The login of the admin listener: HTTP Basic (RFC 7617), with a limit on guessing.

The rule of this file: the password is not kept, only a digest of what a right answer looks like, and neither the time
of a comparison nor that of an answer says how near a guess came.

Guessing is slowed, never locked out: after a few failures every attempt waits before it is answered, the right one as
long as a wrong one, and never longer than ``LONGEST_DELAY_S``.  A pause that refused the right password too would let
any program of this machine lock the administrator out.  Nor does it count by address: on loopback whoever guesses may
choose from 16 million of them.  What bounds the guesses is how many connections can wait at once
(``door.MOST_CONNECTIONS``): 16 a second.
"""

from __future__ import annotations

import asyncio
import binascii
import hashlib
import hmac
import math
import secrets
from base64 import b64decode
from typing import TYPE_CHECKING

import structlog
from aiohttp import web

from proxy.admin.answers import build_problem
from proxy.config.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Container

    from aiohttp.typedefs import Handler, Middleware

    from proxy.config.models import Admin

log = structlog.get_logger(__name__)

PASSWORD_BYTES = 18
"""Of randomness in a password made at start: 24 characters that nobody has to remember."""
FREE_FAILURES = 5
"""Within ``FORGET_S``, before attempts have to wait; a person mistypes less often."""
FIRST_DELAY_S = 0.125
LONGEST_DELAY_S = 2.0
"""Doubling up to here: a person waits that long without trying again."""
FORGET_S = 60.0
"""Seconds without a failure after which no attempt waits."""
CHALLENGE = {"WWW-Authenticate": 'Basic realm="rapidsos-proxy", charset="UTF-8"'}


def choose_password(settings: Admin) -> Secret:
    """Return the configured password, or make one for this run."""
    return settings.password or Secret(secrets.token_urlsafe(PASSWORD_BYTES), "made at start")


class Throttle:
    """Says how long an attempt has to wait.

    Attributes:
        failures: In a row, none more than ``FORGET_S`` after the one before; a success does not end it, or a page
            that asks every second would free whoever guesses meanwhile.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """Know of no failure; ``clock`` gives monotonic seconds."""
        self.failures = 0
        self._clock = clock
        self._failed_at = -math.inf

    def delay_s(self) -> float:
        """Return how many seconds an attempt made now has to wait for its answer."""
        excess = self._count() - FREE_FAILURES
        return 0.0 if excess < 0 else min(LONGEST_DELAY_S, math.ldexp(FIRST_DELAY_S, min(excess, 16)))

    def fail(self) -> int:
        """Count one failure, and return which it was."""
        self.failures = self._count() + 1
        self._failed_at = self._clock()
        return self.failures

    def _count(self) -> int:
        return self.failures if self._clock() - self._failed_at < FORGET_S else 0


class Login:
    """Knows whether a request comes from the administrator."""

    def __init__(
        self,
        username: str,
        password: Secret,
        throttle: Throttle,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Keep a digest of the right credentials.

        Args:
            username: The administrator's.
            password: The administrator's.
            throttle: Of everyone together.
            sleep: Waits for seconds.
        """
        self._digest = _digest(f"{username}:{password.reveal()}".encode())
        self._throttle = throttle
        self._sleep = sleep

    async def refuse(self, authorization: str | None, address: str) -> web.Response | None:
        """Return the answer for a request that may not pass, or None when it may.

        Args:
            authorization: The Authorization field's value, None when there is none.
            address: The client's, for the log.
        """
        if authorization is None:
            # A browser asks once without: that is no failure.
            return _build_challenge("Log in as the administrator; the name and password were printed at start.")
        delay_s = self._throttle.delay_s()
        is_right = hmac.compare_digest(_digest(_decode(authorization)), self._digest)
        if not is_right:
            # Counted before the wait: attempts made side by side must not all find the way free.
            self._tell(self._throttle.fail(), address)
        if delay_s:
            await self._sleep(delay_s)
        return None if is_right else _build_challenge("The name or the password is wrong.")

    @staticmethod
    def _tell(failures: int, address: str) -> None:
        """Log the first failures, then ever fewer, so that whoever guesses for hours does not fill the disk."""
        if failures <= FREE_FAILURES or failures.bit_count() == 1:
            log.warning("login.failed", address=address, failures=failures)


def build_login(login: Login, open_paths: Container[str]) -> Middleware:
    """Build the step that lets only the administrator past ``open_paths``, unknown paths included."""

    @web.middleware
    async def require_login(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path not in open_paths:
            refusal = await login.refuse(request.headers.get("Authorization"), request.remote or "")
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


def _build_challenge(detail: str) -> web.Response:
    return build_problem(401, "login", "This path needs the login", detail, fields=CHALLENGE)

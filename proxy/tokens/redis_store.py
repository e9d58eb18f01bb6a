"""Tokens in Redis, so that several proxies fetch one in turn and share it.

The rule of this file: Redis is asked and told, and never relied on.  What it gives back is checked as an answer of a
token server is; what it does not take costs nobody a token.  Its own clock counts what is left of a token's life, so
that the clocks of the proxies need not agree to the second.  But whoever can write there can make that up, so the time
of issue is sealed in as well: a token is never younger than it says, less what the proxies' clocks may differ by.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Final

import structlog

from proxy.errors import StoreError
from proxy.tokens import policy
from proxy.tokens.redis_scripts import AGREE, END_TURN, TAKE_TURN
from proxy.tokens.seal import SealError
from proxy.tokens.store import Claim, StoreStatus, Turn
from proxy.tokens.stored import build_json, dump_token, parse_json, parse_token, read_number

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.tokens.redis_link import RedisLink
    from proxy.tokens.seal import Sealer
    from proxy.tokens.stored import StoredToken
    from proxy.tokens.token import TokenKey

log = structlog.get_logger(__name__)

FENCE_MS: Final = 7 * 86_400_000
"""Longer than any token lives, so that no number comes back while one like it is stored."""
SAME_MOMENT_MS: Final = 1_000
"""Of tokens that are nearer to each other in age the stored one stays: two replicas whose ways to Redis are not equally
long could each find its own the younger one, and exchange them for ever."""
LOCK_MARGIN_S: Final = 2.0
"""Beyond the longest token call: whoever holds the lock longer has died."""


class RedisStore:
    """The tokens of all proxies that have the same Redis, key and prefix."""

    def __init__(
        self,
        link: RedisLink,
        sealer: Sealer,
        *,
        url: str,
        prefix: str,
        longest_call_s: float,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Connect to nothing yet.

        Args:
            link: The way to Redis.
            sealer: Encrypts what is stored.
            url: For people.
            prefix: Of every key.
            longest_call_s: Time limit of a token call.
            wall: Seconds since the epoch.
        """
        self._link = link
        self._sealer = sealer
        self._url = url
        self._prefix = prefix
        self._lock_ms = round((longest_call_s + LOCK_MARGIN_S) * 1000)
        self._owner = secrets.token_hex(16)
        self._wall = wall
        self._disbelieved: set[TokenKey] = set()

    async def start(self, on_return: Callable[[], None]) -> None:
        """Begin; the first operation connects."""
        self._link.start(on_return)

    async def stop(self) -> None:
        """Close all connections."""
        await self._link.stop()

    async def agree(self, key: TokenKey, mine: StoredToken | None) -> StoredToken | None:
        """Store ``mine``, if it is newer than what is stored; return what is stored then."""
        written = ("", 0, 0) if mine is None else self._dump(key, mine)
        try:
            answer = await self._link.run(AGREE, build_keys(self._prefix, key), *written, FENCE_MS, SAME_MOMENT_MS)
        except StoreError:
            return None
        return self._parse(key, *answer) if _is_list(answer, 2) else None

    async def take_turn(self, key: TokenKey, *, steal: bool) -> Turn:
        """Take the lock; without Redis everybody has a turn of their own."""
        keys = build_keys(self._prefix, key)
        try:
            answer = await self._link.run(TAKE_TURN, keys, self._owner, self._lock_ms, FENCE_MS, int(steal))
        except StoreError:
            return Turn(Claim())
        if not _is_list(answer, 3):
            return Turn(Claim())
        return Turn(Claim(answer[0]) if answer[0] else None, self._parse(key, *answer[1:]))

    async def end_turn(self, key: TokenKey, claim: Claim, token: StoredToken | None) -> None:
        """Give the lock back, and store what the call brought, unless a later turn has stored its own."""
        if not claim.fence:
            if token is not None:
                await self.agree(key, token)
            return
        written = ("", 0, 0) if token is None else self._dump(key, token)
        keys = build_keys(self._prefix, key)
        try:
            await self._link.run(END_TURN, keys, self._owner, claim.fence, *written, FENCE_MS)
        except StoreError:
            return  # it has been told; the lock expires, and the token is stored when Redis is back

    def status(self) -> StoreStatus:
        """Return how it stands."""
        error = None if self._link.error is None else f"Redis {self._link.error}"
        return StoreStatus("redis", self._url, error is None, self._link.failures, error)

    def _dump(self, key: TokenKey, token: StoredToken) -> tuple[bytes, int, int]:
        sealed = self._sealer.seal(key, build_json(dump_token(token, issued_at=self._wall() - token.age_s)))
        return sealed, int(token.life_s * 1000), max(1, int(token.left_s * 1000))

    def _parse(self, key: TokenKey, sealed: object, left_ms: object) -> StoredToken | None:
        if not isinstance(sealed, bytes) or not isinstance(left_ms, int):
            return None
        try:
            members = parse_json(self._sealer.open(key, sealed))
        except SealError:
            self._note_disbelief(key, "is not as it was written", "look who writes there")
            return None
        if not isinstance(members, dict):
            return None
        life_s, issued_at = read_number(members, "life_s"), read_number(members, "issued_at")
        if life_s is None or issued_at is None:
            return None
        least_age_s = self._wall() - issued_at - policy.REPLICA_SKEW_S
        if least_age_s >= life_s and left_ms > 0:
            self._note_disbelief(
                key,
                "is older than its life",
                "set the clocks of all proxies (NTP); if they are right, look who writes there",
            )
            return None
        self._disbelieved.discard(key)
        return parse_token(members, max(life_s - left_ms / 1000, least_age_s))

    def _note_disbelief(self, key: TokenKey, problem: str, fix: str) -> None:
        """Tell of a token that is not taken; once, since it is looked at often until another is stored."""
        if key not in self._disbelieved:
            self._disbelieved.add(key)
            problem, fix = f"a token in Redis {problem}", f"{fix}; it is replaced by the next token"
            log.warning("store.unreadable", key=key, problem=problem, fix=fix)


def build_keys(prefix: str, key: str) -> tuple[str, str, str]:
    """Build the names of a credential's lock, fence and token; what is in braces is their hash tag."""
    stem = f"{prefix}:{{{key}}}:"
    return f"{stem}lock", f"{stem}fence", f"{stem}token"


def _is_list(answer: object, length: int) -> bool:
    """Return whether an answer has the shape that our script gives it: what only resembles Redis may have others."""
    return isinstance(answer, list) and len(answer) == length

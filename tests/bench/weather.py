"""Bad weather at the token server: one fault after the other, each for less time than is left of a token."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

from proxy.simulator.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from proxy.simulator.server import Simulator

REVOKED = "revoked"
ROTATED = "new secret"
UNDATED = "no expiry"
FAULTS = {
    "slow": Fault(where="token", kind="slow", delay_s=1.0),
    "500": Fault(where="token", kind="status", status=500),
    "429": Fault(where="token", kind="status", status=429, retry_after=1),
    "garbage": Fault(where="token", kind="garbage"),
    "html": Fault(where="token", kind="html"),
    "empty 200": Fault(where="token", kind="empty"),
    "stalled": Fault(where="token", kind="stall"),
    "stalled body": Fault(where="token", kind="stall_body"),
    "reset": Fault(where="token", kind="reset"),
    "closed": Fault(where="token", kind="close"),
    "cut body": Fault(where="token", kind="close_body"),
    "redirect": Fault(where="token", kind="redirect"),
    "used up": Fault(where="token", kind="fields", fields={"expires_in": 0}),
    UNDATED: Fault(where="token", kind="fields", drop=("expires_in",), times=1),
}
"""What goes by, and is no refusal of the credential: after that the policy calls once a minute, by design."""
LONGEST_SHARE = 0.3
"""Of a token's life: the refresh comes at half of it, and this leaves time for a call more before its end."""
LULL_SHARE = 0.4
"""The longest pause between two, of a token's life."""
LOOK_S = 0.02
NOTICED_S = 1.5
"""After which the proxy has seen that a file of a secret has changed, and has asked for a token with it."""


class Weather:
    """What befalls the token server, and its tokens.

    Attributes:
        now: What is on.
        met: How many token calls met each fault, how often all tokens were revoked, and how often the secret changed.
    """

    def __init__(
        self, authority: Simulator, life_s: float, dice: Random, change_secret: Callable[[], None], undated: set[str]
    ) -> None:
        """Begin calm.

        Args:
            authority: Who is befallen.
            life_s: Of its tokens.
            dice: For the order and the length of what comes.
            change_secret: Gives authority and proxy a new one, at the same moment.
            undated: Takes the tokens that are given out without their expiry: the proxy cannot know when they die.
        """
        self.now = "calm"
        self.met: Counter[str] = Counter()
        self._authority = authority
        self._life_s = life_s
        self._dice = dice
        self._change_secret = change_secret
        self._undated = undated

    async def blow(self) -> None:
        """Let one thing come after the other, each once before any comes again, for ever."""
        while True:
            kinds = [*FAULTS, REVOKED, ROTATED]
            self._dice.shuffle(kinds)
            for kind in kinds:
                await asyncio.sleep(self._dice.random() * LULL_SHARE * self._life_s)
                await self._let_come(kind)

    async def _let_come(self, kind: str) -> None:
        if kind == REVOKED:
            await self._revoke()
        elif kind == ROTATED:
            await self._rotate()
        else:
            await self._befall(kind)

    async def _revoke(self) -> None:
        self._authority.tokens.revoke_all()
        self.met[REVOKED] += 1
        await self._wait_for_a_call()

    async def _rotate(self) -> None:
        """Change the secret; a call that was made in between is refused, and made again with the new one."""
        self._change_secret()
        self.met[ROTATED] += 1
        await self._wait_for_a_call()
        await asyncio.sleep(NOTICED_S)

    async def _befall(self, kind: str) -> None:
        """Have a fault from before a token call until some time after that one began."""
        self.now = kind
        self._authority.faults.add(FAULTS[kind])
        known = {token.value for token in self._authority.tokens}
        before = self._authority.token_requests.total
        await self._wait_for_a_call()
        await asyncio.sleep(self._dice.random() * LONGEST_SHARE * self._life_s)
        if kind == UNDATED:
            self._undated |= {token.value for token in self._authority.tokens} - known
        self._authority.faults.clear()
        self._authority.release()
        self.met[kind] += self._authority.token_requests.total - before
        self.now = "calm"
        await self._wait_for_a_call()

    async def _wait_for_a_call(self) -> None:
        before = self._authority.token_requests.total
        while self._authority.token_requests.total == before:  # noqa: ASYNC110 (the journal has no event)
            await asyncio.sleep(LOOK_S)

"""A token as it is stored, and back.

The rule of this file: pure, and what comes out of a store is trusted no more than a server's answer.  Whatever is not
as this program writes it is no token.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from proxy.tokens import policy
from proxy.tokens.answers import BEARER_TOKEN
from proxy.tokens.token import build_token

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.tokens.token import Token

BEARER = "Bearer "


@dataclass(frozen=True, slots=True)
class StoredToken:
    """A token without the clock of any machine in it.

    Attributes:
        life_s: From the moment that it was asked for.
        age_s: Since then.
    """

    access_token: str = field(repr=False)
    life_s: float
    age_s: float

    @property
    def left_s(self) -> float:
        """What is left of its life."""
        return self.life_s - self.age_s


def build_stored(token: Token, now: float) -> StoredToken:
    """Take a bearer token off its clock, which shows ``now``."""
    return StoredToken(token.authorization.removeprefix(BEARER), token.life_s, max(0.0, now - token.sent_at))


def restore_token(stored: StoredToken, now: float, dice: float) -> Token:
    """Put a stored token on a clock, which shows ``now``; the dice are for the jitter of its refresh."""
    return build_token(stored.access_token, stored.life_s, sent_at=now - stored.age_s, dice=dice)


def dump_token(stored: StoredToken, **more: float) -> dict[str, Any]:
    """Return what is written of a token, and ``more``; its age is told by whatever keeps it."""
    return {"access_token": stored.access_token, "life_s": stored.life_s, **more}


def parse_token(members: object, age_s: float) -> StoredToken | None:
    """Read what ``dump_token`` wrote; None for anything that could not be sent.

    Args:
        members: As read.
        age_s: Below zero, or beyond its life, is a clock that was stepped, and no token to rely on.
    """
    if not isinstance(members, dict):
        return None
    access_token, life_s = members.get("access_token"), read_number(members, "life_s")
    if not isinstance(access_token, str) or BEARER_TOKEN.fullmatch(access_token) is None or life_s is None:
        return None
    if not 0 < life_s <= policy.LONGEST_LIFE_S or not 0 <= age_s < life_s:
        return None
    return StoredToken(access_token, life_s, age_s)


def read_number(members: Mapping[str, Any], name: str) -> float | None:
    """Return a member that is a finite number; None for any other."""
    value = members.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def build_json(document: object) -> bytes:
    """Build the bytes that are encrypted."""
    return json.dumps(document).encode()


def parse_json(data: bytes) -> Any:  # noqa: ANN401 (whatever it holds)
    """Parse them; None for what is no JSON."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None

"""Every number of the token policy, with its reason, and the arithmetic over them.

The rule of this file: pure.  Now, and the dice (a number from 0 up to 1), are arguments.  Seconds throughout.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from proxy.errors import FetchError

LONGEST_LIFE_S = 86_400.0
"""No documented token lives longer; a life of years is a server's error and would outlast every revocation."""
DEFAULT_LIFE_S = 300.0
"""For an answer that states no life: short enough that a wrong guess costs one 401, long enough not to storm."""

LONGEST_MARGIN_S = 5.0
"""A request is under way for up to a few seconds before the upstream looks at its token."""
MARGIN_SHARE = 0.05
"""Of a short life: five seconds off a life of six would leave nothing."""

REFRESH_SHARE = 0.5
"""Of the life: the earlier the refresh, the longer the outage of the token server that can be ridden out."""
REFRESH_JITTER = 0.05
"""Either way: proxies that were started together must not call together for ever."""

SHORTEST_PAUSE_S = 0.25
"""Between two calls for one credential, whatever dice, lives and callers say: four calls a second at most."""

FIRST_BACKOFF_S = 0.5
"""While a valid token is still there: soon enough to get past a lost packet."""
LONGEST_BACKOFF_S = 15.0
"""Recovery follows the end of an outage within this time."""
LONGEST_RETRY_AFTER_S = 60.0
"""A server may ask for more patience than the backoff has, but not for the whole life of the token in hand."""

LONGEST_URGENT_BACKOFF_S = 1.0
"""While no token is valid people wait, so attempts come every second or sooner."""
LONGEST_URGENT_RETRY_AFTER_S = 15.0
"""A server that asks for patience is overloaded, and hurrying it would lengthen the outage; up to here."""

REFUSED_PAUSE_S = 60.0
"""A refused credential stays refused until someone acts; more attempts invite a lock-out."""

CLIENT_REFUSALS: Final = frozenset({"invalid_client", "invalid_scope", "unauthorized_client", "unsupported_grant_type"})
"""Error codes (RFC 6749, section 5.2) that speak of the client, its key and what it asks for, and of no person."""

FIRST_REMINT_PAUSE_S = 10.0
"""After a new token that was rejected like the one before: RapidSOS also says 401 for a missing product."""
LONGEST_REMINT_PAUSE_S = 60.0
"""A real revocation must not go unnoticed for longer."""

URGENT_LOOK_S = 0.1
"""While another replica makes the call and people wait for it: a look into the store costs a millisecond."""
RELAXED_LOOK_S = 1.0
"""The same while a valid token serves."""
PATIENCE_SHARE = 0.5
"""Of the time that a request waits: another replica that has brought nothing by then may have died, and what is left of
that time is enough for a call of one's own."""

REPLICA_SKEW_S = 300.0
"""By how much the clocks of proxies that share a store may differ, as in Kerberos: NTP keeps them within a second, and
by so much longer than its life an old token could be passed off as a new one."""
MOST_SUSPECTS = 256
"""Rejected tokens remembered, so that no store brings one back; what is older than its life needs no remembering."""

SKEW_WARNING_S = 30.0
"""Dates have whole seconds, answers take some, and clocks drift by a few; beyond this, somebody has to set one."""

LONGEST_EXPONENT = 16
"""Two to this power is beyond every limit above, and far from an overflow."""


def clamp_life(life_s: float) -> float:
    """Return the life to believe in; zero means: good for those who wait, not to be kept."""
    return min(max(life_s, 0.0), LONGEST_LIFE_S)


def send_margin(life_s: float) -> float:
    """Return how long before its expiry a token stops being sent: it could die on the way."""
    return min(LONGEST_MARGIN_S, MARGIN_SHARE * life_s)


def refresh_after(life_s: float, dice: float) -> float:
    """Return the age at which a token is replaced."""
    return life_s * REFRESH_SHARE * (1.0 - REFRESH_JITTER + 2.0 * REFRESH_JITTER * dice)


def backoff(failures: int, longest_s: float, dice: float) -> float:
    """Return the pause after the n-th failure in a row: doubling up to ``longest_s``, with full jitter."""
    ceiling = min(longest_s, FIRST_BACKOFF_S * 2.0 ** min(failures - 1, LONGEST_EXPONENT))
    return max(SHORTEST_PAUSE_S, ceiling * dice)


@dataclass(frozen=True, slots=True)
class Pause:
    """How long to leave the authorization server alone after a failure.

    Attributes:
        urgent_s: While no token is valid, or the only one is suspect.
        relaxed_s: While a valid token serves every request.
    """

    urgent_s: float
    relaxed_s: float


def is_person_refused(error: FetchError, *, is_person: bool) -> bool:
    """Return whether it is a person's name and password that were refused, and not the client's key beside them.

    Args:
        error: How a token call failed.  RapidSOS gives no code for a wrong password, so no code means the person.
        is_person: Whether the credential is a person's.
    """
    return is_person and error.refused and not error.is_vague and error.code not in CLIENT_REFUSALS


def is_client_refused(error: FetchError) -> bool:
    """Return whether it is certain that the client's key, or what it asks for, was refused, whoever the person is."""
    return error.refused and error.code in CLIENT_REFUSALS


def pause_after(error: FetchError, failures: int, dice: float, *, is_person: bool) -> Pause:
    """Return the pauses that follow a failed token call.

    Args:
        error: How it failed.
        failures: How many calls in a row have failed, this one included.
        dice: For the jitter.
        is_person: Whether the credential is a person's; a refused password sent again may lock the account.
    """
    if error.refused and not (error.is_vague and is_person):
        pause_s = math.inf if is_person_refused(error, is_person=is_person) else REFUSED_PAUSE_S
        return Pause(pause_s, pause_s)
    # What may be a gateway's word alone must not keep a person out as a wrong password would, nor be asked for again
    # at once: as if it had asked for as much patience as a server gets.
    asked_s = REFUSED_PAUSE_S if error.refused else error.retry_after_s or 0.0
    return Pause(
        urgent_s=max(backoff(failures, LONGEST_URGENT_BACKOFF_S, dice), min(asked_s, LONGEST_URGENT_RETRY_AFTER_S)),
        relaxed_s=max(backoff(failures, LONGEST_BACKOFF_S, dice), min(asked_s, LONGEST_RETRY_AFTER_S)),
    )


def remint_pause(useless: int) -> float:
    """Return the pause after the n-th new token in a row that was rejected like the one it replaced."""
    return min(LONGEST_REMINT_PAUSE_S, FIRST_REMINT_PAUSE_S * 2.0 ** min(useless - 1, LONGEST_EXPONENT))

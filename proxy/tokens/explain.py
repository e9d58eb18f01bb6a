"""A failed token call in plain words, with the next step, for whoever reads a client's error.

The rule of this file: pure; it says what is wrong and what to do, and never quotes a secret or an answer.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from proxy.tokens.token import NETWORK, REFUSED, STATUS, TIMEOUT, UNREADABLE

if TYPE_CHECKING:
    from proxy.errors import FetchError

NEXT_STEPS: Final = {
    NETWORK: "Check this machine's way to it: DNS, firewall, corporate proxy, trusted certificates.",
    TIMEOUT: "Check this machine's way to it: firewall, corporate proxy; or it is overloaded.",
    STATUS: "If it lasts, check token_url, then report it to RapidSOS.",
    UNREADABLE: "Check token_url and the request format; if both are right, report it to RapidSOS.",
    REFUSED: "Check the credential's id and secret, and that they are of this environment.",
}
"""What to do, by ``FetchError.kind``."""
PERSON_REFUSED = "Check the person's username and password, and that RapidSOS has not locked the account."
TRIED_AGAIN = "The proxy keeps trying."
NOT_TRIED_AGAIN = (
    "The proxy does not send a person's refused password again: change it; one from a file is used at once, any other "
    "after a restart."
)


def explain_no_token(name: str, error: FetchError | None, *, is_given_up: bool) -> str:
    """Say why a credential has no token.

    Args:
        name: Of the credential.
        error: How the last call failed; None if none has yet.
        is_given_up: Whether no more calls are planned.
    """
    if error is None:
        return f"The authorization server has not yet answered for credential {name}. {TRIED_AGAIN}"
    return f"Credential {name}: {error.detail}. {explain_next_step(error, is_given_up=is_given_up)}"


def explain_next_step(error: FetchError | None, *, is_given_up: bool) -> str | None:
    """Say what to do about a failed call, and whether the proxy goes on by itself; None if none has failed."""
    if error is None:
        return None
    if is_given_up:  # which nothing but a person's refused password is
        return f"{PERSON_REFUSED} {NOT_TRIED_AGAIN}"
    return f"{NEXT_STEPS.get(error.kind, NEXT_STEPS[STATUS])} {TRIED_AGAIN}"


def explain_pause(error: FetchError | None, pause_s: float) -> str:
    """Say why a call that an operator asks for is not made; a clause, to stand after the credential's name."""
    last = f"the last call failed: {error.detail}" if error is not None else "the last call was a moment ago"
    rest = f"the next may be made in {math.ceil(pause_s)} s" if pause_s < math.inf else "another could lock the account"
    return f"{last}; {rest}"

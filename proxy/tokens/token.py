"""What a token is, the key that it is kept under, and what is told about it.

The rule of this file: pure, and no ``repr`` shows a token.  ``fingerprint`` is the one way to name a token in a log.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NewType

from proxy.http.basic import build_basic
from proxy.tokens import policy

if TYPE_CHECKING:
    from proxy.config.models import Credential
    from proxy.config.secret import Secret

OK = "ok"
"""A token came."""
NETWORK = "network"
"""No connection, or it was cut; DNS and TLS included."""
TIMEOUT = "timeout"
"""No whole answer in time."""
STATUS = "status"
"""An answer that says no, for now."""
UNREADABLE = "unreadable"
"""An answer without a token in it that could be sent."""
REFUSED = "refused"
"""The credential itself was rejected."""

STOPPED = "stopped"
"""The proxy ended before there was an answer."""

ADOPTED = "adopted"
"""The reason of a ``TokenFetch`` without a call: the token was in the store."""

FINGERPRINT_LENGTH = 12
"""Hex digits: 48 bits tell the tokens of a year apart and give nothing back."""

TokenKey = NewType("TokenKey", str)
"""The name that a token is kept under; made by ``build_token_key``."""


@dataclass(frozen=True, slots=True)
class Token:
    """What goes into a request's Authorization field, and until when.

    Attributes:
        authorization: The field's value: ``Bearer ...`` or ``Basic ...``.
        fingerprint: The beginning of the token's SHA-256 in hex; None for Basic.
        usable_until: Clock seconds: the expiry less the send margin; infinite for Basic.
        expires_at: Clock seconds.
        refresh_at: Clock seconds; from here on a new token is wanted, though this one still serves.
        life_s: From the moment that the request for it was sent.
    """

    authorization: str = field(repr=False)
    fingerprint: str | None
    usable_until: float
    expires_at: float
    refresh_at: float
    life_s: float

    @property
    def sent_at(self) -> float:
        """Clock seconds at which the request for it was sent."""
        return self.expires_at - self.life_s

    @property
    def value(self) -> str:
        """What stands behind ``Bearer``."""
        return self.authorization.partition(" ")[2]


@dataclass(frozen=True, slots=True)
class TokenFetch:
    """The outcome of one token call, for the log, the metrics and the admin page; never a secret.

    Attributes:
        outcome: One of the constants above; a failure's is ``FetchError.kind``.
        status: Of the answer, None when there was none.
        detail: A failure in plain words; empty for a success.
        seconds: From the request to the outcome.
        authorization: What the token was made into, for whoever has to keep it out of sight; None for a failure.
        code: Of a failure: ``FetchError.code``.
        reason: Why it was made: ``start``, ``login`` (a person's first), ``refresh``, ``wait`` (no token was valid),
            ``rejected`` (by an upstream) or ``asked`` (by an operator); ``adopted`` where none was made, since the
            token was in the store.
        user: Whose token it is, where clients say so (``from_client``); None for others.
    """

    credential: str
    grant: str
    token_url: str
    outcome: str
    status: int | None
    detail: str
    seconds: float
    fingerprint: str | None
    life_s: float | None
    reason: str
    user: str | None = None
    authorization: str | None = field(default=None, repr=False)
    code: str | None = None


@dataclass(frozen=True, slots=True)
class CredentialStatus:
    """How one credential stands.

    Attributes:
        usable: Whether a request would be served at once; where each person has a token of his own, whether nothing is
            known against it.
        expires_in_s: Of the token in hand; None without one, and for Basic.
        next_refresh_in_s: Until the next token call; None while one is under way, and when none is planned.
        last_error: In plain words; None when the last token call succeeded.
        fetches: Token calls so far, the failed ones included.
        failures: Token calls that failed so far.
        skew_s: The authorization server's clock less ours, for a report; None where it is not known.
        next_step: What to do about the last error; None without one.
        people: How many persons have, or wait for, a token of their own; None where the credential has one for all.
    """

    name: str
    grant: str
    token_url: str | None
    usable: bool
    fingerprint: str | None
    expires_in_s: float | None
    next_refresh_in_s: float | None
    last_error: str | None
    last_error_ago_s: float | None
    fetches: int
    failures: int
    skew_s: float | None
    next_step: str | None = None
    people: int | None = None


def build_token(access_token: str, life_s: float, *, sent_at: float, dice: float) -> Token:
    """Build a bearer token (RFC 6750, section 2.1).

    Args:
        access_token: As the authorization server gave it; its characters have been checked.
        life_s: Seconds from ``sent_at``: counting from the answer would add the answer's way to it.
        sent_at: Clock seconds at which the request for it was sent.
        dice: For the jitter of its refresh.
    """
    life_s = policy.clamp_life(life_s)
    expires_at = sent_at + life_s
    return Token(
        authorization=f"Bearer {access_token}",
        fingerprint=fingerprint(access_token),
        usable_until=expires_at - policy.send_margin(life_s),
        expires_at=expires_at,
        refresh_at=sent_at + policy.refresh_after(life_s, dice),
        life_s=life_s,
    )


def build_basic_token(username: Secret, password: Secret) -> Token:
    """Build Basic credentials (RFC 7617), which never expire."""
    return Token(
        authorization=build_basic(username.reveal(), password.reveal()),
        fingerprint=None,
        usable_until=math.inf,
        expires_at=math.inf,
        refresh_at=math.inf,
        life_s=math.inf,
    )


def fingerprint(access_token: str) -> str:
    """Return the name by which logs call a token."""
    return hashlib.sha256(access_token.encode()).hexdigest()[:FINGERPRINT_LENGTH]


def build_token_key(credential: Credential, hash_key: bytes) -> TokenKey:
    """Build the key that a credential's token is kept under.

    Everything that could make the server give another token is part of it; a key too small hands out the token of
    other settings.  A keyed hash, so that no secret can be guessed from the key, wherever it is stored later.

    Args:
        credential: Whose token it is.
        hash_key: A random secret of the process, or of all that share a store.
    """
    parts = [
        credential.token_url,
        credential.grant,
        _reveal(credential.client_id),
        _reveal(credential.client_secret),
        _reveal(credential.username),
        _reveal(credential.password),
        credential.scope,
        sorted(credential.extra.items()),
        credential.request,
        credential.client_auth,
    ]
    # JSON, because it cannot be read two ways: joined strings could.
    return TokenKey(hmac.new(hash_key, json.dumps(parts).encode(), hashlib.sha256).hexdigest())


def _reveal(secret: Secret | None) -> str | None:
    return None if secret is None else secret.reveal()

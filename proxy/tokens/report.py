"""What is told about a token source: how it stands, what a call of it came to, why it has no token.

The rule of this file: pure, and never a secret.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.errors import FetchError, NoToken
from proxy.tokens import policy
from proxy.tokens.explain import explain_next_step, explain_no_token
from proxy.tokens.grants import printable_url
from proxy.tokens.token import OK, CredentialStatus, Token, TokenFetch

if TYPE_CHECKING:
    from proxy.config.models import Credential
    from proxy.tokens.history import History
    from proxy.tokens.schedule import Schedule


@dataclass(frozen=True, slots=True)
class Subject:
    """Of which credential is told.

    Attributes:
        token_url: As logs may show it.
        user: Whose token it is, where clients say so; None for others.
    """

    name: str
    grant: str
    token_url: str
    user: str | None


def build_subject(name: str, credential: Credential, user: str | None = None) -> Subject:
    """Take from a credential what may be told."""
    return Subject(name, credential.grant, printable_url(credential.token_url or ""), user)


def build_status(
    subject: Subject, token: Token | None, schedule: Schedule, history: History, now: float
) -> CredentialStatus:
    """Build how a credential stands.

    Args:
        subject: Which.
        token: In hand.
        schedule: Of its calls.
        history: Of its calls.
        now: Clock seconds.
    """
    return CredentialStatus(
        name=subject.name,
        grant=subject.grant,
        token_url=subject.token_url,
        usable=token is not None,
        fingerprint=token.fingerprint if token else None,
        expires_in_s=token.expires_at - now if token else None,
        next_refresh_in_s=max(0.0, schedule.due_at - now) if schedule.due_at < math.inf else None,
        last_error=history.last_error.detail if history.last_error else None,
        last_error_ago_s=now - history.last_error_at if history.last_error else None,
        fetches=history.fetches,
        failures=history.failures,
        skew_s=history.skew_s,
        next_step=explain_next_step(history.last_error, is_given_up=is_given_up(schedule)),
    )


def build_fetch(
    subject: Subject, result: Token | FetchError, *, status: int | None, reason: str, seconds: float
) -> TokenFetch:
    """Build the outcome of a token call.

    Args:
        subject: Whose.
        result: What it came to.
        status: Of the answer, None when there was none.
        reason: Why it was made.
        seconds: How long it took.
    """
    token, error = (None, result) if isinstance(result, FetchError) else (result, None)
    return TokenFetch(
        credential=subject.name,
        grant=subject.grant,
        token_url=subject.token_url,
        outcome=error.kind if error else OK,
        status=status,
        detail=error.detail if error else "",
        seconds=seconds,
        fingerprint=token.fingerprint if token else None,
        life_s=token.life_s if token else None,
        reason=reason,
        user=subject.user,
        authorization=token.authorization if token else None,
        code=error.code if error else None,
    )


def build_no_token(subject: Subject, schedule: Schedule, history: History, now: float) -> NoToken:
    """Build what a request is told that waited in vain; arguments as for ``build_status``."""
    due_in_s = schedule.due_at - now
    given_up = is_given_up(schedule)
    detail = explain_no_token(subject.name, history.last_error, is_given_up=given_up)
    patience_s = policy.REFUSED_PAUSE_S if given_up else due_in_s if math.isfinite(due_in_s) else 1.0
    return NoToken(detail, retry_after_s=max(1, math.ceil(patience_s)))


def is_given_up(schedule: Schedule) -> bool:
    """Return whether no more calls are planned, since a person's password was refused."""
    return schedule.is_refused and not schedule.in_flight and schedule.due_at == math.inf

"""Token answer to token, or why not (RFC 6749, sections 5.1 and 5.2), in every variant that RapidSOS documents.

The rule of this file: pure, and the answer is not trusted.  No text of it goes into an error, since a server may
echo the secret; error codes are named only when they are among the known ones.
"""

from __future__ import annotations

import base64
import json
import math
import re
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn

from proxy.errors import FetchError
from proxy.tokens import policy
from proxy.tokens.token import REFUSED, STATUS, UNREADABLE

Members = dict[str, Any]

TOKEN_NAMES = ("access_token", "acces_token")
"""The second is how RapidSOS's page on authentication tokens spells it in its example."""
TOKEN_TYPES = frozenset({"bearer", "bearertoken"})
"""RapidSOS's gateway says BearerToken; case does not matter (RFC 6749, section 5.1)."""
BEARER_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
"""RFC 6750, section 2.1; nothing else may go into a header."""
NUMBER = re.compile(r"[+-]?[0-9]{1,300}(\.[0-9]{1,300})?([eE][+-]?[0-9]{1,3})?")
"""What JSON calls a number; float() alone would take underscores, ``nan`` and foreign digits too."""
DELAY_SECONDS = re.compile(r"[0-9]{1,9}")
"""RFC 9110, section 10.2.3."""

REFUSALS = frozenset(
    {
        "access_denied",
        "invalid_client",
        "invalid_grant",
        "invalid_request",
        "invalid_scope",
        "unauthorized_client",
        "unsupported_grant_type",
    }
)
"""RFC 6749, section 5.2, and ``access_denied``: asking again the same way cannot help."""
TEMPORARY = frozenset({"server_error", "slow_down", "temporarily_unavailable"})
"""Codes of other OAuth answers that servers send here as well: asking again can help, whatever the status."""


@dataclass(frozen=True, slots=True)
class TokenAnswer:
    """What came back from a token endpoint.

    Attributes:
        body: Decoded; may hold a token, or the secret that was sent.
        retry_after: The field's value, None without one.
        date: The same.
    """

    status: int
    body: bytes = field(repr=False)
    retry_after: str | None = None
    date: str | None = None


@dataclass(frozen=True, slots=True)
class ParsedToken:
    """A token as the answer states it.

    Attributes:
        life_s: Seconds from the request; zero where the server says that it is used up.
        skew_s: The server's clock less ours; None without a readable Date.
        oddities: What departs from the documentation, in plain words; the token is used all the same.
    """

    access_token: str = field(repr=False)
    life_s: float
    status: int = 200
    skew_s: float | None = None
    oddities: tuple[str, ...] = ()


def parse_token_answer(answer: TokenAnswer, wall_now: float) -> ParsedToken:
    """Parse the answer to a token request.

    Args:
        answer: As received.
        wall_now: Seconds since the epoch by our wall clock; used only where the server does not tell its own.

    Raises:
        FetchError: If there is no token in it that could be sent.
    """
    server_now = parse_http_date(answer.date)
    members = _parse_members(answer.body)
    if not 200 <= answer.status < 300:  # noqa: PLR2004 (RFC 9110, section 15.3)
        _fail(answer, members, wall_now if server_now is None else server_now)
    if members is None:
        _fail_unreadable(answer, "is no JSON object")
    access_token, oddities = _find_token(answer, members)
    return ParsedToken(
        access_token=access_token,
        life_s=_find_life(members, access_token, wall_now if server_now is None else server_now),
        status=answer.status,
        skew_s=None if server_now is None else server_now - wall_now,
        oddities=oddities,
    )


def parse_http_date(value: str | None) -> float | None:
    """Parse a date (RFC 9110, section 5.6.7) to seconds since the epoch; None for none, and for garbage."""
    if value is None:
        return None
    try:
        moment = parsedate_to_datetime(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def parse_retry_after(value: str | None, server_now: float) -> float | None:
    """Parse Retry-After (RFC 9110, section 10.2.3) to seconds from now; None for none, and for garbage."""
    if value is None:
        return None
    if DELAY_SECONDS.fullmatch(value):
        return float(value)
    moment = parse_http_date(value)
    return None if moment is None else max(0.0, moment - server_now)


def parse_number(value: object) -> float | None:
    """Parse a JSON number, or a string that holds one; None for anything else, NaN included.

    RapidSOS's own SDK has a fixture with ``"expires_in": "3599"``.
    """
    if isinstance(value, str):
        return float(value) if NUMBER.fullmatch(value.strip()) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
    return None if math.isnan(number) else number


def _parse_members(body: bytes) -> Members | None:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _find_token(answer: TokenAnswer, members: Members) -> tuple[str, tuple[str, ...]]:
    name = next((name for name in TOKEN_NAMES if name in members), None)
    if name is None:
        if _error_code(members) in REFUSALS:
            _fail_refused(answer, members)
        _fail_unreadable(answer, "holds no access_token")
    access_token = members[name]
    # Never "Bearer None", and nothing that could end the header's line.
    if not isinstance(access_token, str) or BEARER_TOKEN.fullmatch(access_token) is None:
        _fail_unreadable(answer, "holds an access_token that is no bearer token (RFC 6750, section 2.1)")
    return access_token, tuple(_find_oddities(members, name))


def _find_oddities(members: Members, name: str) -> list[str]:
    oddities = []
    if name != TOKEN_NAMES[0]:
        oddities.append("the token is called acces_token")
    kind = members.get("token_type", "Bearer")
    if not isinstance(kind, str) or kind.lower() not in TOKEN_TYPES:
        oddities.append("token_type is neither Bearer nor BearerToken")
    if "expires_in" not in members:
        oddities.append("expires_in is missing")
    elif parse_number(members["expires_in"]) is None:
        oddities.append("expires_in is no number")
    return oddities


def _find_life(members: Members, access_token: str, server_now: float) -> float:
    """Return the token's life in seconds, from the best source that there is.

    ``issued_at`` is not one: it comes in milliseconds, in seconds, as text and not at all, and depends on clocks.
    """
    life_s = parse_number(members.get("expires_in"))
    if life_s is None:
        expires_at = _find_jwt_expiry(access_token)
        life_s = policy.DEFAULT_LIFE_S if expires_at is None else expires_at - server_now
    return policy.clamp_life(life_s)


def _find_jwt_expiry(access_token: str) -> float | None:
    """Return ``exp`` of a JWT (RFC 7519, section 4.1.4), unverified: it is the upstream that trusts it, not we."""
    parts = access_token.split(".")
    if len(parts) != 3:  # noqa: PLR2004 (RFC 7515, section 3.1: header, payload, signature)
        return None
    try:
        payload = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
    except ValueError:
        return None
    return parse_number((_parse_members(payload) or {}).get("exp"))


def _error_code(members: Members | None) -> str | None:
    """Return the answer's error code, if it is a known one: ``error`` by RFC 6749, ``ErrorCode`` by the gateway."""
    for name in ("error", "ErrorCode"):
        code = (members or {}).get(name)
        if isinstance(code, str) and code.lower() in REFUSALS | TEMPORARY:
            return code.lower()
    return None


def _is_refusal(status: int, members: Members | None) -> bool:
    """Return whether the answer says that the credential itself was refused.

    RapidSOS says so by 400 and 401 with a ``detail``, its gateway by an ``ErrorCode``, RFC 6749 by an ``error``.
    """
    code = _error_code(members)
    if code is not None:
        return code in REFUSALS
    return status in {400, 401} and not {"error", "ErrorCode", "detail"}.isdisjoint(members or {})


def _is_vague_refusal(answer: TokenAnswer, members: Members | None) -> bool:
    """Return whether only the status says so: a firewall's 403 page, an empty 401.

    Whoever says when to come again has not refused what was sent, but that it was sent so soon.
    """
    return answer.status in {401, 403} and _error_code(members) is None and answer.retry_after is None


def _fail(answer: TokenAnswer, members: Members | None, server_now: float) -> NoReturn:
    if _is_refusal(answer.status, members):
        _fail_refused(answer, members)
    if _is_vague_refusal(answer, members):
        _fail_refused(answer, members, is_vague=True)
    if 300 <= answer.status < 400:  # noqa: PLR2004 (RFC 9110, section 15.4)
        detail = f"the authorization server redirects ({answer.status}); a token request is never redirected"
    else:
        detail = f"the authorization server answered {answer.status}"
    retry_after_s = parse_retry_after(answer.retry_after, server_now)
    raise FetchError(STATUS, detail, status=answer.status, retry_after_s=retry_after_s)


def _fail_refused(answer: TokenAnswer, members: Members | None, *, is_vague: bool = False) -> NoReturn:
    code = _error_code(members)
    detail = f"the authorization server refused the credential ({answer.status}{f', {code}' if code else ''})"
    if is_vague:
        detail = (
            f"the token request was refused ({answer.status}), by the authorization server or by something before it"
        )
    raise FetchError(REFUSED, detail, status=answer.status, refused=True, code=code, is_vague=is_vague)


def _fail_unreadable(answer: TokenAnswer, what: str) -> NoReturn:
    detail = f"the authorization server's answer ({answer.status}) {what}"
    raise FetchError(UNREADABLE, detail, status=answer.status)

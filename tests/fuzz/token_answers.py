"""What a token endpoint says: a token that can be sent, or a named error that repeats nothing of it."""

from __future__ import annotations

import math

from fuzz.supply import Supply
from proxy.errors import FetchError
from proxy.tokens.answers import BEARER_TOKEN, TokenAnswer, parse_http_date, parse_retry_after, parse_token_answer
from proxy.tokens.policy import clamp_life

STATUSES = (200, 201, 302, 400, 401, 403, 429, 500, 503)
NOW = 1_795_507_800.0
SECRET = "s3cr3t-Zq8"
SEEDS = (
    b'\x00Tue, 24 Nov 2026 12:00:00 GMT\n\n{"access_token":"abc","token_type":"Bearer","expires_in":3600}',
    b'\x00\n\n{"acces_token":"a.eyJleHAiOjF9.c","token_type":7,"expires_in":"1e9"}',
    b'\x03\n120\n{"error":"invalid_client","error_description":"s3cr3t-Zq8"}',
    b'\x06\nTue, 24 Nov 2026 12:00:30 GMT\n{"ErrorCode":"Slow_Down"}',
    b'\x04x\n-1\n{"detail":"no","expires_in":NaN}',
    b"\x00\n\n[[[[\xff",
    b'\x00\n\n{"access_token":"s3cr3t-Zq8\\r\\nX: y","expires_in":-1e400}',
)


def fuzz_one(data: bytes) -> None:
    """Take a status, and lines for Date, Retry-After and the body."""
    supply = Supply(data)
    status = supply.choose(STATUSES)
    date, retry_after, body, *_ = (*supply.take_rest().split(b"\n", 2), b"", b"", b"")
    answer = TokenAnswer(status, body, retry_after.decode("latin-1") or None, date.decode("latin-1") or None)
    moment = parse_http_date(answer.date)
    assert moment is None or math.isfinite(moment)
    delay = parse_retry_after(answer.retry_after, NOW)
    assert delay is None or delay >= 0
    try:
        token = parse_token_answer(answer, NOW)
    except FetchError as error:
        check_refusal(error)
        return
    assert 200 <= status < 300
    assert BEARER_TOKEN.fullmatch(token.access_token)
    assert clamp_life(token.life_s) == token.life_s
    assert not math.isnan(token.life_s)
    assert "access_token" not in repr(token)


def check_refusal(error: FetchError) -> None:
    """Assert that an error repeats no secret, and that what it says of a wait can be waited for."""
    assert SECRET not in f"{error} {error!r}"
    assert error.retry_after_s is None or error.retry_after_s >= 0

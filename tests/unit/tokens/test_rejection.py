"""Whether an answer says that the token is dead."""

import pytest

from proxy.config.models import DeadToken
from proxy.http.head import parse_response_head
from proxy.tokens.rejection import build_rejections

BY_CHALLENGE = DeadToken(status=403, www_authenticate="Invalid_Token")
INVALID = 'WWW-Authenticate: Bearer realm="api", error="invalid_token"'


def answer(status, *fields):
    """Build an answer's head."""
    return parse_response_head("\r\n".join([f"HTTP/1.1 {status} Some", *fields, "", ""]).encode())


@pytest.mark.parametrize(
    ("head", "is_dead"),
    [
        (answer(401), True),
        (answer(401, INVALID), True),
        (answer(403, INVALID), True),
        (answer(403, INVALID.upper()), True),
        (answer(403, "WWW-Authenticate: Basic", INVALID), True),
        (answer(403), False),
        (answer(403, 'WWW-Authenticate: Bearer error="insufficient_scope"'), False),
        (answer(403, "X-Note: invalid_token"), False),
        (answer(400, INVALID), False),
        (answer(200, INVALID), False),
    ],
)
def test_a_token_is_dead_by_status_or_by_status_and_challenge(head, is_dead):
    """403 alone speaks of rights; with RFC 6750's ``invalid_token`` of the token."""
    rejections = build_rejections((401,), (BY_CHALLENGE,))

    assert rejections.is_dead_token(head) == is_dead


def test_other_statuses_need_no_second_look():
    """The relay asks for the status first."""
    assert build_rejections((401,), (BY_CHALLENGE,)).statuses == {401, 403}


def test_an_operator_may_ask_for_no_status_at_all():
    """Then no token is ever suspect."""
    assert not build_rejections((), ()).is_dead_token(answer(401))

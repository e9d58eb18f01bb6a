"""Whether an answer says that the token is dead."""

import pytest

from proxy.config.models import DeadToken
from proxy.http.framing import CloseBody, LengthBody
from proxy.http.head import parse_response_head
from proxy.tokens.rejection import LOOKED_AT, BodyLook, build_rejections

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


BY_BODY = DeadToken(status=400, body="Token Expired")
BY_BOTH = DeadToken(status=401, body="expired", www_authenticate="Bearer")


def test_a_body_is_looked_at_only_where_a_rule_speaks_of_it():
    """Any other answer goes on at once."""
    rejections = build_rejections((), (BY_BODY, BY_BOTH))

    assert not rejections.is_dead_token(answer(400))
    assert rejections.find_words(answer(400)) == (b"token expired",)
    assert rejections.find_words(answer(401, "WWW-Authenticate: Bearer")) == (b"expired",)
    assert rejections.find_words(answer(401)) == ()
    assert rejections.find_words(answer(403)) == ()


def test_the_words_are_found_across_pieces_and_in_any_case():
    """A server sends as it likes."""
    look = BodyLook(answer(400), CloseBody(), (b"token expired",))

    assert [look.take(piece) for piece in (b"", b'{"detail":"TOK', b'EN expired"}')] == [False, False, True]
    assert look.finds_it
    assert look.seen == b'{"detail":"TOKEN expired"}'


def test_the_look_ends_with_the_body_or_after_its_beginning():
    """Nobody waits for the end of a long answer; words further in do not count."""
    short = LengthBody(2)
    look = BodyLook(answer(400), short, (b"expired",))
    assert look.take(short.feed(b"no")[0])
    assert not look.finds_it

    long = BodyLook(answer(400), CloseBody(), (b"expired",))
    assert long.take(bytes(LOOKED_AT) + b"expired")
    assert not long.finds_it

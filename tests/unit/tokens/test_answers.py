"""Token answers: every variant that is documented or was seen, and everything that is none."""

from __future__ import annotations

import base64
import json

import pytest

from proxy.errors import FetchError
from proxy.tokens.answers import TokenAnswer, parse_http_date, parse_number, parse_retry_after, parse_token_answer
from proxy.tokens.token import REFUSED, STATUS, UNREADABLE

NOW = 1_605_805_540.0
DATE = "Thu, 19 Nov 2020 17:05:40 GMT"
"""The same moment."""


def parse(body, status=200, **fields):
    """Parse an answer whose body is ``body``, as JSON unless it is bytes."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return parse_token_answer(TokenAnswer(status, raw, **fields), NOW)


def parse_failure(body, status=200, **fields):
    """Parse an answer that must fail, and return the error."""
    with pytest.raises(FetchError) as caught:
        parse(body, status, **fields)
    return caught.value


def build_jwt(claims):
    """Build a token that has the form of a JWT."""
    parts = [b'{"alg":"none"}', claims if isinstance(claims, bytes) else json.dumps(claims).encode(), b"signature"]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


@pytest.mark.parametrize(
    ("members", "oddities"),
    [
        pytest.param({"access_token": "abc", "token_type": "Bearer", "expires_in": 3599}, (), id="documented"),
        pytest.param({"access_token": "abc", "token_type": "BearerToken", "expires_in": 3599}, (), id="gateway"),
        pytest.param({"access_token": "abc", "token_type": "bearer", "expires_in": 3599}, (), id="lower case"),
        pytest.param({"access_token": "abc", "expires_in": 3599}, (), id="no token_type"),
        pytest.param({"acces_token": "abc", "expires_in": 3599}, ("the token is called acces_token",), id="misspelt"),
        pytest.param(
            {"access_token": "abc", "token_type": "mac", "expires_in": 3599},
            ("token_type is neither Bearer nor BearerToken",),
            id="another type",
        ),
        pytest.param(
            {"access_token": "abc", "token_type": None, "expires_in": 3599},
            ("token_type is neither Bearer nor BearerToken",),
            id="type null",
        ),
        pytest.param({"access_token": "abc", "acces_token": "def", "expires_in": 3599}, (), id="both spellings"),
        pytest.param(
            {
                "access_token": "abc",
                "token_type": "BearerToken",
                "issued_at": "1512149780354",
                "expires_in": "3599",
                "refresh_token": "r",
                "refresh_token_issued_at": "1512149780354",
                "refresh_token_expires_in": "0",
                "status": "approved",
            },
            (),
            id="numbers as strings, refresh token",
        ),
    ],
)
def test_documented_variants(members, oddities):
    """Every documented variant gives the token and its life; what departs from the documentation is named."""
    parsed = parse(members)

    assert (parsed.access_token, parsed.life_s, parsed.oddities) == ("abc", 3599.0, oddities)


@pytest.mark.parametrize("issued_at", [1605805540651, 1605805540, "1605805540651", 0, -1, None, "yesterday", 4e12, []])
def test_issued_at_is_ignored(issued_at):
    """The life does not depend on issued_at: in ms, in seconds, past, future, or garbage."""
    assert parse({"access_token": "abc", "issued_at": issued_at, "expires_in": 60}).life_s == 60.0


@pytest.mark.parametrize(
    ("expires_in", "life_s"),
    [
        (3600, 3600.0),
        (3599.5, 3599.5),
        ("3599", 3599.0),
        (" 3599.5 ", 3599.5),
        ("3.6e3", 3600.0),
        (0, 0.0),
        ("0", 0.0),
        (-5, 0.0),
        ("-5", 0.0),
        (-(10**400), 0.0),
        (86_401, 86_400.0),
        (10**30, 86_400.0),
        (10**400, 86_400.0),
        ("1e300", 86_400.0),
        (None, 300.0),
        ("", 300.0),
        ("an hour", 300.0),
        ("nan", 300.0),
        ("inf", 300.0),
        ("1_000", 300.0),
        ("٣٦٠٠", 300.0),
        (True, 300.0),
        ([3600], 300.0),
        ({}, 300.0),
    ],
)
def test_expires_in(expires_in, life_s):
    """A number, or a string with one, is the life, at most a day; anything else counts as missing."""
    assert parse({"access_token": "abc", "expires_in": expires_in}).life_s == life_s


@pytest.mark.parametrize(
    ("literal", "life_s"), [(b"NaN", 300.0), (b"Infinity", 86_400.0), (b"-Infinity", 0.0), (b"1e999", 86_400)]
)
def test_expires_in_beyond_json(literal, life_s):
    """What some servers write for a number without its being JSON does not cost the token."""
    assert parse(b'{"access_token":"abc","expires_in":%b}' % literal).life_s == life_s


def test_expires_in_missing():
    """Without expires_in an opaque token is taken to live for five minutes, and the answer for odd."""
    parsed = parse({"access_token": "abc"})

    assert (parsed.life_s, parsed.oddities) == (300.0, ("expires_in is missing",))


@pytest.mark.parametrize(
    ("claims", "life_s"),
    [
        ({"exp": NOW + 1800}, 1800.0),
        ({"exp": str(int(NOW + 1800))}, 1800.0),
        ({"exp": NOW - 10}, 0.0),
        ({"exp": NOW + 10**9}, 86_400.0),
        ({"exp": "soon"}, 300.0),
        ({"iat": NOW}, 300.0),
        ([1], 300.0),
        (b"\xff{", 300.0),
    ],
)
def test_expiry_of_a_jwt(claims, life_s):
    """Without expires_in the life of a JWT is taken from its exp."""
    assert parse({"access_token": build_jwt(claims)}).life_s == life_s


def test_expiry_of_a_jwt_by_the_servers_clock():
    """A JWT's exp is compared with the server's Date, so that our clock may be wrong."""
    answer = TokenAnswer(200, json.dumps({"access_token": build_jwt({"exp": NOW + 1800})}).encode(), date=DATE)

    parsed = parse_token_answer(answer, NOW + 5000.0)

    assert (parsed.life_s, parsed.skew_s) == (1800.0, -5000.0)


@pytest.mark.parametrize("token", ["a.b.c", "a.!.c", "....", "a.YQ.c"])
def test_tokens_that_look_like_a_jwt(token):
    """A token of three parts that holds no claims is an opaque token, if its characters are a token's."""
    if "!" in token:
        assert parse_failure({"access_token": token}).kind == UNREADABLE
    else:
        assert parse({"access_token": token}).life_s == 300.0


@pytest.mark.parametrize("token", ["a", "simtok-1", "AZaz09-._~+/==", "x" * 4096])
def test_token_characters(token):
    """Every character that RFC 6750 allows is kept as it came."""
    assert parse({"access_token": token, "expires_in": 60}).access_token == token


@pytest.mark.parametrize(
    "token",
    [None, "", 5, True, [], {}, "a b", "a\r\nX-Evil: 1", "a\n", "\u0000", "é", "a=b", "=", "a,b", '"a"', "Bearer a"],
)
def test_what_is_no_token(token):
    """What could not stand in a header as a token is refused, and asked for again."""
    error = parse_failure({"access_token": token, "expires_in": 3600})

    assert (error.kind, error.refused) == (UNREADABLE, False)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"true",
        b'"abc"',
        b"5",
        b"<html><form>Sign in</form></html>",
        b'{"access_token":"abc"',
        b'{"access_token":"abc","expires_in":3600}}',
        b"access_token=abc&expires_in=3600",
        b"\xff\xfe\xff",
        b"[" * 60_000,
        b'{"a":' * 10_000,
        b"1" * 60_000,
    ],
)
def test_unreadable_answers(body):
    """An answer of 200 without a token is a failure to be tried again: empty, HTML, an array, cut short, garbage."""
    error = parse_failure(body)

    assert (error.kind, error.status, error.refused) == (UNREADABLE, 200, False)


def test_answer_with_a_byte_order_mark():
    """A byte order mark before the JSON does not cost the token."""
    assert parse(b'\xef\xbb\xbf{"access_token":"abc","expires_in":60}').access_token == "abc"


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        pytest.param(401, {"detail": "Invalid user credentials."}, "(401)", id="documented 401"),
        pytest.param(400, {"detail": "Invalid user credentials."}, "(400)", id="documented 400"),
        pytest.param(
            401, {"ErrorCode": "invalid_client", "Error": "ClientId is Invalid"}, "(401, invalid_client)", id="gateway"
        ),
        pytest.param(400, {"error": "invalid_client"}, "(400, invalid_client)", id="EDX"),
        pytest.param(400, {"error": "invalid_grant"}, "(400, invalid_grant)", id="RFC 6749"),
        pytest.param(400, {"error": "INVALID_GRANT"}, "(400, invalid_grant)", id="upper case"),
        pytest.param(400, {"error": "something new"}, "(400)", id="unknown code"),
        pytest.param(400, {"error": ["x"]}, "(400)", id="code no text"),
        pytest.param(403, {"error": "access_denied"}, "(403, access_denied)", id="403 with a code"),
        pytest.param(500, {"error": "invalid_client"}, "(500, invalid_client)", id="clear words, odd status"),
        pytest.param(200, {"error": "invalid_client"}, "(200, invalid_client)", id="clear words in a 200"),
    ],
)
def test_refusals(status, body, words):
    """A refusal of the credential, in every documented form, is told from a failure."""
    error = parse_failure(body, status)

    assert (error.kind, error.status, error.refused, error.is_vague) == (REFUSED, status, True, False)
    assert error.detail == f"the authorization server refused the credential {words}"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        pytest.param(401, b"", id="empty 401"),
        pytest.param(401, b"<html>", id="401 of a page"),
        pytest.param(401, {"message": "Unauthorized"}, id="401 of a gateway"),
        pytest.param(403, b"", id="empty 403"),
        pytest.param(403, b"<html>", id="403 of a firewall"),
        pytest.param(403, {"message": "Forbidden"}, id="403 of a gateway"),
        pytest.param(403, {"detail": "Forbidden"}, id="403 with a detail"),
        pytest.param(403, {"error": "something new"}, id="403 with an unknown code"),
    ],
)
def test_refusals_by_status_alone(status, body):
    """Whoever is on the way may have said so: it is told from a refusal that says what it refuses."""
    error = parse_failure(body, status)

    assert (error.kind, error.status, error.refused, error.is_vague) == (REFUSED, status, True, True)
    assert error.code is None


@pytest.mark.parametrize(
    ("status", "body"),
    [
        pytest.param(404, {"detail": "Not found."}, id="404"),
        pytest.param(429, {"detail": "Too many requests. Please try again later"}, id="429"),
        pytest.param(500, {"detail": "Server error"}, id="500"),
        pytest.param(500, {"fault": {"faultstring": "Rate limit quota violation", "detail": {}}}, id="quota as 500"),
        pytest.param(503, b"", id="503"),
        pytest.param(400, b"<html>", id="400 of something else"),
        pytest.param(400, {"error": "temporarily_unavailable"}, id="temporary in a 400"),
        pytest.param(403, {"error": "slow_down"}, id="temporary in a 403"),
        pytest.param(401, {"error": "temporarily_unavailable"}, id="temporary in a 401"),
        pytest.param(302, b"", id="302"),
        pytest.param(307, {"access_token": "abc"}, id="307"),
        pytest.param(100, {"access_token": "abc"}, id="100"),
    ],
)
def test_failures_to_be_tried_again(status, body):
    """Everything else that is no token is tried again, redirects included."""
    error = parse_failure(body, status)

    assert (error.kind, error.status, error.refused) == (STATUS, status, False)
    assert str(status) in error.detail


@pytest.mark.parametrize("body", [b"", b"<html>", {"message": "Rate exceeded"}])
def test_a_403_that_says_when_to_come_again_refuses_nothing(body):
    """It was sent too soon; what was sent is not to blame."""
    error = parse_failure(body, 403, retry_after="7")

    assert (error.kind, error.refused, error.retry_after_s) == (STATUS, False, 7.0)


@pytest.mark.parametrize("status", [200, 400, 401, 403, 429, 500, 503])
@pytest.mark.parametrize("name", ["error", "ErrorCode", "detail", "error_description", "access_token"])
def test_echoed_secret_is_not_told(status, name):
    """Whatever the server echoes, and wherever, is not in the error."""
    error = parse_failure({name: "an echoed-secret"}, status, retry_after="echoed-secret", date="echoed-secret")

    assert "echoed-secret" not in repr(vars(error)) + str(error)


def test_repr_hides_body_and_token():
    """The reprs of an answer and of what was parsed show no token."""
    answer = TokenAnswer(200, b'{"access_token":"a-live-token"}')

    assert "a-live-token" not in repr(answer) + repr(parse_token_answer(answer, NOW))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        ("120", 120.0),
        ("Thu, 19 Nov 2020 17:06:10 GMT", 30.0),
        ("Thu, 19 Nov 2020 17:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("9" * 400, None),
        ("", None),
    ],
)
def test_retry_after(value, seconds):
    """Retry-After is a number of seconds or a date; garbage counts as none (RFC 9110, section 10.2.3)."""
    assert parse_retry_after(value, NOW) == seconds


def test_retry_after_by_the_servers_clock():
    """A Retry-After date is compared with the server's Date."""
    error = parse_failure(b"", 503, retry_after="Thu, 19 Nov 2020 17:05:50 GMT", date=DATE)

    assert error.retry_after_s == 10.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (DATE, NOW),
        ("Thursday, 19-Nov-20 17:05:40 GMT", NOW),
        ("Thu, 19 Nov 2020 17:05:40 -0000", NOW),
        (None, None),
        ("", None),
        ("now", None),
        ("Thu, 99 Nov 2020 17:05:40 GMT", None),
    ],
)
def test_http_date(value, seconds):
    """A date is read in the forms that servers send; garbage counts as none."""
    assert parse_http_date(value) == seconds


def test_skew():
    """The skew is the server's clock less ours; without a Date there is none."""
    body = {"access_token": "abc", "expires_in": 60}

    assert parse(body, date="Thu, 19 Nov 2020 17:05:10 GMT").skew_s == -30.0
    assert parse(body).skew_s is None


@pytest.mark.parametrize("value", [object(), b"5", 5j])
def test_number_of_what_is_none(value):
    """What no JSON parser gives is no number either."""
    assert parse_number(value) is None

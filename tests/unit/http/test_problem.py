"""The proxy's own answers: well-formed whatever the error says."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import errors
from proxy.errors import ClientLogin, ExchangeError, Malformed, MethodNotAllowed, NoToken, UpstreamTLS
from proxy.http.authority import parse_authority
from proxy.http.head import parse_request_head, parse_response_head
from proxy.http.headers import build_own_head
from proxy.http.problem import LONGEST_DETAILS, build_options_answer, build_problem, is_answered_here
from proxy.http.targets import parse_target

NOW = 784111777.0
"""RFC 9110, section 5.6.7: Sun, 06 Nov 1994 08:49:37 GMT."""


def all_errors(base=ExchangeError):
    """Return every error that ends an exchange."""
    return [base, *(found for child in base.__subclasses__() for found in all_errors(child))]


def options(target: str, *fields: bytes, method: bytes = b"OPTIONS"):
    """Parse a request, and its target."""
    raw = b"\r\n".join([method + b" " + target.encode() + b" HTTP/1.1", b"Host: a", *fields]) + b"\r\n\r\n"
    return parse_request_head(raw), parse_target(method.decode(), target, parse_authority("a"))


def test_problem_says_what_the_error_says():
    """RFC 9457, section 3.1, with the exchange's id to find the record by."""
    answer = build_problem(NoToken("the token endpoint refuses connections", retry_after_s=3), "x-1", now=NOW)

    assert json.loads(answer.body) == {
        "type": "urn:rapidsos-auth-proxy:error:no_token",
        "title": "No access token could be obtained",
        "status": 503,
        "detail": "the token endpoint refuses connections",
        "exchange_id": "x-1",
    }
    assert answer.head.fields == [
        ("Date", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("Content-Type", "application/problem+json"),
        (
            "Proxy-Status",
            'rapidsos-proxy; error=proxy_internal_response; details="the token endpoint refuses connections"',
        ),
        ("X-Content-Type-Options", "nosniff"),
        ("Retry-After", "3"),
        ("Cache-Control", "no-store"),
        ("Content-Length", str(len(answer.body))),
    ]
    assert (answer.head.status, answer.head.reason, answer.head.minor) == (503, "Service Unavailable", 1)


@pytest.mark.parametrize("error", all_errors(), ids=lambda error: error.__name__)
def test_every_error_has_an_answer(error):
    """Status, slug and title of each class make a document; a login is asked for where a route takes one."""
    answer = build_problem(error(), "x", now=NOW)
    document = json.loads(answer.body)

    assert document["status"] == answer.head.status == error.status
    assert document["type"].endswith(f":{error.slug}")
    assert document["detail"] == error().detail
    assert "retry-after" not in answer.head.names
    assert ("www-authenticate" in answer.head.names) is (error is ClientLogin)
    assert answer.head.all("allow") == (
        ["GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"] if error is MethodNotAllowed else []
    )


def test_error_tree_is_found():
    """The table above is not empty for want of subclasses."""
    assert {errors.Malformed, errors.UpstreamTimeout, errors.LogFull, errors.Loop} <= set(all_errors())


@given(st.text(st.characters(), max_size=400))
def test_answer_is_well_formed_whatever_the_detail(detail):
    """Quotes, line ends, emoji and lone surrogates: the head parses, the string is RFC 8941's, nothing is lost."""
    answer = build_problem(Malformed(detail), "x", now=NOW)
    raw = build_own_head(answer.head, connection=None)
    head = parse_response_head(raw)
    (value,) = head.all("proxy-status")
    prefix, _, string = value.partition("; details=")

    assert json.loads(answer.body)["detail"] == (detail or Malformed.title)
    assert head.fields == answer.head.fields
    assert answer.head.size == len(raw)
    assert prefix == "rapidsos-proxy; error=http_request_error"
    assert parse_string(string) == "".join(
        char if " " <= char <= "~" else "?" for char in (detail or Malformed.title)[:LONGEST_DETAILS]
    )


def parse_string(text: str) -> str:
    """Parse a String by the letter of RFC 8941, section 4.2.5."""
    chars = iter(text)
    assert next(chars) == '"'
    result = ""
    for char in chars:
        if char == "\\":
            escaped = next(chars)
            assert escaped in '"\\'
            result += escaped
        elif char == '"':
            assert next(chars, None) is None
            return result
        else:
            assert " " <= char <= "~"
            result += char
    pytest.fail("the string does not end")


def test_long_detail_is_cut_in_the_field_and_whole_in_the_document():
    """A client's own words may be long; the head of an answer stays short."""
    answer = build_problem(Malformed("x" * 10_000), "x", now=NOW)

    assert json.loads(answer.body)["detail"] == "x" * 10_000
    assert answer.head.all("proxy-status")[0].endswith(f'; details="{"x" * LONGEST_DETAILS}"')


def test_problem_names_the_hop_that_failed():
    """RFC 9209, section 2.3: the error type tells a TLS fault from a refused connection."""
    answer = build_problem(UpstreamTLS('certificate for "a" expired'), "x", now=NOW)

    assert answer.head.all("proxy-status") == [
        r'rapidsos-proxy; error=tls_protocol_error; details="certificate for \"a\" expired"'
    ]


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (options("*"), True),
        (options("/x", b"Max-Forwards: 0"), True),
        (options("http://a/x", b"Max-Forwards: 00"), True),
        (options("/x"), False),
        (options("/x", b"Max-Forwards: 1"), False),
        (options("/x", b"Max-Forwards: 10"), False),
        (options("/x", b"Max-Forwards: 01"), False),
        (options("/x", b"Max-Forwards:"), False),
        (options("/x", b"Max-Forwards: -0"), False),
        (options("/x", b"Max-Forwards: zero"), False),
        (options("/x", b"Max-Forwards: " + b"9" * 5000), False),
        (options("/x", b"Max-Forwards: 0", method=b"GET"), False),
    ],
)
def test_options_for_the_proxy_itself_is_told_apart(request_, expected):
    """RFC 9110, section 7.6.2: OPTIONS with nowhere left to go ends here; other methods ignore the field."""
    assert is_answered_here(*request_) is expected


def test_options_answer_has_no_body():
    """RFC 9110, section 9.3.7: Allow, and a Content-Length of 0."""
    answer = build_options_answer(now=NOW)

    assert answer.body == b""
    assert answer.head.status == 200
    assert answer.head.all("content-length") == ["0"]
    assert answer.head.all("allow") == ["GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"]

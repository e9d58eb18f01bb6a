"""The token endpoint for clients that speak OAuth themselves."""

import json

import pytest

from proxy.http.authority import parse_authority
from proxy.http.head import parse_request_head
from proxy.http.stub import build_stub_token_answer, find_base, is_token_call
from proxy.http.targets import parse_target
from proxy.tokens.answers import TokenAnswer, parse_token_answer


def ask(method: str, target: str):
    """Parse a request, and its target."""
    head = parse_request_head(f"{method} {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    return head, parse_target(method, target, parse_authority("a"))


@pytest.mark.parametrize(
    ("target", "base"),
    [
        ("/oauth/token", ""),
        ("/oauth/token/", ""),
        ("/OAUTH/TOKEN/", ""),
        ("/oauth/v2/token", ""),
        ("/egress/oauth/token?x=1", "/egress"),
        ("/oauth/oauth/token", "/oauth"),
    ],
)
def test_every_spelling_of_the_token_endpoint_is_known(target, base):
    """Also behind a base URL."""
    head, parsed = ask("POST", target)

    assert find_base(head, parsed) == base
    assert is_token_call(head)


@pytest.mark.parametrize(
    ("method", "target"),
    [("GET", "/oauth/token"), ("POST", "/oauth/tokens"), ("POST", "/v1/token"), ("POST", "/v1?x=/oauth/token")],
)
def test_nothing_else_is(method, target):
    """Those are for the routes."""
    head, parsed = ask(method, target)

    assert find_base(head, parsed) is None
    assert not is_token_call(head)


@pytest.mark.parametrize("target", ["/oauth/%74oken", "http://a/x/oauth/token?b", "/OAuth/v2/Token/"])
def test_whatever_could_be_a_call_for_a_token_is_one_to_the_log(target):
    """In the record nothing is shown of it, whoever answers it."""
    assert is_token_call(ask("POST", target)[0])


def test_the_answer_is_one_that_our_own_client_takes():
    """RFC 6749, section 5.1, in RapidSOS's shape."""
    answer = build_stub_token_answer("opaque", now=1.7e9)
    parsed = parse_token_answer(TokenAnswer(answer.head.status, answer.body), 1.7e9)

    assert (parsed.access_token, parsed.life_s, parsed.oddities) == ("opaque", 3599, ())
    assert json.loads(answer.body)["issued_at"] == 1_700_000_000_000
    assert ("Cache-Control", "no-store") in answer.head.fields

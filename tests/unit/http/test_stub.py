"""The token endpoint for clients that speak OAuth themselves."""

import json

import pytest

from proxy.http.authority import parse_authority
from proxy.http.head import parse_request_head
from proxy.http.stub import build_stub_token_answer, is_token_request
from proxy.http.targets import parse_target
from proxy.tokens.answers import TokenAnswer, parse_token_answer


def ask(method: str, target: str):
    """Parse a request, and its target."""
    head = parse_request_head(f"{method} {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    return head, parse_target(method, target, parse_authority("a"))


@pytest.mark.parametrize(
    "target",
    ["/oauth/token", "/oauth/token/", "/OAUTH/TOKEN/", "/oauth/v2/token", "/egress/oauth/token?x=1"],
)
def test_every_spelling_of_the_token_endpoint_is_known(target):
    """Also behind a base URL."""
    assert is_token_request(*ask("POST", target))


@pytest.mark.parametrize(
    ("method", "target"),
    [("GET", "/oauth/token"), ("POST", "/oauth/tokens"), ("POST", "/v1/token"), ("POST", "/v1?x=/oauth/token")],
)
def test_nothing_else_is(method, target):
    """Those are for the routes."""
    assert not is_token_request(*ask(method, target))


def test_the_answer_is_one_that_our_own_client_takes():
    """RFC 6749, section 5.1, in RapidSOS's shape."""
    answer = build_stub_token_answer("opaque", now=1.7e9)
    parsed = parse_token_answer(TokenAnswer(answer.head.status, answer.body), 1.7e9)

    assert (parsed.access_token, parsed.life_s, parsed.oddities) == ("opaque", 3599, ())
    assert json.loads(answer.body)["issued_at"] == 1_700_000_000_000
    assert ("Cache-Control", "no-store") in answer.head.fields

"""Redaction by name, of header fields."""

import pytest

from proxy.http.fields import build_section
from proxy.tokens.token import fingerprint
from proxy.traffic.heads import build_head_mask, mask_authorization
from proxy.traffic.names import SecretNames


def mask_fields(fields, *more, shows_tokens=True):
    """Mask header fields, by more names than are built in."""
    return build_head_mask(SecretNames(more), shows_tokens=shows_tokens)(build_section(fields))


def mask_one(name, value, *more):
    """Mask one header field."""
    ((shown, masked),) = mask_fields([(name, value)], *more)
    assert shown == name
    return masked


@pytest.mark.parametrize(
    "name",
    [
        "Cookie",
        "Set-Cookie",
        "SET-COOKIE2",
        "X-Api-Key",
        "ApiKey",
        "X-Auth-Token",
        "X-Access-Token",
        "Client-Secret",
        "X-Client-Secret",
        "client_secret",
        "X-Password",
        "Ocp-Apim-Subscription-Key",
        "X-Amz-Security-Token",
        "Private-Token",
    ],
)
def test_fields_that_hold_secrets_are_masked(name):
    """Their whole value, whatever its form."""
    assert mask_one(name, "a=b; Path=/") == "***"


@pytest.mark.parametrize(
    ("value", "masked"),
    [
        ("Basic dXNlcjpwYXNz", "Basic ***"),
        ("basic dXNlcjpwYXNz", "basic ***"),
        ('Digest username="u", response="r"', "Digest ***"),
        ("ApiKey abc", "ApiKey ***"),
        ("abcdef", "***"),
        ("", "***"),
    ],
)
def test_what_is_no_bearer_token_is_masked_behind_its_scheme(value, masked):
    """The scheme tells what was tried; a value without one may be the secret itself."""
    assert mask_one("Authorization", value) == masked
    assert mask_one("Proxy-Authorization", value) == masked


def test_a_bearer_token_is_shown_or_named():
    """As the setting says; the scheme is not case-sensitive."""
    assert mask_authorization("Bearer abc", shows_tokens=True) == "Bearer abc"
    assert mask_authorization("bEARER  abc ", shows_tokens=True) == "bEARER  abc "
    assert mask_authorization("Bearer abc", shows_tokens=False) == f"Bearer sha256:{fingerprint('abc')}"
    assert mask_authorization("bearer  abc ", shows_tokens=False) == f"bearer sha256:{fingerprint('abc')}"


def test_proxy_authorization_never_shows_a_token():
    """Whatever it is for, it is not one of ours."""
    assert "abc" not in mask_one("Proxy-Authorization", "Bearer abc")


@pytest.mark.parametrize("name", ["Idempotency-Key", "Sec-WebSocket-Key", "X-Cache-Key", "X-Secretary", "Token-Type"])
def test_fields_that_only_look_so_are_not_masked(name):
    """A key is not always one to a lock."""
    assert mask_one(name, "a-value") == "a-value"


def test_other_fields_stay_as_they_are():
    """Nothing is copied when there is nothing to mask."""
    fields = [("Host", "a"), ("Accept", "*/*")]

    section = build_section(fields)

    assert build_head_mask(SecretNames(), shows_tokens=False)(section) is section.fields


def test_order_case_and_duplicates_stay():
    """A masked head is still the head received."""
    fields = [("A", "1"), ("cookie", "x"), ("a", "2"), ("Cookie", "y")]

    masked = mask_fields(fields)

    assert masked == [("A", "1"), ("cookie", "***"), ("a", "2"), ("Cookie", "***")]


@pytest.mark.parametrize("name", ["Location", "Content-Location", "Referer", "Refresh", "Link"])
def test_urls_in_fields_are_masked_as_urls(name):
    """A redirect may carry a token."""
    assert mask_one(name, "https://h/p?x=1&access_token=abc&y=2") == "https://h/p?x=1&access_token=***&y=2"
    assert mask_one(name, "https://h/p?x=1") == "https://h/p?x=1"


def test_names_that_the_configuration_adds_are_masked():
    """In any case, and in the query of a URL in a field."""
    fields = [("X-Operator", "Jo"), ("x-operator", "Ann"), ("Referer", "http://cad/?x-operator=Jo&a=b"), ("A", "Jo")]

    assert mask_fields(fields, "x-OPERATOR") == [
        ("X-Operator", "***"),
        ("x-operator", "***"),
        ("Referer", "http://cad/?x-operator=***&a=b"),
        ("A", "Jo"),
    ]

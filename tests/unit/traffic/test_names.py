"""Redaction by name."""

import json

import pytest

from proxy.http.fields import build_section
from proxy.tokens.token import fingerprint
from proxy.traffic.names import has_secret_names, mask_authorization, mask_fields, mask_text, mask_url


def mask_one(name, value, *, shows_tokens=True):
    """Mask one header field."""
    ((shown, masked),) = mask_fields(build_section([(name, value)]), shows_tokens=shows_tokens)
    assert shown == name
    return masked


@pytest.mark.parametrize(
    "name", ["Cookie", "Set-Cookie", "SET-COOKIE2", "X-Api-Key", "ApiKey", "X-Auth-Token", "X-Access-Token"]
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


def test_other_fields_stay_as_they_are():
    """Nothing is copied when there is nothing to mask."""
    fields = [("Host", "a"), ("Accept", "*/*")]

    section = build_section(fields)
    assert mask_fields(section, shows_tokens=False) is section.fields


def test_order_case_and_duplicates_stay():
    """A masked head is still the head received."""
    fields = [("A", "1"), ("cookie", "x"), ("a", "2"), ("Cookie", "y")]

    masked = mask_fields(build_section(fields), shows_tokens=True)

    assert masked == [("A", "1"), ("cookie", "***"), ("a", "2"), ("Cookie", "***")]


@pytest.mark.parametrize("name", ["Location", "Content-Location", "Referer", "Refresh", "Link"])
def test_urls_in_fields_are_masked_as_urls(name):
    """A redirect may carry a token."""
    assert mask_one(name, "https://h/p?x=1&access_token=abc&y=2") == "https://h/p?x=1&access_token=***&y=2"
    assert mask_one(name, "https://h/p?x=1") == "https://h/p?x=1"


SECRET_NAMES = [
    "access_token",
    "acces_token",
    "Access-Token",
    "accessToken",
    "api_key",
    "apikey",
    "apiKey",
    "X-Api-Key",
    "assertion",
    "client_assertion",
    "authorization",
    "auth_token",
    "client_secret",
    "clientSecret",
    "rsosClientSecret",
    "edxClientSecret",
    "id_token",
    "passphrase",
    "passwd",
    "password",
    "PASSWORD",
    "new_password",
    "private_key",
    "pwd",
    "refresh_token",
    "secret",
    "token",
    "TOKEN",
]
PLAIN_NAMES = [
    "assertion_type",
    "id",
    "keys",
    "limit",
    "nextToken",
    "password_expires_in",
    "secretary",
    "token_type",
    "tokens_left",
    "username",
]


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_secret_names_are_found_in_every_form(name):
    """In a query, a form, JSON, and JSON inside JSON; the search that comes before sees each of them."""
    inner = json.dumps({"a": 1, name: 'x"y\\z', "b": 2})
    outer = json.dumps({"message": inner})

    assert mask_url(f"/p?a=1&{name}=x%22y&b=2#f") == f"/p?a=1&{name}=***&b=2#f"
    assert mask_url(f"/p?{name}=x") == f"/p?{name}=***"
    assert mask_text(f"a=1&{name}=x y/z&b=2") == f"a=1&{name}=***&b=2"
    assert mask_text(f"{name}=x") == f"{name}=***"
    assert json.loads(mask_text(inner)) == {"a": 1, name: "***", "b": 2}
    assert json.loads(json.loads(mask_text(outer))["message"]) == {"a": 1, name: "***", "b": 2}
    assert has_secret_names(f"{name}=x".encode())


@pytest.mark.parametrize("name", PLAIN_NAMES)
def test_other_names_stay(name):
    """What looks alike is not masked: a page's cursor, a kind of token, a date."""
    inner = json.dumps({name: "x"})

    assert mask_url(f"/p?{name}=x") == f"/p?{name}=x"
    assert mask_text(f"{name}=x") == f"{name}=x"
    assert mask_text(inner) == inner
    assert mask_text(json.dumps(inner)) == json.dumps(inner)


@pytest.mark.parametrize(
    ("body", "masked"),
    [
        ('{"token":"a"}', '{"token":"***"}'),
        ('{"token" :\n "a"}', '{"token" :\n "***"}'),
        ('{"token":123456}', '{"token":"***"}'),
        ('{"token":["a","b"],"c":1}', '{"token":"***","c":1}'),
        ('{"token":null,"secret":false}', '{"token":null,"secret":false}'),
        ('{"token":{"password":"a"}}', '{"token":{"password":"***"}}'),
        ('[{"password":"a"},{"password":"b"}]', '[{"password":"***"},{"password":"***"}]'),
        ('{"password":"a\\\\"}', '{"password":"***"}'),
        ('{"password":""}', '{"password":"***"}'),
        ('{"url":"https://h/?token=a","b":1}', '{"url":"https://h/?token=***","b":1}'),
    ],
)
def test_values_of_every_kind_are_masked_in_json(body, masked):
    """What is left is still JSON."""
    assert mask_text(body) == masked
    assert json.loads(masked)


@pytest.mark.parametrize(
    "body",
    [
        '{"password":"hunter',
        '{"password":"hunter\\',
        '{"password":["hunter',
        '{"m":"{\\"password\\":\\"hunter',
        '{"m":"{\\"password\\":\\"hunter\\\\\\"hunter',
        "a=b&password=hunter",
    ],
)
def test_a_value_that_the_cap_cuts_is_masked(body):
    """The end of the text ends the value."""
    masked = mask_text(body)

    assert "***" in masked
    assert "hunter" not in masked


def test_user_information_is_masked():
    """A URL may carry a password before its host."""
    assert mask_url("http://user:pa@ss@h/p") == "http://***@h/p"
    assert mask_url("http://user:pass@h/p@q?a=b@c") == "http://***@h/p@q?a=b@c"

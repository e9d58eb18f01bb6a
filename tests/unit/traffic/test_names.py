"""Names that say that a secret follows."""

import pytest

from proxy.traffic.names import SecretNames, is_secret_name

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
def test_secret_names(name):
    """Whatever RapidSOS, OAuth and legacy systems call them."""
    names = SecretNames()

    assert is_secret_name(name)
    assert names.is_secret(name.encode())
    assert names.may_be_in(f"{name}=x".encode())
    assert names.find(f"{name}=x".encode()) == [len(name) + 1]


@pytest.mark.parametrize("name", PLAIN_NAMES)
def test_plain_names(name):
    """What looks alike is none: a page's cursor, a kind of token, a date."""
    assert not is_secret_name(name)
    assert not SecretNames().is_secret(name.encode())


def test_names_are_added_to_those_that_are_built_in():
    """In any case; a name that only ends like one is another."""
    names = SecretNames(["Phone_Number", "X-Operator"])

    assert names.is_secret(b"PHONE_number")
    assert names.is_secret(b"password")
    assert not names.is_secret(b"home_phone_number")
    assert all(map(names.is_secret_field, ("x-operator", "phone_number", "cookie", "authorization")))
    assert names.is_added("x-operator")
    assert not names.is_added("cookie")
    for body in (b"phone_number=1", b'{"PHONE_NUMBER":1}', b"<Phone_number>", b"phone_Number=1"):
        assert names.may_be_in(body)
        assert len(names.find(body)) == 1


def test_more_names_than_one_search_takes():
    """All of them are found, in the order of the text."""
    names = SecretNames([f"field_{number}" for number in range(50)])
    body = "&".join(f"field_{number}=x" for number in range(50)).encode()

    assert len(names.find(body + b"&password=x")) == 51
    assert names.find(body) == sorted(names.find(body))

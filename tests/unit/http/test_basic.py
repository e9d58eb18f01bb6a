"""Basic credentials, built and read."""

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.http.basic import build_basic, parse_basic

TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs"]))


@given(TEXT.filter(lambda name: name and ":" not in name), TEXT)
def test_what_is_built_is_read(username, password):
    """RFC 7617, section 2: the first colon parts them."""
    assert parse_basic(build_basic(username, password)) == (username, password)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Basic",
        "Basic ",
        "Basic !!!",
        "Bearer abc",
        "Basic " + b64encode(b"no colon").decode(),
        "Basic " + b64encode(b":nobody").decode(),
        "Basic " + b64encode(b"a:b\x00").decode(),
        "Basic " + b64encode(b"a\nb:c").decode(),
        "Basic " + b64encode(b"a:b").decode() + ", Basic eA==",
    ],
)
def test_what_is_no_login_is_none(value):
    """No name, no colon, control characters, another scheme, two of them."""
    assert parse_basic(value) is None


def test_an_old_clients_encoding_is_read():
    """Latin-1 where it is no UTF-8 (section 2.1); the scheme's case does not matter."""
    assert parse_basic("bAsIc  " + b64encode(b"J\xf6rg:\xe9").decode()) == ("Jörg", "é")

"""Basic credentials."""

import pytest

from proxy.http.basic import build_basic


@pytest.mark.parametrize(
    ("username", "password", "value"),
    [
        ("Aladdin", "open sesame", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),  # RFC 7617, section 2
        ("test", "123\xa3", "Basic dGVzdDoxMjPCow=="),  # RFC 7617, section 2.1
        ("", ":", "Basic Ojo="),
    ],
)
def test_a_login_is_built(username, password, value):
    """The examples of the RFC."""
    assert build_basic(username, password) == value

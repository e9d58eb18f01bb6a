"""Basic credentials: what is built is read back, and what is read could have been built."""

from __future__ import annotations

import base64

from proxy.http.basic import build_basic, parse_basic
from proxy.http.fields import build_section
from proxy.http.head import RequestHead
from proxy.http.stub import is_token_call

SEEDS = (
    b"Basic dXNlcjpwYXNz",
    b"bAsIc  dXNlcjpwOmFzcw==",
    b"Basic dXNlcg",
    b"Basic /+8=",
    b"Bearer x",
    b"user:p\xc3\xa9",
    b"\x00:\xff",
)


def fuzz_one(data: bytes) -> None:
    """Take a field's value, and the same bytes as what stands in Base64."""
    for value in (data.decode("latin-1"), "Basic " + base64.b64encode(data).decode()):
        login = parse_basic(value)
        if login is None:
            continue
        username, password = login
        assert username
        assert ":" not in username
        assert (username + password).isprintable() or not (username + password).isascii()
        assert parse_basic(build_basic(username, password)) == login
    head = RequestHead(1, build_section([]), 0, "POST", data.decode("latin-1"))
    assert is_token_call(head) in {True, False}

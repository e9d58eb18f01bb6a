"""Basic credentials (RFC 7617): the login of a person, a client or a proxy as a field's value."""

from __future__ import annotations

from base64 import b64encode


def build_basic(username: str, password: str) -> str:
    """Build the value of Authorization or Proxy-Authorization; UTF-8, as section 2.1 recommends.

    Args:
        username: Without a colon, which would end it (section 2).
        password: As it is.
    """
    return f"Basic {b64encode(f'{username}:{password}'.encode()).decode()}"

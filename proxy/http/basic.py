"""Basic credentials (RFC 7617): the login of a person, a client or a proxy as a field's value."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, b64encode

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def build_basic(username: str, password: str) -> str:
    """Build the value of Authorization or Proxy-Authorization; UTF-8, as section 2.1 recommends.

    Args:
        username: Without a colon, which would end it (section 2).
        password: As it is.
    """
    return f"Basic {b64encode(f'{username}:{password}'.encode()).decode()}"


def parse_basic(value: str) -> tuple[str, str] | None:
    """Return name and password of an Authorization value; None if it is no Basic login.

    UTF-8, or latin-1 where it is not that (section 2.1): browsers and old clients differ.  Control characters are
    allowed in neither (section 2).
    """
    scheme, _, encoded = value.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        data = b64decode(encoded.strip(" "), validate=True)
    except (binascii.Error, ValueError):
        return None
    try:
        pair = data.decode()
    except UnicodeDecodeError:
        pair = data.decode("latin-1")
    username, colon, password = pair.partition(":")
    return None if not (username and colon) or _CONTROL.search(pair) else (username, password)

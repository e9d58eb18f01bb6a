"""Keys that people make and the proxy uses: 32 random bytes, written in base64 or in hex.

The rule of this file: no passphrase is a key, since one that people can remember can be guessed by whoever has a copy
of what it protects.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.config.problems import Problems
    from proxy.config.secret import Secret

KEY_BYTES = 32
"""AES-256, and the block that HMAC-SHA-256 makes."""
MAKE_KEY = "make one with: openssl rand -base64 32"
_HEX = re.compile(r"[0-9A-Fa-f]{64}", re.ASCII)


def decode_key(text: str) -> bytes:
    """Decode a key: base64, in the alphabet of URLs or the other, or 64 hex digits.

    Raises:
        ValueError: If it is not 32 bytes; the message is for people, and does not quote it.
    """
    text = text.strip()
    if _HEX.fullmatch(text):
        return bytes.fromhex(text)
    try:
        key = base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        message = f"is not {KEY_BYTES} bytes in base64 or hex"
        raise ValueError(message)
    return key


def check_key(where: str, key: Secret | None, problems: Problems) -> None:
    """Note a key that is none; one without an origin could not be read, which has been said."""
    if key is None or not key.origin:
        return
    try:
        decode_key(key.reveal())
    except ValueError as error:
        problems.add(where, f"{key.origin} {error}", MAKE_KEY)

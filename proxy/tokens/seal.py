"""Encryption of what is stored: AES-256-GCM, and the keys for it from the one that is configured.

The rule of this file: what was sealed under one name opens under no other, so that nobody who can write to a store can
pass one credential's token off as another's.
"""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

FORMAT = b"rapidsos-proxy tokens 1\n"
"""Opens all that is sealed; another version of it will say so."""
NONCE_BYTES = 12
"""NIST SP 800-38D, section 8.2.2: random ones are good for four thousand million messages; we write a few an hour."""
_ENCRYPTION = b"rapidsos-proxy: encryption of stored tokens"
_NAMES = b"rapidsos-proxy: names of stored tokens"


class SealError(Exception):
    """It was sealed with another key, under another name, or has been changed since."""


class Sealer:
    """Seals and opens with one key."""

    def __init__(self, key: bytes) -> None:
        """Derive what is needed from ``key``, which is random, so that a plain HKDF will do (RFC 5869, section 3.3).

        Attributes:
            hash_key: For the names of tokens, so that they are the same after a restart and on every replica.
        """
        self._cipher = AESGCM(_derive(key, _ENCRYPTION))
        self.hash_key = _derive(key, _NAMES)

    def seal(self, name: str, data: bytes) -> bytes:
        """Encrypt ``data`` for ``name``."""
        nonce = os.urandom(NONCE_BYTES)
        return FORMAT + nonce + self._cipher.encrypt(nonce, data, FORMAT + name.encode())

    def open(self, name: str, sealed: bytes) -> bytes:
        """Decrypt what was sealed for ``name``.

        Raises:
            SealError: If it was not, or not with this key, or is not what was sealed.
        """
        start = len(FORMAT) + NONCE_BYTES
        if not sealed.startswith(FORMAT):
            raise SealError
        try:
            return self._cipher.decrypt(sealed[len(FORMAT) : start], sealed[start:], FORMAT + name.encode())
        except (InvalidTag, ValueError):
            raise SealError from None


def _derive(key: bytes, purpose: bytes) -> bytes:
    return HKDF(SHA256(), length=32, salt=None, info=purpose).derive(key)

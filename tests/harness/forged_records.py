"""A client of TLS 1.3 that makes records of its own, as no library does: KeyUpdates by the thousand, empty ones."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import ssl
import struct
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

if TYPE_CHECKING:
    from pathlib import Path

HANDSHAKE, DATA = 22, 23
KEY_UPDATE = b"\x18\x00\x00\x01\x01"
"""Which asks for the peer's own in answer (RFC 8446, section 4.6.3)."""
KEY_BYTES, HASH = 32, hashlib.sha384
"""Of TLS_AES_256_GCM_SHA384, which OpenSSL prefers."""


class MemoryClient:
    """A client's end of TLS, over memory.

    Attributes:
        tls: OpenSSL's.
        is_done: Whether the handshake is.
    """

    def __init__(self, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> None:
        """Begin a handshake, or resume a session."""
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.is_done = False
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname="127.0.0.1", session=session)

    def shake(self, received: bytes = b"") -> bytes:
        """Take what the server has sent; return what it is to be sent, which is empty in the end."""
        if received:
            self._incoming.write(received)
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
            self.is_done = True
        return self._outgoing.read()

    def encrypt(self, data: bytes) -> bytes:
        """Return records with these bytes."""
        self.tls.write(data)
        return self._outgoing.read()

    def end(self) -> bytes:
        """Return close_notify."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        return self._outgoing.read()


class Forger:
    """Makes records after a handshake, in place of OpenSSL."""

    def __init__(self, keylog: Path) -> None:
        """Take the client's secret from the file that OpenSSL wrote it to."""
        lines = [line for line in keylog.read_text().splitlines() if line.startswith("CLIENT_TRAFFIC_SECRET_0")]
        self._use(bytes.fromhex(lines[-1].split()[2]))

    def forge(self, kind: int, data: bytes) -> bytes:
        """Return a record."""
        inner = data + bytes([kind])
        header = b"\x17\x03\x03" + struct.pack(">H", len(inner) + 16)
        nonce = (self._iv ^ self._number).to_bytes(12, "big")
        self._number += 1
        return header + self._cipher.encrypt(nonce, inner, header)

    def update_keys(self) -> bytes:
        """Return a KeyUpdate, and use the next keys from then on."""
        record = self.forge(HANDSHAKE, KEY_UPDATE)
        self._use(_expand(self._secret, b"traffic upd", HASH().digest_size))
        return record

    def _use(self, secret: bytes) -> None:
        self._secret = secret
        self._cipher = AESGCM(_expand(secret, b"key", KEY_BYTES))
        self._iv = int.from_bytes(_expand(secret, b"iv", 12), "big")
        self._number = 0


def _expand(secret: bytes, label: bytes, size: int) -> bytes:
    """Return HKDF-Expand-Label of up to one block (RFC 8446, section 7.1)."""
    label = b"tls13 " + label
    info = struct.pack(">H", size) + bytes([len(label)]) + label + b"\x00"
    return hmac.new(secret, info + b"\x01", HASH).digest()[:size]

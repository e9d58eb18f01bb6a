"""Keys: 32 random bytes, however they are written."""

import base64

import pytest

from proxy.config.keys import decode_key

KEY = bytes(range(200, 232))
ENCODED = base64.b64encode(KEY).decode()


@pytest.mark.parametrize(
    "encoded",
    [ENCODED, base64.urlsafe_b64encode(KEY).decode(), f" {ENCODED}\n", KEY.hex(), f"{KEY.hex().upper()}\n"],
)
def test_either_alphabet_of_base64_and_hex_will_do(encoded):
    """Python's token tools write the one of URLs, and `openssl rand -hex 32` hex."""
    assert decode_key(encoded) == KEY


@pytest.mark.parametrize(
    "text", ["", "a passphrase of many words", ENCODED[:-4], KEY.hex()[:-2], KEY.hex() + "00", "é" * 64]
)
def test_nothing_else_is_a_key(text):
    """A passphrase could be guessed; what was given is not quoted."""
    with pytest.raises(ValueError, match=r"\Ais not 32 bytes in base64 or hex\Z"):
        decode_key(text)

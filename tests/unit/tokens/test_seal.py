"""Encryption of what is stored."""

import pytest

from proxy.tokens.seal import FORMAT, Sealer, SealError

KEY = bytes(range(32))


def test_what_was_sealed_opens():
    """With the same key, under the same name, in another process."""
    assert Sealer(KEY).open("name", Sealer(KEY).seal("name", b"data")) == b"data"


def test_nothing_of_it_shows():
    """And no two seals of the same are alike."""
    one, other = (Sealer(KEY).seal("name", b"the same data") for _ in range(2))

    assert b"data" not in one
    assert one != other


def test_another_key_does_not_open():
    """That is what it is for."""
    with pytest.raises(SealError):
        Sealer(KEY[::-1]).open("name", Sealer(KEY).seal("name", b"data"))


def test_another_name_does_not_open():
    """One credential's token cannot be passed off as another's."""
    with pytest.raises(SealError):
        Sealer(KEY).open("other", Sealer(KEY).seal("name", b"data"))


def test_another_format_does_not_open():
    """Its version is part of what is sealed."""
    sealed = Sealer(KEY).seal("name", b"data")

    for other in (sealed.replace(b" 1\n", b" 2\n"), sealed.removeprefix(FORMAT)):
        with pytest.raises(SealError):
            Sealer(KEY).open("name", other)


def test_no_part_of_it_can_be_changed_or_left_out():
    """Every bit and every length."""
    sealed = Sealer(KEY).seal("name", b"data")
    flipped = [sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :] for place in range(len(sealed))]
    cut = [sealed[:length] for length in range(len(sealed))]

    for spoilt in (*flipped, *cut, sealed + b"\0"):
        with pytest.raises(SealError):
            Sealer(KEY).open("name", spoilt)


def test_the_hash_key_is_the_same_after_a_restart():
    """So the names of tokens are, too; and it tells nothing of the encryption's key."""
    assert Sealer(KEY).hash_key == Sealer(KEY).hash_key
    assert Sealer(KEY).hash_key not in {KEY, Sealer(KEY[::-1]).hash_key}

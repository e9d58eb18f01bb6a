"""Secrets that were pasted with more than the secret."""

import pytest

from proxy.config.oddities import find_oddities, find_oddity
from proxy.config.secret import Secret


@pytest.mark.parametrize(
    ("value", "oddity"),
    [
        ('"kQ9-x7"', "stands in quotes"),
        ("'kQ9-x7'", "stands in quotes"),
        ("\u201ckQ9-x7\u201d", "stands in quotes"),
        (" kQ9-x7", "begins or ends with a space"),
        ("kQ9-x7\u00a0", "begins or ends with a space"),
        ("RAPIDSOS_CLIENT_SECRET=kQ9-x7", "begins with a name and ="),
        ("export RAPIDSOS_CLIENT_SECRET=kQ9-x7", "begins with a name and ="),
        ("client_secret: kQ9-x7", "begins with a name and ="),
        ("Bearer kQ9-x7", "begins with the word Bearer"),
        ("basic kQ9-x7", "begins with the word Bearer or Basic"),
        ("<your secret>", "is a placeholder"),
        ("your-client-secret", "is a placeholder"),
        ("changeme", "is a placeholder"),
        ("\u2026", "is a placeholder"),
        ("xxxx", "is a placeholder"),
    ],
)
def test_what_looks_pasted_is_seen(value, oddity):
    """Each way in which people paste too much, or too little."""
    assert find_oddity(value).startswith(oddity)


@pytest.mark.parametrize(
    "value", ["kQ9-x7", "a b", 'say"so', '"', "=kQ9", "c2VjcmV0Cg==", "passwords-are-fun", "bearerkQ9", "x"[:1] + "y"]
)
def test_what_may_well_be_a_secret_is_left_alone(value):
    """A secret may hold quotes, spaces and signs in its middle."""
    assert find_oddity(value) is None


def test_a_secret_that_is_the_id_is_seen():
    """Both were copied from the same line; another credential's id is another matter."""
    same, other = Secret("c4nary-client-id", "env ID"), Secret("c4nary-of-the-client", "env SECRET")
    secrets = {"a.client_id": same, "a.client_secret": same, "b.client_id": other, "c.client_secret": other}

    assert find_oddities(secrets) == {"a.client_secret": "is the same as client_id"}

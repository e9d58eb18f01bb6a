"""Secrets: what they show of themselves, and how long they are remembered."""

import pickle

import pytest

from proxy.config.secret import MOST_FORMER, Secret, join_secrets

VALUE = "c4nary-value"


@pytest.mark.parametrize("show", [str, repr, "{}".format, "{:>10}".format, lambda secret: repr([secret])])
def test_a_secret_does_not_show_its_value(show):
    """Whatever is made of it."""
    assert VALUE not in show(Secret(VALUE, "env X"))


def test_a_secret_cannot_be_pickled():
    """A copy on disk would be a leak."""
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(Secret(VALUE, "env X"))


def build(*values):
    """Build a secret of each."""
    return tuple(Secret(value, "test") for value in values)


def test_former_secrets_are_remembered():
    """Each once, the present ones first."""
    assert join_secrets(build("one", "two"), build("three", "one")) == build("three", "one", "two")


def test_former_secrets_are_remembered_up_to_a_limit():
    """The oldest give way; those that are used never do."""
    known = ()
    for number in range(MOST_FORMER + 10):
        known = join_secrets(known, build("fixed", str(number)))

    assert known[:2] == build("fixed", str(MOST_FORMER + 9))
    assert len(known) == MOST_FORMER + 2
    assert known[-1] == Secret("9", "test")

"""What a client is told when there is no token."""

from __future__ import annotations

import pytest

from proxy.errors import FetchError
from proxy.tokens.explain import NEXT_STEPS, explain_no_token


def test_before_the_first_outcome():
    """Before the first call has ended the sentence says just that."""
    assert explain_no_token("core", None, is_given_up=False) == (
        "The authorization server has not yet answered for credential core. The proxy keeps trying."
    )


@pytest.mark.parametrize("kind", sorted(NEXT_STEPS))
def test_every_failure_has_a_next_step(kind):
    """Each kind of failure is told with its own next step."""
    text = explain_no_token("core", FetchError(kind, "it failed"), is_given_up=False)

    assert text == f"Credential core: it failed. {NEXT_STEPS[kind]} The proxy keeps trying."


def test_given_up():
    """Where no more calls are made it is a person's login that was refused, and the sentence says what to do."""
    text = explain_no_token("p", FetchError("refused", "it was refused", refused=True), is_given_up=True)

    assert "username and password" in text
    assert "id and secret" not in text
    assert text.endswith("change it; one from a file is used at once, any other after a restart.")

"""The secrets of a credential, as the doctor tells of them."""

import pytest

from proxy.config.models import Credential
from proxy.config.secret import Secret
from proxy.doctor.finding import Verdict
from proxy.doctor.secrets import describe_oddities, judge_secrets, shorten


def credential(client_id="c4nary-client-id", client_secret="c4nary-of-the-client"):
    """Return a credential with these secrets."""
    return Credential(
        grant="client_credentials",
        token_url="https://as.example/oauth/token",
        client_id=Secret(client_id, "env ID"),
        client_secret=Secret(client_secret, "file /run/secrets/x"),
    )


def test_a_sound_credential_says_where_its_secrets_come_from():
    """And shows the ends of the client id alone."""
    finding = judge_secrets("core", credential())

    assert finding.verdict is Verdict.OK
    assert finding.words == "client_id c4…id (env ID), client_secret (file /run/secrets/x)"


def test_an_oddity_is_a_warning_without_a_character_of_the_secret():
    """The authorization server has the last word."""
    finding = judge_secrets("core", credential(client_secret='"c4nary-of-the-client"'))

    assert finding.verdict is Verdict.WARNING
    assert finding.label == "secret core"
    assert finding.words == ("client_secret (file /run/secrets/x) stands in quotes, which are sent as a part of it")


def test_an_id_in_the_place_of_the_secret_is_seen():
    """Both were copied from the same line."""
    assert describe_oddities(credential("c4nary-client-id", "c4nary-client-id")) == (
        "client_secret (file /run/secrets/x) is the same as client_id"
    )


@pytest.mark.parametrize(("value", "shown"), [("abcdefgh", "ab…gh"), ("abcdefg", "…"), ("", "…")])
def test_a_client_id_is_shown_by_its_ends(value, shown):
    """A short one not at all."""
    assert shorten(value) == shown

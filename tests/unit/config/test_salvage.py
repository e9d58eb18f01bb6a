"""What can be checked of a document that has mistakes."""

import pytest
from pydantic import ValidationError

from proxy.config.models import Config
from proxy.config.salvage import mend_keys, salvage
from proxy.config.secret import Secret


@pytest.fixture
def document(sound):
    """Return the sound document, its secrets read."""
    sound["credential"]["core"] |= {"client_id": Secret("an-id", ""), "client_secret": Secret("s3cret", "")}
    return sound


def test_a_sound_document_is_kept_whole(document):
    """Nothing is lost on the way."""
    assert salvage(document) == Config.model_validate(document)


@pytest.mark.parametrize(
    ("section", "table"),
    [("listener", {"name": "b"}), ("listener", 1), ("route", {"name": "b", "match": {"path": 1}}), ("route", [])],
)
def test_an_item_with_a_mistake_is_left_out(document, section, table):
    """The others of its kind are kept."""
    whole = salvage(document)
    document[section].insert(0, table)

    assert salvage(document) == whole


def test_a_credential_with_a_mistake_is_left_out(document):
    """Be it in its name."""
    whole = salvage(document)
    document["credential"] |= {"no name": document["credential"]["core"], "b": {"grant": "magic"}}

    assert salvage(document) == whole


@pytest.mark.parametrize(
    "mistake", [{"limits": {"fields": 1}}, {"admin": 1}, {"traffic_log": {"rotate": {"size": "x"}}}]
)
def test_a_section_with_a_mistake_has_its_defaults(document, mistake):
    """Nothing is told of what it might have said."""
    assert salvage(document | mistake) == Config.model_validate(document)


@pytest.mark.parametrize(
    "nothing", [{}, {"listener": {}, "credential": [], "route": 1}, {"listener": [1], "credential": {"a": 1}}]
)
def test_of_nothing_sound_nothing_is_left(nothing):
    """It ends all the same."""
    config = salvage(nothing)

    assert (config.listener, config.credential, config.route) == ((), {}, ())


def test_a_misspelt_key_is_taken_for_the_one_that_was_meant(document):
    """So that it does not look as if that were missing; one that is like none is taken out."""
    whole = salvage(document)
    document["listener"][0]["bnid"] = document["listener"][0].pop("bind")
    document["route"][0]["match"]["weather"] = "fine"
    document["credentail"] = document.pop("credential")
    with pytest.raises(ValidationError) as caught:
        Config.model_validate(document)

    mend_keys(document, caught.value.errors())

    assert Config.model_validate(document) == whole

"""The secrets of a configuration by their keys."""

from proxy.config.inventory import find_configured, replace_secrets
from proxy.config.secret import Secret


def test_every_secret_is_found_by_its_key(build, sound):
    """Wherever it stands; a client id that is written out is among them."""
    sound["admin"] = {"password": {"env": "CORE_SECRET"}}

    found = find_configured(build(sound))

    assert {key: secret.reveal() for key, secret in found.items()} == {
        "credential.core.client_id": "an-id",
        "credential.core.client_secret": "s3cret-value",
        "admin.password": "s3cret-value",
    }


def test_a_secret_is_replaced_in_a_copy(build, sound):
    """What has not changed is the same object, so that it can be told what has."""
    sound["credential"]["north.core"] = dict(sound["credential"]["core"])
    config = build(sound)

    changed = replace_secrets(config, {"credential.north.core.client_secret": Secret("another", "test")})

    assert changed.credential["north.core"].client_secret.reveal() == "another"
    assert config.credential["north.core"].client_secret.reveal() == "s3cret-value"
    assert changed.credential["core"] is config.credential["core"]
    assert changed.route is config.route


def test_nothing_to_replace_is_no_copy(build, sound):
    """A key that is not there changes nothing."""
    config = build(sound)

    assert replace_secrets(config, {"credential.nobody.password": Secret("x", "test")}) is config

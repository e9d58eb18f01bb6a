"""What of another configuration is used at once, and what is named as waiting for a restart."""

import pytest

from proxy.config.live import find_changes, settle
from proxy.config.models import Config

DOCUMENT = {"listener": [], "credential": {}, "route": []}


def build(**sections):
    """Return a configuration with these sections."""
    return Config.model_validate({**DOCUMENT, **sections})


@pytest.mark.parametrize(
    "sections",
    [
        {"limits": {"body": 7}},
        {"timeouts": {"head": 7.0}},
        {"breaker": {"enabled": False}},
        {"outbound": {"proxy": "http://proxy.example:3128"}},
        {"listener": [{"name": "cad", "bind": "127.0.0.1:1"}]},
        {
            "traffic_log": {
                "bodies": 7,
                "token": "fingerprint",
                "mask": ["a"],
                "retain": "7d",
                "retain_size": 1 << 30,
                "when_full": "refuse",
            }
        },
    ],
)
def test_most_is_used_at_once(sections):
    """All of it, and nothing is named."""
    read = build(**sections)

    assert settle(build(), read) == (read, ())


@pytest.mark.parametrize(
    ("sections", "key"),
    [
        ({"admin": {"bind": "127.0.0.1:1"}}, "admin.bind"),
        ({"admin": {"names": ["a.example"]}}, "admin.names"),
        ({"store": {"file": "tokens"}}, "store.file"),
        ({"traffic_log": {"path": "other"}}, "traffic_log.path"),
    ],
)
def test_what_was_built_in_stays_and_is_named(sections, key):
    """Whatever else the file says is used all the same."""
    used = build()
    config, left = settle(used, build(**sections, limits={"body": 7}))

    assert left == (key,)
    assert config == build(limits={"body": 7})
    assert find_changes(used, config) == ("limits",)


def test_a_section_is_split_by_its_keys():
    """Path and seal stay, the rest of the log's settings is used."""
    config, left = settle(build(), build(traffic_log={"path": "other", "bodies": 7}))

    assert (config.traffic_log.path, config.traffic_log.bodies, left) == ("-", 7, ("traffic_log.path",))

"""What ``traffic_log.seal`` and ``mask_as`` must be, and what is read of a configuration to verify a log."""

import pytest

from proxy.config.load import load_traffic_log
from proxy.errors import ConfigError

KEY = "0f" * 32
ENVIRON = {"CORE_SECRET": "s3cret-value", "SEAL_KEY": KEY}
SEAL = {"key": {"env": "SEAL_KEY"}}


@pytest.fixture
def refuse_seal(refuse, sound):
    """Return a function that gives the message with which a ``[traffic_log]`` is refused."""
    return lambda environ=ENVIRON, **section: refuse(sound | {"traffic_log": section}, environ)


def test_a_seal_has_its_key_from_a_source(build, sound):
    """As every secret."""
    seal = build(sound | {"traffic_log": {"path": "traffic.jsonl", "seal": SEAL}}, ENVIRON).traffic_log.seal

    assert seal.key.reveal() == KEY
    assert KEY not in repr(seal)


def test_a_key_that_is_written_out_or_missing_is_refused(refuse_seal):
    """The message does not quote it."""
    assert "traffic_log.seal.key: is a secret in plain text" in refuse_seal(path="t", seal={"key": KEY})
    assert "traffic_log.seal.key: is missing" in refuse_seal(path="t", seal={})
    assert "traffic_log.seal: is not a table" in refuse_seal(path="t", seal=True)


def test_a_passphrase_is_no_key(refuse_seal):
    """It could be guessed; the command that makes one is told."""
    told = refuse_seal(ENVIRON | {"SEAL_KEY": "a passphrase of many words"}, path="t", seal=SEAL)

    assert "traffic_log.seal.key: env SEAL_KEY is not 32 bytes in base64 or hex" in told
    assert "openssl rand -base64 32" in told
    assert "passphrase of" not in told


def test_standard_output_cannot_be_sealed(refuse_seal):
    """A restart could not go on from its last line."""
    assert "traffic_log.seal: needs a file" in refuse_seal(seal=SEAL)


def test_the_log_alone_can_be_loaded(tmp_path):
    """Whoever verifies a log has none of the proxy's other secrets."""
    path = tmp_path / "proxy.toml"
    path.write_text(
        '[traffic_log]\npath = "logs/traffic.jsonl"\nseal = { key = { file = "seal.key" } }\n'
        '[credential.core]\nclient_secret = { env = "NOT_HERE" }\n'
    )
    (tmp_path / "seal.key").write_text(f"{KEY}\n")
    settings = load_traffic_log(path, {})

    assert settings.path == str(tmp_path / "logs" / "traffic.jsonl")
    assert settings.seal.key.reveal() == KEY


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ('seal = { key = { env = "NOT_HERE" } }', r"traffic_log\.seal\.key: env NOT_HERE"),
        ("bodys = 1", r"traffic_log\.bodys: .*\n.*did you mean bodies"),
        ("path = 1", r"traffic_log\.path: is not a text"),
    ],
)
def test_what_is_wrong_with_it_is_told(tmp_path, section, message):
    """With key and fix."""
    path = tmp_path / "proxy.toml"
    path.write_text(f"[traffic_log]\n{section}\n")

    with pytest.raises(ConfigError, match=message):
        load_traffic_log(path, {})


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"mask_as": {"phone_number": "first4"}}, "traffic_log.mask_as.phone_number: is none of the values"),
        ({"mask_as": {"a name": "hash"}}, '"a name" is not the name of a field'),
        ({"mask_as": {"password": "last4"}}, "traffic_log.mask_as.password: is a secret by its name"),
        ({"mask_as": {"X-Api-Key": "hash"}}, "traffic_log.mask_as.X-Api-Key: is a secret by its name"),
        ({"mask": ["caller_ID"], "mask_as": {"Caller_id": "hash"}}, "traffic_log.mask_as.Caller_id: is masked twice"),
        ({"mask_as": {"caller_ID": "last4", "Caller_id": "hash"}}, "traffic_log.mask_as.Caller_id: is masked twice"),
    ],
)
def test_what_cannot_be_shown_in_part_is_refused(refuse_seal, section, message):
    """Above all a part of a secret."""
    assert message in refuse_seal(**section)

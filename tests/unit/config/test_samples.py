"""The sample files: each is sound, and config/proxy.toml holds every key with its true default."""

import base64
import re
import tomllib
from typing import get_args

import pytest

from proxy.config.load import load_config
from proxy.config.models import (
    Admin,
    Breaker,
    Config,
    Credential,
    DeadToken,
    Interception,
    Limits,
    Listener,
    ListenerTLS,
    Match,
    Model,
    Outbound,
    Rotate,
    Route,
    Seal,
    Store,
    Timeouts,
    TrafficLog,
    User,
)

ENVIRON = {
    "RAPIDSOS_CLIENT_ID": "core-id",
    "RAPIDSOS_CLIENT_SECRET": "core-s3cret",
    "RAPIDSOS_EDX_CLIENT_ID": "edx-id",
    "RAPIDSOS_EDX_CLIENT_SECRET": "edx-s3cret",
    "RAPIDSOS_DEMO_SECRET": "demo-s3cret",
}
TABLES = [
    (Listener, lambda document: document["listener"][0]),
    (ListenerTLS, lambda document: document["listener"][0]["tls"]),
    (Credential, lambda document: document["credential"]["core"]),
    (User, lambda document: document["credential"]["dispatchers"]["users"]["alice"]),
    (Route, lambda document: document["route"][0]),
    (Match, lambda document: document["route"][0]["match"]),
    (DeadToken, lambda document: document["route"][1]["dead_token"][0]),
    (Outbound, lambda document: document["outbound"]),
    (TrafficLog, lambda document: document["traffic_log"]),
    (Rotate, lambda document: document["traffic_log"]["rotate"]),
    (Seal, lambda document: document["traffic_log"].get("seal", {})),
    (Admin, lambda document: document["admin"]),
    (Store, lambda document: document["store"]),
    (Limits, lambda document: document["limits"]),
    (Timeouts, lambda document: document["timeouts"]),
    (Breaker, lambda document: document["breaker"]),
    (Interception, lambda document: document["interception"]),
]
STORE_KEY = base64.b64encode(bytes(32)).decode()
HIDDEN_KEY = re.compile(r"^#(?=[a-z_]+ = )", re.MULTILINE)
SECRET_FILE = re.compile(r'"/run/secrets/([a-z_]+)"')


@pytest.fixture
def text(samples):
    """Return config/proxy.toml as it stands."""
    return (samples / "proxy.toml").read_text()


@pytest.fixture
def load(samples, tmp_path):
    """Return a function that loads a sample whose secret files are there."""

    def load(name):
        text = (samples / name).read_text()
        for secret in SECRET_FILE.findall(text):
            value = STORE_KEY if secret.endswith("_key") else f"{secret}-value"
            (tmp_path / secret).write_text(f"{value}\n")
            (tmp_path / secret).chmod(0o600)
        (tmp_path / name).write_text(text.replace("/run/secrets", str(tmp_path)))
        return load_config(tmp_path / name, ENVIRON)

    return load


@pytest.mark.parametrize("name", ["proxy.toml", "demo.toml", "agencies.toml", "production.toml"])
def test_a_sample_is_sound(load, name):
    """It passes check as it stands, once its secrets are there."""
    assert load(name).route


def test_there_is_no_other_sample(samples):
    """Whoever adds one adds it to the test above."""
    assert {path.name for path in samples.glob("*.toml")} == {
        "proxy.toml",
        "demo.toml",
        "agencies.toml",
        "production.toml",
    }


def models_in(annotation):
    """Yield each model that a type holds, itself or deeper."""
    if isinstance(annotation, type) and issubclass(annotation, Model):
        yield annotation
        for field in annotation.model_fields.values():
            yield from models_in(field.annotation)
    for inner in get_args(annotation):
        yield from models_in(inner)


def test_no_table_is_left_out():
    """Whoever adds a model adds its table to the list above."""
    assert {model for model, _ in TABLES} == set(models_in(Config)) - {Config}


@pytest.mark.parametrize(("model", "find"), TABLES, ids=lambda value: getattr(value, "__name__", ""))
def test_every_key_of_a_table_stands_in_the_annotated_file(text, model, find):
    """Set, or hidden behind a # that has no space after it."""
    table = find(tomllib.loads(HIDDEN_KEY.sub("", text)))

    assert set(table) == set(model.model_fields)


def test_every_section_stands_in_the_annotated_file(text):
    """No section is known to the program alone."""
    assert set(tomllib.loads(HIDDEN_KEY.sub("", text))) == set(Config.model_fields)


@pytest.mark.parametrize(
    ("model", "find"),
    [table for table in TABLES if table[0] not in {ListenerTLS, Interception}],  # hidden whole: for want of their files
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_every_optional_key_of_the_annotated_file_has_its_default(text, load, model, find):
    """What the file says is what the program does without it; a hidden key is one whose default is nothing."""
    shown, config = find(tomllib.loads(text)), load("proxy.toml")
    loaded = {
        Listener: config.listener[0],
        Credential: config.credential["core"],
        Route: config.route[0],
        Match: config.route[0].match,
        DeadToken: config.route[1].dead_token[0],
        User: config.credential["dispatchers"].users["alice"],
        Rotate: config.traffic_log.rotate,
        Seal: load("production.toml").traffic_log.seal,
    }.get(model) or next(value for value in vars(config).values() if isinstance(value, model))
    examples = {
        Route: {"match", "strip"},
        Match: {"path"},
        Credential: {"token_url", "client_id", "client_secret"},
        DeadToken: {"www_authenticate", "body"},
    }

    optional = {key: field for key, field in model.model_fields.items() if not field.is_required()}
    defaults = {key: field.get_default(call_default_factory=True) for key, field in optional.items()}
    different = {key for key, default in defaults.items() if getattr(loaded, key) != default}

    assert different == examples.get(model, set())
    assert {key for key, default in defaults.items() if key not in shown} == {
        key for key, default in defaults.items() if default is None and key not in different
    }


def test_every_key_of_the_annotated_file_is_explained(text):
    """The first time that it stands there, a comment stands on its line."""
    lines = {}
    for line in text.splitlines():
        if match := re.match(r"#?([a-z_]+) = (.*)", line):
            lines.setdefault(match[1], match[2])

    assert [key for key, rest in lines.items() if not re.search(r"  # \S", f" {rest}")] == []


def test_the_production_sample_keeps_no_token_and_no_body(load):
    """That is what it is for."""
    log = load("production.toml").traffic_log

    assert (log.token, log.bodies, log.path) == ("fingerprint", 0, "/var/log/rapidsos-proxy/traffic.jsonl")


def test_the_production_sample_takes_every_secret_from_a_file(load):
    """None from the environment, none written out."""
    config = load("production.toml")
    secrets = [config.admin.password, config.store.key]
    for credential in config.credential.values():
        secrets += [credential.client_id, credential.client_secret]

    assert all(secret.origin.startswith("file ") for secret in secrets)


def test_the_agencies_sample_gives_no_route_two_agencies(load):
    """A credential is used by its own agency's routes only."""
    config = load("agencies.toml")

    assert {route.name: route.credential for route in config.route} == {
        "north": "north",
        "south": "south",
        "east": "east",
        "west-alerts": "west-edx",
        "west": "west",
    }


def test_the_secrets_sample_names_what_the_built_in_profile_reads(samples):
    """Filled in, it is enough."""
    text = (samples / "secrets.env.example").read_text()
    names = dict(re.findall(r"^([A-Z_]+)=(.*)$", text, re.MULTILINE))

    config = load_config(None, {name: value or "filled-in" for name, value in names.items()})

    assert config.credential["edx"].client_id.origin == "env RAPIDSOS_EDX_CLIENT_ID"

"""A small configuration that is sound, to be spoilt by each test in one place."""

import tomllib
from pathlib import Path

import pytest

from proxy.config.load import build_config
from proxy.config.problems import Problems
from proxy.errors import ConfigError

SOUND = """
[[listener]]
name = "cad"
bind = "127.0.0.1:8080"

[credential.core]
grant = "client_credentials"
token_url = "https://api-sandbox.rapidsos.com/oauth/token"
client_id = "an-id"
client_secret = { env = "CORE_SECRET" }

[[route]]
name = "ingress"
match = { path = "/ingress/" }
strip = "/ingress"
upstream = "https://api-sandbox.rapidsos.com"
credential = "core"
"""
ENVIRON = {"CORE_SECRET": "s3cret-value"}


@pytest.fixture
def sound():
    """Return the document, parsed."""
    return tomllib.loads(SOUND)


@pytest.fixture
def build(tmp_path):
    """Return a function that builds a Config from a document."""

    def build(document, environ=ENVIRON):
        return build_config(document, Problems("test.toml"), tmp_path, environ)

    return build


@pytest.fixture
def refuse(build):
    """Return a function that gives the message with which a document is refused."""

    def refuse(document, environ=ENVIRON):
        with pytest.raises(ConfigError) as caught:
            build(document, environ)
        return str(caught.value)

    return refuse


@pytest.fixture
def samples():
    """Return the directory of the sample files."""
    return Path(__file__).parents[3] / "config"

"""The built-in profile: a whole configuration from three variables."""

import pytest

from proxy.config.load import load_config
from proxy.errors import ConfigError

PAIR = {"RAPIDSOS_CLIENT_ID": "an-id", "RAPIDSOS_CLIENT_SECRET": "s3cret"}
SANDBOX = {"RAPIDSOS_ENVIRONMENT": "sandbox", **PAIR}


@pytest.fixture
def refuse():
    """Return a function that gives the message with which an environment is refused."""

    def refuse(environ):
        with pytest.raises(ConfigError) as caught:
            load_config(None, environ)
        return str(caught.value)

    return refuse


@pytest.mark.parametrize(("environment", "suffix"), [("sandbox", "-sandbox"), ("production", "")])
def test_three_variables_are_enough(environment, suffix):
    """Push and pull to the core host, alerts to the EDX host, each with its own token server."""
    config = load_config(None, {**PAIR, "RAPIDSOS_ENVIRONMENT": environment})
    core, edx = f"https://api{suffix}.rapidsos.com", f"https://edx{suffix}.rapidsos.com"

    assert [
        (route.match.host, route.match.path, route.strip, str(route.upstream), route.credential)
        for route in config.route
    ] == [
        (core.removeprefix("https://"), "/", "", core, "core"),
        (edx.removeprefix("https://"), "/", "", edx, "edx"),
        (None, "/ingress/", "/ingress", core, "core"),
        (None, "/egress/v1/alerts", "/egress", edx, "edx"),
        (None, "/egress/", "/egress", core, "core"),
    ]
    assert config.credential["core"].token_url == f"{core}/oauth/token"
    assert config.credential["edx"].token_url == f"{edx}/oauth/token"


def test_it_listens_on_this_machine_only():
    """Anything else needs a file, and thought."""
    config = load_config(None, SANDBOX)

    assert [str(listener.bind) for listener in config.listener] == ["127.0.0.1:8080"]
    assert str(config.admin.bind) == "127.0.0.1:9090"


def test_without_a_pair_of_its_own_the_alerts_host_gets_the_one_there_is():
    """Agencies have been given either."""
    config = load_config(None, SANDBOX)

    assert config.credential["edx"].client_id.reveal() == "an-id"
    assert config.credential["edx"].client_secret.reveal() == "s3cret"


def test_the_alerts_host_can_have_a_pair_of_its_own():
    """Then each goes to its own token server only."""
    environ = SANDBOX | {"RAPIDSOS_EDX_CLIENT_ID": "edx-id", "RAPIDSOS_EDX_CLIENT_SECRET": "edx-s3cret"}

    config = load_config(None, environ)

    assert config.credential["core"].client_secret.reveal() == "s3cret"
    assert config.credential["edx"].client_id.reveal() == "edx-id"
    assert config.credential["edx"].client_secret.reveal() == "edx-s3cret"


def test_half_a_pair_is_refused(refuse):
    """One half of one pair with one half of the other would be refused by RapidSOS without a reason."""
    told = refuse({**SANDBOX, "RAPIDSOS_EDX_CLIENT_ID": "edx-id"})

    assert told.startswith("environment: RAPIDSOS_EDX_CLIENT_SECRET: is not set, or empty")


def test_an_empty_pair_is_no_pair():
    """Env files have lines without a value."""
    config = load_config(None, {**SANDBOX, "RAPIDSOS_EDX_CLIENT_ID": "", "RAPIDSOS_EDX_CLIENT_SECRET": ""})

    assert config.credential["edx"].client_id.reveal() == "an-id"


def test_secrets_can_be_files(tmp_path):
    """Container platforms mount them."""
    for name, value in (("id", "file-id\n"), ("secret", "file-s3cret\n")):
        (tmp_path / name).write_text(value)
        (tmp_path / name).chmod(0o600)
    environ = {
        "RAPIDSOS_ENVIRONMENT": "production",
        "RAPIDSOS_CLIENT_ID_FILE": str(tmp_path / "id"),
        "RAPIDSOS_CLIENT_SECRET_FILE": str(tmp_path / "secret"),
    }

    core = load_config(None, environ).credential["core"]

    assert (core.client_id.reveal(), core.client_secret.reveal()) == ("file-id", "file-s3cret")
    assert core.client_secret.origin == f"file {tmp_path / 'secret'}"


def test_a_value_and_a_file_at_once_are_refused(refuse):
    """Nobody could say which one holds."""
    told = refuse({**SANDBOX, "RAPIDSOS_CLIENT_SECRET_FILE": "/run/secrets/x"})

    assert "environment: RAPIDSOS_CLIENT_SECRET: and RAPIDSOS_CLIENT_SECRET_FILE are both set" in told


def test_all_that_is_missing_is_told_at_once(refuse):
    """An empty environment is how most people meet the program."""
    told = refuse({})

    assert told.startswith("environment: 3 problems")
    assert "RAPIDSOS_ENVIRONMENT: is not set, and has no default\n  fix: set RAPIDSOS_ENVIRONMENT to sandbox or" in told
    assert "RAPIDSOS_CLIENT_ID: is not set, or empty\n  fix: set RAPIDSOS_CLIENT_ID, or RAPIDSOS_CLIENT_ID_FILE" in told
    assert "RAPIDSOS_CLIENT_SECRET: is not set, or empty" in told
    assert "--config" in told


@pytest.mark.parametrize(
    ("written", "fix"),
    [("Sandbox", "did you mean sandbox?"), ("prod", "did you mean production?"), ("x", "set RAPIDSOS_ENVIRONMENT to")],
)
def test_an_unknown_environment_is_not_guessed(refuse, written, fix):
    """Production is where people are."""
    told = refuse({**PAIR, "RAPIDSOS_ENVIRONMENT": written})

    assert f'environment: RAPIDSOS_ENVIRONMENT: is "{written}"; it can be sandbox or production\n  fix: {fix}' in told

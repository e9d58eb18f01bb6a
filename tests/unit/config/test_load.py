"""Loading: what the file says becomes a Config, and what is wrong with it is told in the file's own words."""

import re

import pytest

from proxy.config.load import load_admin, load_config
from proxy.config.models import Admin
from proxy.errors import ConfigError
from tests.unit.config.conftest import ENVIRON, SOUND


@pytest.fixture
def load(tmp_path):
    """Return a function that loads a text as proxy.toml."""

    def load(text, environ=ENVIRON):
        path = tmp_path / "proxy.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_config(path, environ)

    return load


@pytest.fixture
def message(load):
    """Return a function that gives the message with which a text is refused."""

    def message(text):
        with pytest.raises(ConfigError) as caught:
            load(text)
        return str(caught.value)

    return message


def test_a_sound_file_is_loaded(load):
    """Values, secrets and defaults are all there."""
    config = load(SOUND)

    assert str(config.listener[0].bind) == "127.0.0.1:8080"
    assert config.credential["core"].client_id.reveal() == "an-id"
    assert config.credential["core"].client_secret.reveal() == "s3cret-value"
    assert config.route[0].match.path == "/ingress/"
    assert config.timeouts.first_byte == 25.0


def test_a_byte_order_mark_is_no_error(load):
    """Windows editors write one."""
    assert load(b"\xef\xbb\xbf" + SOUND.encode()).route[0].name == "ingress"


def test_relative_paths_start_from_the_file(load, tmp_path):
    """So that it does not matter where the proxy is started."""
    config = load(f'{SOUND}\n[traffic_log]\npath = "logs/traffic.jsonl"')

    assert config.traffic_log.path == str(tmp_path / "logs" / "traffic.jsonl")


def test_standard_output_is_no_path(load):
    """``-`` stays what it is."""
    assert load(f'{SOUND}\n[traffic_log]\npath = "-"').traffic_log.path == "-"


def test_every_problem_is_told_at_once(refuse, sound):
    """Shape, secrets and units: nobody has to run check five times."""
    sound["listener"][0]["bind"] = "nowhere"
    sound["credential"]["core"]["grant"] = "magic"
    sound["timeouts"] = {"connect": 0}

    told = refuse(sound, {})

    assert told.startswith(
        "test.toml: 4 problems\n1. test.toml: credential.core.client_secret: env CORE_SECRET is not set"
    )
    assert '2. test.toml: listener[cad].bind: "nowhere" does not end in a port' in told
    assert "3. test.toml: credential.core.grant: is none of the values it can have" in told
    assert "4. test.toml: timeouts.connect: is out of range\n  fix: write more than 0" in told


@pytest.mark.parametrize("section", ["credential.core", "limits", "traffic_log.rotate"])
def test_a_table_in_double_brackets_is_told_to_have_single_ones(message, section):
    """The sections beside it have two."""
    told = message(re.sub(r"\[credential.core\]\n(.+\n)+", "", SOUND) + f"[[{section}]]\n")

    assert (
        f"{section}: is a list of tables where one table is wanted\n  fix: write [{section}], in single brackets"
        in told
    )


def test_a_list_of_problems_has_no_fix_of_its_own(refuse, sound):
    """Each of them has one."""
    sound["limits"] = {"fields": 1, "connections": 0}

    assert refuse(sound).endswith("limits.connections: is out of range\n  fix: write at least 1")


def test_a_mistake_in_one_table_does_not_hide_those_in_others(refuse, sound):
    """A misspelt key, a secret that is not there, a name that is none, a port used twice: all in one reading."""
    sound["listener"].append({"name": "south", "bind": "127.0.0.1:8080", "alow": ["10.0.0.0/8"]})
    sound["route"].append(sound["route"][0] | {"name": "egress", "credential": "cor", "match": {"listener": "suoth"}})
    sound["timeouts"] = {"connect": 0}
    sound["limits"] = {"line": 100, "head": 50}

    told = refuse(sound, {})

    assert re.findall(r"test\.toml: (\S+): ", told) == [
        "credential.core.client_secret",
        "listener[south].alow",
        "timeouts.connect",
        "route[egress].match.listener",
        "route[egress].credential",
        "listener[south].bind",
        "limits.line",
        "route[egress].strip",
    ]


def test_an_unknown_key_suggests_the_nearest_and_is_not_also_missing(refuse, sound):
    """A misspelt key is one problem."""
    sound["route"][0]["upsteam"] = sound["route"][0].pop("upstream")

    assert (
        refuse(sound) == "test.toml: route[ingress].upsteam: is not a key of this table\n  fix: did you mean upstream?"
    )


def test_a_key_in_the_wrong_table_is_sent_to_the_right_one(refuse, sound):
    """Many keys have one place only."""
    sound["route"][0]["token_url"] = "https://api-sandbox.rapidsos.com/oauth/token"

    assert "route[ingress].token_url: is not a key of this table\n  fix: it belongs in a table of credential" in refuse(
        sound
    )


@pytest.mark.parametrize("key", ["workers", "telemetry"])
def test_a_key_of_another_version_is_unknown(refuse, sound, key):
    """A setting that does nothing would be worse than none."""
    sound[key] = 1

    assert f"test.toml: {key}: is not a key of this table\n  fix: remove it; this table takes listener," in refuse(
        sound
    )


@pytest.mark.parametrize(
    ("section", "key", "value", "told"),
    [
        (
            "limits",
            "fields",
            "many",
            "limits.fields: is not a whole number\n  fix: write a whole number, without quotes",
        ),
        ("limits", "fields", 7, "limits.fields: is out of range\n  fix: write at least 8"),
        ("limits", "fields", 1001, "limits.fields: is out of range\n  fix: write at most 1000"),
        (
            "limits",
            "head",
            "5 KB",
            'limits.head: "5 KB" is not a size\n  fix: write bytes as a whole number, or a text',
        ),
        ("limits", "body", -1, "limits.body: is out of range\n  fix: write at least 0"),
        ("timeouts", "head", "20", "timeouts.head: is not a number\n  fix: write a number, without quotes"),
        ("timeouts", "head", float("nan"), "timeouts.head: is not a finite number"),
        ("timeouts", "head", 3601, "timeouts.head: is out of range\n  fix: write at most 3600"),
        ("traffic_log", "path", 1, 'traffic_log.path: is not a text\n  fix: write a text in quotes: "…"'),
        ("traffic_log", "retain", "1y", 'traffic_log.retain: "1y" is not a span of time\n  fix: write a text'),
        ("traffic_log", "retain", "0d", "traffic_log.retain: is out of range\n  fix: write more than 0"),
        ("traffic_log", "retain", 400, 'traffic_log.retain: 400 has no unit\n  fix: write "400d" for days'),
        ("traffic_log", "rotate", {"age": 1}, 'traffic_log.rotate.age: 1 has no unit\n  fix: write "1d" for days'),
        (
            "traffic_log",
            "token",
            "none",
            'traffic_log.token: is none of the values it can have\n  fix: write "full" or',
        ),
        ("traffic_log", "rotate", "1d", "traffic_log.rotate: is not a table\n  fix: write a table"),
        ("admin", "bind", "localhost:9090", 'admin.bind: "localhost:9090" is a name, which may stand for several'),
        ("admin", "names", "cad", "admin.names: is not a list\n  fix: write a list in brackets: [ … ]"),
        ("admin", "names", ["a b"], 'admin.names[1]: "a b" is not a host name'),
    ],
)
def test_a_wrong_value_is_told_in_the_words_of_the_file(refuse, sound, section, key, value, told):
    """What is wrong, and what to write instead."""
    sound[section] = {key: value}

    assert f"test.toml: {told}" in refuse(sound)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("replay", "yes", "route[ingress].replay: is not true or false\n  fix: write true or false, without quotes"),
        ("allow_private", 1, "route[ingress].allow_private: is not true or false"),
        (
            "dead_token_status",
            [401, 403],
            "route[ingress].dead_token_status[2]: 403 speaks of rights and not of the token",
        ),
        ("dead_token_status", [200], "route[ingress].dead_token_status[1]: is out of range\n  fix: write at least 400"),
        (
            "dead_token",
            [{"status": 403, "www_authenticate": " "}],
            'route[ingress].dead_token[1].www_authenticate: " " would tell nothing',
        ),
        ("dead_token", [{"status": 403}], "route[ingress].dead_token[1]: has a status alone"),
        ("addresses", ["api.example"], 'route[ingress].addresses[1]: "api.example" is not an IP address'),
        ("match", {"methods": ["get"]}, 'route[ingress].match.methods[1]: "get" would match no client'),
        (
            "match",
            {"headers": {"X Agency": "a"}},
            'route[ingress].match.headers.X Agency: "X Agency" is not the name of a',
        ),
        ("match", {"headers": {"X-Agency": 1}}, "route[ingress].match.headers.X-Agency: is not a text"),
        ("match", {"clients": ["10.0.0.1/8"]}, 'route[ingress].match.clients[1]: "10.0.0.1/8" has bits set'),
        ("match", {"hosts": "a"}, "route[ingress].match.hosts: is not a key of this table\n  fix: did you mean host?"),
    ],
)
def test_a_wrong_value_of_a_route_is_told_by_the_routes_name(refuse, sound, key, value, told):
    """Tables of a list are called by their name."""
    sound["route"][0][key] = value

    assert f"test.toml: {told}" in refuse(sound)


def test_a_table_without_a_name_is_counted_from_one(refuse, sound):
    """As people count."""
    sound["route"].append({"upstream": "https://api.rapidsos.com", "credential": "core"})

    assert "test.toml: route[2].name: is missing\n  fix: add name = …; config/proxy.toml shows every key" in refuse(
        sound
    )


def test_a_name_that_is_none_is_refused(refuse, sound):
    """A credential's name is a key of the file."""
    sound["credential"]["my core"] = sound["credential"]["core"]

    assert 'test.toml: credential.my core: "my core" is not a name' in refuse(sound)


@pytest.mark.parametrize(
    ("section", "value", "told"),
    [
        ("listener", None, 'listener: is missing\n  fix: add [[listener]] with name = "cad"'),
        ("credential", None, "credential: is missing\n  fix: add [credential.core]"),
        ("route", None, "route: is missing\n  fix: add [[route]] with name"),
        ("listener", {"name": "a", "bind": "127.0.0.1:1"}, "listener: is one table where a list of tables is wanted"),
        (
            "credential",
            [{"grant": "basic"}],
            "credential: is not a table of named tables\n  fix: write [credential.core]",
        ),
        ("credential", {"core": "x"}, "credential.core: is not a table\n  fix: write a table"),
        ("route", [5], "route[1]: is not a table"),
        ("outbound", "http://proxy:3128", "outbound: is not a table"),
    ],
)
def test_a_section_of_the_wrong_shape_is_told(refuse, sound, section, value, told):
    """Single and double brackets are easily mixed up."""
    if value is None:
        del sound[section]
    else:
        sound[section] = value

    assert f"test.toml: {told}" in refuse(sound)


@pytest.mark.parametrize("key", ["client_secret", "password"])
def test_a_secret_in_plain_text_is_refused_and_not_repeated(refuse, sound, key):
    """The file is copied, mailed and committed; a secret in it is no secret."""
    sound["credential"]["core"][key] = "hunter2-canary"

    told = refuse(sound)

    assert f"test.toml: credential.core.{key}: is a secret in plain text\n  fix: write {{ env = " in told
    assert "canary" not in told


@pytest.mark.parametrize(("section", "key"), [("admin", "password"), ("outbound", "password")])
def test_every_password_is_a_secret(refuse, sound, section, key):
    """Not only those of credentials."""
    sound[section] = {key: "hunter2-canary"}

    told = refuse(sound)

    assert f"test.toml: {section}.{key}: is a secret in plain text" in told
    assert "canary" not in told


def test_a_variable_is_not_put_into_other_values(build, sound):
    """There is no ${…}: what stands in the file is what holds."""
    sound["traffic_log"] = {"path": "/var/log/${CORE_SECRET}"}

    assert build(sound).traffic_log.path == "/var/log/${CORE_SECRET}"


def test_no_word_of_the_library_is_shown(refuse, sound):
    """People wrote TOML, and are told of TOML."""
    sound["listener"][0] |= {"allow": [[]], "names": {}, "what": None}
    sound["credential"]["core"] |= {"extra": {"a": []}, "scope": 1, "request": 1, "token_url": []}
    sound["limits"] = {"connections": 1.5, "in_flight": True, "log_queue": []}
    sound["traffic_log"] = {"bodies": {}, "retain": []}

    told = refuse(sound)

    assert "12 problems" in told
    assert not re.search(r"pydantic|Input should|input_value|\[type=|Tuple|validation", told)


def test_a_frozen_config_cannot_be_changed(build, sound):
    """What was checked is what runs."""
    config = build(sound)

    with pytest.raises(ValueError, match="frozen"):
        config.listener = ()


def test_a_config_can_be_printed_without_its_secrets(build, sound):
    """A debug line or a traceback may hold one."""
    assert "s3cret-value" not in repr(build(sound))


def test_the_admin_section_is_loaded_without_any_secret(tmp_path):
    """A command that looks for the running proxy is typed in a shell that has none of them."""
    path = tmp_path / "proxy.toml"
    path.write_text(
        '[admin]\nbind = "127.0.0.1:9191"\ncontrol = "run/c.sock"\npassword = { env = "NOT_SET" }\n'
        '[credential.core]\nclient_secret = { file = "not-there" }\n'
    )

    admin = load_admin(path)

    assert (str(admin.bind), admin.control) == ("127.0.0.1:9191", str(tmp_path / "run/c.sock"))


def test_the_admin_section_of_the_built_in_profile_is_the_default():
    """It reads no file."""
    assert load_admin(None) == Admin()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('admin = "x"\n', "admin: is not a table"),
        ("[admin]\ncontrol = 1\n", "admin.control: is not a text"),
        ('[admin]\nbidn = "127.0.0.1:9191"\n', "admin.bidn: is not a key of this table\n  fix: did you mean bind?"),
    ],
)
def test_what_is_wrong_with_the_admin_section_is_told(tmp_path, text, told):
    """As check tells it: file, key and fix."""
    path = tmp_path / "proxy.toml"
    path.write_text(text)

    with pytest.raises(ConfigError) as caught:
        load_admin(path)

    assert f"{path}: {told}" in str(caught.value)

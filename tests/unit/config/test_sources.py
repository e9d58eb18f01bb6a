"""Secrets: where they come from, and what is said when they do not come."""

import sys

import pytest
from structlog.testing import capture_logs

from proxy.config import places
from proxy.config.places import SourceError
from proxy.config.sources import Sources

CANARY = "c4nary-value"


@pytest.fixture
def read(tmp_path):
    """Return a function that reads a source; files are relative to tmp_path."""

    def read(value, environ=None, *, may_be_literal=False):
        return Sources(tmp_path, environ or {}).read(value, may_be_literal=may_be_literal)

    return read


@pytest.fixture
def fail(read):
    """Return a function that gives the error of a source, after proving that no value is in it."""

    def fail(value, environ=None):
        with pytest.raises(SourceError) as caught:
            read(value, environ)
        assert CANARY not in f"{caught.value.problem} {caught.value.fix}"
        return caught.value

    return fail


def write(path, content, mode=0o600):
    """Write a secret file."""
    path.write_bytes(content)
    path.chmod(mode)


def test_a_secret_comes_from_the_environment(read):
    """The origin names the variable."""
    secret = read({"env": "X"}, {"X": CANARY})

    assert secret.reveal() == CANARY
    assert secret.origin == "env X"


def test_a_secret_comes_from_a_file_beside_the_configuration(read, tmp_path):
    """A relative path starts where the configuration lies."""
    write(tmp_path / "s", CANARY.encode())

    secret = read({"file": "s"})

    assert secret.reveal() == CANARY
    assert secret.origin == f"file {tmp_path / 's'}"


def test_a_secret_comes_from_a_commands_standard_output(read):
    """The command is run without a shell; its arguments reach it as they stand."""
    secret = read({"command": [sys.executable, "-c", "import sys; print(sys.argv[1])", "$HOME;`id`"]})

    assert secret.reveal() == "$HOME;`id`"
    assert secret.origin == f"command {sys.executable}"


@pytest.mark.parametrize(
    ("content", "value"),
    [(b"v\n", "v"), (b"v\r\n", "v"), (b"v", "v"), (b" v ", " v "), ("schl\u00fcssel\n".encode(), "schl\u00fcssel")],
)
def test_exactly_one_line_end_is_taken_off(read, tmp_path, content, value):
    """Editors and echo leave one; a space may be part of a secret."""
    write(tmp_path / "s", content)

    assert read({"file": "s"}).reveal() == value


@pytest.mark.parametrize(
    ("content", "character"),
    [
        (f"{CANARY}\n\n", "U+000A"),
        (f"{CANARY}\r", "U+000D"),
        (f"a\t{CANARY}", "U+0009"),
        (f"{CANARY}\0", "U+0000"),
        (f"\ufeff{CANARY}", "U+FEFF"),
        (f"{CANARY}\u200b", "U+200B"),
        (f"{CANARY}\x7f", "U+007F"),
    ],
)
def test_an_invisible_character_is_named(fail, tmp_path, content, character):
    """A secret that looks right and is not would be refused by RapidSOS without a reason."""
    write(tmp_path / "s", content.encode())

    error = fail({"file": "s"})

    assert "holds an invisible character" in error.problem
    assert character in error.problem


def test_a_file_in_another_encoding_is_refused(fail, tmp_path):
    """PowerShell's echo writes UTF-16."""
    write(tmp_path / "s", CANARY.encode("utf-16"))

    assert fail({"file": "s"}).problem == f"file {tmp_path / 's'} is not UTF-8 text"


@pytest.mark.parametrize("content", [b"", b"\n", b"\r\n"])
def test_an_empty_file_is_refused(fail, tmp_path, content):
    """An empty secret would be sent, and refused."""
    write(tmp_path / "s", content)

    assert fail({"file": "s"}).problem == f"file {tmp_path / 's'} is empty"


def test_a_missing_file_is_named(fail, tmp_path):
    """The whole path is told, since a relative one is easily misread."""
    assert fail({"file": "s"}).problem == f"file {tmp_path / 's'} cannot be read (No such file or directory)"


def test_a_directory_is_no_secret_file(fail, tmp_path):
    """A mount that came out as a directory is told as that."""
    assert fail({"file": "."}).problem == f"file {tmp_path} cannot be read (Is a directory)"


def test_a_file_of_any_size_is_read_to_a_limit_only(fail, tmp_path):
    """A wrong path, such as a log, is not read whole."""
    write(tmp_path / "s", b"x" * (places.MAX_SECRET_BYTES + 1))

    assert "gives more than 65536 bytes" in fail({"file": "s"}).problem


def test_a_variable_that_is_not_set_is_named(fail):
    """The fix says what to set."""
    error = fail({"env": "RAPIDSOS_CLIENT_SECRET"})

    assert error.problem == "env RAPIDSOS_CLIENT_SECRET is not set"
    assert error.fix == "set the environment variable RAPIDSOS_CLIENT_SECRET for the proxy"


def test_an_empty_variable_is_refused(fail):
    """An env file with NAME= gives one."""
    assert fail({"env": "X"}, {"X": ""}).problem == "env X is empty"


def test_a_command_that_fails_is_told_by_its_exit_code_alone(fail, capfd):
    """What it writes may hold a secret, and goes nowhere."""
    code = f"import sys; print('{CANARY}'); sys.stderr.write('{CANARY}'); sys.exit(3)"

    error = fail({"command": [sys.executable, "-c", code]})

    assert error.problem == f"command {sys.executable} failed with exit code 3"
    assert capfd.readouterr() == ("", "")


def test_a_command_that_does_not_end_is_given_up(fail, monkeypatch):
    """The proxy starts, or says why not; it does not hang on a tool that asks questions."""
    monkeypatch.setattr(places, "COMMAND_LIMIT_S", 0.2)

    error = fail({"command": [sys.executable, "-c", "import time; time.sleep(60)"]})

    assert error.problem == f"command {sys.executable} did not end within 0.2 s"


def test_a_command_that_is_not_there_is_named(fail):
    """A program is looked for as the system does."""
    error = fail({"command": ["no-such-program"]})

    assert error.problem == "command no-such-program cannot be run (No such file or directory)"


def test_a_command_cannot_wait_for_input(fail):
    """Standard input is empty, so a tool that asks for a passphrase ends at once."""
    error = fail({"command": [sys.executable, "-c", "input()"]})

    assert "failed with exit code 1" in error.problem


def test_a_literal_is_refused_where_a_secret_is_wanted(fail):
    """The value is not repeated in the message."""
    error = fail(CANARY)

    assert error.problem == "is a secret in plain text"
    assert error.fix.startswith('write { env = "NAME" }, { file = "/path" }, { command = ["program", "argument"] } or')


def test_a_literal_is_taken_where_it_may_be_one(read):
    """A client id is no secret to whoever owns the file."""
    secret = read("an-id", may_be_literal=True)

    assert secret.reveal() == "an-id"
    assert secret.origin == "written in the file"


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"env": 1},
        {"env": "A", "file": "b"},
        {"vault": "x"},
        {"command": "a b"},
        {"command": []},
        {"command": ["a", 1]},
        {"keyring": "service/username"},
        {"keyring": {"service": "a"}},
        {"keyring": {"service": "a", "username": "b", "value": "c"}},
        {"keyring": {"service": "a", "username": "b"}, "env": "c"},
        5,
        [],
    ],
)
def test_anything_else_is_no_source(fail, value):
    """One source, written in one of four ways."""
    assert fail(value).problem == "is not a source of a secret"


def test_a_file_that_every_user_can_read_is_warned_of(read, tmp_path):
    """It is used all the same: some platforms mount secrets so."""
    write(tmp_path / "s", CANARY.encode(), 0o644)

    with capture_logs() as logs:
        secret = read({"file": "s"})

    assert secret.reveal() == CANARY
    assert [(entry["event"], entry["log_level"], entry["path"]) for entry in logs] == [
        ("secret.exposed", "warning", str(tmp_path / "s"))
    ]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o400])
def test_a_file_of_the_owner_or_its_group_is_not_warned_of(read, tmp_path, mode):
    """A service account reads by its group."""
    write(tmp_path / "s", CANARY.encode(), mode)

    with capture_logs() as logs:
        read({"file": "s"})

    assert logs == []

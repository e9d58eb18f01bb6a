"""Reading a TOML file: what is none is told with its place, and with the fix of the mistake that it is."""

import errno
import os
import re
from pathlib import PosixPath

import pytest

from proxy.config.document import read_document
from proxy.errors import ConfigError


@pytest.fixture
def message(tmp_path):
    """Return a function that gives the message with which a text is refused."""

    def message(text):
        path = tmp_path / "proxy.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(ConfigError) as caught:
            read_document(path)
        return str(caught.value)

    return message


def test_a_missing_file_is_told_with_the_whole_path(tmp_path, monkeypatch):
    """Most are looked for in the wrong directory."""
    monkeypatch.chdir(tmp_path)

    with pytest.raises(ConfigError) as caught:
        read_document(tmp_path.relative_to(tmp_path) / "none.toml")

    assert str(caught.value) == (
        f"none.toml: there is no such file\n  fix: check the path; it was looked for at {tmp_path / 'none.toml'}"
    )


def test_a_directory_is_no_file(tmp_path):
    """The file is in it."""
    with pytest.raises(ConfigError) as caught:
        read_document(tmp_path)

    assert str(caught.value) == f"{tmp_path}: is a directory\n  fix: name the file in it, such as {tmp_path}/proxy.toml"


class ForbiddenPath(PosixPath):
    """A file that the user has no right to read, whoever runs the tests."""

    def read_bytes(self):
        """Fail as open(2) would."""
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def test_a_file_without_the_right_to_read_it_is_told_so(tmp_path):
    """It is a matter of rights, and not of the path."""
    with pytest.raises(ConfigError, match="may not be read by the user that runs this") as caught:
        read_document(ForbiddenPath(tmp_path / "proxy.toml"))

    assert "the right to read the file, and to enter the directories above it" in caught.value.fix


def test_a_file_that_cannot_be_read_is_told_with_the_systems_reason(tmp_path):
    """Whatever that is; here a link to itself."""
    path = tmp_path / "proxy.toml"
    path.symlink_to(path)

    with pytest.raises(ConfigError, match=r"cannot be read \(Too many levels of symbolic links\)"):
        read_document(path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[listener]]\nname = cad\n", "proxy.toml: line 2, column 8: is not TOML: invalid value"),
        ("[[listener]]\r\nname = cad\r\n", "proxy.toml: line 2, column 8: is not TOML: invalid value"),
        ('a = "C:\\secrets"\n', "proxy.toml: line 1, column 10: is not TOML: unescaped '\\' in a string"),
        ("a = 1\na = 2\n", "proxy.toml: line 2, column 6: is not TOML: cannot overwrite a value"),
        ("[limits] fields = 9\n", "proxy.toml: line 1, column 10: is not TOML: expected newline"),
        ("a = ", "proxy.toml: end of file: is not TOML: invalid value"),
    ],
)
def test_a_syntax_error_is_told_with_its_place(message, text, told):
    """Line and column are those of the file."""
    assert told in message(text)
    assert message(text).endswith(
        "  fix: correct that line; a text stands in quotes, with a backslash in it doubled or the quotes single"
    )


@pytest.mark.parametrize(
    "line", ["name = \u201ccad\u201d", 'name = "cad\u201d', "name = \u2018cad\u2019", "\u201cname\u201d = 1"]
)
def test_curly_quotes_are_told_so(message, line):
    """They look like the straight ones, and word processors make them."""
    told = message(f"[[listener]]\n{line}\n")

    assert re.search(r"proxy\.toml: line 2, column \d+: is not TOML: there are curly quotes, as word processors", told)
    assert told.endswith("  fix: type straight ones: \" or '")
    assert "cad" not in told


@pytest.mark.parametrize(
    ("text", "problem", "fix"),
    [
        ("[route]\n[route]\n", "there is a table route above already", "write [[route]], with two brackets, for this"),
        ("[[route]]\n[route]\n", "there is a table route above already", "write [[route]], with two brackets"),
        (
            "a = 1\n[listener]\n[[listener]]\n",
            "there is a table listener above",
            "write [[listener]], with two brackets",
        ),
        ("\n[[listener]\n", "is not TOML: expected ']]'", "write [[listener]], with two brackets"),
        (
            "[credential.a]\n[[credential.a]]\n",
            "there is a table credential.a above already",
            "write [credential.a], in single brackets",
        ),
        ("[limits]\n[limits]\n", "there is a table limits above already", "write [limits] once, with all its keys"),
        ("[credential.a]\n[credential.a]\n", "there is a table credential.a above", "needs a name of its own"),
    ],
)
def test_a_wrong_heading_is_told_with_the_right_one(message, text, problem, fix):
    """How many brackets a table has is what people get wrong first."""
    told, told_fix = message(text).split("\n  fix: ")

    assert problem in told
    assert fix in told_fix


def test_a_file_in_another_encoding_is_told_so(message):
    """TOML is UTF-8 by definition."""
    assert "proxy.toml: is not UTF-8 text\n  fix: save it as UTF-8" in message("a = 1".encode("utf-16"))

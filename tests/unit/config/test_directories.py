"""The directories that the proxy will write to, as `check` finds them."""

import os

import pytest

from proxy.config.directories import AS_ITS_USER, check_directories
from proxy.config.problems import Problems
from proxy.errors import ConfigError

KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


@pytest.fixture
def look(build, sound):
    """Return a function that looks at the places of a log and a store, and gives the message; None if all is well."""

    def look(log="-", store=None):
        sound["traffic_log"] = {"path": str(log)}
        if store is not None:
            sound["store"] = {"file": str(store), "key": {"env": "KEY"}}
        problems = Problems("test.toml")
        check_directories(build(sound, {"CORE_SECRET": "s3cret-value", "KEY": KEY}), problems)
        try:
            problems.raise_any()
        except ConfigError as error:
            return str(error)
        return None

    return look


@pytest.mark.parametrize("log", ["-", "/dev/null", "traffic.jsonl"])
def test_what_can_be_written_is_sound(look, tmp_path, log):
    """Standard output, a device, a file that is there or is not; and nothing is made."""
    assert look(log, "tokens") is None
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "traffic.jsonl").touch()
    assert look(log, "tokens") is None


def test_missing_directories_are_told_all_at_once(look, tmp_path):
    """The store's costs a restart its tokens, the log's keeps `serve` from its start."""
    told = look("logs/traffic.jsonl", "state/tokens")

    assert (
        f"test.toml: traffic_log.path: {tmp_path}/logs/traffic.jsonl is in a directory that does not exist\n"
        f"  fix: create {tmp_path}/logs, writable by the proxy's user" in told
    )
    assert f"test.toml: store.file: {tmp_path}/state/tokens is in a directory that does not exist\n" in told


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda path: path.mkdir(), "is a directory\n  fix: it is a directory: set the path of a file in it"),
        (lambda path: path.symlink_to("elsewhere"), "is a symbolic link, and none is followed\n  fix: "),
    ],
    ids=["directory", "link"],
)
def test_what_is_no_file_is_told(look, tmp_path, make, problem):
    """As `serve` would."""
    path = tmp_path / "traffic.jsonl"
    make(path)

    assert f"traffic_log.path: {path} {problem}" in look("traffic.jsonl")


def test_a_file_in_the_place_of_the_directory_is_told(look, tmp_path):
    """Nothing can be made in it."""
    (tmp_path / "logs").touch()

    assert f"is in no directory: {tmp_path}/logs is none" in look("logs/traffic.jsonl")


def test_a_path_that_cannot_be_looked_at_is_told(look):
    """Here its name is too long; a directory above that this user may not pass is the usual case."""
    path = "x" * 300

    assert f"{path} cannot be looked at (File name too long)" in look(path)


@pytest.mark.parametrize("exists", [True, False])
def test_what_this_user_may_not_write_is_told(look, tmp_path, monkeypatch, exists):
    """The directory, or the file; root may write everywhere, so here the system's answer is given."""
    if exists:
        (tmp_path / "traffic.jsonl").touch()
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)

    told = look("traffic.jsonl")

    assert ("cannot be written" if exists else "is in a directory that cannot be written") in told
    assert f"fix: {AS_ITS_USER}" in told

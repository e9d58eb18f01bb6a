"""A new authority: its files, what is never overwritten, and what the operator is told."""

import stat
import time
import tomllib

import pytest

from proxy.ca.authority import read_authority
from proxy.ca.founding import CERTIFICATE_FILE, KEY_FILE, describe_founded, found_authority
from proxy.config.models import Interception
from proxy.errors import ConfigError


def found(folder, *hosts):
    """Make an authority."""
    return found_authority(folder, "Ours", hosts, time.time(), 1)


def test_the_key_is_its_owners_alone(tmp_path):
    """Whatever the umask; in a directory that is made for it."""
    made = found(tmp_path / "a" / "b", "rapidsos.com")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "a" / "b").iterdir()}

    assert modes == {CERTIFICATE_FILE: 0o644, KEY_FILE: 0o600}
    assert (made.certificate_path.name, made.key_path.name) == (CERTIFICATE_FILE, KEY_FILE)


@pytest.mark.parametrize("name", [CERTIFICATE_FILE, KEY_FILE])
def test_nothing_is_overwritten(tmp_path, name):
    """One of the two is enough; what is there stays as it is, and nothing is left beside it."""
    (tmp_path / name).write_text("of somebody's")
    with pytest.raises(ConfigError) as caught:
        found(tmp_path, "rapidsos.com")

    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "of somebody's"
    assert f"{name}: is there already" in str(caught.value)
    assert "--dir" in caught.value.fix


def test_a_directory_that_cannot_be_written_is_told(tmp_path):
    """As one that is a file."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError) as caught:
        found(tmp_path / "file" / "below")

    assert "cannot be written" in caught.value.problem


@pytest.mark.parametrize("folder", ["plain", "it's", "both ' and \""])
def test_the_lines_for_the_configuration_are_toml(tmp_path, folder):
    """As they stand, whatever the directory is called; and what they name is an authority."""
    told = describe_founded(found(tmp_path / folder, "rapidsos.com"))
    lines = [line.strip() for line in told.splitlines()]
    section = tomllib.loads("\n".join(line for line in lines if line.startswith("ca_")))

    assert read_authority(Interception.model_validate(section)).subject == "CN=Ours"
    assert "intercept = true" in told


def test_it_is_told_what_it_vouches_for(tmp_path):
    """And to whom the certificate goes."""
    few, any_host = (describe_founded(found(tmp_path / name, *hosts)) for name, hosts in (("a", ["x.y"]), ("b", [])))

    assert "vouches for  x.y (and names below it)" in few
    assert "vouches for  every host of the Internet" in any_host
    assert all(word in few for word in ("certutil -addstore Root", "keytool -importcert", "NODE_EXTRA_CA_CERTS"))

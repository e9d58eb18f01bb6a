"""How the program is called from here."""

import sys

import pytest

from proxy.program import name_program


@pytest.fixture
def installed(tmp_path):
    """Return the path of an installed program."""
    path = tmp_path / ".venv" / "bin" / "rapidsos-proxy"
    path.parent.mkdir(parents=True)
    path.touch()
    return path


def test_a_program_that_the_shell_does_not_find_is_called_by_its_path(installed, tmp_path):
    """As `make run` calls it."""
    elsewhere = tmp_path / "else where"

    assert name_program(str(installed), None, tmp_path) == ".venv/bin/rapidsos-proxy"
    assert name_program(str(installed), "/usr/bin/rapidsos-proxy", elsewhere) == str(installed)
    assert name_program(str(elsewhere / "rapidsos-proxy"), None, elsewhere.parent / "x") == (
        f"'{elsewhere}/rapidsos-proxy'"
    )


def test_a_program_that_the_shell_finds_is_called_by_its_name(installed, tmp_path):
    """Also through a link."""
    link = tmp_path / "rapidsos-proxy"
    link.symlink_to(installed)

    assert name_program(str(installed), str(installed), tmp_path) == "rapidsos-proxy"
    assert name_program(str(installed), str(link), tmp_path) == "rapidsos-proxy"
    assert name_program("rapidsos-proxy", None, tmp_path) == "rapidsos-proxy"


def test_a_package_that_was_run_is_called_with_its_python(tmp_path):
    """`python -m proxy`."""
    assert name_program(str(tmp_path / "proxy" / "__main__.py"), None, tmp_path) == f"{sys.executable} -m proxy"

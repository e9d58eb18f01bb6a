"""Where the control socket is."""

import os
import tempfile
from pathlib import Path

from proxy.config.models import Admin
from proxy.control.place import Place, find_place

UID = os.geteuid()


def test_a_configured_path_is_taken():
    """It must be had, then."""
    place = find_place(Admin(control="/run/rapidsos-proxy/control.sock"), {"XDG_RUNTIME_DIR": "/run/user/1"}, UID)

    assert place == Place(Path("/run/rapidsos-proxy/control.sock"), is_configured=True)


def test_a_user_who_is_logged_in_has_a_directory_for_it(tmp_path):
    """Named for the admin listener, so that two proxies of one user have two."""
    place = find_place(Admin(), {"XDG_RUNTIME_DIR": str(tmp_path)}, UID)

    assert place == Place(tmp_path / "rapidsos-proxy" / "127.0.0.1-9090.sock", is_configured=False)


def test_without_one_it_is_a_temporary_directory_of_the_users_own():
    """A service manager's users have none."""
    place = find_place(Admin(bind="[::1]:9191"), {}, 1234)

    assert place.path == Path(tempfile.gettempdir()) / "rapidsos-proxy-1234" / "::1-9191.sock"


def test_another_users_directory_is_not_used(tmp_path):
    """After `su`, the variable may still name it."""
    place = find_place(Admin(), {"XDG_RUNTIME_DIR": str(tmp_path)}, UID + 1)

    assert place.path.parent == Path(tempfile.gettempdir()) / f"rapidsos-proxy-{UID + 1}"


def test_a_directory_that_is_not_there_is_not_used(tmp_path):
    """Sessions without a login may have the variable and no directory."""
    place = find_place(Admin(), {"XDG_RUNTIME_DIR": str(tmp_path / "none")}, UID)

    assert tmp_path not in place.path.parents


def test_a_proxy_whose_port_the_system_chooses_has_no_place():
    """A command could not know which one it is."""
    assert find_place(Admin(bind="127.0.0.1:0"), {}, UID) is None

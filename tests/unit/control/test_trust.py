"""Whose proxy a command believes."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path

import pytest

from proxy.control.place import Place
from proxy.control.trust import check_peer, find_believed
from proxy.errors import ControlError

OWN = os.geteuid()
OTHER = 65_534 if OWN == 0 else OWN
"""Somebody who is not root; files can be given to him by root, and by himself."""
ROOT = 0
ASKER = OTHER + 1
"""Somebody else yet."""


@pytest.fixture
def place(tmp_path):
    """Return where a socket of ``OTHER`` is, in a directory of his own."""
    directory = tmp_path / "d"
    directory.mkdir(0o755)
    path = directory / "c.sock"
    path.touch()
    for given in (directory, path):
        os.chown(given, OTHER, -1)
    return Place(path, is_configured=True)


def test_his_own_is_believed(place):
    """And root's, were it to answer there."""
    assert find_believed(place, OTHER) == {OTHER, ROOT}


@pytest.mark.parametrize("is_configured", [True, False])
def test_another_users_is_not(place, is_configured):
    """Wherever it is."""
    with pytest.raises(ControlError, match=rf"c\.sock: belongs to another user, number {OTHER}\n  fix: run this"):
        find_believed(Place(place.path, is_configured), ASKER)


def test_root_may_ask_a_services_user_where_he_was_told_to(place):
    """In a directory of that user's, as systemd makes it."""
    assert find_believed(place, ROOT) == {OTHER, ROOT}


def test_root_believes_no_stranger_at_the_default_place(place):
    """Any user can make that directory before root does."""
    with pytest.raises(ControlError, match="belongs to another user"):
        find_believed(Place(place.path, is_configured=False), ROOT)


def test_root_believes_no_socket_that_anybody_may_have_put_there():
    """As in /tmp."""
    with tempfile.NamedTemporaryFile(dir="/tmp") as socket_of_other:
        os.chown(socket_of_other.fileno(), OTHER, -1)
        place = Place(Path(socket_of_other.name), is_configured=True)

        with pytest.raises(ControlError, match="belongs to another user"):
            find_believed(place, ROOT)


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o1755, 0o2750])
def test_root_believes_what_only_a_service_can_have_put_into_a_directory_of_roots(place, mode):
    """One that is root's alone to write, as a service that begins as root, or its unit, makes it."""
    place.path.parent.chmod(mode)
    if OWN == ROOT:  # else it stays the service's own
        os.chown(place.path.parent, ROOT, -1)

    assert OTHER in find_believed(place, ROOT)


@pytest.mark.parametrize("mode", [0o775, 0o770, 0o1775, 0o2775, 0o757, 0o1777])
def test_root_believes_no_socket_that_a_member_of_a_group_may_have_put_there(place, mode):
    """A group of many, as a directory for the sockets of several services has it; what to do is told."""
    place.path.parent.chmod(mode)
    if OWN != ROOT:  # then it stays the service's own, where its owner says whose the socket is
        assert OTHER in find_believed(place, ROOT)
        return
    os.chown(place.path.parent, ROOT, -1)

    with pytest.raises(ControlError, match=r"belongs to another user.*\n  fix: others .* \(chmod go-w /.*/d, or chown"):
        find_believed(place, ROOT)


@pytest.mark.parametrize("mode", [0o775, 0o770])
def test_a_service_may_share_its_own_directory_with_its_group(place, mode):
    """A socket that a member of the group has put there is that member's, and so not the directory's owner's."""
    place.path.parent.chmod(mode)

    assert OTHER in find_believed(place, ROOT)


def test_a_directory_of_a_strangers_is_not_believed(place):
    """He could put another socket there at any time."""
    os.chown(place.path, OWN, -1)
    if OWN == ROOT:
        with pytest.raises(ControlError, match=r"/d: belongs to another user"):
            find_believed(Place(place.path, is_configured=False), ROOT)
    with pytest.raises(ControlError, match="belongs to another user"):
        find_believed(place, ASKER)


def test_what_is_not_there_is_for_whoever_asks_to_tell(tmp_path):
    """It may come meanwhile, and is then looked at again."""
    assert find_believed(Place(tmp_path / "none" / "c.sock", is_configured=True), ROOT) == {ROOT}


@pytest.mark.parametrize(("believed", "is_good"), [({OWN}, True), ({OWN + 1}, False)])
def test_it_is_the_process_that_counts_in_the_end(tmp_path, believed, is_good):
    """Whosever the socket was when it was looked at."""
    path = tmp_path / "c.sock"
    one, other = socket.socketpair()
    with one, other:
        if is_good:
            check_peer(path, one, frozenset(believed))
        else:
            with pytest.raises(ControlError, match=f"c.sock: a process of another user, number {OWN}, answers there"):
                check_peer(path, one, frozenset(believed))

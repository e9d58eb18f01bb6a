"""Who is at the other end."""

import os
import socket

import pytest

from proxy.control.peer import Peer, find_peer


def test_the_system_tells_who_it_is():
    """This very process, here."""
    one, other = socket.socketpair()
    with one, other:
        peer = find_peer(one)

    assert peer == Peer(os.getpid(), os.geteuid())


@pytest.mark.parametrize(("uid", "expected"), [(1000, True), (0, True), (1001, False), (65_534, False)])
def test_the_proxys_user_and_root_may_command(uid, expected):
    """Nobody else."""
    assert Peer(1, uid).may_command(1000) is expected

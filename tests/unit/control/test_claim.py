"""Taking the control socket's place."""

import fcntl
import os
import socket
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from proxy.control.claim import claim
from proxy.control.place import Place
from proxy.errors import ConfigError


@pytest.fixture
def place(tmp_path):
    """Return a place by default, whose directory is not there yet."""
    return Place(tmp_path / "own" / "c.sock", is_configured=False)


def connect(path):
    """Connect to a socket; return the connection."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(path))
    return connection


def test_only_this_user_may_open_it(place):
    """Directory and socket are nobody else's, whatever the umask."""
    before = os.umask(0)
    try:
        held = claim(place)
    finally:
        after = os.umask(before)

    assert stat.S_IMODE(place.path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(place.path.stat().st_mode) == 0o600
    assert after == 0
    connect(place.path).close()
    held.release()


def test_it_is_removed_at_the_end(place):
    """Nothing is left to connect to, nor the directory that was made for it."""
    claim(place).release()

    assert not place.path.parent.exists()


def test_what_else_is_in_its_directory_stays(place):
    """Another proxy of this user has its socket there, too."""
    other = claim(Place(place.path.with_name("other.sock"), is_configured=False))

    claim(place).release()

    connect(other.socket.getsockname()).close()
    other.release()


def test_a_dead_proxys_socket_is_replaced(place):
    """One that was killed leaves it behind."""
    claim(place).socket.close()
    assert place.path.is_socket()

    held = claim(place)

    connect(place.path).close()
    held.release()


def test_a_live_proxys_socket_is_not(place):
    """The error says so, and the other goes on."""
    held = claim(place)

    with pytest.raises(ConfigError) as caught:
        claim(place)

    assert f"admin.control: {place.path} is the control socket of a proxy that is running\n  fix: stop" in str(
        caught.value
    )
    connect(place.path).close()
    held.release()


def test_a_proxy_that_is_too_busy_to_answer_is_alive(place):
    """Its queue of connections is full."""
    held = claim(place)
    waiting = []
    try:
        while True:
            connection = socket.socket(socket.AF_UNIX)
            waiting.append(connection)
            connection.setblocking(False)  # noqa: FBT003 (its only parameter)
            connection.connect(str(place.path))
    except BlockingIOError:
        pass

    with pytest.raises(ConfigError, match="of a proxy that is running"):
        claim(place)
    for connection in waiting:
        connection.close()
    held.release()


def test_nothing_but_a_socket_is_removed(place):
    """A path mistyped must not cost a file."""
    place.path.parent.mkdir(0o700)
    place.path.write_text("precious")

    with pytest.raises(ConfigError, match="is there already, and no socket"):
        claim(place)

    assert place.path.read_text() == "precious"


def test_anothers_socket_that_stands_there_meanwhile_is_left(place):
    """Whoever has moved ours away and come after."""
    held = claim(place)
    place.path.unlink()
    other = claim(place)

    held.release()

    connect(place.path).close()
    other.release()


def test_a_directory_that_others_can_write_is_not_trusted(place):
    """Whoever made it could put a socket of theirs in there."""
    place.path.parent.mkdir()
    place.path.parent.chmod(0o777)

    with pytest.raises(ConfigError, match="is not this user's own directory"):
        claim(place)


def test_a_link_to_a_directory_is_not_trusted(place, tmp_path):
    """It could lead anywhere tomorrow."""
    (tmp_path / "elsewhere").mkdir(0o700)
    place.path.parent.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(ConfigError, match="is not this user's own directory"):
        claim(place)


@pytest.mark.parametrize("name", ["missing/c.sock", "x" * 200])
def test_a_path_that_cannot_be_had_is_told_with_the_fix(tmp_path, name):
    """A configured one is not made up for."""
    with pytest.raises(ConfigError, match=r"(?s)cannot be made a socket .*fix: name a short path"):
        claim(Place(tmp_path / name, is_configured=True))


def test_a_lock_that_is_never_given_back_does_not_keep_it_from_its_start(place):
    """Anyone who can read the directory can take it."""
    place.path.parent.mkdir(0o700)
    descriptor = os.open(place.path.parent, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)

        held = claim(place)
    finally:
        os.close(descriptor)

    connect(place.path).close()
    held.release()


def test_of_two_that_start_together_one_gets_it(place):
    """Both find a dead one's socket, and neither removes the other's."""
    claim(place).socket.close()
    with ThreadPoolExecutor(8) as threads:
        ends = list(threads.map(lambda _: try_claim(place), range(8)))
    held = [end for end in ends if not isinstance(end, ConfigError)]

    assert len(held) == 1
    connect(place.path).close()
    held[0].release()


def try_claim(place):
    """Return the claim, or why there is none."""
    try:
        return claim(place)
    except ConfigError as error:
        return error

"""Who is in at a door, and who makes room."""

from dataclasses import dataclass, field

import pytest

from proxy.admin.crowd import MOST_CONNECTIONS, MOST_OF_ONE, Crowd, find_origin


@dataclass(eq=False)
class Connection:
    """A connection of which one has to know only this."""

    origin: object = None
    has_asked: bool = False
    left: list[int] = field(default_factory=list)

    def leave(self):
        """See ``Guest``."""
        self.left.append(1)


def fill(crowd, number, **how):
    """Let so many in."""
    guests = [Connection(**how) for _ in range(number)]
    assert all(crowd.admit(guest) for guest in guests)
    return guests


def left(guests):
    """Return which of them had to go."""
    return [number for number, guest in enumerate(guests) if guest.left]


def test_the_oldest_that_has_not_asked_makes_room():
    """One that has asked stays, though it is older."""
    crowd = Crowd()
    guests = fill(crowd, MOST_CONNECTIONS)
    guests[0].has_asked = True

    assert crowd.admit(Connection())
    assert left(guests) == [1]
    assert len(crowd) == MOST_CONNECTIONS


def test_those_who_have_asked_make_no_room():
    """The newcomer is refused, and does not count."""
    crowd = Crowd()
    guests = fill(crowd, MOST_CONNECTIONS, has_asked=True)
    newcomer = Connection()
    assert not crowd.admit(newcomer)

    crowd.dismiss(newcomer)
    assert not crowd.admit(newcomer)
    crowd.dismiss(guests[5])

    assert crowd.admit(newcomer)
    assert left(guests) == []


def test_one_address_has_a_share():
    """What comes on top takes the place of its own, and of nobody else."""
    crowd = Crowd()
    others = fill(crowd, 3, origin="another")
    guests = fill(crowd, MOST_OF_ONE, origin="one")

    assert crowd.admit(Connection(origin="one"))
    assert (left(others), left(guests)) == ([], [0])
    assert len(crowd) == 3 + MOST_OF_ONE


def test_one_address_that_has_asked_for_all_its_share_is_refused():
    """Others are not; and its share comes back with each that goes."""
    crowd = Crowd()
    guests = fill(crowd, MOST_OF_ONE, origin="one", has_asked=True)
    assert not crowd.admit(Connection(origin="one"))
    assert crowd.admit(Connection(origin="another"))

    crowd.dismiss(guests[0])
    crowd.dismiss(guests[0])

    assert crowd.admit(Connection(origin="one"))
    assert left(guests) == []


def test_this_machine_has_no_share():
    """Its users cannot be told apart by their address."""
    crowd = Crowd()
    fill(crowd, MOST_CONNECTIONS, has_asked=True)

    assert len(crowd) == MOST_CONNECTIONS


@pytest.mark.parametrize(("one", "other"), [("2001:db8:0:1::1", "2001:db8:0:1:ffff::2"), ("10.1.2.3", "10.1.2.3")])
def test_what_counts_as_one(one, other):
    """An address, or what is behind the first half of an IPv6 address, which is one machine's to choose."""
    assert find_origin(one) == find_origin(other)


@pytest.mark.parametrize(("one", "other"), [("2001:db8:0:1::1", "2001:db8:0:2::1"), ("10.1.2.3", "10.1.2.4")])
def test_what_counts_as_two(one, other):
    """Neighbours."""
    assert find_origin(one) != find_origin(other)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1"])
def test_this_machine_is_nobody(host):
    """Whichever of its addresses is used."""
    assert find_origin(host) is None


def test_a_link_local_address_with_its_interface():
    """As the system writes it."""
    assert find_origin("fe80::1%eth0") == find_origin("fe80::2%eth0")


def test_clients_of_a_socket_for_both_families_are_told_apart():
    """It writes IPv4 addresses as IPv6 ones, all of them of one network (RFC 4291, section 2.5.5.2)."""
    assert find_origin("::ffff:192.0.2.1") == find_origin("192.0.2.1")
    assert find_origin("::ffff:192.0.2.1") != find_origin("::ffff:192.0.2.2")

"""Room for connections and exchanges."""

import pytest

from proxy.config.models import Limits
from proxy.errors import ClientLimit, Overloaded
from proxy.http.authority import find_share
from proxy.relay.occupancy import STRANGERS, TOLD, Occupancy

LIMITS = Limits(connections=3, client_connections=2, in_flight=3, client_in_flight=2)


def test_a_client_has_its_share_of_connections_and_no_more():
    """Others still find room."""
    occupancy = Occupancy(LIMITS)
    for _ in range(2):
        assert occupancy.arrive("10.1.0.1")
        occupancy.check_connections("10.1.0.1")
    assert occupancy.arrive("10.1.0.1")
    with pytest.raises(ClientLimit):
        occupancy.check_connections("10.1.0.1")
    occupancy.leave("10.1.0.1")
    assert occupancy.arrive("10.1.0.2")

    occupancy.check_connections("10.1.0.2")


def test_all_clients_together_have_a_limit():
    """However few each of them has."""
    occupancy = Occupancy(LIMITS)
    for client in ("10.1.0.1", "10.1.0.2", "10.1.0.3", "10.1.0.4"):
        assert occupancy.arrive(client)

    with pytest.raises(Overloaded):
        occupancy.check_connections("10.1.0.4")


def test_some_beyond_the_limit_may_be_told_and_the_rest_not():
    """Whoever is turned away is counted, and takes no place."""
    occupancy = Occupancy(LIMITS)
    arrived = [occupancy.arrive(f"10.0.0.{number}") for number in range(3 + TOLD + 2)]

    assert arrived.count(True) == 3 + TOLD
    assert (occupancy.connections, occupancy.turned_away) == (3 + TOLD, 2)


def test_strangers_have_places_of_their_own():
    """They are none of the connections that clients are counted by."""
    occupancy = Occupancy(LIMITS)
    arrived = [occupancy.arrive(STRANGERS) for _ in range(TOLD + 1)]

    assert arrived == [True] * TOLD + [False]
    assert occupancy.connections == 0
    assert occupancy.arrive("10.1.0.1")

    occupancy.check_connections("10.1.0.1")


def test_what_has_gone_makes_room_and_is_forgotten():
    """There are many addresses in a network, and a count of zero for each would add up."""
    occupancy = Occupancy(LIMITS)
    for number in range(1000):
        client = f"10.0.{number // 256}.{number % 256}"
        occupancy.arrive(client)
        occupancy.begin(client)
        occupancy.check_exchanges(client)
        occupancy.end(client)
        occupancy.leave(client)

    assert repr(occupancy) == "<Occupancy connections=0 in_flight=0>"
    assert not occupancy._connections_of
    assert not occupancy._in_flight_of


def test_a_client_has_its_share_of_exchanges_and_no_more():
    """The next is refused with 429; when all have too many, with 503."""
    occupancy = Occupancy(LIMITS)
    for _ in range(3):
        occupancy.begin("10.1.0.1")
    with pytest.raises(ClientLimit):
        occupancy.check_exchanges("10.1.0.1")
    occupancy.begin("10.1.0.2")

    with pytest.raises(Overloaded):
        occupancy.check_exchanges("10.1.0.2")


@pytest.mark.parametrize(
    ("address", "share"),
    [
        ("10.20.3.7", "10.20.3.7"),
        ("::ffff:10.20.3.7", "10.20.3.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
    ],
)
def test_an_ipv6_client_cannot_choose_itself_another_share(address, share):
    """The lower half of its address is its own to choose."""
    assert find_share(address) == share

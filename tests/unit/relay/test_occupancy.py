"""Room for connections and exchanges."""

import pytest

from proxy.config.models import Limits
from proxy.errors import ClientLimit, Overloaded
from proxy.relay.occupancy import STRANGERS, TOLD, Occupancy

LIMITS = Limits(connections=3, client_connections=2, in_flight=3, client_in_flight=2)


def test_a_client_has_its_share_of_connections_and_no_more():
    """Others still find room."""
    occupancy = Occupancy(LIMITS)
    for _ in range(2):
        assert occupancy.arrive("a")
        occupancy.check_connections("a")
    assert occupancy.arrive("a")
    with pytest.raises(ClientLimit):
        occupancy.check_connections("a")
    occupancy.leave("a")
    assert occupancy.arrive("b")

    occupancy.check_connections("b")


def test_all_clients_together_have_a_limit():
    """However few each of them has."""
    occupancy = Occupancy(LIMITS)
    for client in ("a", "b", "c", "d"):
        assert occupancy.arrive(client)

    with pytest.raises(Overloaded):
        occupancy.check_connections("d")


def test_some_beyond_the_limit_may_be_told_and_the_rest_not():
    """Whoever is turned away is counted, and takes no place."""
    occupancy = Occupancy(LIMITS)
    arrived = [occupancy.arrive(f"client {number}") for number in range(3 + TOLD + 2)]

    assert arrived.count(True) == 3 + TOLD
    assert (occupancy.connections, occupancy.turned_away) == (3 + TOLD, 2)


def test_strangers_have_places_of_their_own():
    """They are none of the connections that clients are counted by."""
    occupancy = Occupancy(LIMITS)
    arrived = [occupancy.arrive(STRANGERS) for _ in range(TOLD + 1)]

    assert arrived == [True] * TOLD + [False]
    assert occupancy.connections == 0
    assert occupancy.arrive("a")

    occupancy.check_connections("a")


def test_what_has_gone_makes_room_and_is_forgotten():
    """There are many addresses in a network, and a count of zero for each would add up."""
    occupancy = Occupancy(LIMITS)
    for number in range(1000):
        client = f"client {number}"
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
        occupancy.begin("a")
    with pytest.raises(ClientLimit):
        occupancy.check_exchanges("a")
    occupancy.begin("b")

    with pytest.raises(Overloaded):
        occupancy.check_exchanges("b")

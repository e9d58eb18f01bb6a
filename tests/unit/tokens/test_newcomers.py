"""Who is not proved yet, and who of them gives way."""

from dataclasses import dataclass

import pytest

from proxy.errors import ClientLimit, Overloaded
from proxy.tokens.newcomers import Newcomers


@dataclass(eq=False)
class Anyone:
    """A person as he is looked at."""

    client: str
    is_calling: bool = False
    is_idle: bool = False


def fill(newcomers, client, count, **state):
    """Let ``count`` of a client come, and return them."""
    crowd = [Anyone(client, **state) for _ in range(count)]
    for person in crowd:
        newcomers.add(person)
    return crowd


def test_while_there_is_room_nobody_gives_way():
    """Not even those for whom nobody waits."""
    newcomers = Newcomers(4, 2)
    fill(newcomers, "one", 1, is_idle=True)
    fill(newcomers, "other", 2)

    assert newcomers.make_room("one") is None
    assert len(newcomers) == 3


def test_a_client_makes_room_for_itself():
    """The oldest for whom nobody waits gives way; without one its share is used up."""
    newcomers = Newcomers(10, 2)
    waiting, idle = fill(newcomers, "one", 2)
    with pytest.raises(ClientLimit):
        newcomers.make_room("one")
    idle.is_idle = True
    assert newcomers.make_room("one") is idle
    newcomers.discard(waiting)
    newcomers.discard(waiting)

    assert newcomers.make_room("one") is None
    assert len(newcomers) == 1


def test_when_it_is_full_those_give_way_for_whom_nobody_waits():
    """Those of the client that has most first."""
    newcomers = Newcomers(3, 6)
    fill(newcomers, "one", 2, is_idle=True)
    crowd = fill(newcomers, "other", 4)
    assert newcomers.make_room("third").client == "one"
    crowd[1].is_idle = True

    assert newcomers.make_room("third") is crowd[1]


def test_then_the_newest_of_the_client_that_has_most():
    """Never one whose call is under way."""
    newcomers = Newcomers(3, 6)
    fill(newcomers, "one", 2)
    crowd = fill(newcomers, "other", 4)
    assert newcomers.make_room("third") is crowd[3]
    assert newcomers.make_room("one") is crowd[3]
    crowd[3].is_calling = True
    assert newcomers.make_room("third") is crowd[2]
    for person in crowd:
        person.is_calling = True

    assert newcomers.make_room("third").client == "one"


@pytest.mark.parametrize("client", ["one", "other"])
def test_clients_that_have_as_much_do_not_push_each_other_out(client):
    """Nor does one that would then have more than the other."""
    newcomers = Newcomers(4, 5)
    fill(newcomers, "one", 2)
    fill(newcomers, "other", 3)

    with pytest.raises(Overloaded):
        newcomers.make_room(client)


@pytest.mark.parametrize("clients", [8, 80])
def test_who_has_few_finds_a_place_however_many_calls_of_others_hang(clients):
    """All that each may have hang; the next client's first, second and third come in, and not its eleventh."""
    newcomers = Newcomers(512, 128)
    for _ in range(128):
        for client in range(clients):
            try:
                assert newcomers.make_room(str(client)) is None
            except Overloaded:
                continue
            fill(newcomers, str(client), 1, is_calling=True)
    for _ in range(3):
        assert newcomers.make_room("desk") is None
        fill(newcomers, "desk", 1, is_calling=True)
    fill(newcomers, "desk", 7, is_calling=True)
    with pytest.raises(Overloaded):
        newcomers.make_room("desk")

    assert 512 <= len(newcomers) < 768

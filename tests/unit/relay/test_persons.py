"""Whose token a request goes with, where the client says so."""

from ipaddress import ip_address, ip_network

import pytest

from proxy.errors import ClientLogin, ClientNotAllowed, Malformed
from proxy.http.basic import build_basic
from proxy.http.head import parse_request_head
from proxy.relay.persons import ByLogin, ByName

CLIENT = ip_address("10.20.3.7")


class Everybody:
    """Finds whom it is asked for; stands for the token sources of persons."""

    def find(self, username, password):
        """Return both, so that a test sees who was asked for."""
        return username, password


def request(*fields):
    """Parse a request with these fields."""
    return parse_request_head("\r\n".join(["GET / HTTP/1.1", "Host: a", *fields, "", ""]).encode())


def by_name():
    """Let two users be named by clients of one network."""
    return ByName("X-Dispatcher", (ip_network("10.20.3.0/24"),), {"alice": "alice's", "bob": "bob's"})


def test_a_basic_login_is_its_persons():
    """Name and password decide."""
    chosen = ByLogin(Everybody()).choose(request(f"Authorization: {build_basic('alice', 'a:b')}"), CLIENT)

    assert (chosen.user, chosen.source) == ("alice", ("alice", "a:b"))


@pytest.mark.parametrize(
    "fields",
    [
        (),
        ("Authorization: Bearer x",),
        ("Authorization: Basic !",),
        (f"Authorization: {build_basic('alice', 'a')}", f"Authorization: {build_basic('bob', 'b')}"),
    ],
    ids=["none", "no Basic", "unreadable", "two"],
)
def test_without_one_login_there_is_no_person(fields):
    """Two of them would be a guess, and one person's token must never go with another's request."""
    with pytest.raises(ClientLogin):
        ByLogin(Everybody()).choose(request(*fields), CLIENT)


def test_a_field_names_its_user():
    """Its name's case does not count, its value's does."""
    chosen = by_name().choose(request("x-dispatcher: bob"), CLIENT)

    assert (chosen.user, chosen.source) == ("bob", "bob's")


@pytest.mark.parametrize(
    ("fields", "client", "error"),
    [
        ((), CLIENT, Malformed),
        (("X-Dispatcher: alice", "X-Dispatcher: bob"), CLIENT, Malformed),
        (("X-Dispatcher: Alice",), CLIENT, ClientNotAllowed),
        (("X-Dispatcher: alice",), ip_address("10.20.4.7"), ClientNotAllowed),
    ],
    ids=["none", "two", "unknown", "from elsewhere"],
)
def test_who_is_not_named_once_by_whoever_may_is_nobody(fields, client, error):
    """Being named is all the proof there is, so the networks and the spelling are exact."""
    with pytest.raises(error):
        by_name().choose(request(*fields), client)

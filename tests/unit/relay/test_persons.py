"""Whose token a request goes with, where the client says so."""

from ipaddress import ip_address, ip_network

import pytest

from proxy.errors import ClientLogin, ClientNotAllowed, Malformed
from proxy.exchange import Exchange
from proxy.http.basic import build_basic
from proxy.http.head import parse_request_head
from proxy.relay.persons import ByLogin, ByName

CLIENT = ip_address("10.20.3.7")


class Everybody:
    """Finds whom it is asked for; stands for the token sources of persons."""

    def find(self, username, password, client):  # noqa: ARG002 (see People)
        """Return both, so that a test sees who was asked for."""
        return username, password


def request(*fields):
    """Parse a request with these fields."""
    return parse_request_head("\r\n".join(["GET / HTTP/1.1", "Host: a", *fields, "", ""]).encode())


class Nobody:
    """Believes nobody; stands for token sources that have refused a login a short while ago."""

    def find(self, username, password, client):  # noqa: ARG002 (see People)
        """Refuse."""
        detail = f"{username} and {password} are not believed"
        raise ClientLogin(detail)


@pytest.fixture
def exchange():
    """Return an exchange that is told whose it is."""
    return Exchange("1", 0.0, 0.0, "cad", str(CLIENT))


def by_name():
    """Let two users be named by clients of one network."""
    return ByName("X-Dispatcher", (ip_network("10.20.3.0/24"),), {"alice": "alice's", "bob": "bob's"})


def test_a_basic_login_is_its_persons(exchange):
    """Name and password decide."""
    head = request(f"Authorization: {build_basic('alice', 'a:b')}")

    assert ByLogin(Everybody()).choose(exchange, head, CLIENT) == ("alice", "a:b")
    assert exchange.user == "alice"


def test_a_login_that_is_not_believed_has_its_name_in_the_record(exchange):
    """Also where it is refused unasked, since it was refused before: whoever reads the log sees who tries."""
    with pytest.raises(ClientLogin):
        ByLogin(Nobody()).choose(exchange, request(f"Authorization: {build_basic('alice', 'guess')}"), CLIENT)

    assert exchange.user == "alice"


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
def test_without_one_login_there_is_no_person(exchange, fields):
    """Two of them would be a guess, and one person's token must never go with another's request."""
    with pytest.raises(ClientLogin):
        ByLogin(Everybody()).choose(exchange, request(*fields), CLIENT)

    assert exchange.user is None


def test_a_field_names_its_user(exchange):
    """Its name's case does not count, its value's does."""
    source = by_name().choose(exchange, request("x-dispatcher: bob"), CLIENT)

    assert (exchange.user, source) == ("bob", "bob's")


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
def test_who_is_not_named_once_by_whoever_may_is_nobody(exchange, fields, client, error):
    """Being named is all the proof there is, so the networks and the spelling are exact."""
    with pytest.raises(error):
        by_name().choose(exchange, request(*fields), client)

    assert exchange.user is None

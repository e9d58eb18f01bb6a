"""Whose token a request goes with, where the client says so."""

from ipaddress import ip_address, ip_network

import pytest

from proxy.errors import ClientLogin, ClientNotAllowed, Malformed
from proxy.exchange import Exchange
from proxy.http.basic import build_basic
from proxy.http.head import parse_request_head
from proxy.relay.persons import ByLogin, ByName, find_login_share

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


def name_in(encoding, name):
    """Parse a request that names a user in an encoding."""
    fields = [b"GET / HTTP/1.1", b"Host: a", b"X-Dispatcher: " + name.encode(encoding), b"", b""]
    return parse_request_head(b"\r\n".join(fields))


@pytest.mark.parametrize("encoding", ["utf-8", "iso-8859-1"])
def test_a_name_is_read_in_either_encoding(exchange, encoding):
    """The configuration is UTF-8, an old client may not be; the record has the name as it is configured."""
    persons = ByName("X-Dispatcher", (ip_network("10.20.3.0/24"),), {"josé": "josé's", "bob": "bob's"})

    assert persons.choose(exchange, name_in(encoding, "josé"), CLIENT) == "josé's"
    assert exchange.user == "josé"


def test_a_name_beyond_latin_1_is_read_in_utf_8(exchange):
    """It can be written in nothing else."""
    persons = ByName("X-Dispatcher", (ip_network("10.20.3.0/24"),), {"Иван": "Иван's"})

    assert persons.choose(exchange, name_in("utf-8", "Иван"), CLIENT) == "Иван's"


def test_what_could_be_two_names_is_nobodys(exchange):
    """The same bytes are the one name in UTF-8 and the other in ISO 8859-1; each has a spelling of its own left."""
    users = {"josé": "josé's", "josÃ©": "josÃ©'s"}
    persons = ByName("X-Dispatcher", (ip_network("10.20.3.0/24"),), users)
    with pytest.raises(ClientNotAllowed):
        persons.choose(exchange, name_in("utf-8", "josé"), CLIENT)

    assert persons.choose(exchange, name_in("iso-8859-1", "josé"), CLIENT) == "josé's"
    assert persons.choose(exchange, name_in("utf-8", "josÃ©"), CLIENT) == "josÃ©'s"


@pytest.mark.parametrize(
    ("address", "share"),
    [
        ("127.0.0.1", "loopback"),
        ("127.9.8.7", "loopback"),
        ("::1", "loopback"),
        ("::ffff:127.0.0.2", "loopback"),
        ("10.20.3.7", "10.20.3.7"),
        ("::ffff:10.20.3.7", "10.20.3.7"),
        ("2001:db8::7", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_whose_share_a_login_counts_against(address, share):
    """A program on this machine has one, whichever of its addresses it uses."""
    assert find_login_share(address) == share

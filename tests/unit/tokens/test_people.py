"""Persons who prove themselves: a token each, nobody locked out, nobody kept for longer than need be."""

import asyncio

import pytest

from proxy.config.secret import Secret
from proxy.errors import ClientLogin, FetchError, NoToken, Overloaded
from proxy.tokens import people as module
from proxy.tokens.people import People
from proxy.tokens.token import REFUSED

SECRET = Secret("another", "test")


@pytest.fixture
def credential(make_credential):
    """Return a credential of persons."""
    return make_credential(grant="password", from_client="basic")


@pytest.fixture
async def people(credential, shared):
    """Return nobody yet."""
    people = People("dispatchers", credential, shared, b"key")
    await people.start()
    yield people
    await people.stop()


def disbelieve(server, *, code=None):
    """Refuse whoever asks from now on; RapidSOS gives no code for a wrong password."""
    server.error = FetchError(REFUSED, "refused", status=401, refused=True, code=code)


async def test_each_person_has_a_token_of_his_own(people, server):
    """And the same one however often he asks."""
    alice = await people.find("alice", "a").wait()
    bob = await people.find("bob", "b").wait()

    assert alice.authorization != bob.authorization
    assert people.find("alice", "a").current() == alice
    assert people.find("bob", "b").current() == bob
    assert server.calls == 2


async def test_a_name_with_another_password_is_somebody_else(people, server):
    """Whoever guesses gets no token of the person whose name he knows, and takes none away."""
    token = await people.find("alice", "a").wait()
    disbelieve(server)
    with pytest.raises(ClientLogin):
        await people.find("alice", "guess").wait()

    assert people.find("alice", "a").current() == token


async def test_name_and_password_cannot_be_read_two_ways(people):
    """Joined as text these would be the same."""
    assert people.find("a", "b:c") is not people.find("a:b", "c")


async def test_a_refused_pair_is_not_tried_again_for_a_minute(people, server, timeline):
    """RapidSOS may lock an account for many of them; the right password is tried at once."""
    disbelieve(server)
    with pytest.raises(ClientLogin):
        await people.find("alice", "wrong").wait()
    with pytest.raises(ClientLogin):
        people.find("alice", "wrong")
    assert server.calls == 1
    server.recover()
    await people.find("alice", "right").wait()
    assert server.calls == 2
    await timeline.advance(61)

    await people.find("alice", "wrong").wait()


async def test_a_hundred_wrong_guesses_lock_nobody_out(people, server):
    """Not even one who comes for the first time."""
    disbelieve(server)
    for guess in range(100):
        with pytest.raises(ClientLogin):
            await people.find("alice", f"guess {guess}").wait()
    server.recover()

    assert await people.find("alice", "right").wait()


@pytest.mark.parametrize("code", ["invalid_client", "unauthorized_client"])
async def test_a_refused_client_is_not_the_persons_fault(people, server, code):
    """He is not asked for another password; the detail says that the proxy's own key is wrong."""
    disbelieve(server, code=code)

    with pytest.raises(NoToken):
        await people.find("alice", "a").wait()


async def test_an_outage_is_not_the_persons_fault(people, server, timeline, begin):
    """503, and not 401."""
    server.go_down()
    waiting = begin(people.find("alice", "a").wait())
    await timeline.advance(6)

    with pytest.raises(NoToken):
        await waiting


async def test_who_has_not_asked_for_a_tokens_life_is_forgotten(people, timeline):
    """With his password; whoever asks on is kept, with a fresh token."""
    person = people.find("alice", "a")
    await person.wait()
    await people.find("bob", "b").wait()
    await timeline.advance(3000)
    people.find("bob", "b")
    await timeline.advance(700)
    people.forget_the_gone()
    await timeline.settle()

    assert len(people) == 1
    assert people.find("alice", "a") is not person
    assert people.find("bob", "b").current() is not None


async def test_a_defect_does_not_end_the_forgetting(credential, shared, monkeypatch):
    """Else passwords would be kept for as long as the process runs."""
    monkeypatch.setattr(module, "LOOK_S", 0.0)
    monkeypatch.setattr("proxy.tasks.RESTART_S", 0.0)
    looks, looked = [], asyncio.Event()

    def look():
        looks.append(None)
        if len(looks) == 1:
            raise LookupError
        looked.set()

    people = People("dispatchers", credential, shared, b"key")
    monkeypatch.setattr(people, "forget_the_gone", look)
    await people.start()
    async with asyncio.timeout(10):
        await looked.wait()
    await people.stop()

    assert len(looks) > 1


async def test_the_memory_has_a_bound(people, timeline, monkeypatch):
    """Whoever has not asked for longest gives way; but nobody who may be waiting."""
    monkeypatch.setattr(module, "MOST_PEOPLE", 2)
    first = people.find("first", "x")
    await timeline.advance(10)
    people.find("second", "x")
    people.find("third", "x")
    assert len(people) == 2
    assert people.find("second", "x") is not first

    with pytest.raises(Overloaded):
        people.find("fourth", "x")


async def test_a_new_client_secret_reaches_everybody(people, server, make_credential):
    """Those who are here, at their next call; and those who come."""
    await people.find("alice", "a").wait()
    renewed = make_credential(grant="password", from_client="basic", client_secret=SECRET)
    people.renew(renewed)
    token = people.find("alice", "a").current()

    assert token is not None
    assert server.calls == 1
    assert people.find("alice", "a")._credential.client_secret == SECRET
    assert people.find("bob", "b")._credential.client_secret == SECRET


async def test_the_status_tells_of_all_and_names_nobody(people, server):
    """Calls and failures are added up; whether it is usable is for each login to say."""
    await people.find("alice", "a").wait()
    disbelieve(server, code="invalid_client")
    with pytest.raises(NoToken):
        await people.find("bob", "b").wait()
    status = people.status()

    assert (status.name, status.usable, status.fingerprint) == ("dispatchers", True, None)
    assert (status.fetches, status.failures, status.last_error) == (2, 1, "refused")
    assert "alice" not in repr(status)


async def test_nothing_shows_a_password(people):
    """Neither the people nor a person."""
    person = people.find("alice", "a-very-secret-password")

    assert "a-very-secret-password" not in f"{people!r} {person!r} {vars(people)!r} {person._credential!r}"

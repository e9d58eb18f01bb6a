"""Persons who prove themselves: a token each, nobody locked out, nobody kept for longer than need be."""

import asyncio

import pytest
from structlog.testing import capture_logs

from proxy.config.secret import Secret
from proxy.errors import ClientLimit, ClientLogin, FetchError, NoToken, Overloaded
from proxy.tokens import people as module
from proxy.tokens.people import People
from proxy.tokens.token import NETWORK, REFUSED, STATUS, TIMEOUT, UNREADABLE

SECRET = Secret("another", "test")
CLIENT = "10.20.3.7"


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
    alice = await people.find("alice", "a", CLIENT).wait()
    bob = await people.find("bob", "b", CLIENT).wait()

    assert alice.authorization != bob.authorization
    assert people.find("alice", "a", CLIENT).current() == alice
    assert people.find("bob", "b", CLIENT).current() == bob
    assert server.calls == 2


async def test_a_name_with_another_password_is_somebody_else(people, server):
    """Whoever guesses gets no token of the person whose name he knows, and takes none away."""
    token = await people.find("alice", "a", CLIENT).wait()
    disbelieve(server)
    with pytest.raises(ClientLogin):
        await people.find("alice", "guess", CLIENT).wait()

    assert people.find("alice", "a", CLIENT).current() == token


async def test_name_and_password_cannot_be_read_two_ways(people):
    """Joined as text these would be the same."""
    assert people.find("a", "b:c", CLIENT) is not people.find("a:b", "c", CLIENT)


async def test_a_refused_pair_is_not_tried_again_for_a_minute(people, server, timeline):
    """RapidSOS may lock an account for many of them; the right password is tried at once."""
    disbelieve(server)
    with pytest.raises(ClientLogin):
        await people.find("alice", "wrong", CLIENT).wait()
    with pytest.raises(ClientLogin):
        people.find("alice", "wrong", CLIENT)
    assert server.calls == 1
    server.recover()
    await people.find("alice", "right", CLIENT).wait()
    assert server.calls == 2
    await timeline.advance(61)

    await people.find("alice", "wrong", CLIENT).wait()


async def test_a_hundred_wrong_guesses_lock_nobody_out(people, server):
    """Not even one who comes for the first time."""
    disbelieve(server)
    for guess in range(100):
        with pytest.raises(ClientLogin):
            await people.find("alice", f"guess {guess}", CLIENT).wait()
    server.recover()

    assert await people.find("alice", "right", CLIENT).wait()


@pytest.mark.parametrize("code", ["invalid_client", "unauthorized_client"])
async def test_a_refused_client_is_not_the_persons_fault(people, server, code):
    """He is not asked for another password; the detail says that the proxy's own key is wrong."""
    disbelieve(server, code=code)

    with pytest.raises(NoToken):
        await people.find("alice", "a", CLIENT).wait()


async def test_an_outage_is_not_the_persons_fault(people, server, timeline, begin):
    """503, and not 401."""
    server.go_down()
    waiting = begin(people.find("alice", "a", CLIENT).wait())
    await timeline.advance(6)

    with pytest.raises(NoToken):
        await waiting


async def test_who_has_not_asked_for_a_tokens_life_is_forgotten(people, timeline):
    """With his password; whoever asks on is kept, with a fresh token."""
    person = people.find("alice", "a", CLIENT)
    await person.wait()
    await people.find("bob", "b", CLIENT).wait()
    await timeline.advance(3000)
    people.find("bob", "b", CLIENT)
    await timeline.advance(700)
    people.forget_the_gone()
    await timeline.settle()

    assert len(people) == 1
    assert people.find("alice", "a", CLIENT) is not person
    assert people.find("bob", "b", CLIENT).current() is not None


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
    """Of those who are proved, whoever has not asked for longest gives way."""
    monkeypatch.setattr(module, "MOST_PEOPLE", 2)
    first = people.find("first", "x", CLIENT)
    await first.wait()
    await timeline.advance(10)
    await people.find("second", "x", CLIENT).wait()
    await people.find("third", "x", CLIENT).wait()

    assert len(people) == 2
    assert people.find("second", "x", CLIENT).has_token
    assert people.find("first", "x", CLIENT) is not first


@pytest.mark.parametrize("limit", [("MOST_UNPROVED", Overloaded), ("MOST_UNPROVED_OF_ONE", ClientLimit)])
async def test_invented_logins_take_nobodys_place(people, server, timeline, begin, monkeypatch, limit):
    """There are only so many that wait to be proved, of one client and of all; who is proved is served on."""
    token = await people.find("alice", "a", CLIENT).wait()
    bound, error = limit
    monkeypatch.setattr(module, bound, 3)
    server.hold()
    for guess in range(3):
        begin(people.find("alice", f"guess {guess}", CLIENT).wait())
    await timeline.settle()
    with pytest.raises(error):
        people.find("alice", "another guess", CLIENT)

    assert people.find("alice", "a", CLIENT).current() == token


async def test_an_unproved_login_lasts_no_longer_than_somebody_waits_for_it(people, server, timeline, begin):
    """Whoever sends one and leaves costs the authorization server nothing more."""
    server.go_down()
    waiting = begin(people.find("alice", "guess", CLIENT).wait())
    await timeline.settle()
    waiting.cancel()
    await timeline.settle()
    calls = server.calls
    await timeline.advance(60)

    assert len(people) == 0
    assert server.calls == calls


async def test_one_clients_guesses_go_a_few_at_a_time(people, server, timeline, begin):
    """Those of another client do not wait behind them."""
    server.hold()
    for guess in range(20):
        begin(people.find("alice", f"guess {guess}", CLIENT).wait())
    await timeline.settle()
    assert server.calls == module.UNPROVED_AT_ONCE
    begin(people.find("bob", "b", "10.20.3.8").wait())
    await timeline.settle()

    assert server.calls == module.UNPROVED_AT_ONCE + 1


async def test_a_new_client_secret_reaches_everybody(people, server, make_credential):
    """Those who are here, at their next call; and those who come."""
    await people.find("alice", "a", CLIENT).wait()
    renewed = make_credential(grant="password", from_client="basic", client_secret=SECRET)
    people.renew(renewed)
    token = people.find("alice", "a", CLIENT).current()

    assert token is not None
    assert server.calls == 1
    assert people.find("alice", "a", CLIENT)._credential.client_secret == SECRET
    assert people.find("bob", "b", CLIENT)._credential.client_secret == SECRET


async def test_a_call_tells_whose_it_was(people, server, ledger, timeline):
    """By the name that he gave, and that he had just come; the next ones are as any credential's."""
    await people.find("alice", "a", CLIENT).wait()
    await timeline.advance(1)
    await people.find("alice", "a", CLIENT).refresh()
    disbelieve(server)
    with pytest.raises(ClientLogin):
        await people.find("bob", "b", CLIENT).wait()

    assert [(fetch.user, fetch.reason, fetch.outcome) for fetch in ledger.fetches] == [
        ("alice", "login", "ok"),
        ("alice", "asked", "ok"),
        ("bob", "login", "refused"),
    ]


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (None, [("login.refused", "warning", "alice", "RapidSOS refused the login of user alice")]),
        ("invalid_client", [("token.refused", "error", None, "refused")]),
    ],
)
async def test_a_wrong_password_is_no_alarm_and_a_dead_key_is(people, server, code, told):
    """Somebody has mistyped, and the log says who; nobody of the agency has to do anything."""
    disbelieve(server, code=code)
    with capture_logs() as logs, pytest.raises((ClientLogin, NoToken)):
        await people.find("alice", "a", CLIENT).wait()

    assert [(entry["event"], entry["log_level"], entry.get("user"), entry["detail"]) for entry in logs] == told


async def test_a_made_up_name_of_a_mile_does_not_fill_the_log(people, server):
    """The record has all of it."""
    disbelieve(server)
    with capture_logs() as logs, pytest.raises(ClientLogin):
        await people.find("a" * 10_000, "a", CLIENT).wait()

    assert len(logs[0]["user"]) == 100


async def test_the_status_tells_of_all_and_names_nobody(people, server):
    """Calls and failures are added up, those of persons who have gone as well."""
    await people.find("alice", "a", CLIENT).wait()
    disbelieve(server)
    with pytest.raises(ClientLogin):
        await people.find("bob", "b", CLIENT).wait()
    status = people.status()

    assert (status.name, status.people, status.fingerprint) == ("dispatchers", 1, None)
    assert (status.fetches, status.failures) == (2, 1)
    assert "alice" not in repr(status)


async def test_before_anybody_has_asked_nothing_is_known_against_it(people):
    """Or a proxy that has only such credentials would never be ready."""
    status = people.status()

    assert (status.usable, status.people, status.last_error) == (True, 0, None)


async def test_a_refused_person_says_nothing_against_the_credential(people, server):
    """That the server refused him shows that it is there, and believes the client."""
    server.go_down()
    people.find("bob", "b", CLIENT)
    await people.find("bob", "b", CLIENT).refresh()
    assert not people.status().usable
    disbelieve(server)
    with pytest.raises(ClientLogin):
        await people.find("alice", "a", CLIENT).wait()

    assert (people.status().usable, people.status().last_error) == (True, None)


@pytest.mark.parametrize(
    ("error", "step"),
    [
        (FetchError(NETWORK, "no way there"), "Check this machine's way to it"),
        (FetchError(TIMEOUT, "no answer"), "Check this machine's way to it"),
        (FetchError(STATUS, "it answered 503", status=503), "If it lasts, check token_url"),
        (FetchError(UNREADABLE, "no JSON"), "Check token_url"),
        (FetchError(REFUSED, "refused", refused=True, code="invalid_client"), "Check the credential's id and secret"),
    ],
)
async def test_a_credential_that_no_person_gets_a_token_by_is_not_usable(people, server, error, step):
    """Whatever it is, as long as it is not the person."""
    server.error = error
    await people.find("alice", "a", CLIENT).refresh()
    status = people.status()

    assert (status.usable, status.last_error) == (False, error.detail)
    assert status.next_step is not None
    assert status.next_step.startswith(step)


async def test_it_is_usable_while_somebody_here_has_a_token(people, server, timeline):
    """As with any credential: the failure is told, and those who have one are served until it dies."""
    await people.find("alice", "a", CLIENT).wait()
    server.go_down()
    await people.find("bob", "b", CLIENT).refresh()
    status = people.status()
    assert (status.usable, status.last_error) == (True, server.error.detail)
    await timeline.advance(3599)

    assert not people.status().usable


async def test_the_end_of_an_outage_is_seen(people, server, timeline):
    """Though nobody asks any more: those who are here are asked for again until it ends."""
    server.go_down()
    await people.find("alice", "a", CLIENT).refresh()
    assert not people.status().usable
    server.recover()
    await timeline.advance(2)

    assert people.status().usable


async def test_when_all_have_gone_nothing_is_known_any_more(people, server, timeline):
    """A balancer that took the proxy out of service sends nobody who could find out that all is well again."""
    server.go_down()
    await people.find("alice", "a", CLIENT).refresh()
    assert not people.status().usable
    await timeline.advance(301)
    people.forget_the_gone()
    await timeline.settle()
    status = people.status()

    assert (status.usable, status.people, status.last_error) == (True, 0, None)


async def test_nothing_shows_a_password(people):
    """Neither the people nor a person."""
    person = people.find("alice", "a-very-secret-password", CLIENT)

    assert "a-very-secret-password" not in f"{people!r} {person!r} {vars(people)!r} {person._credential!r}"

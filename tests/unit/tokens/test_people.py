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
    with capture_logs():
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
    await timeline.advance(10)
    await people.find("third", "x", CLIENT).wait()

    assert len(people) == 2
    assert people.find("second", "x", CLIENT).has_token
    assert people.find("first", "x", CLIENT) is not first


async def test_invented_logins_take_nobodys_place(credential, shared, server, timeline, begin, monkeypatch):
    """There are only so many of one client that wait to be proved; who is proved is served on."""
    monkeypatch.setattr(module, "MOST_UNPROVED_OF_ONE", 3)
    people = People("dispatchers", credential, shared, b"key")
    token = await people.find("alice", "a", CLIENT).wait()
    server.hold()
    for guess in range(3):
        begin(people.find("alice", f"guess {guess}", CLIENT).wait())
    await timeline.settle()
    with pytest.raises(ClientLimit):
        people.find("alice", "another guess", CLIENT)

    assert people.find("alice", "a", CLIENT).current() == token
    await people.stop()


async def test_when_all_places_are_taken_the_newest_of_the_greediest_gives_way(
    credential, shared, server, timeline, begin, monkeypatch
):
    """A dispatcher at a desk of his own gets in; whose login gives way is told to come again."""
    monkeypatch.setattr(module, "MOST_UNPROVED", 3)
    monkeypatch.setattr(module, "CALLS_AT_ONCE", 2)
    people = People("dispatchers", credential, shared, b"key")
    server.hold()
    greedy = [begin(people.find("x", f"guess {guess}", CLIENT).wait()) for guess in range(3)]
    for other in range(3):
        begin(people.find(f"other {other}", "o", f"10.20.4.{other}").wait())
    await timeline.settle()
    dispatcher = begin(people.find("bob", "b", "10.20.3.8").wait())
    await timeline.settle()
    assert len(people) == 6
    assert [waiting.done() for waiting in greedy] == [False, False, True]
    with pytest.raises(Overloaded):
        await greedy[-1]
    server.let_go()

    assert await dispatcher
    await people.stop()


async def test_a_login_for_which_nobody_waits_gives_way_first(credential, shared, server, timeline, begin, monkeypatch):
    """Also to another of the same client; only the memory of a pause goes with it."""
    monkeypatch.setattr(module, "MOST_UNPROVED_OF_ONE", 2)
    people = People("dispatchers", credential, shared, b"key")
    server.go_down(retry_after_s=15.0)
    left = begin(people.find("x", "left", CLIENT).wait())
    await timeline.settle()
    left.cancel()
    await timeline.advance(2)
    server.hold()
    begin(people.find("x", "waits", CLIENT).wait())
    begin(people.find("x", "comes", CLIENT).wait())
    await timeline.settle()

    assert len(people) == 2
    assert server.calls == 3
    await people.stop()


async def test_a_proved_person_gives_way_to_nobody_who_is_not(credential, shared, server, timeline, begin, monkeypatch):
    """Whatever is invented."""
    monkeypatch.setattr(module, "MOST_PEOPLE", 1)
    people = People("dispatchers", credential, shared, b"key")
    alice = people.find("alice", "a", CLIENT)
    await alice.wait()
    await timeline.advance(10)
    server.hold()
    for guess in range(5):
        begin(people.find("alice", f"guess {guess}", CLIENT).wait())
    await timeline.settle()

    assert people.find("alice", "a", CLIENT) is alice
    await people.stop()


async def test_a_call_goes_on_when_nobody_waits_any_more(people, server, timeline, begin, ledger):
    """A server slower than the wait would lock everybody out otherwise: the next request has the token."""
    server.delay_s = 6.0
    waiting = begin(people.find("alice", "a", CLIENT).wait())
    await timeline.advance(5.5)
    with pytest.raises(NoToken):
        await waiting
    await timeline.advance(1)

    assert people.find("alice", "a", CLIENT).current() is not None
    assert (server.calls, len(ledger.fetches), people.status().fetches) == (1, 1, 1)


async def test_who_comes_as_the_first_one_leaves_waits_for_the_same_call(people, server, timeline, begin):
    """In the same turn of the loop; he is not told that there is no token."""
    server.delay_s = 1.0
    first = begin(people.find("alice", "a", CLIENT).wait())
    await timeline.settle()
    first.cancel()
    second = begin(people.find("alice", "a", CLIENT).wait())
    await timeline.advance(2)

    assert await second
    assert server.calls == 1


async def test_while_nobody_waits_an_unproved_login_costs_nothing(people, server, timeline, begin):
    """Whoever sends one and leaves costs the authorization server one call; then he is forgotten."""
    server.go_down()
    waiting = begin(people.find("alice", "guess", CLIENT).wait())
    await timeline.settle()
    waiting.cancel()
    await timeline.advance(60)
    assert server.calls == 1
    people.forget_the_gone()

    assert len(people) == 0


@pytest.mark.parametrize(("retry_after_s", "pause_s"), [(None, 0.25), (10.0, 10.0), (900.0, 15.0)])
async def test_a_pause_holds_though_clients_leave_and_come(people, server, timeline, begin, retry_after_s, pause_s):
    """What the server asked for, or the backoff, is not forgotten with the request that learned of it."""
    server.go_down(retry_after_s=retry_after_s)
    for _ in range(100):
        waiting = begin(people.find("alice", "a", CLIENT).wait())
        await timeline.advance(0.1)
        waiting.cancel()
        await timeline.settle()
        people.forget_the_gone()

    assert min([*server.gaps, 20.0]) >= pause_s


async def test_a_token_without_a_life_is_not_asked_for_at_each_request(people, server, timeline):
    """Four times a second at most, as for any credential."""
    server.life_s = 0.0
    for _ in range(10):
        assert await people.find("alice", "a", CLIENT).wait()
        await timeline.advance(0.3)

    assert min(server.gaps) >= 0.25


async def test_a_shift_begins_behind_one_address(people, server, timeline, begin):
    """A hundred right logins at once, each of whose calls takes two seconds: all are served within the wait."""
    server.delay_s = 2.0
    waiting = [begin(people.find(f"d{number}", "a", CLIENT).wait()) for number in range(100)]
    await timeline.advance(4.5)

    assert all(task.done() and task.exception() is None for task in waiting)
    assert server.most_at_once == module.CALLS_AT_ONCE


async def test_one_mistyped_password_does_not_narrow_the_shift(people, server, timeline, begin):
    """Those who are right widen the gate again."""
    disbelieve(server)
    with pytest.raises(ClientLogin):
        await people.find("alice", "mistyped", CLIENT).wait()
    server.recover()
    await people.find("bob", "b", CLIENT).wait()
    server.hold()
    for number in range(100):
        begin(people.find(f"d{number}", "a", CLIENT).wait())
    await timeline.settle()

    assert server.most_at_once == module.CALLS_AT_ONCE


async def test_a_clients_guesses_go_a_few_at_a_time(people, server, timeline, begin):
    """Once a few were refused; those of another client do not wait behind them, nor does who was believed before."""
    alice = await people.find("alice", "a", CLIENT).wait()
    disbelieve(server)
    for guess in range(4):
        with pytest.raises(ClientLogin):
            await people.find("alice", f"guess {guess}", CLIENT).wait()
    server.hold()
    calls = server.calls
    for guess in range(4, 50):
        begin(people.find("alice", f"guess {guess}", CLIENT).wait())
    await timeline.settle()
    assert server.calls == calls + module.CALLS_OF_REFUSED
    begin(people.find("bob", "b", "10.20.3.8").wait())
    people.find("alice", "a", CLIENT).suspect(alice)
    await timeline.advance(1)

    assert server.calls == calls + module.CALLS_OF_REFUSED + 2


async def test_a_refused_client_is_tried_once_a_minute_for_all(people, server, timeline, begin):
    """Whoever comes, and however many; who comes meanwhile is told at once why, and when to come again."""
    disbelieve(server, code="invalid_client")
    told = []
    for second in range(170):
        waiting = begin(people.find(f"d{second % 50}", "a", CLIENT).wait())
        await timeline.advance(1)
        told.append(waiting.exception())

    assert all(isinstance(error, NoToken) for error in told)
    assert told[10].retry_after_s == 50
    assert "refused" in told[10].detail
    assert server.called_at == [1000.0, 1060.0, 1120.0]


async def test_a_client_that_is_taken_again_is_used_by_all_at_once(people, server, timeline, begin):
    """One finds out; those who came meanwhile wait for it, and then get their own tokens."""
    disbelieve(server, code="invalid_client")
    for name in ("alice", "bob"):
        with pytest.raises(NoToken):
            await people.find(name, "a", CLIENT).wait()
    server.recover()
    server.delay_s = 1.0
    await timeline.advance(60)
    waiting = [begin(people.find(name, "a", CLIENT).wait()) for name in ("alice", "bob", "carol")]
    await timeline.advance(0.5)
    assert server.calls == 2
    await timeline.advance(2)

    assert all(task.done() and task.exception() is None for task in waiting)


async def test_who_tries_for_all_and_finds_nothing_out_leaves_it_to_the_next(people, server, timeline, begin):
    """A lost packet at the end of the minute must not end the trying."""
    disbelieve(server, code="invalid_client")
    with pytest.raises(NoToken):
        await people.find("alice", "a", CLIENT).wait()
    await timeline.advance(60)
    server.go_down()
    alice = begin(people.find("alice", "a", CLIENT).wait())
    await timeline.settle()
    alice.cancel()
    server.recover()
    bob = begin(people.find("bob", "b", CLIENT).wait())
    await timeline.advance(1)

    assert await bob


async def test_another_client_secret_ends_the_refusal_at_once(people, server, make_credential):
    """Also where a call with the old one is under way, whose refusal says nothing of the new."""
    disbelieve(server, code="invalid_client")
    with pytest.raises(NoToken):
        await people.find("alice", "a", CLIENT).wait()
    people.renew(make_credential(grant="password", from_client="basic", client_secret=SECRET))
    server.recover()

    assert await people.find("alice", "a", CLIENT).wait()
    assert await people.find("bob", "b", CLIENT).wait()


async def test_an_old_secrets_refusal_says_nothing_of_the_new(people, server, timeline, begin, make_credential):
    """It comes back after the change."""
    server.hold()
    disbelieve(server, code="invalid_client")
    alice = begin(people.find("alice", "a", CLIENT).wait())
    await timeline.settle()
    people.renew(make_credential(grant="password", from_client="basic", client_secret=SECRET))
    server.let_go()
    await timeline.settle()
    server.recover()
    await timeline.advance(1)

    assert await alice


async def test_a_refusal_by_status_alone_is_not_the_persons_fault(people, server, timeline):
    """A firewall's page: he is not told that his password is wrong, nobody else pays for it, and it passes."""
    server.error = FetchError(REFUSED, "refused", status=403, refused=True, is_vague=True)
    with pytest.raises(NoToken):
        await people.find("alice' OR 1=1", "a", CLIENT).wait()
    server.recover()
    assert await people.find("bob", "b", CLIENT).wait()
    with pytest.raises(NoToken):
        await people.find("alice' OR 1=1", "a", CLIENT).wait()
    await timeline.advance(15)

    assert await people.find("alice' OR 1=1", "a", CLIENT).wait()


async def test_a_call_that_the_stop_cuts_is_counted_and_recorded(credential, shared, server, timeline, begin, ledger):
    """Else the record and the authorization server would disagree."""
    people = People("dispatchers", credential, shared, b"key")
    server.hold()
    waiting = begin(people.find("alice", "a", CLIENT).wait())
    await timeline.settle()
    await people.stop()
    with pytest.raises(NoToken):
        await waiting

    assert [(fetch.user, fetch.outcome) for fetch in ledger.fetches] == [("alice", "stopped")]
    assert (people.status().fetches, people.status().failures) == (1, 1)


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
    """Though nobody asks: the tokens of those who are here are refreshed until it ends."""
    await people.find("alice", "a", CLIENT).wait()
    server.go_down()
    await timeline.advance(1890)
    assert people.status().last_error is not None
    server.recover()
    await timeline.advance(30)

    assert people.status().last_error is None


async def test_when_nobody_asks_nothing_is_known_any_more(people, server, timeline):
    """A balancer that took the proxy out of service sends nobody who could find out that all is well again."""
    server.go_down()
    await people.find("alice", "a", CLIENT).refresh()
    assert not people.status().usable
    await timeline.advance(31)
    people.forget_the_gone()
    await timeline.settle()
    status = people.status()

    assert (status.usable, status.people, status.last_error) == (True, 0, None)


async def test_nothing_shows_a_password(people):
    """Neither the people nor a person."""
    person = people.find("alice", "a-very-secret-password", CLIENT)

    assert "a-very-secret-password" not in f"{people!r} {person!r} {vars(people)!r} {person._credential!r}"

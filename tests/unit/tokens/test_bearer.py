"""The source that calls an authorization server: start, refresh, outage, refusal, waiting, cancelling, status."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from proxy.config.secret import Secret
from proxy.errors import FetchError, NoToken
from proxy.tokens.bearer import BearerSource
from proxy.tokens.token import REFUSED, STATUS, UNREADABLE, build_token_key

BEARER_1 = "Bearer token-1"
BEARER_2 = "Bearer token-2"


async def test_start_fetches_without_waiting(source, server, timeline):
    """The first call is made at start, and start does not wait for it."""
    server.hold()

    await source.start()
    await timeline.settle()

    assert server.calls == 1
    assert source.current() is None


async def test_start_brings_a_token(source, timeline, ledger):
    """Once the first call is answered the token is at hand."""
    await source.start()
    await timeline.settle()

    assert source.current().authorization == BEARER_1
    assert [(fetch.outcome, fetch.reason) for fetch in ledger.fetches] == [("ok", "start")]


async def test_start_with_the_server_down(source, server, timeline):
    """A source starts while its server is down, and has a token within a second of the server's return."""
    server.go_down()
    await source.start()
    await timeline.advance(600)
    assert source.current() is None

    server.recover()
    await timeline.advance(1.0)

    assert source.current().authorization == BEARER_1


async def test_life_counts_from_the_sending(source, server, timeline):
    """A token's life begins when its request is sent, not when the answer comes."""
    server.delay_s = 4.0
    server.life_s = 100.0
    await source.start()
    await timeline.advance(4.0)

    assert source.current().expires_at == pytest.approx(1100.0)


async def test_refresh_at_half_life(source, server, timeline, ledger):
    """At half its life a token is replaced, and again at half the next one's."""
    await source.start()
    await timeline.advance(1799.0)
    assert server.calls == 1

    await timeline.advance(1.0)
    assert source.current().authorization == BEARER_2

    await timeline.advance(1800.0)
    assert [fetch.reason for fetch in ledger.fetches] == ["start", "refresh", "refresh"]


async def test_nobody_waits_during_a_refresh(source, server, timeline):
    """While the refresh is under way the old token serves."""
    await source.start()
    await timeline.settle()
    server.hold()

    await timeline.advance(1900.0)

    assert server.calls == 2
    assert source.current().authorization == BEARER_1
    assert (await source.wait()).authorization == BEARER_1


async def test_outage_is_ridden_out(source, server, timeline):
    """From the refresh to the true expiry less the margin, an outage is not noticed; then there is no token."""
    await source.start()
    await timeline.settle()
    server.go_down()
    await timeline.advance(3594.9)
    assert source.current().authorization == BEARER_1

    await timeline.advance(0.2)

    assert source.current() is None


async def test_backoff_while_a_token_is_valid(source, server, timeline):
    """Calls come ever less often in an outage, and within 15 seconds of its end there is a new token."""
    await source.start()
    await timeline.settle()
    server.go_down()
    await timeline.advance(1800.0 + 900.0)
    gaps = server.gaps[1:]
    server.recover()

    await timeline.advance(15.0)

    assert gaps[:6] == pytest.approx([0.25, 0.5, 1.0, 2.0, 4.0, 7.5])
    assert max(gaps) <= 15.0
    assert source.current().authorization == BEARER_2


async def test_backoff_ends_with_the_token(source, server, timeline):
    """However patient the backoff, a call is made the moment the last valid token is gone."""
    await source.start()
    await timeline.settle()
    server.go_down(retry_after_s=60.0)

    await timeline.advance(3595.0)

    assert server.called_at[-1] == pytest.approx(4595.0)


async def test_calls_while_none_is_valid(source, server, timeline):
    """Without a valid token calls come every second or sooner, however long the outage."""
    server.go_down()
    await source.start()

    await timeline.advance(3600.0)

    assert max(server.gaps) <= 1.0
    assert min(server.gaps) >= 0.25


async def test_retry_after_is_honoured(source, server, timeline):
    """Retry-After holds the next call back: up to 15 seconds while people wait."""
    server.go_down(retry_after_s=120.0)
    await source.start()

    await timeline.advance(30.0)

    assert server.called_at == pytest.approx([1000.0, 1015.0, 1030.0])


async def test_those_who_wait_do_not_hurry_the_server(source, server, timeline, begin):
    """Requests that come and wait do not cut Retry-After short."""
    server.go_down(retry_after_s=10.0)
    await source.start()
    await timeline.settle()

    waiting = [begin(source.wait()) for _ in range(50)]
    await timeline.advance(9.0)

    assert server.calls == 1
    assert all(isinstance(task.exception(), NoToken) for task in waiting)


async def test_wait_spans_several_calls(source, server, timeline, begin):
    """A request that waits is served by the first call that succeeds, though others fail before."""
    server.go_down()
    await source.start()
    await timeline.settle()
    waiting = begin(source.wait())
    await timeline.advance(2.0)

    server.recover()
    await timeline.advance(1.0)

    assert waiting.result().authorization == BEARER_1


async def test_wait_gives_up_in_time(source, server, timeline, begin):
    """After the time limit a request is told what is wrong, what to do, and when to come back."""
    server.go_down()
    await source.start()
    waiting = begin(source.wait())

    await timeline.advance(5.0)

    with pytest.raises(NoToken) as caught:
        waiting.result()
    assert "Credential core: the authorization server could not be reached" in caught.value.detail
    assert "Check this machine's way to it" in caught.value.detail
    assert caught.value.retry_after_s == 1


async def test_wait_outlived_by_a_slow_call(source, server, timeline, begin):
    """A call slower than the wait goes on without those who gave up, and serves the next."""
    server.delay_s = 8.0
    await source.start()
    first = begin(source.wait())
    await timeline.advance(6.0)
    second = begin(source.wait())
    await timeline.advance(2.0)

    assert isinstance(first.exception(), NoToken)
    assert second.result().authorization == BEARER_1
    assert server.calls == 1


@pytest.mark.parametrize("moment", ["start", "refresh", "expiry"])
async def test_hundred_requests_one_call(source, server, timeline, moment, begin):
    """A hundred requests at once cause one call: at start, at the refresh, and after the expiry."""
    server.hold()
    await source.start()
    if moment != "start":
        server.let_go()
        await timeline.settle()
        server.hold()
        await timeline.advance(1800.0 if moment == "refresh" else 3600.0)
    calls = server.calls

    tasks = [begin(source.wait()) for _ in range(100)]
    await timeline.settle()
    server.let_go()
    await timeline.settle()

    assert server.calls == max(calls, 1)
    assert server.most_at_once == 1
    assert len({task.result().authorization for task in tasks}) == 1


@pytest.mark.parametrize("leaver", range(3))
async def test_cancelled_request_takes_nothing_with_it(source, server, timeline, leaver, begin):
    """Whichever request leaves, the first that waited included, the call goes on and serves the others."""
    server.hold()
    await source.start()
    tasks = [begin(source.wait()) for _ in range(3)]
    await timeline.settle()

    tasks[leaver].cancel()
    await timeline.settle()
    server.let_go()
    await timeline.settle()

    stayed = [task for number, task in enumerate(tasks) if number != leaver]
    assert tasks[leaver].cancelled()
    assert [task.result().authorization for task in stayed] == [BEARER_1, BEARER_1]
    assert server.calls == 1


async def test_all_requests_cancelled(source, server, timeline, begin):
    """Though every request leaves, the call goes on, and its token is there for the next."""
    server.hold()
    await source.start()
    tasks = [begin(source.wait()) for _ in range(3)]
    await timeline.settle()
    for task in tasks:
        task.cancel()
    await timeline.settle()

    server.let_go()
    await timeline.settle()

    assert source.current().authorization == BEARER_1
    assert server.calls == 1


async def test_stop_in_mid_call(source, server, timeline, begin):
    """Stopping ends the call under way, and those who wait are told."""
    server.hold()
    await source.start()
    waiting = begin(source.wait())
    await timeline.settle()

    await source.stop()
    await timeline.settle()

    assert isinstance(waiting.exception(), NoToken)
    with pytest.raises(NoToken):
        await source.wait()


async def test_refused_fails_requests_at_once(source, server, timeline):
    """While the credential is refused requests do not wait; they are told what to check."""
    server.refuse()
    await source.start()
    await timeline.settle()

    with pytest.raises(NoToken, match="id and secret") as caught:
        await source.wait()
    assert caught.value.retry_after_s == 60


async def test_refusal_ends_the_waiting(source, server, timeline, begin):
    """Those who wait when the credential is refused are told at once."""
    server.refuse()
    server.hold()
    await source.start()
    waiting = begin(source.wait())
    await timeline.settle()
    assert not waiting.done()

    server.let_go()
    await timeline.settle()

    assert isinstance(waiting.exception(), NoToken)


async def test_refused_is_tried_once_a_minute(source, server, timeline):
    """A refused credential is tried once a minute, whoever asks, and works again once the server takes it."""
    server.refuse()
    await source.start()
    for _ in range(120):
        await timeline.advance(1.0)
        with pytest.raises(NoToken):
            await source.wait()
    assert server.called_at == pytest.approx([1000.0, 1060.0, 1120.0])

    server.recover()
    await timeline.advance(60.0)

    assert source.current().authorization == BEARER_1


async def test_refused_while_a_token_is_valid(source, server, timeline):
    """A refresh that is refused leaves the valid token in use."""
    await source.start()
    await timeline.settle()
    server.refuse()

    await timeline.advance(3000.0)

    assert source.current().authorization == BEARER_1


async def test_a_refused_client_key_beside_a_password_is_tried_once_a_minute(make_credential, shared, server, timeline):
    """It is not the person that was refused, and the words do not say so."""
    person = make_credential(
        grant="password", username=Secret("dispatcher", "test"), password=Secret("password", "test")
    )
    source = BearerSource("person", person, build_token_key(person, b"key"), shared)
    server.error = FetchError(REFUSED, "refused", status=401, refused=True, code="invalid_client")
    await source.start()
    await timeline.advance(59)
    assert server.calls == 1
    with pytest.raises(NoToken) as caught:
        await source.wait()
    server.recover()
    await timeline.advance(2)

    assert "Check the credential's id and secret" in caught.value.detail
    assert "The proxy keeps trying." in caught.value.detail
    assert server.calls == 2
    assert source.current().authorization == BEARER_1
    await source.stop()


async def test_refused_password_is_sent_once(make_credential, shared, server, timeline):
    """A person's refused password is never sent again: the account could be locked."""
    credential = make_credential(
        grant="password", username=Secret("dispatcher", "test"), password=Secret("old password", "test")
    )
    source = BearerSource("person", credential, build_token_key(credential, b"key"), shared)
    server.refuse()
    await source.start()
    await timeline.advance(86_400.0)

    with pytest.raises(NoToken, match="change it; one from a file is used at once") as caught:
        await source.wait()
    assert server.calls == 1
    assert caught.value.retry_after_s == 60
    await source.stop()


async def test_person_is_retried_after_other_failures(make_credential, shared, server, timeline):
    """An outage is no refusal: a person's token is got as soon as the server is back."""
    credential = make_credential(
        grant="password", username=Secret("dispatcher", "test"), password=Secret("password", "test")
    )
    source = BearerSource("person", credential, build_token_key(credential, b"key"), shared)
    server.go_down()
    await source.start()
    await timeline.advance(10.0)

    server.recover()
    await timeline.advance(1.0)

    assert source.current().authorization == BEARER_1
    await source.stop()


@pytest.mark.parametrize("life_s", [0.0, -1.0])
async def test_used_up_token_serves_those_who_wait(source, server, timeline, life_s, begin):
    """A token whose life is zero or less serves those who wait and is not kept; nobody waits, nothing is called."""
    server.life_s = life_s
    server.hold()
    await source.start()
    waiting = [begin(source.wait()) for _ in range(3)]
    await timeline.settle()
    server.let_go()
    await timeline.settle()
    assert {task.result().authorization for task in waiting} == {BEARER_1}
    assert source.current() is None

    await timeline.advance(60.0)
    assert server.calls == 1

    later = begin(source.wait())
    await timeline.settle()
    assert later.result().authorization == BEARER_2


async def test_used_up_tokens_do_not_storm(source, server, timeline, begin):
    """However many requests a used-up token has to serve, there are four calls a second at most."""
    server.life_s = 0.0
    await source.start()
    await timeline.settle()

    for _ in range(1000):
        waiting = begin(source.wait())
        await timeline.advance(0.01)
        waiting.cancel()

    assert server.calls <= 41


async def test_used_up_token_does_not_push_out_a_good_one(source, server, timeline):
    """A refresh that brings a used-up token leaves the good one, and is made again before that expires."""
    await source.start()
    await timeline.settle()
    server.life_s = 0.0
    await timeline.advance(1800.0)
    assert source.current().authorization == BEARER_1

    server.life_s = 3600.0
    await timeline.advance(1700.0)

    assert source.current().authorization == "Bearer token-3"


async def test_short_token_does_not_push_out_a_longer_one(source, server, timeline):
    """A server that suddenly gives tokens of a second, and then fails, costs nobody the long token in hand."""
    await source.start()
    await timeline.settle()
    server.life_s = 1.0
    await timeline.advance(1800.0)
    server.go_down()

    await timeline.advance(1794.0)

    assert source.current().authorization == BEARER_1


async def test_short_token_takes_over_from_a_longer_one_that_ends(source, server, timeline):
    """While a server gives tokens of a second, one of them is there when the long one ends."""
    await source.start()
    await timeline.settle()
    server.life_s = 1.0
    await timeline.advance(3580.0)
    none = 0

    for _ in range(200):
        await timeline.advance(0.1)
        none += source.current() is None

    assert none == 0
    assert source.current().life_s == 1.0


async def test_last_word_on_a_life_counts(source, server, timeline):
    """A server that gives the same token with less left of it than it said before is believed."""
    await source.start()
    await timeline.settle()
    server.minted.clear()
    server.life_s = 60.0

    await timeline.advance(1800.0)

    assert source.current().expires_at == pytest.approx(timeline.now() + 60.0)


async def test_tiny_life_does_not_storm(source, server, timeline):
    """A token of a tenth of a second is replaced four times a second, not twenty."""
    server.life_s = 0.1
    await source.start()

    await timeline.advance(10.0)

    assert server.calls <= 41


async def test_token_dead_on_arrival_is_a_failure(source, server, timeline, ledger, begin):
    """A token that expired while its answer was under way is never sent; the next call comes soon."""
    server.delay_s = 3.0
    server.life_s = 2.0
    await source.start()
    waiting = begin(source.wait())
    await timeline.advance(3.0)
    assert [fetch.outcome for fetch in ledger.fetches] == [UNREADABLE]

    server.delay_s = 0.0
    await timeline.advance(1.0)

    assert waiting.result().authorization == BEARER_2


async def test_suspend_never_sends_a_dead_token(source, server, timeline, begin):
    """After two hours of sleep, in which no timer ran, the first use finds no token and a call is under way."""
    await source.start()
    await timeline.settle()
    timeline.suspend(7200.0)

    assert source.current() is None
    waiting = begin(source.wait())
    await timeline.settle()
    assert waiting.result().authorization == BEARER_2
    assert server.calls == 2


async def test_suspend_past_the_refresh(source, server, timeline):
    """After a sleep past half of its life the token serves, and its use starts the refresh that a timer missed."""
    await source.start()
    await timeline.settle()
    timeline.suspend(2000.0)
    for _ in range(100):
        assert source.current().authorization == BEARER_1

    await timeline.settle()

    assert source.current().authorization == BEARER_2
    assert server.calls == 2


async def test_suspend_without_use(source, server, timeline):
    """After a sleep the refresher looks at the clock within a minute, though nobody asks for a token."""
    await source.start()
    await timeline.settle()
    timeline.suspend(7200.0)

    await timeline.advance(60.0)

    assert server.calls == 2


async def test_unforeseen_exception_does_not_end_the_refresher(source, server, timeline):
    """A defect in a call is logged with its traceback; the calls go on."""
    server.error = RuntimeError("unforeseen")
    with capture_logs() as logs:
        await source.start()
        await timeline.settle()
    server.recover()
    await timeline.advance(1.0)

    assert [entry["event"] for entry in logs] == ["token.call_broke", "token.failed"]
    assert source.current().authorization == BEARER_1


async def test_failing_observer_does_not_end_the_refresher(source, ledger, timeline):
    """An observer that raises costs no token, and the refresh comes as planned."""
    ledger.fetches = None
    with capture_logs():
        await source.start()
        await timeline.settle()
        assert source.current().authorization == BEARER_1
        await timeline.advance(1800.0)

    assert source.current().authorization == BEARER_2


async def test_observer_is_told_of_each_call(source, server, timeline, ledger):
    """Each call, good or bad, is told with its cause, its time and its token's fingerprint, and with no secret."""
    server.error = FetchError(STATUS, "the authorization server answered 500", status=500)
    server.delay_s = 0.2
    await source.start()
    await timeline.advance(0.2)
    server.recover()
    await timeline.advance(1.0)

    failed, fetched = ledger.fetches
    assert (failed.outcome, failed.status, failed.reason, failed.fingerprint) == (STATUS, 500, "start", None)
    assert (fetched.outcome, fetched.status, fetched.reason, fetched.life_s) == ("ok", 200, "wait", 3600.0)
    assert fetched.seconds == pytest.approx(0.2)
    assert fetched.fingerprint == source.current().fingerprint
    assert "a-secret" not in repr(ledger.fetches)
    assert "token-1" not in repr(ledger.fetches)


async def test_status_of_a_good_credential(source, timeline):
    """The status tells the token's fingerprint, its expiry and the next refresh."""
    await source.start()
    await timeline.advance(100.0)

    status = source.status()

    assert (status.usable, status.fetches, status.failures, status.last_error) == (True, 1, 0, None)
    assert status.fingerprint == source.current().fingerprint
    assert status.expires_in_s == pytest.approx(3500.0)
    assert status.next_refresh_in_s == pytest.approx(1700.0)
    assert status.token_url == "https://api.example/oauth/token"


async def test_status_of_a_failing_credential(source, server, timeline):
    """The status tells the last error and its age, and that no token is usable."""
    server.go_down(retry_after_s=15.0)
    await source.start()
    await timeline.advance(10.0)

    status = source.status()

    assert (status.usable, status.fetches, status.failures, status.fingerprint) == (False, 1, 1, None)
    assert status.last_error == "the authorization server could not be reached"
    assert status.last_error_ago_s == pytest.approx(10.0)
    assert status.next_refresh_in_s == pytest.approx(5.0)


async def test_status_during_a_call(source, server, timeline):
    """While a call is under way no next one is planned."""
    server.hold()
    await source.start()
    await timeline.settle()

    assert source.status().next_refresh_in_s is None


async def test_repr_shows_state_and_no_token(source, timeline):
    """The repr tells how the source stands, without its token and secrets."""
    await source.start()
    await timeline.settle()

    assert repr(source).startswith("<BearerSource core usable=True <Schedule due_at=2800.0 in_flight=False")
    assert "token-1" not in repr(source)


async def test_steady_use_of_short_tokens(source, server, timeline):
    """With tokens of 20 seconds and calls of 0.3, none of 36,000 uses in an hour waits or gets a dead token."""
    server.life_s = 20.0
    server.delay_s = 0.3
    await source.start()
    await timeline.advance(0.3)
    none, dead = 0, 0

    for _ in range(36_000):
        await timeline.advance(0.1)
        token = source.current()
        none += token is None
        dead += token is not None and token.expires_at <= timeline.now()

    assert (none, dead) == (0, 0)
    assert 330 <= server.calls <= 370
    assert server.most_at_once == 1


async def test_steady_use_with_outages(source, server, timeline):
    """With tokens of 20 seconds, outages of 8 seconds twice a minute are noticed by none of 6,000 uses."""
    server.life_s = 20.0
    await source.start()
    await timeline.settle()
    none = 0

    for tick in range(6_000):
        if tick % 300 == 100:
            server.go_down()
        elif tick % 300 == 180:
            server.recover()
        await timeline.advance(0.1)
        none += source.current() is None

    assert none == 0
    assert server.minted


async def test_suspicion_waits_for_nothing(source, server, timeline):
    """A rejected token is replaced though nobody waits for another; a hundred who say so cost one call."""
    await source.start()
    await timeline.settle()
    rejected = source.current()

    told = [source.suspect(rejected) for _ in range(100)]
    await timeline.advance(1)

    assert told == [True] * 100
    assert server.calls == 2
    assert source.current() != rejected
    assert not source.suspect(rejected)

"""The source when an operator asks for a new token: one flight, the old one serves, the policy holds unless forced."""

from __future__ import annotations

import math

import pytest

from proxy.config.secret import Secret
from proxy.errors import RefreshPaused

BEARER_1 = "Bearer token-1"
BEARER_2 = "Bearer token-2"


async def test_it_brings_another_token(source, timeline, ledger, begin):
    """At once, whatever was planned; the status is the one after it, and the record says who wanted it."""
    await source.start()
    await timeline.settle()
    before = source.status()

    asked = begin(source.refresh())
    await timeline.advance(1.0)
    after = asked.result()

    assert source.current().authorization == BEARER_2
    assert after.fingerprint not in {before.fingerprint, None}
    assert (after.fetches, after.last_error, after.next_step) == (2, None, None)
    assert [fetch.reason for fetch in ledger.fetches] == ["start", "asked"]


async def test_the_old_token_serves_meanwhile(source, server, timeline, begin):
    """Nobody waits for what an operator asks for."""
    await source.start()
    await timeline.advance(1.0)
    server.hold()

    asked = begin(source.refresh())
    await timeline.settle()

    assert server.calls == 2
    assert not asked.done()
    assert source.current().authorization == BEARER_1


async def test_a_token_that_dies_sooner_is_taken_too(source, server, timeline, begin):
    """Whoever asks knows why: the longer one in hand is gone, also where others ask during the call."""
    await source.start()
    await timeline.advance(1.0)
    server.life_s = 60.0
    server.hold()
    asked = [begin(source.refresh())]
    await timeline.settle()
    asked.append(begin(source.refresh()))
    await timeline.settle()

    server.let_go()
    await timeline.settle()

    assert source.current().authorization == BEARER_2
    assert [task.result().expires_in_s for task in asked] == [60.0, 60.0]


async def test_several_who_ask_share_one_call(source, server, timeline, begin):
    """Also with the call that was under way before."""
    server.hold()
    await source.start()
    await timeline.settle()

    asked = [begin(source.refresh()) for _ in range(3)]
    await timeline.settle()
    server.let_go()
    await timeline.settle()

    assert server.calls == 1
    assert {one.result().fetches for one in asked} == {1}
    assert source.current().authorization == BEARER_1


async def test_a_call_that_was_joined_is_what_it_was_before(source, server, timeline, ledger, begin):
    """Nobody asked for it: it has its own reason, and a token that dies sooner takes nothing's place."""
    await source.start()
    await timeline.settle()
    server.life_s = 60.0
    server.hold()
    await timeline.advance(1801.0)

    joined = begin(source.refresh())
    await timeline.settle()
    server.let_go()
    await timeline.settle()

    assert joined.result().fetches == 2
    assert [fetch.reason for fetch in ledger.fetches] == ["start", "refresh"]
    assert source.current().authorization == BEARER_1


async def test_who_asks_after_a_call_gets_the_next(source, timeline, begin):
    """An outcome that is known already is not the one asked for."""
    await source.start()
    await timeline.advance(1.0)

    first = begin(source.refresh())
    await timeline.advance(1.0)
    second = begin(source.refresh())
    await timeline.advance(1.0)

    assert (first.result().fetches, second.result().fetches) == (2, 3)


async def test_a_failure_is_told_with_the_next_step(source, server, timeline, begin):
    """And the old token stays."""
    await source.start()
    await timeline.advance(1.0)
    server.go_down()

    asked = begin(source.refresh())
    await timeline.settle()
    status = asked.result()

    assert status.last_error == "the authorization server could not be reached"
    assert status.next_step.startswith("Check this machine's way to it")
    assert status.usable
    assert source.current().authorization == BEARER_1


async def test_a_short_backoff_is_waited_for(source, server, timeline, begin):
    """It is over sooner than a person can ask again."""
    server.go_down()
    await source.start()
    await timeline.settle()
    server.recover()

    asked = begin(source.refresh())
    await timeline.advance(1.0)

    assert asked.result().usable


async def test_a_refused_credential_is_not_sent_again_at_once(source, server, timeline):
    """The policy's minute holds for operators too, unless they insist."""
    server.refuse()
    await source.start()
    await timeline.advance(20.0)

    with pytest.raises(RefreshPaused) as caught:
        await source.refresh()

    assert server.calls == 1
    assert caught.value.pause_s == pytest.approx(40.0)
    assert caught.value.detail == (
        "the last call failed: the authorization server refused the credential; the next may be made in 40 s"
    )


async def test_force_calls_all_the_same(source, server, timeline, begin):
    """Whoever has just set it right at RapidSOS does not wait a minute."""
    server.refuse()
    await source.start()
    await timeline.advance(20.0)
    server.recover()

    asked = begin(source.refresh(force=True))
    await timeline.settle()

    assert asked.result().usable


async def test_a_server_that_asks_for_patience_gets_it(source, server, timeline):
    """Retry-After binds operators, too."""
    server.go_down(retry_after_s=15.0)
    await source.start()
    await timeline.settle()

    with pytest.raises(RefreshPaused):
        await source.refresh()

    assert server.calls == 1


async def test_those_who_ask_are_let_go_when_the_proxy_stops(source, server, timeline, begin):
    """They are told how things stand."""
    server.hold()
    await source.start()
    asked = begin(source.refresh())
    await timeline.settle()

    await source.stop()
    await timeline.settle()

    assert not asked.result().usable
    assert not (await source.refresh()).usable


class TestPerson:
    """A credential with a person's password."""

    @pytest.fixture
    def credential(self, make_credential):
        """Return one."""
        return make_credential(
            grant="password", username=Secret("a-user", "test"), password=Secret("a-password", "test")
        )

    async def test_a_refused_password_is_sent_again_only_by_force(self, source, server, timeline, begin):
        """Another refusal could lock the account; a person may know better."""
        server.refuse()
        await source.start()
        await timeline.advance(3600.0)
        with pytest.raises(RefreshPaused, match="another could lock the account") as caught:
            await source.refresh()
        calls_before = server.calls
        server.recover()

        asked = begin(source.refresh(force=True))
        await timeline.settle()

        assert caught.value.pause_s == math.inf
        assert calls_before == 1
        assert asked.result().usable

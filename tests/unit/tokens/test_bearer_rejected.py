"""The source after an upstream's 401: one new token however many saw it, and no storm when it does not help."""

from __future__ import annotations

import pytest

BEARER_1 = "Bearer token-1"
BEARER_2 = "Bearer token-2"


@pytest.fixture
async def started(source, timeline):
    """Return a source that has had its first token for a second."""
    await source.start()
    await timeline.advance(1.0)
    return source


async def replace(source, timeline, begin):
    """Have the current token replaced, as a relay does after a 401."""
    task = begin(source.replace(source.current()))
    await timeline.settle()
    return task.result()


async def test_hundred_rejections_one_call(started, server, timeline, ledger, begin):
    """A hundred requests whose token was rejected cause one call and all get its token."""
    server.hold()
    suspect = started.current()

    tasks = [begin(started.replace(suspect)) for _ in range(100)]
    await timeline.settle()
    server.let_go()
    await timeline.settle()

    assert {task.result().authorization for task in tasks} == {BEARER_2}
    assert server.calls == 2
    assert ledger.fetches[-1].reason == "rejected"


async def test_suspect_serves_until_its_successor_is_there(started, server, timeline, begin):
    """Others go on with the suspect while the new token is under way."""
    server.hold()
    suspect = started.current()
    task = begin(started.replace(suspect))
    await timeline.settle()
    assert started.current() is suspect

    server.let_go()
    await timeline.settle()

    assert started.current() is task.result()


async def test_late_rejection_gets_the_current_token(started, server, timeline, begin):
    """A rejection of a token that has been replaced meanwhile gets the current one without a call."""
    old = started.current()
    await replace(started, timeline, begin)

    token = await started.replace(old)

    assert token.authorization == BEARER_2
    assert server.calls == 2


async def test_rejection_during_a_refresh_joins_it(started, server, timeline, begin):
    """A rejection while the refresh is under way makes no call of its own."""
    server.hold()
    await timeline.advance(1800.0)
    task = begin(started.replace(started.current()))
    await timeline.settle()

    server.let_go()
    await timeline.settle()

    assert task.result().authorization == BEARER_2
    assert server.calls == 2


async def test_cancelled_rejection_leaves_the_call(started, server, timeline, begin):
    """A client that leaves during the replacement does not end it."""
    server.hold()
    tasks = [begin(started.replace(started.current())) for _ in range(2)]
    await timeline.settle()
    tasks[0].cancel()
    await timeline.settle()

    server.let_go()
    await timeline.settle()

    assert tasks[1].result().authorization == BEARER_2
    assert server.calls == 2


async def test_replacement_rejected_as_well(started, server, timeline, begin):
    """A new token that is rejected too pauses the next for 10 seconds: until then None, at once and without a call."""
    await replace(started, timeline, begin)
    await timeline.advance(1.0)

    assert await replace(started, timeline, begin) is None
    await timeline.advance(9.9)
    assert await replace(started, timeline, begin) is None
    assert server.calls == 2

    await timeline.advance(0.2)
    assert (await replace(started, timeline, begin)).authorization == "Bearer token-3"


async def test_pause_doubles_to_a_minute(started, server, timeline, begin):
    """Where every new token is rejected, calls end up one a minute."""
    for _ in range(6000):
        await timeline.advance(0.1)
        await replace(started, timeline, begin)

    gaps = server.gaps[1:]
    assert gaps[:4] == pytest.approx([10.2, 20.2, 40.2, 60.2], abs=0.2)
    assert min(gaps[3:]) >= 60.0


async def test_proved_replacement_frees_the_next(started, timeline, begin):
    """After a replacement that an upstream took, a second revocation is answered at once."""
    token = await replace(started, timeline, begin)
    started.prove(token)
    await timeline.advance(1.0)

    assert (await replace(started, timeline, begin)).authorization == "Bearer token-3"


async def test_old_replacement_counts_as_proved(started, timeline, begin):
    """A replacement that was not blamed for longer than the longest pause is replaced at once."""
    await replace(started, timeline, begin)
    await timeline.advance(61.0)

    assert (await replace(started, timeline, begin)).authorization == "Bearer token-3"


async def test_server_that_gives_the_same_token(started, server, timeline, ledger, begin):
    """A new token equal to the rejected one is no help, and pauses the next."""
    server.minted.clear()

    assert await replace(started, timeline, begin) is None
    assert await replace(started, timeline, begin) is None
    assert server.calls == 2
    assert [fetch.outcome for fetch in ledger.fetches] == ["ok", "ok"]


async def test_rejection_while_the_server_is_down(started, server, timeline, begin):
    """Without a new token in time the answer is None, and the suspect stays: it may be good elsewhere."""
    server.go_down()
    task = begin(started.replace(started.current()))

    await timeline.advance(5.0)

    assert task.result() is None
    assert started.current().authorization == BEARER_1


async def test_rejections_while_the_server_is_down_do_not_storm(started, server, timeline, begin):
    """However many rejections come while the server is down, there are four calls a second at most."""
    server.go_down()
    for _ in range(1000):
        task = begin(started.replace(started.current()))
        await timeline.advance(0.01)
        task.cancel()

    assert server.calls <= 42


async def test_rejection_hurries_a_patient_backoff(started, server, timeline, begin):
    """While only a suspect is at hand calls come every second, however patient they were before."""
    server.go_down()
    await timeline.advance(2400.0)
    task = begin(started.replace(started.current()))
    await timeline.settle()

    server.recover()
    await timeline.advance(1.0)

    assert task.result().authorization == BEARER_2


async def test_replacement_ends_the_suspicion(started, server, timeline, begin, ledger):
    """After a replacement the next refresh is an ordinary one, and its failures are met with patience."""
    await replace(started, timeline, begin)
    server.go_down()

    await timeline.advance(1800.0 + 900.0)

    assert ledger.fetches[2].reason == "refresh"
    assert server.gaps[-1] == pytest.approx(7.5)


async def test_rejection_while_refused(started, server, timeline, begin):
    """While the credential is refused a rejection is answered at once with None."""
    server.refuse()
    await timeline.advance(1800.0)
    calls = server.calls

    assert await replace(started, timeline, begin) is None
    assert server.calls == calls


async def test_rejection_of_an_expired_token(started, server, timeline, begin):
    """A rejection that comes when the suspect has expired waits for the next token."""
    suspect = started.current()
    server.go_down()
    await timeline.advance(3600.0)
    task = begin(started.replace(suspect))
    await timeline.settle()

    server.recover()
    await timeline.advance(1.0)

    assert task.result().authorization == BEARER_2


async def test_rejection_after_stop(started):
    """A stopped source has no other token."""
    suspect = started.current()
    await started.stop()

    assert await started.replace(suspect) is None

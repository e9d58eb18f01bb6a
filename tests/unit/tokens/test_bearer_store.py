"""A source and its store: what it takes from it, what it gives to it, and that it waits for neither."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest
from structlog.testing import capture_logs

from proxy.tokens.bearer import BearerSource
from proxy.tokens.cache import build_cache
from proxy.tokens.store import Claim, StoreStatus, Turn
from proxy.tokens.stored import StoredToken
from proxy.tokens.token import ADOPTED, build_token_key

KEY = "key"


class Shelf:
    """What the stores of several replicas share: one place for a token, and one turn.

    Attributes:
        is_lost: Whether it is unreachable.
        holder: Whose turn it is.
    """

    def __init__(self, timeline):
        """Be empty."""
        self.timeline = timeline
        self.is_lost = False
        self.holder = None
        self.fence = 0
        self.written = 0
        self.token = None
        self.issued_at = 0.0

    def put(self, token):
        """Keep a token."""
        self.token, self.issued_at = token, self.timeline.now() - token.age_s

    def find(self):
        """Return it, as old as it is."""
        if self.token is None:
            return None
        return dataclasses.replace(self.token, age_s=self.timeline.now() - self.issued_at)


class Replica:
    """A ``Store`` on a shelf."""

    def __init__(self, shelf):
        """Share ``shelf``."""
        self.shelf = shelf
        self.on_return = None

    async def start(self, on_return):
        """See ``Store``."""
        self.on_return = on_return

    async def stop(self):
        """See ``Store``."""

    async def agree(self, _key, mine):
        """See ``Store``."""
        if self.shelf.is_lost:
            return None
        found = self.shelf.find()
        if mine is not None and (found is None or mine.age_s < found.age_s):
            self.shelf.put(mine)
        return self.shelf.find()

    async def take_turn(self, _key, *, steal):
        """See ``Store``."""
        shelf = self.shelf
        if shelf.is_lost:
            return Turn(Claim())
        if shelf.holder not in {None, self} and not steal:
            return Turn(None, shelf.find())
        shelf.holder = self
        shelf.fence += 1
        return Turn(Claim(shelf.fence), shelf.find())

    async def end_turn(self, _key, claim, token):
        """See ``Store``."""
        if self.shelf.holder is self:
            self.shelf.holder = None
        if token is not None and claim.fence >= self.shelf.written and not self.shelf.is_lost:
            self.shelf.written = claim.fence
            self.shelf.put(token)

    def status(self):
        """See ``Store``."""
        return StoreStatus("redis", None, usable=not self.shelf.is_lost, failures=0, last_error=None)


@pytest.fixture
def shelf(timeline):
    """Return an empty shelf."""
    return Shelf(timeline)


@pytest.fixture
async def replica(shared, credential, shelf, timeline):
    """Return a function that makes a source with a cache of its own on the shelf; all are stopped after the test."""
    sources = []

    def make(dice=0.5):
        parts = {"cache": build_cache(timeline.now, 1), "store": Replica(shelf), "dice": lambda: dice}
        source = BearerSource(
            "core", credential, build_token_key(credential, b"key"), dataclasses.replace(shared, **parts)
        )
        sources.append(source)
        return source

    yield make
    for source in sources:
        await source.stop()


async def test_a_stored_token_serves_from_the_start(replica, shelf, server, timeline, ledger):
    """No call is made while it is fresh, and it is told as one that was not fetched."""
    shelf.put(StoredToken("stored", 3600.0, 600.0))
    source = replica()

    with capture_logs() as logs:
        await source.start()
        await timeline.settle()

    assert source.current().authorization == "Bearer stored"
    assert source.status().expires_in_s == pytest.approx(3000.0)
    assert server.calls == 0
    assert [(fetch.reason, fetch.outcome, fetch.authorization) for fetch in ledger.fetches] == [
        (ADOPTED, "ok", "Bearer stored")
    ]
    assert [entry["event"] for entry in logs] == ["token.adopted"]


async def test_a_stored_token_serves_while_the_server_is_down(replica, shelf, server, timeline):
    """Past its refresh too, up to its true expiry less the margin."""
    shelf.put(StoredToken("stored", 3600.0, 3000.0))
    server.go_down()
    source = replica()
    await source.start()
    await timeline.advance(594.0)
    assert source.current().authorization == "Bearer stored"

    await timeline.advance(2.0)

    assert source.current() is None


async def test_a_stored_token_is_refreshed_at_half_its_life(replica, shelf, server, timeline):
    """Counted from when it was fetched, by whomever."""
    shelf.put(StoredToken("stored", 3600.0, 600.0))
    source = replica()
    await source.start()
    await timeline.advance(1199.0)
    assert server.calls == 0

    await timeline.advance(2.0)

    assert source.current().authorization == "Bearer token-1"
    assert shelf.token.access_token == "token-1"


@pytest.mark.parametrize("age_s", [3596.0, 3599.9])
async def test_a_stored_token_about_to_die_is_not_taken(replica, shelf, timeline, age_s):
    """The send margin counts for it as well."""
    shelf.put(StoredToken("stored", 3600.0, age_s))
    source = replica()

    await source.start()
    await timeline.settle()

    assert source.current().authorization == "Bearer token-1"


async def test_replicas_fetch_one_token(replica, server, timeline):
    """Started together, and for many lives."""
    server.delay_s = 0.3
    sources = [replica(dice) for dice in (0.1, 0.5, 0.9)]
    await asyncio.gather(*(source.start() for source in sources))
    await timeline.advance(1.0)
    assert server.calls == 1
    assert {source.current().authorization for source in sources} == {"Bearer token-1"}

    await timeline.advance(10 * 1800.0)

    assert 10 <= server.calls <= 12
    assert server.most_at_once == 1
    assert len({source.current().authorization for source in sources}) == 1


async def test_a_rejected_token_is_replaced_once_for_all(replica, server, timeline, begin):
    """Who comes second finds the newer one in the store."""
    sources = [replica(), replica(), replica()]
    await asyncio.gather(*(source.start() for source in sources))
    await timeline.advance(1.0)
    old = sources[0].current()

    tasks = [begin(source.replace(old)) for source in sources]
    await timeline.advance(2.0)

    assert [task.result().authorization for task in tasks] == ["Bearer token-2"] * 3
    assert server.calls == 2


async def test_a_replica_that_comes_later_takes_the_replacement(replica, server, timeline, begin):
    """It has not been rejected here yet, but there."""
    first, second = replica(), replica()
    await first.start()
    await second.start()
    await timeline.advance(1.0)
    old = first.current()
    begin(first.replace(old))
    await timeline.advance(100.0)

    task = begin(second.replace(old))
    await timeline.settle()

    assert task.result().authorization == "Bearer token-2"
    assert server.calls == 2


async def test_the_rejected_token_itself_is_not_taken_back(replica, shelf, timeline, begin):
    """Though the store still has it."""
    source = replica()
    await source.start()
    await timeline.settle()
    old = source.current()
    assert shelf.token.access_token == "token-1"

    task = begin(source.replace(old))
    await timeline.advance(1.0)

    assert task.result().authorization == "Bearer token-2"
    assert shelf.token.access_token == "token-2"


async def test_a_rejected_token_is_not_taken_back_later(replica, shelf, timeline, begin):
    """Nor if the store says that it is the newest: whoever writes there may have kept it, and dated it anew."""
    source = replica()
    await source.start()
    await timeline.settle()
    begin(source.replace(source.current()))
    await timeline.advance(1.0)
    assert source.current().authorization == "Bearer token-2"

    for _ in range(3):
        shelf.put(StoredToken("token-1", 3600.0, 0.0))
        source.resync()
        await timeline.advance(1.0)

    assert source.current().authorization == "Bearer token-2"


async def test_an_older_stored_token_is_not_taken(replica, shelf, timeline):
    """It may be the one that was revoked."""
    source = replica()
    await source.start()
    await timeline.advance(10.0)

    shelf.put(StoredToken("older", 3600.0, 100.0))
    source.resync()
    await timeline.settle()

    assert source.current().authorization == "Bearer token-1"
    assert shelf.token.access_token == "token-1"


async def test_a_dead_holder_is_not_waited_for_while_people_wait(replica, shelf, server, timeline, begin):
    """After half of what they can bear the turn is taken from it."""
    shelf.holder = "a replica that has died"
    source = replica()
    await source.start()

    task = begin(source.wait())
    await timeline.advance(2.4)
    assert server.calls == 0
    await timeline.advance(0.3)

    assert task.result().authorization == "Bearer token-1"
    assert shelf.holder is None


async def test_nobody_hurries_the_holder_while_a_token_is_valid(replica, shelf, server, timeline):
    """The lock's expiry will do; nobody waits meanwhile."""
    source = replica()
    await source.start()
    await timeline.advance(1799.0)
    shelf.holder = "a replica that has died"

    await timeline.advance(12.0)
    assert server.calls == 1
    assert (await source.wait()).authorization == "Bearer token-1"
    shelf.holder = None
    await timeline.advance(1.1)

    assert source.current().authorization == "Bearer token-2"


async def test_the_holder_is_not_waited_for_beyond_the_life_of_a_short_token(replica, shelf, server, timeline):
    """What is left of it is less than the time from one look to the next."""
    server.life_s = 2.0
    source = replica()
    await source.start()
    await timeline.advance(0.95)
    shelf.holder = "a slow replica"
    await timeline.advance(0.9)

    shelf.put(StoredToken("of-the-slow-one", 2.0, 0.0))
    await timeline.advance(0.15)

    assert source.current().authorization == "Bearer of-the-slow-one"


async def test_a_rejection_hurries_a_replica_that_was_patient(replica, shelf, timeline, begin):
    """It looks again within a tenth of a second, and takes over after its patience."""
    source = replica()
    await source.start()
    await timeline.advance(1799.0)
    shelf.holder = "a replica that has died"
    await timeline.advance(1.5)

    task = begin(source.replace(source.current()))
    await timeline.advance(3.0)

    assert task.result().authorization == "Bearer token-2"


async def test_a_lost_store_costs_nobody_a_token(replica, shelf, server, timeline):
    """Each replica has its own then."""
    shelf.is_lost = True
    sources = [replica(), replica()]
    await asyncio.gather(*(source.start() for source in sources))
    await timeline.settle()

    assert [source.current().authorization for source in sources] == ["Bearer token-1", "Bearer token-2"]
    assert server.calls == 2


async def test_replicas_agree_again_when_the_store_is_back(replica, shelf, server, timeline):
    """On the newest of their tokens, without a call."""
    shelf.is_lost = True
    first, second = replica(), replica()
    await first.start()
    await timeline.advance(5.0)
    await second.start()
    await timeline.advance(5.0)

    shelf.is_lost = False
    first.resync()
    await timeline.settle()
    second.resync()
    await timeline.settle()
    first.resync()
    await timeline.settle()

    assert {first.current().authorization, second.current().authorization} == {"Bearer token-2"}
    assert server.calls == 2


async def test_replicas_agree_on_one_of_two_tokens_of_the_same_moment(replica, shelf, timeline):
    """The store has the last word; each by itself would keep its own."""
    shelf.is_lost = True
    first, second = replica(), replica()
    await asyncio.gather(first.start(), second.start())
    await timeline.advance(5.0)
    assert first.current().sent_at == second.current().sent_at

    shelf.is_lost = False
    first.resync()
    await timeline.settle()
    second.resync()
    await timeline.settle()

    assert first.current().authorization == second.current().authorization


async def test_a_suspect_token_is_not_given_to_others(replica, shelf, server, timeline, begin):
    """A store that is back gets a good token or none."""
    shelf.is_lost = True
    source = replica()
    await source.start()
    await timeline.settle()
    server.go_down()
    begin(source.replace(source.current()))
    await timeline.settle()

    shelf.is_lost = False
    source.resync()
    await timeline.settle()

    assert shelf.token is None


async def test_a_failed_call_gives_the_turn_back(replica, shelf, server, timeline):
    """Another replica may fare better."""
    server.go_down()
    source = replica()
    await source.start()
    await timeline.advance(3.0)

    assert shelf.holder is None
    assert shelf.token is None


async def test_a_stopped_source_gives_the_turn_back(replica, shelf, server, timeline):
    """In the middle of its call."""
    server.hold()
    source = replica()
    await source.start()
    await timeline.settle()
    assert shelf.holder is not None

    await source.stop()

    assert shelf.holder is None


async def test_a_token_without_a_life_is_not_stored(replica, shelf, server, timeline):
    """It serves those who wait, and is no more."""
    server.life_s = 0.0
    source = replica()
    await source.start()
    await timeline.settle()

    assert server.calls == 1
    assert shelf.token is None


async def test_a_token_that_dies_sooner_does_not_replace_the_stored_one(replica, shelf, server, timeline):
    """As it does not replace the one in hand: whoever starts next gets the longer one."""
    source = replica()
    await source.start()
    await timeline.settle()
    server.life_s = 1.0

    await timeline.advance(1800.0)

    assert server.calls == 2
    assert source.current().authorization == "Bearer token-1"
    assert shelf.find().access_token == "token-1"


async def test_a_refused_credential_is_usable_with_the_token_of_another_replica(replica, shelf, server, timeline):
    """Its secret may be the old one here, and the new one there."""
    server.refuse()
    source = replica()
    await source.start()
    await timeline.settle()
    assert source.status().last_error is not None

    shelf.put(StoredToken("stored", 3600.0, 1.0))
    await timeline.advance(60.0)

    assert source.current().authorization == "Bearer stored"
    assert source.status().last_error is None


async def test_a_secret_that_changes_in_a_turn_ends_the_turn_that_was_begun(
    replica, credential, shelf, server, timeline
):
    """And the token in hand is stored anew, under the name that belongs to the new secret."""
    source = replica()
    await source.start()
    await timeline.advance(1.0)
    server.hold()
    await timeline.advance(1800.0)
    assert shelf.holder is not None

    source.renew_credential(credential, build_token_key(credential, b"another"))
    shelf.token = None
    server.let_go()
    await timeline.advance(1.0)

    assert shelf.holder is None
    assert shelf.token.access_token == "token-2"


async def test_an_operator_waits_for_the_call_of_another_replica(replica, shelf, timeline, begin):
    """That is not the outcome that was asked for; what the other brings is."""
    source = replica()
    await source.start()
    await timeline.advance(1.0)
    shelf.holder = "another replica"

    task = begin(source.refresh())
    await timeline.advance(5.0)
    assert not task.done()
    shelf.put(StoredToken("of-the-other", 3600.0, 0.0))
    await timeline.advance(1.0)

    assert task.result().fingerprint == source.current().fingerprint
    assert source.current().authorization == "Bearer of-the-other"


class Broken(Replica):
    """A store with a defect."""

    async def end_turn(self, _key, _claim, _token):
        """Break."""
        raise ZeroDivisionError


async def test_a_defect_of_the_store_ends_nothing(credential, shared, shelf, timeline):
    """It is told, and tokens go on coming."""
    source = BearerSource("core", credential, KEY, dataclasses.replace(shared, store=Broken(shelf)))
    await source.start()
    with capture_logs() as logs:
        await timeline.advance(1801.0)

    assert source.current().authorization == "Bearer token-2"
    assert "token.call_broke" in [entry["event"] for entry in logs]
    await source.stop()


class Deaf(Replica):
    """A store that loses a cancellation, as asyncio.wait_for does before Python 3.12 when the result comes with it."""

    async def take_turn(self, _key, *, steal):
        """Wait for the cancellation, and lose it."""
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return await super().take_turn(_key, steal=steal)


async def test_a_lost_cancellation_does_not_keep_a_source_from_ending(credential, shared, shelf, timeline):
    """The next thing that it would do is not begun."""
    source = BearerSource("core", credential, KEY, dataclasses.replace(shared, store=Deaf(shelf)))
    await source.start()
    await timeline.settle()

    async with asyncio.timeout(5):
        await source.stop()

    assert shelf.holder is None

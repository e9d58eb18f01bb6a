"""The idle connections to one destination: which is taken next, which is left, and when they are closed."""

import asyncio
import errno

import pytest

from proxy.config.models import Config
from proxy.errors import BreakerOpen, UpstreamRefused, UpstreamTimeout
from proxy.relay.dial import Destination, Phases
from proxy.relay.pool import MOST_ALONE, Pool
from proxy.routing.origin import parse_origin

DOCUMENT = {"listener": [], "credential": {}, "route": [], "timeouts": {"pool_idle": 30.0}}


class Connection:
    """Stands for an upstream's connection; its socket is the kernel's business."""

    def __init__(self, *, is_closed=False, is_quiet=True):
        """Be as the test wants it."""
        self.is_closed = is_closed
        self.is_quiet = is_quiet
        self.idle_since = 0.0
        self.was_closed = False

    def close(self):
        """Note it."""
        self.was_closed = True


@pytest.fixture
def clock():
    """Return a clock that stands still until a test moves it."""
    return [100.0]


class Turn:
    """Stands for the event loop's turns."""

    number = 7


@pytest.fixture
def turn():
    """Return the present turn, which ends when a test counts it on."""
    return Turn()


class PatientDialer:
    """Stands for the network: a connection is there when the test says so."""

    def __init__(self):
        """Have none yet."""
        self.begun = 0
        self.may_connect = asyncio.Event()
        self.connections = []

    async def dial(self, _destination, _factory, _phases):
        """Wait for the test."""
        self.begun += 1
        await self.may_connect.wait()
        connection = Connection()
        self.connections.append(connection)
        return connection


@pytest.fixture
def dialer():
    """Return what the pool dials with."""
    return PatientDialer()


@pytest.fixture
def pool(clock, turn, dialer):
    """Return an empty pool."""
    destination = Destination(parse_origin("https://up.example"))
    return Pool(destination, dialer, turn, Config.model_validate(DOCUMENT), lambda: clock[0])


def test_the_connection_used_last_is_used_next(pool):
    """So that a burst's extra ones grow old and are closed."""
    first, last = Connection(), Connection()
    pool.put_back(first)
    pool.put_back(last)

    assert [pool.take(), pool.take(), pool.take()] == [last, first, None]


@pytest.mark.parametrize("state", [{"is_closed": True}, {"is_quiet": False}], ids=["closed", "has something to read"])
def test_one_that_may_be_dead_is_never_taken(pool, state):
    """The next one is, and the dead one is not offered again."""
    good, bad = Connection(), Connection(**state)
    pool.put_back(good)
    pool.put_back(bad)

    assert [pool.take(), pool.take()] == [good, None]
    assert bad.was_closed == (not bad.is_closed)


@pytest.mark.parametrize("passed", [0, 1], ids=["in this turn", "in an earlier turn"])
def test_the_kernel_is_asked_where_the_loop_has_not_been(pool, turn, passed):
    """Of one that came back in an earlier turn the loop has told by the end of this one, and a look costs."""
    connection = Connection(is_quiet=False)
    pool.put_back(connection)
    turn.number += passed

    assert pool.take() is (connection if passed else None)
    assert connection.was_closed == (not passed)


def test_the_kernel_is_asked_for_what_leaves_at_once(pool, turn):
    """A body that is still coming may leave before the turn ends."""
    bad, good = Connection(is_quiet=False), Connection()
    pool.put_back(good)
    pool.put_back(bad)
    turn.number += 1

    assert pool.take(at_once=True) is good
    assert bad.was_closed


def test_one_of_an_earlier_turn_is_taken_first(pool, turn):
    """It needs no look."""
    earlier, later = Connection(), Connection()
    pool.put_back(earlier)
    turn.number += 1
    pool.put_back(later)

    assert [pool.take(), pool.take()] == [earlier, later]


def test_what_has_been_idle_for_too_long_is_closed(pool, clock, turn):
    """Before the upstream does it, so that no request meets its close."""
    old, young = Connection(), Connection()
    pool.put_back(old)
    clock[0] += 20.0
    pool.put_back(young)
    turn.number += 1
    pool.sweep(clock[0] + 10.1)

    assert (old.was_closed, young.was_closed) == (True, False)
    assert [pool.take(), pool.take()] == [young, None]


def test_one_that_the_peer_closes_while_idle_is_forgotten(pool):
    """It is neither taken nor counted."""
    connection = Connection()
    pool.put_back(connection)
    pool.forget(connection)

    assert pool.take() is None
    assert pool.snapshot().idle == 0


class FailingDialer:
    """Stands for a network on which nothing can be reached."""

    def __init__(self, clock, error):
        """Fail with ``error`` after a second."""
        self._clock = clock
        self._error = error

    async def dial(self, _destination, _factory, _phases):
        """Fail."""
        self._clock[0] += 1.0
        raise self._error


def refuse(number):
    """Build what a dial raises when the kernel says ``number``."""
    error = UpstreamRefused("refused")
    error.__cause__ = OSError(number, "as the kernel says")
    return error


async def dial_often(clock, error):
    """Return a pool whose dials have failed often enough."""
    config = Config.model_validate(DOCUMENT)
    destination = Destination(parse_origin("https://up.example"))
    pool = Pool(destination, FailingDialer(clock, error), Turn(), config, lambda: clock[0], dice=lambda: 0.5)
    for _ in range(config.breaker.connections):
        with pytest.raises(type(error)):
            await pool.dial(Phases())
    return pool


@pytest.mark.parametrize(
    "error", [refuse(errno.ECONNREFUSED), UpstreamTimeout("no connection")], ids=["refused", "slow"]
)
async def test_an_upstream_that_cannot_be_reached_gets_no_new_connection_for_a_while(clock, error):
    """The request is told when to come back; an idle connection is given whatever the breaker says."""
    pool = await dial_often(clock, error)
    connection = Connection()
    pool.put_back(connection)
    with pytest.raises(BreakerOpen) as caught:
        pool.check_breaker("10.0.0.1")

    assert caught.value.retry_after_s == 1
    assert pool.take() is connection
    clock[0] += 0.5
    pool.check_breaker("10.0.0.1")


async def test_what_this_machine_has_run_out_of_is_not_held_against_an_upstream(clock):
    """A client could bring that about, with connections of its own."""
    pool = await dial_often(clock, refuse(errno.EMFILE))

    pool.check_breaker("10.0.0.1")
    assert pool.snapshot().breaker.failures == 0


async def leave_while_dialling(pool):
    """Begin a dial, and be gone before it has come about."""
    waiting = asyncio.get_running_loop().create_task(pool.dial(Phases()))
    for _ in range(3):
        await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    assert waiting.cancelled()


async def come_about(dialer):
    """Let connections come about, and the loop turn until everybody has heard of it."""
    dialer.may_connect.set()
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_dial_goes_on_when_its_client_has_left(pool, dialer):
    """The next exchange has the connection."""
    await leave_while_dialling(pool)
    before = pool.snapshot()
    await come_about(dialer)

    assert (before.idle, before.busy) == (0, 1)
    assert pool.take() is dialer.connections[0]


async def test_few_dials_go_on_without_a_client(pool, dialer):
    """Whoever comes and goes opens no more connections than that."""
    for _ in range(MOST_ALONE + 3):
        await leave_while_dialling(pool)
    await come_about(dialer)

    assert dialer.begun == MOST_ALONE + 3
    assert len(dialer.connections) == pool.snapshot().idle == MOST_ALONE


async def test_a_dial_without_a_client_ends_with_the_pool(pool, dialer):
    """It leaves no connection behind."""
    await leave_while_dialling(pool)
    pool.close()
    await come_about(dialer)

    assert dialer.connections == []
    assert pool.snapshot().busy == 0


def test_another_configuration_keeps_what_is_open(pool, clock, turn):
    """The idle time is the new one, for the connections that are idle already too."""
    idle = Connection()
    pool.put_back(idle)
    turn.number += 1
    pool.use(None, Config.model_validate({**DOCUMENT, "timeouts": {"pool_idle": 5.0}}))
    pool.sweep(clock[0] + 4.0)
    kept = idle.was_closed
    pool.sweep(clock[0] + 6.0)

    assert (kept, idle.was_closed) == (False, True)


def test_a_breaker_is_begun_anew_only_where_its_settings_change(pool):
    """What it knows of an upstream outlives a reload that has nothing to do with it."""
    breaker = pool.breaker
    pool.use(None, Config.model_validate({**DOCUMENT, "limits": {"body": 7}}))
    same = pool.breaker
    pool.use(None, Config.model_validate({**DOCUMENT, "breaker": {"connections": 9}}))

    assert same is breaker
    assert pool.breaker is not breaker


def test_a_retired_pool_closes_what_comes_back(pool, clock, turn):
    """At the next sweep; until then whoever holds it is served."""
    pool.retire()
    late = Connection()
    pool.put_back(late)
    taken = pool.take()
    pool.put_back(late)
    turn.number += 1
    pool.sweep(clock[0])

    assert taken is late
    assert late.was_closed
    assert pool.is_empty

"""Names to addresses: one look-up at a time, in threads that hang alone, and the addresses of before meanwhile."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest
from harness.dns import scripted_dns
from harness.running import until
from structlog.testing import capture_logs

from proxy.resolver import LAST_GOOD_S, MOST_THREADS, PATIENCE_S, AiohttpResolver, Resolver
from proxy.tasks import Tasks

HOST = "api.example"


@pytest.fixture
def dns():
    """Return a DNS that a test scripts."""
    with scripted_dns() as dns:
        yield dns


@pytest.fixture
def resolver(clock):
    """Return a resolver that waits a very short time for a name that it has no addresses of."""
    return Resolver(0.05, clock=clock)


@pytest.fixture
async def begin():
    """Return a function that starts a coroutine; those left over are cancelled."""
    tasks = Tasks()
    yield lambda work: tasks.start(work, name="dial")
    await tasks.stop()


async def find(resolver, host=HOST, port=443):
    """Return the addresses of a name, without the rest."""
    return [info[4][0] for info in await resolver.resolve(host, port)]


def lookup_threads():
    """Return how many look-ups have a thread."""
    return sum(thread.name.startswith("dns ") for thread in threading.enumerate())


async def test_a_name_is_looked_up(dns, resolver):
    """In the order that the system gives, with the port that is to be dialled."""
    dns.answer(HOST, "2001:db8::1", "192.0.2.1")
    found = await resolver.resolve(HOST, 443)

    assert [info[4][:2] for info in found] == [("2001:db8::1", 443), ("192.0.2.1", 443)]
    assert {info[1] for info in found} == {socket.SOCK_STREAM}


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1"])
async def test_an_address_stands_for_itself(resolver, address, monkeypatch):
    """Without a thread: nothing can hang."""
    monkeypatch.delattr(threading.Thread, "start")

    assert await find(resolver, address) == [address]


async def test_one_look_up_however_many_ask(dns, clock, begin):
    """A burst of dials is one question to DNS, and all have its answer."""
    resolver = Resolver(10, clock=clock)
    dns.answer(HOST, "192.0.2.1")
    dns.hang(HOST)
    asking = [begin(find(resolver)) for _ in range(50)]
    await until(lambda: dns.asked == [HOST])
    await asyncio.sleep(0)
    dns.let_go(HOST)

    assert await asyncio.gather(*asking) == [["192.0.2.1"]] * 50
    assert dns.asked == [HOST]


async def test_each_dial_after_an_answer_asks_anew(dns, resolver):
    """Nothing is cached while DNS is well: an address that has changed is dialled at once."""
    dns.answer(HOST, "192.0.2.1")
    await find(resolver)
    dns.answer(HOST, "192.0.2.2")

    assert await find(resolver) == ["192.0.2.2"]


async def test_who_leaves_does_not_take_the_look_up_along(dns, clock, begin):
    """A client that gives up leaves the others their answer."""
    resolver = Resolver(10, clock=clock)
    dns.answer(HOST, "192.0.2.1")
    dns.hang(HOST)
    leaving, staying = begin(find(resolver)), begin(find(resolver))
    await until(lambda: dns.asked == [HOST])
    leaving.cancel()
    await asyncio.wait({leaving})
    dns.let_go(HOST)

    assert leaving.cancelled()
    assert await staying == ["192.0.2.1"]


@pytest.mark.parametrize(
    "error", [None, socket.gaierror(socket.EAI_NONAME, "Name or service not known"), UnicodeError("label too long")]
)
async def test_while_dns_fails_the_last_good_addresses_are_used(dns, resolver, clock, error):
    """At once, for an hour from when they were found; then the failure is told."""
    dns.answer(HOST, "192.0.2.1", "192.0.2.2")
    await find(resolver)
    dns.fail(HOST, error)
    clock.advance(LAST_GOOD_S - 1)

    assert await find(resolver) == ["192.0.2.1", "192.0.2.2"]
    clock.advance(1)
    with pytest.raises(socket.gaierror):
        await find(resolver)


async def test_an_empty_answer_is_a_failure(dns, resolver):
    """It is told as one where there was nothing before, and takes the place of nothing."""
    dns.answer(HOST)
    with pytest.raises(socket.gaierror, match="DNS gave no address"):
        await find(resolver)
    dns.answer(HOST, "192.0.2.1")
    before = await find(resolver)
    dns.answer(HOST)

    assert await find(resolver) == before == ["192.0.2.1"]


async def test_a_failure_is_told_with_the_systems_words(dns, resolver):
    """To each who asks in an error of its own."""
    dns.fail(HOST, socket.gaierror(socket.EAI_NONAME, "Name or service not known"))
    ended = await asyncio.gather(find(resolver), find(resolver), return_exceptions=True)

    assert [(error.errno, error.strerror) for error in ended] == [(socket.EAI_NONAME, "Name or service not known")] * 2
    assert ended[0] is not ended[1]


async def test_while_dns_hangs_the_last_good_addresses_are_used(dns, clock, begin):
    """After a second from the look-up's beginning: whoever comes later does not wait another one."""
    resolver = Resolver(10_000, clock=clock)
    dns.answer(HOST, "192.0.2.1")
    await find(resolver)
    dns.hang(HOST)
    first = begin(find(resolver))
    await until(lambda: dns.asked == [HOST, HOST])
    is_waiting = not first.done()
    clock.advance(PATIENCE_S)

    assert is_waiting
    assert await find(resolver) == ["192.0.2.1"]
    assert await first == ["192.0.2.1"]
    assert dns.asked == [HOST, HOST]


async def test_a_late_answer_becomes_the_last_good_one(dns, resolver, clock):
    """Though nobody waited for it any more."""
    dns.answer(HOST, "192.0.2.1")
    dns.hang(HOST)
    with pytest.raises(socket.gaierror, match="no answer in time"):
        await find(resolver)
    dns.let_go(HOST)
    await until(lambda: not resolver._under_way)
    dns.fail(HOST)

    assert await find(resolver) == ["192.0.2.1"]
    clock.advance(LAST_GOOD_S)
    with pytest.raises(socket.gaierror):
        await find(resolver)


async def test_last_good_addresses_belong_to_name_and_port(dns, resolver):
    """Those of one port are not dialled at another, nor those of one name for another."""
    dns.answer(HOST, "192.0.2.1")
    dns.answer("other.example", "192.0.2.2")
    await find(resolver, HOST, 443)
    await find(resolver, "other.example", 8443)
    dns.fail(HOST)
    dns.fail("other.example")

    assert [info[4] for info in await resolver.resolve(HOST, 443)] == [("192.0.2.1", 443)]
    assert [info[4] for info in await resolver.resolve("other.example", 8443)] == [("192.0.2.2", 8443)]
    for host, port in ((HOST, 8443), ("other.example", 443)):
        with pytest.raises(socket.gaierror):
            await find(resolver, host, port)


async def test_a_name_that_hangs_holds_up_no_other(dns, resolver):
    """Each look-up has a thread of its own."""
    dns.answer("well.example", "192.0.2.9")
    dns.hang(HOST)
    with pytest.raises(socket.gaierror):
        await find(resolver)

    assert await find(resolver, "well.example") == ["192.0.2.9"]


async def test_threads_are_bounded(dns, clock, begin):
    """Names beyond the bound wait for a thread, and get one."""
    resolver = Resolver(10, clock=clock)
    hosts = [f"host-{number}.example" for number in range(MOST_THREADS + 5)]
    for host in hosts:
        dns.answer(host, "192.0.2.1")
        dns.hang(host)
    asking = [begin(find(resolver, host)) for host in hosts]
    await until(lambda: len(dns.asked) == MOST_THREADS)
    most = lookup_threads()
    for host in hosts:
        dns.let_go(host)

    assert most == MOST_THREADS
    assert await asyncio.gather(*asking) == [["192.0.2.1"]] * len(hosts)


async def test_a_thread_that_cannot_be_had_is_a_failed_look_up(dns, resolver, monkeypatch):
    """And the name is looked up again when there are threads once more."""
    dns.answer(HOST, "192.0.2.1")

    def refuse(_):
        message = "can't start new thread"
        raise RuntimeError(message)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(socket.gaierror, match="can't start new thread"):
            await find(resolver)

    assert await find(resolver) == ["192.0.2.1"]


async def test_a_name_that_fails_is_told_once_and_its_recovery_too(dns, resolver, clock):
    """The operator reads since when which name fails, and how old the addresses are that are used."""
    dns.answer(HOST, "192.0.2.1")
    with capture_logs() as logs:
        await find(resolver)
        clock.advance(60)
        dns.fail(HOST)
        for _ in range(3):
            await find(resolver)
        dns.answer(HOST, "192.0.2.1")
        await find(resolver)

    assert logs == [
        {
            "event": "name.failed",
            "log_level": "warning",
            "host": HOST,
            "error": "Temporary failure in name resolution",
            "last_good_age_s": 60,
        },
        {"event": "name.recovered", "log_level": "info", "host": HOST},
    ]


def test_a_look_up_that_outlives_the_event_loop_ends_in_silence(dns):
    """The end of the process does not wait for it, and its answer is nobody's."""
    dns.answer(HOST, "192.0.2.1")
    dns.hang(HOST)

    async def ask():
        with pytest.raises(socket.gaierror):
            await find(Resolver(0.01))

    asyncio.run(ask())
    [thread] = [thread for thread in threading.enumerate() if thread.name.startswith("dns ")]
    was_alive = thread.is_alive()
    dns.let_go(HOST)
    thread.join(10)

    # An exception in the thread would fail this test by pytest's own watch.
    assert was_alive
    assert thread.daemon
    assert not thread.is_alive()


@pytest.mark.parametrize(("host", "is_by_configuration"), [(HOST, True), ("localhost", False)])
async def test_ipv6_is_asked_for_only_where_there_is_some(resolver, monkeypatch, host, is_by_configuration):
    """Some DNS servers never answer that question; ``localhost`` is asked of nobody."""
    flags = []

    def look_up(*_, **named):
        flags.append(named["flags"])
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 443))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    await resolver.resolve(host, 443)

    assert [bool(found & socket.AI_ADDRCONFIG) for found in flags] == [is_by_configuration]


async def test_as_aiohttp_wants_it(dns, resolver):
    """Its connector gets addresses that need no second look-up, of the family that it asks for."""
    dns.answer(HOST, "2001:db8::1", "192.0.2.1")
    adapted = AiohttpResolver(resolver)
    every = await adapted.resolve(HOST, 443)
    [ipv4] = await adapted.resolve(HOST, 443, socket.AF_INET)

    assert [(found["hostname"], found["host"], found["port"], found["family"]) for found in every] == [
        (HOST, "2001:db8::1", 443, socket.AF_INET6),
        (HOST, "192.0.2.1", 443, socket.AF_INET),
    ]
    assert all(found["flags"] & socket.AI_NUMERICHOST for found in every)
    assert ipv4 == every[1]


async def test_its_state_shows(dns, resolver):
    """What is under way, and what fails."""
    dns.fail(HOST)
    with pytest.raises(socket.gaierror):
        await find(resolver)

    assert repr(resolver) == "<Resolver 0 under way, failing: api.example>"

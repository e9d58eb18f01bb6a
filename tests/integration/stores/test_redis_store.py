"""What several proxies do with one Redis, step by step: turns, fences, agreement, and what is not believed."""

from __future__ import annotations

import asyncio
import contextlib
import time
from contextlib import asynccontextmanager

import pytest
from harness.redis import KEY, PASSWORD, build_store, running_redis
from harness.running import until
from structlog.testing import capture_logs

from proxy.config.models import Store as Settings
from proxy.config.secret import Secret
from proxy.config.store import parse_redis_url
from proxy.tls import build_tls_context
from proxy.tokens.redis_link import LIMIT_S, RedisLink, build_client
from proxy.tokens.redis_store import RedisStore, build_keys
from proxy.tokens.seal import Sealer
from proxy.tokens.store import Claim
from proxy.tokens.stored import StoredToken

TOKEN = StoredToken("a-token", life_s=3600.0, age_s=10.0)
NEWER = StoredToken("newer", life_s=3600.0, age_s=1.0)


@asynccontextmanager
async def opened(settings, *, longest_call_s=10.0, key=KEY, tls=None, clock_s=0.0):
    """Open the store of a replica, whose clock is ``clock_s`` before the others', for the length of a block."""
    model = Settings(**settings)
    client = build_client(parse_redis_url(model.redis), model, tls or build_tls_context(None))
    link = RedisLink(client, build_keys(model.prefix, "probe"))
    store = RedisStore(
        link,
        Sealer(key),
        url=model.redis,
        prefix=model.prefix,
        longest_call_s=longest_call_s,
        wall=lambda: time.time() + clock_s,
    )
    returned = asyncio.Event()
    store.returned = returned
    await store.start(returned.set)
    try:
        yield store
    finally:
        await store.stop()


@pytest.fixture
async def first(store):
    """Open a replica's store."""
    async with opened(store) as opened_store:
        yield opened_store


@pytest.fixture
async def second(store):
    """Open another's."""
    async with opened(store) as opened_store:
        yield opened_store


async def test_what_one_stores_the_other_finds(first, second):
    """As old as it is."""
    turn = await first.take_turn("core", steal=False)
    await first.end_turn("core", turn.claim, TOKEN)

    found = await second.agree("core", None)

    assert (found.access_token, found.life_s) == ("a-token", 3600.0)
    assert 10.0 <= found.age_s < 20.0
    assert (await second.take_turn("core", steal=False)).found.access_token == "a-token"


async def test_one_has_the_turn(first, second):
    """The other has it when it was given back."""
    turn = await first.take_turn("core", steal=False)

    meanwhile = await second.take_turn("core", steal=False)
    await first.end_turn("core", turn.claim, None)
    afterwards = await second.take_turn("core", steal=False)

    assert (meanwhile.claim, meanwhile.found) == (None, None)
    assert afterwards.claim.fence > turn.claim.fence


async def test_of_many_at_once_one_has_the_turn(store):
    """However they come."""
    async with opened(store) as one, opened(store) as two, opened(store) as three:
        turns = await asyncio.gather(*(replica.take_turn("core", steal=False) for replica in (one, two, three)))

    assert len([turn for turn in turns if turn.claim is not None]) == 1


async def test_credentials_have_turns_of_their_own(first, second):
    """One slow token server holds up no other."""
    await first.take_turn("core", steal=False)

    assert (await second.take_turn("edx", steal=False)).claim is not None


async def test_a_dead_holders_turn_ends(store, second):
    """Soon after the longest call that it could have made."""
    async with opened(store, longest_call_s=-1.7) as dead:
        await dead.take_turn("core", steal=False)
        assert (await second.take_turn("core", steal=False)).claim is None

    async with asyncio.timeout(10):
        while (await second.take_turn("core", steal=False)).claim is None:  # noqa: ASYNC110 (Redis tells nobody)
            await asyncio.sleep(0.05)


async def test_a_turn_that_was_taken_over_is_not_given_back_by_its_first_holder(first, second):
    """Only whoever has the lock may open it."""
    old = await first.take_turn("core", steal=False)
    new = await second.take_turn("core", steal=True)

    await first.end_turn("core", old.claim, None)

    assert new.claim.fence > old.claim.fence
    assert (await first.take_turn("core", steal=False)).claim is None


async def test_a_late_token_does_not_replace_a_later_turns(first, second):
    """Its fence is the smaller one."""
    old = await first.take_turn("core", steal=False)
    new = await second.take_turn("core", steal=True)
    await second.end_turn("core", new.claim, NEWER)

    await first.end_turn("core", old.claim, TOKEN)

    assert (await first.agree("core", None)).access_token == "newer"


async def test_a_late_token_is_kept_where_there_is_no_later_one(first, second):
    """The one who took over has brought none yet."""
    old = await first.take_turn("core", steal=False)
    await second.take_turn("core", steal=True)

    await first.end_turn("core", old.claim, TOKEN)

    assert (await second.agree("core", None)).access_token == "a-token"


async def test_fences_grow_on_after_redis_was_emptied(first, second, redis):
    """A counter that begins anew would be behind the token that was stored last."""
    for _ in range(5):
        turn = await first.take_turn("core", steal=False)
        await first.end_turn("core", turn.claim, None)
    turn = await first.take_turn("core", steal=False)
    async with redis.tester() as tester:
        await tester.flushall()
    await first.end_turn("core", turn.claim, TOKEN)

    turn = await second.take_turn("core", steal=False)
    await second.end_turn("core", turn.claim, NEWER)

    assert (await first.agree("core", None)).access_token == "newer"


@pytest.mark.parametrize("bringing", ["turn", "agreement"])
async def test_a_new_token_is_stored_though_redis_has_lost_the_fence_alone(first, second, redis, bringing):
    """One that evicts keys takes the counter and may leave the token; whoever had a turn before is still too late."""
    for _ in range(5):
        turn = await first.take_turn("core", steal=False)
        await first.end_turn("core", turn.claim, TOKEN)
    old = await first.take_turn("core", steal=False)
    async with redis.tester() as tester:
        await tester.delete(build_keys("rapidsos-proxy", "core")[1])
    if bringing == "agreement":
        await second.agree("core", NEWER)
    turn = await second.take_turn("core", steal=True)
    await second.end_turn("core", turn.claim, NEWER)

    assert (await first.agree("core", None)).access_token == "newer"
    again = await first.take_turn("core", steal=False)
    assert again.claim.fence > turn.claim.fence >= old.claim.fence


async def test_replicas_agree_on_the_newest(first, second):
    """Whoever comes first."""
    await first.agree("core", NEWER)

    assert (await second.agree("core", TOKEN)).access_token == "newer"
    await first.agree("edx", TOKEN)
    assert (await second.agree("edx", NEWER)).access_token == "newer"
    assert (await first.agree("edx", TOKEN)).access_token == "newer"


async def test_of_two_tokens_of_the_same_moment_the_stored_one_stays(first, second):
    """Else each replica would put its own in the place of the other's."""
    one, other = StoredToken("one", 3600.0, 10.0), StoredToken("other", 3600.0, 9.5)

    assert (await first.agree("core", one)).access_token == "one"
    assert (await second.agree("core", other)).access_token == "one"
    assert (await first.agree("core", one)).access_token == "one"


async def test_a_token_leaves_redis_with_its_life(first, redis):
    """Nobody has to tidy up."""
    await first.agree("core", StoredToken("a-token", 3600.0, 3599.9))

    async with redis.tester() as tester, asyncio.timeout(10):
        while await tester.exists(build_keys("rapidsos-proxy", "core")[2]):  # noqa: ASYNC110 (Redis tells nobody)
            await asyncio.sleep(0.02)
    assert await first.agree("core", None) is None


async def test_redis_sees_no_token_and_no_name(first, redis):
    """Whoever reads all of it has nothing to use."""
    turn = await first.take_turn("0" * 64, steal=False)
    await first.end_turn("0" * 64, turn.claim, StoredToken("canary-token-4711", 3600.0, 0.0))

    async with redis.tester() as tester:
        keys = await tester.keys("*")
        content = [await tester.dump(key) for key in keys]
        sealed = await tester.hget(build_keys("rapidsos-proxy", "0" * 64)[2], "token")

    assert sealed is not None
    assert all(key.startswith(b"rapidsos-proxy:{0000") for key in keys)
    assert not any(b"canary" in part for part in [*content, sealed])


@pytest.mark.parametrize("spoil", [lambda _: b"", lambda _: b"x" * 100, lambda sealed: sealed[:-1] + b"x"])
async def test_what_was_changed_in_redis_is_not_believed(first, redis, spoil):
    """It is told, and is as good as nothing."""
    await first.agree("core", TOKEN)
    name = build_keys("rapidsos-proxy", "core")[2]
    async with redis.tester() as tester:
        await tester.hset(name, "token", spoil(await tester.hget(name, "token")))

    with capture_logs() as logs:
        found = await first.agree("core", None)

    assert found is None
    assert [entry["event"] for entry in logs] == ["store.unreadable"]


async def test_one_credentials_token_is_not_taken_for_anothers(first, redis):
    """Though whoever copied it had no key."""
    await first.agree("core", TOKEN)
    async with redis.tester() as tester:
        await tester.copy(build_keys("rapidsos-proxy", "core")[2], build_keys("rapidsos-proxy", "edx")[2])

    assert await first.agree("edx", None) is None


async def test_another_key_finds_nothing(store, first):
    """Not even with the name."""
    await first.agree("core", TOKEN)

    async with opened(store, key=KEY[::-1]) as stranger:
        assert await stranger.agree("core", None) is None


@pytest.mark.parametrize("left_ms", [7_200_000, -1])
async def test_a_life_that_cannot_be_true_is_not_believed(first, redis, left_ms):
    """Redis's own clock was stepped, or somebody took the expiry away."""
    await first.agree("core", TOKEN)
    name = build_keys("rapidsos-proxy", "core")[2]
    async with redis.tester() as tester:
        await (tester.persist(name) if left_ms < 0 else tester.pexpire(name, left_ms))

    assert await first.agree("core", None) is None


async def test_a_dead_token_dated_anew_is_not_believed(store, first, redis):
    """Whoever writes to Redis can say how old a token is, and not what was sealed in with it; it is told once."""
    await first.agree("core", TOKEN)
    async with redis.tester() as tester:
        await tester.pexpire(build_keys("rapidsos-proxy", "core")[2], 3_600_000)
    async with opened(store, clock_s=3600.0 + 300.0 - 10.0) as hours_later:
        with capture_logs() as logs:
            found = [await hours_later.agree("core", None) for _ in range(3)]
            turn = await hours_later.take_turn("core", steal=False)
            await hours_later.end_turn("core", turn.claim, NEWER)
            afterwards = await hours_later.agree("core", None)

    assert (found, turn.found) == ([None] * 3, None)
    assert [(entry["event"], entry["problem"]) for entry in logs] == [
        ("store.unreadable", "a token in Redis is older than its life")
    ]
    assert afterwards.access_token == "newer"


@pytest.mark.parametrize(("clock_s", "least_age_s"), [(-300.0, 10.0), (0.0, 10.0), (299.0, 10.0), (3000.0, 2710.0)])
async def test_clocks_of_replicas_may_differ_by_five_minutes(store, first, clock_s, least_age_s):
    """So much longer than its life a token could be dated anew; beyond, the older of two ages counts."""
    await first.agree("core", TOKEN)

    async with opened(store, clock_s=clock_s) as other:
        found = await other.agree("core", None)

    assert least_age_s <= found.age_s < least_age_s + 10.0


async def test_a_lost_redis_is_told_once_and_found_again(first, redis):
    """Meanwhile there is a turn for everybody at once, and nothing waits."""
    await first.agree("core", TOKEN)
    await redis.kill()
    with capture_logs() as logs:
        turns = [await first.take_turn("core", steal=False) for _ in range(3)]
        await first.end_turn("core", turns[0].claim, TOKEN)
        lost = first.status()
        await redis.start()
        async with asyncio.timeout(20):
            await first.returned.wait()

    assert [(turn.claim, turn.found) for turn in turns] == [(Claim(), None)] * 3
    assert (lost.usable, lost.last_error) == (False, "Redis could not be reached")
    assert [entry["event"] for entry in logs] == ["store.lost", "store.recovered"]
    assert first.status().usable
    assert (await first.take_turn("core", steal=False)).claim.fence == 1


async def test_tokens_are_agreed_on_again_when_the_last_replica_is_back(first, redis, monkeypatch):
    """It may have told Redis of a newer token after this one looked."""
    monkeypatch.setattr("proxy.tokens.redis_link.LONGEST_PAUSE_S", 0.2)
    await redis.kill()
    await first.take_turn("core", steal=False)
    await redis.start()

    async with asyncio.timeout(20):
        await first.returned.wait()
        first.returned.clear()
        await first.returned.wait()


async def test_a_frozen_redis_holds_up_nobody_for_long(first, redis):
    """An operation has half a second, and those after it none at all."""
    await first.agree("core", TOKEN)
    redis.freeze()
    loop = asyncio.get_running_loop()
    started = loop.time()
    turn = await first.take_turn("core", steal=False)
    took_s = loop.time() - started
    lost = first.status()
    redis.thaw()
    async with asyncio.timeout(20):
        await first.returned.wait()

    assert turn.claim == Claim()
    assert lost.last_error == "Redis did not answer within 0.5 s"
    assert took_s >= LIMIT_S * 0.9  # the lower end alone: the machine may be busy
    assert (await first.agree("core", None)).access_token == "a-token"


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        ({"password": Secret("wrong", "test")}, "refused the login"),
        ({"prefix": "somewhere-else"}, "does not let its user do what is needed"),
    ],
)
async def test_what_an_operator_got_wrong_is_told(store, spoil, problem):
    """With what to do about it, and without the password."""
    with capture_logs() as logs:
        async with opened(store | spoil) as wrong:
            assert (await wrong.take_turn("core", steal=False)).claim == Claim()
            assert wrong.status().last_error == f"Redis {problem}"

    assert [entry["event"] for entry in logs] == ["store.lost"]
    assert logs[0]["fix"]
    assert PASSWORD not in repr(logs)


async def test_a_redis_that_takes_no_writes_is_lost_until_it_does(first, redis):
    """An attempt that only reads would find nothing wrong, and lose it again and again."""
    async with redis.tester() as tester:
        await tester.execute_command("REPLICAOF", "127.0.0.1", "1")
        await first.agree("core", TOKEN)
        lost = first.status()
        await until(lambda: first.status().failures > 1)
        still_lost = first.status()
        await tester.execute_command("REPLICAOF", "NO", "ONE")
        async with asyncio.timeout(20):
            await first.returned.wait()

    assert lost.last_error == still_lost.last_error == "Redis is a replica that takes no writes"
    assert first.status().usable


async def test_a_key_of_another_type_costs_nobody_a_token(first, redis):
    """Whatever somebody has put there."""
    async with redis.tester() as tester:
        await tester.set(build_keys("rapidsos-proxy", "core")[2], "x")

    assert (await first.take_turn("core", steal=False)).claim == Claim()
    assert first.status().last_error == "Redis answered with an error"


@pytest.fixture
def certificate(authority, tmp_path):
    """Return a certificate for 127.0.0.1 that only these tests trust."""
    path = tmp_path / "redis.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(path))
    return path


async def test_tls_is_spoken_and_verified(tmp_path, certificate, ca_file):
    """With the proxy's own context: an authority that is not trusted is a loss that says so."""
    async with running_redis(tmp_path, certificate) as redis:
        settings = build_store(redis)
        async with opened(settings, tls=build_tls_context(str(ca_file))) as trusting, opened(settings) as distrusting:
            await trusting.agree("core", TOKEN)
            found = await trusting.agree("core", None)
            assert await distrusting.agree("core", None) is None

            assert found.access_token == "a-token"
            assert distrusting.status().last_error == "Redis shows a certificate that is not trusted"


async def close_at_once(_reader, writer):
    """Accept and hang up."""
    writer.close()


async def say_nothing(reader, writer):
    """Read and never answer."""
    await reader.read()
    writer.close()


async def answer_http(reader, writer):
    """Be a web server on Redis's port."""
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    await say_nothing(reader, writer)


async def echo(reader, writer):
    """Send everything back, as a connection to itself does."""
    while data := await reader.read(4096):
        writer.write(data)
    writer.close()


async def say_ok(reader, writer):
    """Answer as Redis does, and never what was asked for."""
    while await reader.read(4096):
        writer.write(b"+OK\r\n" * 3)
    writer.close()


async def never_stop(_reader, writer):
    """Send an answer without an end."""
    writer.write(b"$1000000000\r\n")
    with contextlib.suppress(OSError):
        while not writer.is_closing():
            writer.write(b"x" * 65_536)
            await writer.drain()
    writer.close()


@pytest.mark.parametrize("impostor", [close_at_once, say_nothing, answer_http, echo, say_ok, never_stop])
async def test_what_only_resembles_redis_costs_nobody_a_token(store, impostor):
    """Whatever answers on its port: there is a turn at once, and an end."""
    server = await asyncio.start_server(impostor, "127.0.0.1", 0)
    url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, opened(store | {"redis": url}) as misled:
        turn = await misled.take_turn("core", steal=False)
        await misled.end_turn("core", turn.claim, TOKEN)
        found = await misled.agree("core", None)

        assert (turn.claim, turn.found, found) == (Claim(), None, None)

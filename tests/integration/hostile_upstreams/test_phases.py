"""What an upstream does at the wrong time: nothing more, an answer too early, a close while the request still comes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from harness.misbehaving import Stage, build_answer, build_request, read_request, sending, staged
from harness.reading import ask, read_to_the_end
from harness.running import until

if TYPE_CHECKING:
    from harness.misbehaving import Ending
    from harness.reading import Reading
    from harness.upstream import Peer

    from proxy.exchange import Exchange

HEAD = b"HTTP/1.1 200 OK\r\n"
SILENT_BEFORE = {
    "no byte": b"",
    "a byte": b"H",
    "half a status line": b"HTTP/1.1 20",
    "a status line": HEAD,
    "half a field": HEAD + b"Content-Le",
    "all but the last byte of a head": HEAD + b"Content-Length: 4\r\n\r",
    "a 103": b"HTTP/1.1 103 H\r\n\r\n",
    "a 103 and half a head": b"HTTP/1.1 103 H\r\n\r\n" + HEAD,
}
SILENT_WITHIN = {
    "half a body": HEAD + b"Content-Length: 8\r\n\r\ngood",
    "half a chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n8\r\ngood",
    "no next chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n",
    "half a chunk size": HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n8",
    "half a trailer": HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\nA: b",
    "no end of trailers": HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\n",
    "no close": HEAD + b"\r\ngood",
}


async def test_silence_in_each_phase() -> None:
    """A time limit ends it, visibly, with its slug; all at once, and whoever else asks is served meanwhile."""
    cases = {f"/{number}": part for number, part in enumerate([*SILENT_BEFORE.values(), *SILENT_WITHIN.values()])}

    def going_silent(part: bytes) -> Any:
        async def act(peer: Peer) -> Ending:
            peer.send(part)
            await peer.wait_closed()
            return "closes"

        return act

    async with staged(timeouts={"first_byte": 0.2, "silence": 0.2}) as stage:
        stage.acts |= {target: going_silent(part) for target, part in cases.items()}
        asking = asyncio.gather(*(ask(stage.proxy, build_request(target)) for target in cases))
        await until(lambda: set(stage.received) == set(cases))
        served = await ask(stage.proxy, build_request("/second"))
        readings = dict(zip(cases, await asking, strict=True))
        exchanges = list(await stage.proxy.recorder.wait_exchanges(len(cases) + 1))
        after = await ask(stage.proxy, build_request("/third"))

        assert (served.body, after.body) == (b"/second", b"/third")
        for number, reading in enumerate(readings.values()):
            if number < len(SILENT_BEFORE):
                assert (reading.status, reading.slug, reading.is_whole) == (504, "upstream_timeout", True)
            else:
                assert (reading.status, reading.body, reading.is_whole) == (200, b"good", False)
        failed = [one for one in exchanges if one.request and one.request.target != "/api/second"]
        assert len(failed) == len(cases)
        assert {one.outcome for one in failed} == {"upstream_failed"}
        assert {one.error and one.error.slug for one in failed} == {"upstream_timeout"}
        assert set(stage.received.values()) == {1}


EARLY = {
    "200": build_answer(b"good"),
    "200 in chunks": HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\n\r\n",
    "413": b"HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\n\r\ngood",
    "413 and close": b"HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\ngood",
    "401": b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 4\r\n\r\ngood",
    "500": b"HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\ngood",
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
}


@pytest.mark.parametrize("answer", EARLY.values(), ids=EARLY.keys())
@pytest.mark.parametrize("ending", ["closes", "resets", "reads on", "reads no more"])
@pytest.mark.parametrize(
    "framing", [b"Content-Length: 1000000", b"Transfer-Encoding: chunked"], ids=["length", "chunked"]
)
async def test_an_answer_while_the_body_still_comes(
    in_front_of: Any, framing: bytes, ending: str, answer: bytes
) -> None:
    """It reaches the client, whose connection then closes; no other request goes out on the upstream's."""

    async def script(peer: Peer) -> None:
        await peer.read_head()
        peer.send(answer)
        await peer.flush()
        if ending == "resets":
            peer.reset()
        elif ending == "reads on":
            await peer.wait_closed()
        elif ending == "reads no more":
            await until(lambda: len(proxy.recorder.exchanges) == 2)

    async with in_front_of(script, Stage().serve) as proxy:
        client = await proxy.connect()
        request = b"POST /api/first HTTP/1.1\r\nHost: proxy\r\n" + framing + b"\r\n\r\n4\r\nsome\r\n"
        client.send(request)
        reading = await read_to_the_end(client, request)
        second = await ask(proxy, build_request("/second"))
        exchanges = await proxy.recorder.wait_exchanges(2)

        assert is_early_answer(reading, answer, exchanges[0]) or ending == "resets"  # which may overtake it
        if ending == "resets" and reading.is_whole and reading.status == 502:
            assert b"whether it acted on the request is unknown" in reading.body
        assert second.body == b"/second"
        assert len(proxy.upstream.peers) == 2


def is_early_answer(reading: Reading, answer: bytes, exchange: Exchange) -> bool:
    """Return whether the client has the whole of it, and is told that its connection closes."""
    body = b"" if reading.status == 204 else b"good"
    return (reading.raw[9:12], reading.body, reading.is_whole, reading.all(b"connection"), exchange.outcome) == (
        *(answer[9:12], body, True, [b"close"], "ok"),
    )


@pytest.mark.parametrize("ending", ["closes", "resets"])
@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_a_close_while_the_body_still_comes(in_front_of: Any, method: str, ending: str) -> None:
    """502: GET goes once more with what there is of its body, POST never."""

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.read_exactly(4)
        if ending == "resets":
            peer.reset()

    async with in_front_of(script) as proxy:
        client = await proxy.connect()
        request = f"{method} /api/first HTTP/1.1\r\nHost: proxy\r\nContent-Length: 1000\r\n\r\nsome".encode()
        client.send(request)
        reading = await read_to_the_end(client, request)
        [exchange] = await proxy.recorder.wait_exchanges(1)

        assert (reading.status, reading.slug) == (502, "upstream_closed")
        assert exchange.outcome == "upstream_failed"
        assert len(proxy.upstream.peers) == len(exchange.attempts) == (2 if method == "GET" else 1)


@pytest.mark.parametrize(
    "greeting",
    [
        build_answer(b"evil"),
        b"SSH-2.0-OpenSSH_9.9\r\n",
        HEAD,
        b"\x00",
        b"HTTP/1.1 408 Timeout\r\nContent-Length: 0\r\n\r\n",
    ],
    ids=["an answer", "SSH", "half an answer", "NUL", "408"],
)
async def test_an_upstream_that_speaks_first(in_front_of: Any, greeting: bytes) -> None:
    """Its own answer, which follows the request, is then the one that nobody asked for: no other client gets it."""

    async def script(peer: Peer) -> None:
        peer.send(greeting)
        await peer.flush()
        while True:
            peer.send(build_answer((await read_request(peer)).encode()))

    async with in_front_of(script) as proxy:
        readings = {}
        for number in range(20):
            target = f"/{number}"
            readings[target] = await ask(proxy, build_request(target))

        for target, reading in readings.items():
            assert reading.is_whole
            assert reading.status in {502, 408} or reading.body in {b"evil", target.encode()}


async def test_a_crowd_that_asks_at_once_gets_each_its_own() -> None:
    """While every third upstream connection is broken in one way or another."""
    kinds = [
        sending(then="closes"),
        sending(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ngood", then="closes"),
        sending(b"SSH\r\n"),
        sending(build_answer(b"good") + build_answer(b"evil")),
        sending(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
        sending(then="resets"),
    ]
    async with staged() as stage:
        targets = [f"/{number}" for number in range(300)]
        stage.acts |= {
            target: kinds[number // 3 % len(kinds)] for number, target in enumerate(targets) if not number % 3
        }
        broken = set(stage.acts)
        readings = []
        for begin in range(0, 300, 30):
            asked = [ask(stage.proxy, build_request(target)) for target in targets[begin : begin + 30]]
            readings += await asyncio.gather(*asked)

        for target, reading in zip(targets, readings, strict=True):
            assert b"evil" not in reading.body
            if target not in broken:
                assert (reading.status, reading.body, reading.is_whole) == (200, target.encode(), True)
        assert len(await stage.proxy.recorder.wait_exchanges(300)) == 300

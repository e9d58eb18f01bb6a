"""A connection that ends behind every single byte of an answer: whole, visibly broken, or sent again by the rule.

The rule: GET goes once more where no byte of the answer had come; POST never, once it may have been acted on.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from harness.misbehaving import build_request, sending, staged
from harness.reading import ask

if TYPE_CHECKING:
    from harness.misbehaving import Ending, Stage
    from harness.reading import Reading
    from harness.upstream import Peer

    from proxy.exchange import Exchange

ANSWERS = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood",
    "chunked with a trailer": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\nA: b\r\n\r\n",
    "ended by close": b"HTTP/1.1 200 OK\r\nA: b\r\n\r\ngood",
    "behind a 103": b"HTTP/1.1 103 H\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood",
}


async def ask_for_each(stage: Stage, method: str, answer: bytes, ending: Ending, *, reused: bool) -> dict[int, Reading]:
    """Have the answer cut at each position; each request has a target of its own."""
    body = b"hi" if method == "POST" else b""
    readings = {}
    for position in range(len(answer) + 1):
        if reused:
            await ask(stage.proxy, build_request("/warm"))
        target = f"/{position}"
        stage.acts[target] = sending(answer[:position], then=ending)
        readings[position] = await ask(stage.proxy, build_request(target, method=method, body=body))
    return readings


@pytest.mark.parametrize("ending", ["closes", "resets"])
@pytest.mark.parametrize("reused", [False, True], ids=["new", "reused"])
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
async def test_cut_behind_every_byte(answer: bytes, method: str, ending: Ending, *, reused: bool) -> None:
    """Each request is on record once, with what its client saw; none is sent twice that might be acted on twice."""
    async with staged() as stage:
        readings = await ask_for_each(stage, method, answer, ending, reused=reused)
        exchanges = list(await stage.proxy.recorder.wait_exchanges(len(readings) * (1 + reused)))
        last = await ask(stage.proxy, build_request("/last"))

        assert last.body == b"/last"
        cut = [one for one in exchanges if one.request and one.request.target != "/api/warm"]
        assert len(cut) == len(readings)
        for position, exchange in enumerate(cut):
            sent = stage.received[f"/{position}"]
            assert sent <= 1 + (method == "GET"), f"behind byte {position}"
            if ending == "closes":
                assert sent == 1 + (method == "GET" and position == 0), f"behind byte {position}"
            if sent == 2:
                assert is_second_try(position, readings[position], exchange), f"behind byte {position}"
            else:
                assert is_fair(answer, position, readings[position], exchange, ending), f"behind byte {position}"
        if method == "POST":
            assert b"whether it acted on the request is unknown" in readings[0].body


def is_second_try(position: int, reading: Reading, exchange: Exchange) -> bool:
    """Return whether a request that was sent twice has the second answer, and the first try is on record."""
    return (reading.status, reading.body, reading.is_whole) == (200, b"/%d" % position, True) and [
        one.error for one in exchange.attempts
    ] == ["upstream_closed", None]


def is_fair(answer: bytes, position: int, reading: Reading, exchange: Exchange, ending: Ending) -> bool:
    """Return whether the client sees what there was: the whole where it was whole, else a break or a 502."""
    ends_by_close = b"Length" not in answer and b"chunked" not in answer
    body_begins = answer.rindex(b"\r\n\r\n", 0, answer.index(b"good")) + 4
    if ending == "closes":
        is_whole = position == len(answer) or (ends_by_close and position >= body_begins)
    else:  # the reset may overtake the last of it
        is_whole = position == len(answer) and reading.is_whole and reading.status == 200
    if is_whole:
        body = answer[body_begins:position] if ends_by_close else b"good"
        return (reading.status, reading.body, reading.is_whole, exchange.outcome) == (200, body, True, "ok")
    is_told = (reading.status, reading.slug, reading.is_whole) == (502, "upstream_closed", True)
    looks_cut = not reading.is_whole and b"good".startswith(reading.body)
    return (
        (is_told or looks_cut)
        and exchange.outcome == "upstream_failed"
        and [one.error for one in exchange.attempts] == ["upstream_closed"]
    )


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "PROPFIND", "get"])
@pytest.mark.parametrize("ending", ["closes", "resets"])
@pytest.mark.parametrize("reused", [False, True], ids=["new", "reused"])
async def test_who_goes_again(method: str, ending: Ending, *, reused: bool) -> None:
    """Only what design.md names, once; case counts (RFC 9110, section 9.1)."""
    async with staged() as stage:
        if reused:
            await ask(stage.proxy, build_request("/warm"))
        stage.acts["/first"] = sending(then=ending)
        reading = await ask(stage.proxy, build_request("/first", method=method))
        exchange = (await stage.proxy.recorder.wait_exchanges(1 + reused))[-1]

        goes_again = method in {"GET", "HEAD", "OPTIONS"}
        assert stage.received["/first"] == 1 + goes_again
        assert reading.status == (200 if goes_again else 502)
        assert exchange.outcome == ("ok" if goes_again else "upstream_failed")


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8])
async def test_an_upstream_that_closes_right_after_each_answer(method: str, turns: int) -> None:
    """Whenever the close is seen: each request is answered with its own answer, or said to be unknown; none twice."""
    clients, each = 4, 40

    async with staged() as stage:

        def answer_and_close(target: str) -> Any:
            async def act(peer: Peer) -> Ending:
                peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(target), target.encode()))
                await peer.flush()
                for _ in range(turns):
                    await asyncio.sleep(0)
                return "closes"

            return act

        async def run(client: int) -> list[tuple[str, bytes, bytes]]:
            raw = await stage.proxy.connect()
            answers = []
            for number in range(each):
                target = f"/{client}-{number}"
                stage.acts[target] = answer_and_close(target)
                raw.send(build_request(target, method=method, body=b"hi" if method == "POST" else b"", more=""))
                answers.append((target, *await raw.read_answer()))
            return answers

        answers = [one for many in await asyncio.gather(*map(run, range(clients))) for one in many]
        exchanges = await stage.proxy.recorder.wait_exchanges(clients * each)

        assert len(exchanges) == clients * each
        for target, head, got in answers:
            if head.startswith(b"HTTP/1.1 200 "):
                assert got == target.encode()
                assert stage.received[target] in ({1, 2} if method == "GET" else {1})
            else:
                assert head.startswith(b"HTTP/1.1 502 ")
                assert method == "POST"
                assert b"whether it acted on the request is unknown" in got
                assert stage.received[target] <= 1
        answered = sum(head.startswith(b"HTTP/1.1 200 ") for _, head, _ in answers)
        assert answered >= clients * each / 2  # a connection closed under a request has answered one before

"""Each request of the table, byte by byte, and what the upstream gets of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from conformance.cases import PROBE, chunked
from conformance.framing import BAD_CHUNKS, FRAMING
from conformance.heads import HEADS
from conformance.passage import PASSAGE
from conformance.recorder import CUT, exchange, parse_answers

if TYPE_CHECKING:
    from harness.running import RawClient

    from conformance.cases import RequestCase
    from conformance.conftest import Gateway
    from conformance.recorder import Received

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("case", [*FRAMING, *HEADS, *PASSAGE], ids=lambda case: case.id)
async def test_a_request_is_read_in_one_way(gateway: Gateway, case: RequestCase) -> None:
    """What is well formed arrives whole, nothing else does, and what follows is read only where that end is certain."""
    gateway.recorder.reset()
    data = await exchange(gateway.proxy.port, case.sent + PROBE)

    answer, *others = parse_answers(data, case.method)
    heads = [] if case.lines is None else [case.build_head(gateway.host, gateway.pseudonym, gateway.authorization)]
    bodies = [] if case.lines is None else [case.body]
    delivered = [request for request in gateway.recorder.delivered if not request.head.startswith(b"GET /probe ")]
    assert [request.head for request in delivered] == heads
    assert [request.body for request in delivered] == bodies
    assert [request.trailers for request in delivered] == [b""] * len(heads)
    assert all(request.is_whole for request in gateway.recorder.delivered)
    assert len(gateway.recorder.delivered) - len(delivered) == case.keeps
    assert [other.status for other in others] == [200] * case.keeps
    assert (answer.status, tell_slug(answer, case)) == (case.status, case.slug)
    assert answer.is_whole
    assert answer.has(b"Connection: close") is not case.keeps


@pytest.mark.parametrize("body", BAD_CHUNKS.values(), ids=BAD_CHUNKS)
async def test_a_body_that_goes_wrong_never_ends(gateway: Gateway, body: bytes) -> None:
    """The upstream has the head by then: its connection is cut, so that it cannot take the request for whole."""
    gateway.recorder.reset()
    client = await gateway.proxy.connect()
    client.send(chunked(b""))
    await gateway.recorder.wait(bool)
    client.send(body + PROBE)
    answers = parse_answers(await read_to_end(client), b"POST")
    await gateway.recorder.wait(lambda delivered: delivered[-1].connection == CUT)

    assert [answer.status for answer in answers] == [400]
    assert answers[0].has(b"Connection: close")
    assert [request.is_whole for request in gateway.recorder.delivered] == [False]


async def read_to_end(client: RawClient) -> bytes:
    """Read all that a client gets."""
    try:
        return await client.read_all()
    finally:
        client.close()


def tell_slug(answer: Received, case: RequestCase) -> str:
    """Return which refusal an answer is; a problem document says the same in its head, its body and Proxy-Status."""
    if not answer.has(b"Content-Type: application/problem+json"):
        return ""
    assert answer.has(b"Cache-Control: no-store")
    assert b"\r\nProxy-Status: rapidsos-proxy; error=" in answer.head
    if case.method == b"HEAD":
        return case.slug
    problem = json.loads(answer.body)
    assert problem["status"] == answer.status
    return problem["type"].removeprefix("urn:rapidsos-auth-proxy:error:")

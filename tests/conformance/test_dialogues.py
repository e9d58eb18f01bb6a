"""What shows only in the course of an exchange: who waits for whom, and what is said in the meantime."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from conformance.cases import PROBE, get, post
from conformance.recorder import PLAIN_ANSWER, parse_answers

if TYPE_CHECKING:
    from harness.running import RawClient

    from conformance.conftest import Gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def begin(gateway: Gateway, data: bytes, answer: bytes = PLAIN_ANSWER) -> RawClient:
    """Send bytes on a new connection."""
    gateway.recorder.reset(answer)
    client = await gateway.proxy.connect()
    client.send(data)
    return client


async def test_pipelined_requests_are_answered_in_order(gateway: Gateway) -> None:
    """RFC 9112, section 9.3.2: also those that the proxy answers itself, which it could do at once."""
    requests = [get(line=line) for line in (b"GET /1 HTTP/1.1", b"TRACE /2 HTTP/1.1", b"GET /3 HTTP/1.1")]
    client = await begin(gateway, b"".join(requests) + PROBE)
    answers = parse_answers(await client.read_all(), b"GET")

    assert [answer.status for answer in answers] == [200, 405, 200, 200]
    lines = [request.head.split(b" ", 2)[1] for request in gateway.recorder.delivered]
    assert lines == [b"/1", b"/3", b"/probe"]


async def test_nothing_is_read_behind_close(gateway: Gateway) -> None:
    """RFC 9112, section 9.6: what a client sends behind a request with close is no request."""
    client = await begin(gateway, get(b"Connection: close\r\n") + get(line=b"POST /again HTTP/1.1") + PROBE)
    answers = parse_answers(await client.read_all(), b"GET")

    assert [answer.status for answer in answers] == [200]
    assert answers[0].has(b"Connection: close")
    assert len(gateway.recorder.delivered) == 1


async def test_a_request_byte_by_byte_is_the_same_request(gateway: Gateway) -> None:
    """How it is cut into segments tells nothing."""
    client = await begin(gateway, b"")
    for byte in post(b"Content-Length: 5\r\n", b"hello") + PROBE:
        client.send(bytes([byte]))
        await client.writer.drain()
    answers = parse_answers(await client.read_all(), b"POST")

    assert [answer.status for answer in answers] == [200, 200]
    assert gateway.recorder.delivered[0].body == b"hello"


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /x HTTP/1.1\r\nHost: localhost\r\n",
        post(b"Content-Length: 50\r\n", b"hello"),
        post(b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n"),
        post(b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n0\r\n"),
    ],
    ids=["half a head", "short of its length", "no last chunk", "no end of trailers"],
)
async def test_an_incomplete_request_is_never_delivered_as_whole(gateway: Gateway, sent: bytes) -> None:
    """RFC 9112, section 8: the upstream sees none of it, or a request that is cut."""
    client = await begin(gateway, sent)
    client.writer.write_eof()
    await client.read_all()
    await gateway.recorder.wait(lambda delivered: all(request.connection < 0 for request in delivered))

    assert not any(request.is_whole for request in gateway.recorder.delivered)


async def test_a_client_is_told_to_go_on_by_the_upstream(gateway: Gateway) -> None:
    """RFC 9110, section 10.1.1: the expectation goes on at once, without the body; 100 comes back."""
    sent = post(b"Expect: 100-continue\r\nContent-Length: 5\r\nConnection: close\r\n")
    client = await begin(gateway, sent, b"HTTP/1.1 100 Continue\r\n\r\n" + PLAIN_ANSWER)
    await gateway.recorder.wait(bool)
    head = gateway.recorder.delivered[0].head
    client.send(b"hello")
    interim, rest = await client.read_head(), await client.read_all()

    assert b"\r\nExpect: 100-continue\r\n" in head
    assert interim == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert [answer.status for answer in parse_answers(rest, b"POST")] == [200]
    assert gateway.recorder.delivered[0].body == b"hello"


@pytest.mark.parametrize("status", [b"401 Unauthorized", b"413 Too Large", b"417 Expectation Failed"])
async def test_an_answer_before_the_body_ends_the_connection(gateway: Gateway, status: bytes) -> None:
    """RFC 9112, section 9.3: the rest of the body would be read as the next request, so nothing is read any more."""
    early = b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n"
    gateway.recorder.reset(early, early=True)
    client = await gateway.proxy.connect()
    client.send(post(b"Expect: 100-continue\r\nContent-Length: 500\r\n"))
    head = await client.read_head()
    client.send(PROBE)
    rest = await client.read_all()

    assert head.startswith(b"HTTP/1.1 " + status)
    assert b"\r\nConnection: close\r\n" in head
    assert rest == b""
    assert len(gateway.recorder.delivered) == 1


async def test_a_problem_document_says_what_its_head_says(gateway: Gateway) -> None:
    """RFC 9457, section 3, and RFC 9209, section 2: one status, and an error of the registry."""
    client = await begin(gateway, get(line=b"TRACE /x HTTP/1.1") + PROBE)
    answer = parse_answers(await client.read_all(), b"TRACE")[0]
    problem = json.loads(answer.body)

    assert problem["status"] == answer.status == 405
    assert set(problem) >= {"type", "title", "status", "detail"}
    assert problem["type"].startswith("urn:")
    assert b"\r\nProxy-Status: rapidsos-proxy; error=http_request_denied; details=" in answer.head
    assert answer.has(b"Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")


async def test_a_refusal_to_head_has_no_body(gateway: Gateway) -> None:
    """RFC 9110, section 9.3.2: the length is told all the same, and the next answer follows the head."""
    client = await begin(gateway, get(b"Origin: http://evil.example\r\n", b"HEAD /x HTTP/1.1") + PROBE)
    answers = parse_answers(await client.read_all(), b"HEAD")

    assert [answer.status for answer in answers] == [403, 200]
    assert b"\r\nContent-Length: 0\r\n" not in answers[0].head


async def test_a_request_that_came_back_is_not_sent_again(gateway: Gateway) -> None:
    """RFC 9110, section 7.6: Via says that it has been here, in any case and behind any comment."""
    via = b"Via: 1.1 a (b (c)), 1.0 " + gateway.pseudonym.upper() + b" (d)\r\n"
    client = await begin(gateway, get(via) + PROBE)
    answers = parse_answers(await client.read_all(), b"GET")

    assert [answer.status for answer in answers] == [508, 200]
    assert [request.head.split(b" ", 2)[1] for request in gateway.recorder.delivered] == [b"/probe"]


async def test_what_is_told_of_a_request_cannot_split_the_answer(gateway: Gateway) -> None:
    """RFC 9112, section 11.1: what a detail quotes of the request is data, in Proxy-Status and in the document."""
    client = await begin(gateway, get(b'Origin: http://a";b\\\xe9, c\r\n') + PROBE)
    answers = parse_answers(await client.read_all(), b"GET")
    [status] = [line for line in answers[0].head.split(b"\r\n") if line.startswith(b"Proxy-Status:")]

    assert [answer.status for answer in answers] == [403, 200]
    assert rb"http://a\";b\\?, c" in status
    assert 'http://a";b\\\xe9, c' in json.loads(answers[0].body)["detail"]

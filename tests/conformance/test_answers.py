"""Each answer of the table, byte by byte, and what the client gets of it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from conformance.answers import ANSWERS
from conformance.cases import PROBE
from conformance.recorder import exchange, parse_answers, parse_interim

if TYPE_CHECKING:
    from conformance.cases import AnswerCase
    from conformance.conftest import Gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")


def build_request(case: AnswerCase) -> bytes:
    """Build the request that is answered."""
    return b"%b /x HTTP/%b\r\nHost: localhost\r\n\r\n" % (case.method, case.version)


@pytest.mark.parametrize("case", ANSWERS, ids=lambda case: case.id)
async def test_an_answer_is_read_in_one_way(gateway: Gateway, case: AnswerCase) -> None:
    """What is well formed is relayed, nothing else is, and only its own bytes are ever taken for an answer."""
    gateway.recorder.reset(case.answer, closes=case.closes)
    data = await exchange(gateway.proxy.port, build_request(case) + PROBE)

    answer, *others = parse_answers(data, case.method)
    if case.head is None:
        assert answer.status == 502
        assert json.loads(answer.body)["type"].endswith(":upstream_protocol")
        assert answer.has(b"Content-Type: application/problem+json")
    else:
        via = b"Via: %b %b\r\n" % (case.via, gateway.pseudonym)
        assert answer.head == case.head + via + case.framing + b"\r\n"
        assert (answer.body, answer.is_whole) == (case.body, case.is_whole)
        assert tuple(parse_interim(data)) == case.interim
    assert [other.status for other in others] == [200] * case.keeps
    connections = [request.connection for request in gateway.recorder.delivered]
    assert connections == ([0, 0 if case.reuses else 1] if case.keeps else [0])
    assert b"poison" not in data or case.name == "second-answer-is-body"


async def test_an_answer_without_a_date_is_given_one(gateway: Gateway) -> None:
    """RFC 9110, section 6.6.1: whoever has a clock and forwards it adds the field."""
    gateway.recorder.reset(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    data = await exchange(gateway.proxy.port, PROBE)

    dates = re.findall(rb"\r\nDate: (\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT)\r\n", data)
    assert len(dates) == 1

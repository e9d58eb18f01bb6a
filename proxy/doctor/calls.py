"""The two calls that cost something: one for a token, and one harmless question with it to each upstream."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from proxy.doctor.check import Result
from proxy.doctor.clock import judge_clock
from proxy.doctor.finding import STATUS_PAGE, Verdict, Whose
from proxy.doctor.grant import explain_fetch, judge_client, judge_token
from proxy.doctor.probe import build_probe, judge_reply
from proxy.errors import ExchangeError, FetchError
from proxy.relay.dial import Phases
from proxy.tokens.answers import parse_http_date
from proxy.tokens.grants import build_token_request

if TYPE_CHECKING:
    from proxy.config.models import Credential
    from proxy.doctor.finding import Place
    from proxy.doctor.instruments import Instruments
    from proxy.doctor.line import Reply
    from proxy.doctor.probe import Probe
    from proxy.relay.dial import Destination


async def check_token(name: str, credential: Credential, instruments: Instruments, *_: object) -> Result:
    """Fetch one token as `serve` would; its value is what goes into Authorization."""
    try:
        token = await instruments.fetch(build_token_request(credential))
    except FetchError as error:
        return Result(explain_fetch(name, credential, error))
    findings = judge_token(name, credential, token)
    return Result(findings, value=f"Bearer {token.access_token}", skew_s=token.skew_s)


async def check_client(name: str, credential: Credential, instruments: Instruments, *_: object) -> Result:
    """Show the token endpoint the client's own key, and no person, whom it could lock out; it brings no token."""
    try:
        await instruments.fetch(build_token_request(credential))
    except FetchError as error:
        return Result(judge_client(name, credential, error))
    return Result(judge_client(name, credential, None))


async def check_upstream(
    place: Place, destination: Destination, probe: Probe, instruments: Instruments, *needed: object
) -> Result:
    """Ask an upstream the harmless question.

    Args:
        place: The link.
        destination: Where.
        probe: The question.
        instruments: To ask with.
        needed: What the way there brought; then the token's Authorization, where there is a token.
    """
    authorization = str(needed[-1]) if probe.is_authorized else None
    question = build_probe(probe, destination.origin.host_field, authorization)
    try:
        async with asyncio.timeout(instruments.limits.call_s):
            reply = await _ask(destination, question, instruments)
    except ExchangeError as error:
        fix = "run the doctor again; if it lasts, show RapidSOS this report"
        return Result((place.failed(error.detail, fix, Whose.RAPIDSOS),))
    except TimeoutError:
        words = "takes the question, and gives no answer in time"
        return Result((place.failed(words, STATUS_PAGE, Whose.RAPIDSOS),))
    finding = judge_reply(place, probe, reply.status, reply.body, is_page=reply.is_page)
    date = parse_http_date(reply.date)
    skew_s = None if date is None else date - instruments.wall()
    holds = finding.verdict in {Verdict.OK, Verdict.WARNING}
    return Result((finding,), value=destination if holds else None, skew_s=skew_s)


async def _ask(destination: Destination, question: bytes, instruments: Instruments) -> Reply:
    line = await instruments.dial(destination, Phases())
    try:
        return await line.ask("GET", question)
    finally:
        line.abandon()


async def check_clock(*results: Result) -> Result:
    """Judge our clock by what the answers of one host told."""
    return Result((judge_clock(result.skew_s for result in results if result.skew_s is not None),))

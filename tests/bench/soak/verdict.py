"""Whether what a client saw, and what the log says of it, is what the faults demand.

The rule of this file: pure.  A request that failed is forgiven only for what the upstream wrote down that it did to
this request, and only where the proxy may not send it again.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bench.soak.ledger import Deeds
from bench.soak.plan import PLAIN
from proxy.exchange import CLIENT_LEFT, OK, UPSTREAM_FAILED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.soak.ledger import Ledger
    from bench.soak.plan import Order

UNAUTHORIZED = 401
CLOSED = "upstream_closed"
BEFORE_S = 0.1
"""A drop that is so much older than a request may still be unknown to the proxy when it sends that."""
UNREACHED = {"upstream_refused": 502, "breaker_open": 503}
"""What a client is told when its request needed a connection and none could be had."""
AFTER_S = {"upstream_refused": 0.2, "breaker_open": 6.0}
"""How long after an outage that may still be so: the breaker lets one request through within a pause of 5 s."""
CALM = ("length", "chunked", "until_close", "gzip", "closes", "hints", "drop", "error")
"""Acts that take no time."""
LEFT = ((CLIENT_LEFT, None), (OK, None), (UPSTREAM_FAILED, CLOSED))
"""Outcomes where the client left: an orderly close cannot be told from the end of a request, so the answer may be in
time, and the upstream may have closed first."""
_NUMBER = re.compile(r"[?&]number=([0-9]+)(?:&|$)")


@dataclass(slots=True)
class Sight:
    """What a client saw of one request.

    Attributes:
        status: Of the answer; None where there was none.
        slug: Of an error of the proxy's own.
        is_whole: Whether the answer was.
        is_right: Whether it was the very answer that the upstream is to give.
        has_left: Whether the client went before it had the answer.
        trouble: Why there is no answer.
        started: In monotonic seconds.
        ended: In monotonic seconds.
    """

    status: int | None
    slug: str | None = None
    is_whole: bool = False
    is_right: bool = False
    has_left: bool = False
    trouble: str = ""
    started: float = 0.0
    ended: float = 0.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """What the log says of one attempt.

    Attributes:
        was_sent: Whether the whole request had left; one that had not may go elsewhere, whatever its method.
    """

    status: int | None
    error: str | None
    reused: bool
    was_sent: bool


@dataclass(frozen=True, slots=True)
class Logged:
    """What the log says of one request.

    Attributes:
        token_ms: How long it waited for a token.
        in_outage: Whether one of the last two token calls before its record had failed: the last token can have come
            to its end before a call went well again.
    """

    method: str
    outcome: str
    error: str | None
    status: int | None
    attempts: tuple[Attempt, ...]
    token_ms: float
    total_ms: float
    in_outage: bool

    @property
    def failed(self) -> list[Attempt]:
        """The attempts that were broken off."""
        return [attempt for attempt in self.attempts if attempt.error is not None]

    @property
    def rejected(self) -> int:
        """How many attempts were answered with 401."""
        return sum(attempt.status == UNAUTHORIZED for attempt in self.attempts)


class Book:
    """The log, as far as it has been read.

    Attributes:
        logged: What it says, by number; of the first record where there are more.
        found: How many records there are of each.
        fetches: Outcomes of token calls.
        strange: Records of exchanges that no client of ours began.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self.logged: dict[int, Logged] = {}
        self.found: Counter[int] = Counter()
        self.fetches: Counter[str] = Counter()
        self.strange: list[str] = []
        self._latest = deque([OK], maxlen=2)

    def add(self, record: Mapping[str, Any]) -> None:
        """Take a record."""
        if record["event"] == "token.fetched":
            self.fetches[record["outcome"]] += 1
            self._latest.append(record["outcome"])
        if record["event"] != "exchange.closed":
            return
        request = record["request"]
        match = _NUMBER.search(request["target"]) if request else None
        if match is None:
            self.strange.append(f"{record['id']}: {record['outcome']}, {record['error']}")
            return
        number = int(match[1])
        self.found[number] += 1
        self.logged.setdefault(number, _summarize(record, in_outage=set(self._latest) != {OK}))


def _summarize(record: Mapping[str, Any], *, in_outage: bool) -> Logged:
    attempts = [
        Attempt(each["status"], each["error"], each["reused"], each["timing_ms"]["send"] is not None)
        for each in record["attempts"]
    ]
    return Logged(
        method=record["request"]["method"],
        outcome=record["outcome"],
        error=record["error"],
        status=record["response"]["status"] if record["response"] else None,
        attempts=tuple(attempts),
        in_outage=in_outage,
        token_ms=record["timing_ms"]["token"],
        total_ms=record["timing_ms"]["total"],
    )


@dataclass(slots=True)
class Verdict:
    """How it went.

    Attributes:
        sent: Requests.
        right: Requests that got the answer of the upstream, whole and unchanged.
        left: Requests whose clients went before.
        demanded: Requests that failed as the faults demand, by kind.
        wrong: Requests that failed otherwise, or of which the log says another thing than the client, in words.
        missing: Numbers of requests that are not in the log.
        double: Numbers of those that are there more than once.
        strange: Records of no request that was sent, in words.
        again: Requests that were sent again on another connection.
        renewed: Requests that were sent again with another token.
        waited: Requests that waited for a token, though neither was theirs rejected nor was there an outage.
        outlived: Requests that waited for a token because an outage had outlived the last one.
        slowest_ms: The longest that a request took to which the upstream did nothing slowly.
    """

    sent: int = 0
    right: int = 0
    left: int = 0
    demanded: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    double: list[int] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    again: int = 0
    renewed: int = 0
    waited: int = 0
    outlived: int = 0
    slowest_ms: float = 0.0


def reconcile(orders: Sequence[Order], sights: Mapping[int, Sight], book: Book, ledger: Ledger) -> Verdict:
    """Compare what was sent, what came back, what the upstream did, and what the log says.

    Args:
        orders: What was sent.
        sights: What came back, by number.
        book: The log, read to its end.
        ledger: What the upstream did.
    """
    verdict = Verdict(sent=len(orders), strange=list(book.strange))
    numbers = {order.number for order in orders}
    verdict.strange += [f"a record of request {number}, which was not sent" for number in book.found.keys() - numbers]
    for order in orders:
        count = book.found[order.number]
        if count > 1:
            verdict.double.append(order.number)
        if not count:
            verdict.missing.append(order.number)
            continue
        _note(verdict, order, sights.get(order.number), book.logged[order.number], ledger)
    return verdict


def _note(verdict: Verdict, order: Order, sight: Sight | None, logged: Logged, ledger: Ledger) -> None:
    verdict.again += bool(logged.failed) and len(logged.attempts) > 1
    verdict.renewed += bool(logged.rejected)
    has_waited = bool(logged.token_ms) and not logged.rejected
    verdict.waited += has_waited and not logged.in_outage
    verdict.outlived += has_waited and logged.in_outage
    if order.act in CALM and not logged.rejected:
        verdict.slowest_ms = max(verdict.slowest_ms, logged.total_ms)
    if sight is None:
        verdict.wrong.append(f"{order}: its client ended by a defect of its own")
        return
    kind, problem = judge(order, sight, logged, ledger)
    if problem:
        verdict.wrong.append(f"{order}: {problem}; {sight}; {logged}; {ledger.deeds.get(order.number)}")
    elif kind == "right":
        verdict.right += 1
    elif kind == "left":
        verdict.left += 1
    else:
        verdict.demanded[kind] += 1


def judge(order: Order, sight: Sight, logged: Logged, ledger: Ledger) -> tuple[str, str]:
    """Judge one request.

    Returns:
        ``right``, ``left``, or the fault that demands its failure; and what is wrong, empty if nothing is.
    """
    deeds = ledger.deeds[order.number] if order.number in ledger.deeds else Deeds()
    if problem := _find_attempt_too_many(order, sight, logged, deeds, ledger):
        return "", problem
    is_unreached = _is_unreached(order, sight, logged.error, ledger.outages)
    if sight.has_left:
        is_so = is_unreached or (logged.outcome, logged.error) in LEFT
        return "left", "" if is_so else "not what becomes of one whose client left"
    if sight.is_right:
        is_so = (logged.outcome, logged.error, logged.status) == (OK, None, sight.status)
        return "right", "" if is_so else "the log does not say what the client saw"
    if is_unreached and logged.error is not None:
        is_told = (sight.slug, sight.status, logged.status) == (logged.error, *[UNREACHED[logged.error]] * 2)
        return logged.error, "" if is_told else "failed, and its client was not told so"
    return _judge_failure(order, sight, logged, deeds)


def _find_attempt_too_many(order: Order, sight: Sight, logged: Logged, deeds: Deeds, ledger: Ledger) -> str:
    """Return what is wrong with the attempts, whatever came of them; empty if nothing is."""
    if len(logged.failed) > _count_explained(order, sight, logged, deeds, ledger):
        return "an attempt failed without a fault"
    if logged.rejected > deeds.rejected:
        return "an attempt was rejected that the upstream did not reject"
    if deeds.arrived - deeds.rejected > (2 if order.method == "GET" else 1):
        return "it arrived once more than it may"
    if order.method == "POST" and any(attempt.error and attempt.was_sent for attempt in logged.attempts[:-1]):
        return "a POST that was sent again after it may have arrived"
    return ""


def _judge_failure(order: Order, sight: Sight, logged: Logged, deeds: Deeds) -> tuple[str, str]:
    """Judge a request that did not get its answer."""
    if (logged.outcome, logged.error) != (UPSTREAM_FAILED, CLOSED):
        return "", "failed, and no fault demands it"
    was_broken = deeds.broken > 0
    was_cut = was_broken and order.act == "cut"
    was_told = (sight.status, sight.slug, sight.is_whole) == (502, CLOSED, True)
    if not (was_told or (was_cut and sight.status is not None and not sight.is_whole)):
        return "", "failed, and its client was not told so"
    if was_cut:
        return "answer cut", ""
    if order.method == "GET":
        return ("GET broken twice", "") if len(logged.failed) > 1 else ("", "a GET that was not sent again")
    return ("POST broken" if was_broken else "POST met a close"), ""


def _is_unreached(order: Order, sight: Sight, error: str | None, outages: Sequence[tuple[float, float]]) -> bool:
    """Return whether an outage accounts for an error that says that no connection could be had."""
    if order.route != PLAIN or error not in AFTER_S:
        return False
    return any(start <= sight.ended and sight.started <= end + AFTER_S[error] for start, end in outages)


def _count_explained(order: Order, sight: Sight, logged: Logged, deeds: Deeds, ledger: Ledger) -> int:
    """Return how many failed attempts the upstream can account for.

    One on a connection that had been used before may have met its close, of which the upstream knows only that it
    dropped some connection about then.
    """
    unreached = sum(_is_unreached(order, sight, attempt.error, ledger.outages) for attempt in logged.failed)
    unseen = max(0, len(logged.attempts) - deeds.arrived)
    at = bisect_left(ledger.drops, sight.started - BEFORE_S)
    has_drop = at < len(ledger.drops) and ledger.drops[at] <= sight.ended
    reused = sum(attempt.reused for attempt in logged.failed)
    return deeds.broken + unreached + (min(unseen, reused) if has_drop else 0)

"""What the next request is, what the upstream will do with it, and what its client must get.

The rule of this file: pure; the dice are an argument.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from random import Random

KIBIBYTE = 1024
MEBIBYTE = 1024 * KIBIBYTE
PHASE_S = 4.0
SHARE = 0.3
"""Of the requests of a phase that meet its fault."""
EARLY_SHARE = 0.2
"""Of the large POSTs that are answered before their body is whole."""

GOOD_ACTS = ("length", "chunked", "until_close", "gzip", "closes", "hints")
"""Answers that are whole, each framed in another way."""
UNREACHABLE = "unreachable"
PHASES = (None, "error", UNREACHABLE, "slow", None, "reset", "reset_twice", "cut", None, "drop")
"""The act that is frequent; None for a while in which only connections are dropped, and one in which the plain upstream
takes no new ones."""
PLAIN, TLS = ROUTES = ("ingress", "tls")
"""Prefixes: of the plain upstream, and of the one behind TLS."""

AROUND_S = PHASE_S * len(PHASES)


@dataclass(frozen=True, slots=True)
class Kind:
    """One way to be a client.

    Attributes:
        weight: How frequent it is.
        acts: What an upstream may do with its requests; empty: everything.
        body: Bytes of the request's body.
        answer: Bytes of the answer's body.
    """

    weight: float
    acts: tuple[str, ...] = ()
    body: int = 0
    answer: int = 600

    @property
    def method(self) -> str:
        """Of its requests."""
        return "POST" if self.body else "GET"


KINDS = {
    "get": Kind(40),
    "one_shot": Kind(10),
    "http_1_0": Kind(8),
    "post": Kind(25, body=KIBIBYTE),
    "post_chunked": Kind(5, body=KIBIBYTE),
    "post_large": Kind(2, body=MEBIBYTE),
    "pair": Kind(5, acts=("length", "chunked", "until_close", "gzip", "hints")),
    "reads_slowly": Kind(1, acts=("length", "chunked", "until_close"), answer=2 * MEBIBYTE),
    "leaves_body": Kind(1, acts=("length",), body=2 * KIBIBYTE),
    "leaves_waiting": Kind(1.5, acts=("late",)),
    "leaves_answer": Kind(1.5, acts=("held",), answer=64 * KIBIBYTE),
}
LEAVING = ("leaves_body", "leaves_waiting", "leaves_answer")
STATUSES = {"error": 503, "early": 413}
"""What an act answers, where it is not 200."""
_PATTERN = bytes(range(33, 127))


@dataclass(frozen=True, slots=True)
class Order:
    """One request that is to be sent.

    Attributes:
        number: Its own, in its target.
        kind: Of client, a key of ``KINDS``.
        act: What the upstream does.
        route: Of the proxy.
    """

    number: int
    kind: str
    act: str
    route: str

    @property
    def method(self) -> str:
        """Of the request."""
        return KINDS[self.kind].method

    @property
    def is_leaving(self) -> bool:
        """Whether its client goes before it has the answer."""
        return self.kind in LEAVING

    @property
    def target(self) -> str:
        """As the client sends it."""
        return f"/{self.route}/v1/soak?number={self.number}&act={self.act}&bytes={KINDS[self.kind].answer}"

    @property
    def body(self) -> bytes:
        """Of the request."""
        return build_body(self.number, KINDS[self.kind].body, 0) if KINDS[self.kind].body else b""

    @property
    def status(self) -> int:
        """Of the answer."""
        return STATUSES.get(self.act, 200)

    @property
    def answer(self) -> bytes:
        """Body of the answer, without its content coding."""
        received = 0 if self.act == "early" else zlib.crc32(self.body)
        return build_body(self.number, KINDS[self.kind].answer, received)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the upstream reads in a target."""

    number: int
    act: str
    size: int


class Planner:
    """Decides what comes next.

    Attributes:
        planned: Requests so far.
    """

    def __init__(self, dice: Random, *, is_calm: bool = False) -> None:
        """Begin with request 0; where it ``is_calm``, every upstream answers, and as it should."""
        self.planned = 0
        self._dice = dice
        self._is_calm = is_calm
        self._kinds = list(KINDS)
        self._weights = [kind.weight for kind in KINDS.values()]

    def plan(self, elapsed_s: float) -> list[Order]:
        """Plan what one client does next: one request, or two in one go."""
        [kind] = self._dice.choices(self._kinds, self._weights)
        route = self._dice.choice(ROUTES)
        return [self._order(kind, route, elapsed_s) for _ in range(2 if kind == "pair" else 1)]

    def _order(self, kind: str, route: str, elapsed_s: float) -> Order:
        order = Order(self.planned, kind, self._choose_act(kind, find_phase(elapsed_s)), route)
        self.planned += 1
        return order

    def _choose_act(self, kind: str, phase: str | None) -> str:
        if acts := KINDS[kind].acts:
            return self._dice.choice(acts)
        if self._is_calm:
            return self._dice.choice(GOOD_ACTS)
        if kind == "post_large" and self._dice.random() < EARLY_SHARE:
            return "early"
        if phase is not None and phase != UNREACHABLE and self._dice.random() < SHARE:
            return phase
        return self._dice.choice(GOOD_ACTS)


def find_phase(elapsed_s: float) -> str | None:
    """Return which act is frequent so long after the start."""
    return PHASES[int(elapsed_s / PHASE_S) % len(PHASES)]


def parse_target(target: str) -> Asked:
    """Read a target, with or without its route."""
    query = parse_qs(urlsplit(target).query)
    return Asked(int(query["number"][0]), query["act"][0], int(query["bytes"][0]))


def build_body(number: int, size: int, received: int) -> bytes:
    """Build a body that is nobody else's.

    Args:
        number: Of the request.
        size: Bytes.
        received: Checksum of the body that it answers.
    """
    start = b"%d %08x " % (number, received)
    return (start + _PATTERN * (size // len(_PATTERN) + 1))[:size]

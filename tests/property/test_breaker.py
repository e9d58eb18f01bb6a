"""The breaker under arbitrary histories of connections, answers and requests."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.config.models import Breaker as Settings
from proxy.relay.breaker import EVERYONE, LEAST_SPAN_S, SHORTEST_PAUSE_S, Breaker

CLIENTS = st.sampled_from(["10.0.0.1", "10.0.0.2"])
SPANS = st.floats(0.0, 30.0)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("fail"), st.just(EVERYONE) | CLIENTS, SPANS),
        st.tuples(st.just("enter"), CLIENTS, SPANS),
        st.tuples(st.sampled_from(["answer", "connect"]), st.just(EVERYONE), SPANS),
    ),
    max_size=60,
)
SETTINGS = st.builds(Settings, connections=st.integers(1, 4), unanswered=st.integers(0, 4), pause=st.floats(1.0, 10.0))
ROUNDING_S = 1e-6
"""Of sums of seconds."""
DICE = st.floats(0, 1, exclude_max=True)


class History:
    """What has happened to a breaker, by the plainest count that there could be."""

    def __init__(self, settings: Settings, dice: float) -> None:
        """Begin with nothing."""
        self.settings = settings
        self.breaker = Breaker(settings, lambda: dice)
        self.now = 1000.0
        self.in_a_row = {EVERYONE: 0, "10.0.0.1": 0, "10.0.0.2": 0}

    def step(self, what: str, client: str, span_s: float) -> float | None:
        """Let something happen that takes ``span_s``; return how long a request would have to wait."""
        begun, self.now = self.now, self.now + span_s + ROUNDING_S
        match what:
            case "fail":
                self.in_a_row[client] += 1
                self.breaker.fail(self.now, begun, client)
            case "answer":
                self.in_a_row = dict.fromkeys(self.in_a_row, 0)
                self.breaker.answered_at = self.now
            case "connect":
                self.in_a_row[EVERYONE] = 0
                self.breaker.connect()
            case "enter":
                return self.breaker.enter(self.now, client)
        return None


@given(settings=SETTINGS, dice=DICE, steps=STEPS)
def test_a_request_is_refused_only_for_failures_in_a_row_that_concern_it(settings, dice, steps):
    """Never for another client's requests, never while anything has been answered since, never for longer than said."""
    history = History(settings, dice)
    for what, client, span_s in steps:
        wait_s = history.step(what, client, span_s)
        if wait_s:
            is_cut_off = history.in_a_row[EVERYONE] >= settings.connections
            is_unanswered = settings.unanswered and history.in_a_row[client] >= settings.unanswered
            assert is_cut_off or is_unanswered
            assert 0.0 < wait_s <= settings.pause + ROUNDING_S


@given(settings=SETTINGS, dice=DICE, steps=STEPS, client=CLIENTS)
def test_whatever_has_happened_a_request_goes_through_soon(settings, dice, steps, client):
    """After the longest pause, or at once when something was answered."""
    history = History(settings, dice)
    for step in steps:
        history.step(*step)
    waited = history.step("enter", client, 0.0)
    history.now += settings.pause + ROUNDING_S

    assert waited is not None
    assert history.breaker.enter(history.now, client) == 0.0
    history.step("answer", EVERYONE, 0.0)
    assert history.breaker.enter(history.now, client) == 0.0
    assert history.breaker.status(history.now).state == "closed"


@given(settings=SETTINGS, dice=DICE, count=st.integers(1, 10))
def test_an_upstream_that_cannot_be_reached_is_left_alone(settings, dice, count):
    """Failures enough, over time enough: then nobody goes through before the shortest pause is over."""
    history = History(settings, dice)
    for _ in range(settings.connections + count):
        history.step("fail", EVERYONE, LEAST_SPAN_S)

    wait_s = history.breaker.enter(history.now, "10.0.0.1")
    assert SHORTEST_PAUSE_S - ROUNDING_S <= wait_s <= settings.pause + ROUNDING_S

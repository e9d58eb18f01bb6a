"""The limit of how often a client may ask, under arbitrary paces."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import ClientLimit
from proxy.relay.rate import ClientRate


def gets_through(rate: ClientRate) -> bool:
    """Return whether a request does."""
    try:
        rate.check("10.0.0.1")
    except ClientLimit:
        return False
    return True


@given(
    pace=st.floats(0.01, 1e4),
    burst=st.integers(1, 50),
    pauses=st.lists(st.floats(0.0, 20.0), max_size=80),
)
def test_no_span_of_time_holds_more_than_its_share(pace, burst, pauses):
    """From any request that got through on: a burst, and what the time has brought; and one that waits gets through."""
    now = [1000.0]
    rate = ClientRate(pace, burst, lambda: now[0])
    through = []
    for pause in pauses:
        now[0] += pause
        if gets_through(rate):
            through.append(now[0])

    for first, begun in enumerate(through):
        for last in range(first, len(through)):
            assert last - first + 1 <= burst + (through[last] - begun) * pace + 1e-3 * max(1.0, pace)
    now[0] += 1.0 / pace + 1e-3

    assert gets_through(rate)

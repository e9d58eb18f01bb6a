"""Our clock against others."""

import pytest

from proxy.doctor.clock import judge_clock
from proxy.doctor.finding import Verdict, Whose


@pytest.mark.parametrize(
    ("skew_s", "verdict"),
    [
        (0.0, Verdict.OK),
        (-30.0, Verdict.OK),
        (30.5, Verdict.WARNING),
        (-300.0, Verdict.WARNING),
        (301.0, Verdict.FAILED),
        (-1e6, Verdict.FAILED),
    ],
)
def test_thirty_seconds_warn_and_five_minutes_fail(skew_s, verdict):
    """Either way."""
    assert judge_clock([skew_s]).verdict is verdict


@pytest.mark.parametrize(
    ("skew_s", "words"),
    [
        (90.0, "this machine's clock is 1 min 30 s behind"),
        (-7200.0, "this machine's clock is 2 h 0 min ahead; certificates are judged by it"),
        (3 * 86_400.0 + 3600, "this machine's clock is 3 d 1 h behind; certificates are judged by it"),
    ],
)
def test_the_words_say_how_far_and_which_way(skew_s, words):
    """And whose it is."""
    finding = judge_clock([skew_s])

    assert finding.words == words
    assert finding.whose is Whose.MACHINE


def test_the_nearest_of_several_answers_counts():
    """An answer from a cache has an old date."""
    assert judge_clock([-4000.0, 2.0]).words == "2 s apart"


def test_without_an_answer_nothing_is_judged():
    """It is skipped, and no fault."""
    assert judge_clock([]).verdict is Verdict.SKIPPED

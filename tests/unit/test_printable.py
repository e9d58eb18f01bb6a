"""Text that a terminal can be shown."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.printable import escape_unprintable


@pytest.mark.parametrize("text", ["", "plain", "naïve … 文字 😀"])
def test_what_can_be_seen_stays(text):
    """In any script."""
    assert escape_unprintable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;title\x07", r"\u001b]0;title\u0007"),
        ("\x7f\x85\x9b31m", r"\u007f\u0085\u009b31m"),
        ("a\u2028b\u2029c\u202ed\u2066e\u200ef\u061c", r"a\u2028b\u2029c\u202ed\u2066e\u200ef\u061c"),
        ("\udc80", r"\udc80"),
        ("\U000e0001", r"\udb40\udc01"),
        ("one\ntwo\r", r"one\u000atwo\u000d"),
    ],
)
def test_what_a_terminal_obeys_is_escaped(text, shown):
    """C0, DEL, C1, line ends of Unicode, what turns the direction of text."""
    assert escape_unprintable(text) == shown


def test_line_ends_can_be_kept():
    """In a text of several lines; nothing else is."""
    assert escape_unprintable("one\n\ttwo\r\x1b", keep="\n\t") == "one\n\ttwo\\u000d\\u001b"


@given(st.text())
def test_json_means_the_same_afterwards(text):
    """Whatever stands in it."""
    document = json.dumps([text], ensure_ascii=False)

    assert json.loads(escape_unprintable(document)) == [text]

"""Escapes undone, and what that costs."""

import json
import sys
from html import escape
from urllib.parse import quote

import pytest

from proxy.traffic.fold import fold, fold_beginning

PLAIN = "a<b>&\"c'd/é+1"


def in_json(text):
    """Escape as most encoders do."""
    return json.dumps(text)[1:-1]


def in_url(text):
    """Escape all that can be."""
    return quote(text, safe="")


def every(form):
    """Return an encoder that spells each character by its number."""
    return lambda text: "".join(form.format(ord(character)) for character in text)


ENCODERS = {
    "JSON": in_json,
    "JSON in JSON": lambda text: in_json(in_json(text)),
    "JSON ten times": lambda text: __import__("functools").reduce(lambda inner, _: in_json(inner), range(8), text),
    "URL": in_url,
    "URL three times": lambda text: in_url(in_url(in_url(text))),
    "XML": escape,
    "XML twice": lambda text: escape(escape(text)),
    "URL of JSON": lambda text: in_url(in_json(text)),
    "JSON of URL": lambda text: in_json(in_url(text)),
    "XML of JSON of URL": lambda text: escape(in_json(in_url(text))),
    "URL of XML of JSON": lambda text: in_url(escape(in_json(text))),
    "each in JSON": every("\\u{:04x}"),
    "each in JSON, upper case": every("\\u{:04X}"),
    "each in XML": every("&#{};"),
    "each in XML with zeros": every("&#000{};"),
    "each in hexadecimal XML": every("&#x{:x};"),
    "each in hexadecimal XML with zeros": every("&#X000{:X};"),
    "backslashes in the URL of JSON": lambda text: in_json(text).replace("\\", "%5C"),
}


@pytest.mark.parametrize("encode", ENCODERS.values(), ids=ENCODERS)
@pytest.mark.parametrize("text", ["a<b>&\"c'd/+1", "tab\tline\nback\\slash", "100%41 %% %2", "=3D%3d=", "a&b;c#d"])
def test_whatever_escapes_a_text_it_folds_to_the_same(encode, text):
    """So a secret is found in whatever way it was written."""
    assert fold(encode(text).encode()) == fold(text.encode())


@pytest.mark.parametrize("text", ["plain", "a=b&c=d", "100 percent", "", "é€😀"])
def test_a_text_without_escapes_stays(text):
    """Nothing is made up."""
    assert fold(text.encode()) == text.encode()


@pytest.mark.parametrize(
    ("cut", "said"),
    [
        ("abc%", "abc"),
        ("abc%2", "abc"),
        ("abc\\", "abc"),
        ("abc\\u00", "abc"),
        ("abc\\u004", "abc"),
        ("abc%5Cu00", "abc"),
        ("abc%5", "abc"),
        ("abc&am", "abc"),
        ("abc&#x4", "abc"),
        ("a%62c", "abc"),
    ],
)
def test_an_escape_that_a_cut_has_left_unfinished_says_nothing(cut, said):
    """What stands before it is what it is."""
    assert fold_beginning(cut.encode()) == said.encode()


SIZE = 65_536
HOSTILE = {
    "percent signs": "%",
    "percent signs encoded": "%25",
    "every octet": "%41",
    "URL in URL": "%25252541",
    "backslashes": "\\",
    "JSON": "\\u0041",
    "JSON in JSON": '\\\\\\"',
    "ampersands": "&amp;",
    "references": "&#65;",
    "hexadecimal references": "&#x0041;",
    "long references": f"&#{'0' * 40}65;",
    "a mixture": '\\\\\\"%25&amp;amp;%5c\\u0025',
    "another mixture": "%26#x5c;u0026#37;41",
    "reveals as it goes": "%5Cu0025" + "5Cu0025" * 3,
}


@pytest.mark.parametrize("part", HOSTILE.values(), ids=HOSTILE)
def test_no_call_is_made_for_an_escape(part):
    """A body of 64 KB of escapes once cost 50 ms of the event loop: a call for each, in each of 39 orders."""
    data = (part * SIZE)[:SIZE].encode()
    calls = 0

    def count(_frame, event, _argument):
        nonlocal calls
        calls += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        fold(data)
    finally:
        sys.setprofile(None)

    assert calls < 20_000 / 2


@pytest.mark.parametrize(
    "data", [b"&#65;" * 13_000, b"%5Cu0025" * 5000 + (b"%5Cu0025" + b"5Cu0025" * 6) * 800, b"&#" * 32_000]
)
def test_what_would_cost_too_much_is_given_up(data):
    """Too many that must be undone one by one, or too many inside each other."""
    assert fold(data) is None


def test_ordinary_escapes_are_never_given_up():
    """64 KB of what encoders really write: JSON in JSON of two makes, in a form, in XML, in both."""
    inner = json.dumps([{"id": number, "remarks": 'caller said "smoke" & left'} for number in range(600)])
    bodies = [
        json.dumps({"message": inner}),
        json.dumps({"message": inner}).replace('\\"', "\\u0022"),
        f"message={quote(inner)}",
        f"<m>{escape(inner)}</m>",
        f"message={quote(json.dumps({'message': inner}))}",
    ]

    assert [body[:10] for body in bodies if fold(body.encode()[:SIZE]) is None] == []

"""Field sections: remembered within a bound, and what is made of one made once."""

import tracemalloc

import pytest

from proxy.http import fields
from proxy.http.fields import build_section, parse_section
from proxy.http.headers import _lines_to_client, _lines_to_upstream, connection_options
from proxy.traffic.heads import build_head_mask
from proxy.traffic.names import SecretNames


def test_sections_remembered_have_a_bound():
    """A client that makes up fields cannot grow the proxy: past the bound they are read all the same."""
    memory = fields._Sections()
    sizes = []
    for number in range(2000):
        assert memory[b"X-A: %d\r\n" % number].fields == [("X-A", str(number))]
        sizes.append(len(memory._known))
    long = b"X: " + b"y" * memory.LONGEST + b"\r\n"

    assert memory[long].names == ["x"]
    assert long not in memory._known
    assert 400 < max(sizes) < 1000
    assert sizes[-1] < max(sizes)


def build_many_fields(number):
    """Build as many fields as there is room for in a section that is remembered."""
    return (
        b"".join(b"%c%c:\r\n" % (97 + place // 26 % 26, 97 + place % 26) for place in range(400))
        + b"a: %d\r\n" % number
    )


def build_usual_fields(number):
    """Build what a client sends."""
    return b"Host: a\r\nUser-Agent: CAD/7.2\r\nAccept: */*\r\nContent-Length: 12\r\nX-Request-Id: %d\r\n" % number


def build_long_value(number):
    """Build one field of the longest section that is remembered."""
    return b"X-A: %d%s\r\n" % (number, b"y" * 2030)


@pytest.mark.parametrize("build", [build_many_fields, build_usual_fields, build_long_value])
def test_the_memory_of_sections_takes_two_megabytes_at_the_most(build):
    """Whatever a client makes up, with all that is made of a section on its way."""
    memory = fields._Sections()
    mask = build_head_mask(SecretNames(), shows_tokens=True)
    most = 0
    tracemalloc.start()
    try:
        for number in range(600):
            section = memory[build(number)]
            for work in (_lines_to_upstream, _lines_to_client, connection_options, mask):
                section.derive(work)
            most = max(most, tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()

    assert most < 2_000_000


def test_names_remembered_have_a_bound():
    """Nor can one that makes up names."""
    memory = fields._LowerNames()
    for number in range(memory.MOST + 100):
        assert memory[f"X-{number}"] == f"x-{number}"
    long = "X" * (memory.LONGEST + 1)

    assert memory[long] == long.lower()
    assert long not in memory._known
    assert len(memory._known) == memory.MOST


@pytest.mark.parametrize("name", [b"Authorization", b"COOKIE", b"Set-Cookie", b"Proxy-Authorization", b"X-Api-Key"])
def test_section_that_may_hold_a_secret_is_not_remembered(name):
    """A credential must not outlive its exchange in memory."""
    memory = fields._Sections()

    assert memory[name + b": secret\r\n"].fields == [(name.decode(), "secret")]
    assert not memory._known


def test_section_seen_before_is_the_same_one():
    """Heads that have the same bytes share it, and what was made of it."""
    first, second = parse_section(b"X-Same: 1\r\n"), parse_section(b"X-Same: 1\r\n")

    assert first is second


def test_what_is_derived_is_made_once():
    """Whoever asks again gets what was made before; what raised is tried again."""
    made = []

    def count(section):
        made.append(section)
        if len(made) == 1:
            raise LookupError
        return len(section.fields)

    section = build_section([("A", "1"), ("B", "2")])
    with pytest.raises(LookupError):
        section.derive(count)

    assert [section.derive(count), section.derive(count)] == [2, 2]
    assert made == [section, section]


def test_repr_shows_no_value():
    """A value may be a secret."""
    assert repr(build_section([("Authorization", "Basic c2VjcmV0")])) == "<FieldSection authorization>"

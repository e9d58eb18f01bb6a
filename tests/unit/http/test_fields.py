"""Field sections: remembered within a bound, and what is made of one made once."""

import pytest

from proxy.http import fields
from proxy.http.fields import build_section, parse_section


def test_sections_remembered_have_a_bound():
    """A client that makes up fields cannot grow the proxy: past the bound they are read all the same."""
    memory = fields._Sections()
    sizes = set()
    for number in range(memory.MOST + 100):
        assert memory[b"X-A: %d\r\n" % number].fields == [("X-A", str(number))]
        sizes.add(len(memory))
    long = b"X: " + b"y" * memory.LONGEST + b"\r\n"

    assert memory[long].names == ["x"]
    assert long not in memory
    assert max(sizes) == memory.MOST


def test_names_remembered_have_a_bound():
    """Nor can one that makes up names."""
    memory = fields._LowerNames()
    for number in range(memory.MOST + 100):
        assert memory[f"X-{number}"] == f"x-{number}"
    long = "X" * (memory.LONGEST + 1)

    assert memory[long] == long.lower()
    assert long not in memory
    assert len(memory) == memory.MOST


@pytest.mark.parametrize("name", [b"Authorization", b"COOKIE", b"Set-Cookie", b"Proxy-Authorization"])
def test_section_that_may_hold_a_secret_is_not_remembered(name):
    """A credential must not outlive its exchange in memory."""
    memory = fields._Sections()

    assert memory[name + b": secret\r\n"].fields == [(name.decode(), "secret")]
    assert not memory


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

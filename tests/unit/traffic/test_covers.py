"""What is left of a masked value: its last four digits, or a keyed hash; alike wherever and however it is spelled."""

import json
import re

import pytest

from proxy.traffic.covers import build_covers, cover_but_last_digits
from proxy.traffic.heads import build_head_mask
from proxy.traffic.names import SecretNames
from proxy.traffic.values import mask, mask_url

KEY = bytes(range(32))
SHOWN = {"phone_number": "last4", "Caller_ID": "hash"}
NUMBER = "+1 (555) 555-0100"
NAMES = SecretNames(["phone_number", "Caller_ID", "address"], build_covers(SHOWN, KEY))
JSON_MEMBER = json.dumps({"NAME": NUMBER, "a": 1})
SPELLINGS = {
    "query": "/x?NAME=%2B1+(555)%20555-0100&a=1",
    "form": "NAME=%2B1+%28555%29+555-0100",
    "escaped name": "NAME=%2B1+%28555%29+555-0100&a=1",
    "bracketed name": "caller[NAME]=%2B1+%28555%29+555-0100&a=1",
    "JSON": JSON_MEMBER,
    "JSON with escapes": JSON_MEMBER.replace("+", "\\u002b"),
    "JSON in JSON": json.dumps({"inner": JSON_MEMBER}),
    "JSON in JSON in JSON": json.dumps({"outer": json.dumps({"inner": JSON_MEMBER})}),
    "XML": f"<r><NAME>{NUMBER}</NAME></r>",
    "XML with entities": f"<r><ns:NAME type='a'>{NUMBER.replace('+', '&#43;')}</ns:NAME></r>",
    "attribute": f'<r NAME="{NUMBER}" a="1"/>',
    "part": f'--b\r\nContent-Disposition: form-data; name="NAME"\r\n\r\n{NUMBER}\r\n--b--',
}


def mask_field(spelling, name):
    """Mask a body, or a target, that has a field of this name."""
    name = name.replace("_", "%5F") if spelling == "escaped name" else name
    text = SPELLINGS[spelling].replace("NAME", name)
    return mask_url(text, NAMES) if text.startswith("/") else mask(text.encode(), NAMES).decode()


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_the_last_four_digits_are_shown_in_every_spelling(spelling):
    """And none of the others."""
    masked = mask_field(spelling, "phone_number")

    assert "***0100" in masked
    assert "555" not in masked


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_one_value_has_one_hash_in_every_spelling(spelling):
    """So that a caller can be followed through the log without being known."""
    expected = build_covers(SHOWN, KEY)[b"caller_id"](NUMBER.encode()).decode()
    masked = mask_field(spelling, "caller_id")

    assert re.fullmatch(r"\*{3}[0-9a-f]{16}", expected)
    assert expected in masked
    assert "555" not in masked


@pytest.mark.parametrize("spelling", [name for name in SPELLINGS if name.startswith("JSON")])
def test_what_was_json_stays_json(spelling):
    """At each of its levels."""
    value = json.loads(mask_field(spelling, "phone_number"))
    for _ in range(spelling.count("in JSON")):
        (value,) = value.values()
        value = json.loads(value)

    assert value == {"phone_number": "***0100", "a": 1}


@pytest.mark.parametrize(
    ("body", "masked"),
    [
        ('{"phone_number":15555550100}', '{"phone_number":"***0100"}'),
        ('{"phone_number":{"home":"15555550100"}}', '{"phone_number":"***"}'),
        ('{"phone_number":["15555550100"]}', '{"phone_number":"***"}'),
        ('{"phone_number":"15555550', '{"phone_number":"***"'),
        ('{"phone_number":"\\x"}', '{"phone_number":"***"}'),
        ('{"phone_number":null}', '{"phone_number":null}'),
        ("<phone_number><home>15555550100</home></phone_number>", "<phone_number>***</phone_number>"),
        ('{"phone_number":"911"}', '{"phone_number":"***"}'),
        ('{"address":"15555550100"}', '{"address":"***"}'),
        ('{"password":"15555550100"}', '{"password":"***"}'),
    ],
)
def test_what_has_no_digits_to_show_is_masked_whole(body, masked):
    """Fields within it, an end that was cut off, too few digits, or a name that shows nothing."""
    assert mask(body.encode(), NAMES) == masked.encode()


def test_a_header_field_is_covered_too():
    """By the same hash."""
    section = type("Section", (), {"fields": [("Caller_ID", NUMBER)], "names": ["caller_id"]})
    ((_, value),) = build_head_mask(NAMES, shows_tokens=True)(section)

    assert value.encode() == build_covers(SHOWN, KEY)[b"caller_id"](NUMBER.encode())


def test_another_key_makes_another_hash():
    """Without it nobody can try all numbers."""
    assert build_covers(SHOWN, KEY)[b"caller_id"](b"1") != build_covers(SHOWN, bytes(32))[b"caller_id"](b"1")


@pytest.mark.parametrize(("text", "shown"), [(b"5550100", b"***0100"), (b"555010", b"***"), (b"", b"***")])
def test_of_few_digits_none_is_shown(text, shown):
    """Four of six would be most of them."""
    assert cover_but_last_digits(text) == shown

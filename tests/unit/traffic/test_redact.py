"""Redaction by value."""

import base64
import json
from urllib.parse import quote

import orjson
import pytest

SECRET = 'p@ss/w"örd+1'


def redact(redactor, record):
    """Return the record as it would be written."""
    masked = redactor.redact(record, orjson.dumps(record))
    return record if masked is None else masked


ENCODINGS = {
    "plain": lambda text: text,
    "latin-1 of UTF-8": lambda text: text.encode().decode("latin-1"),
    "URL": lambda text: quote(text, safe=""),
    "URL, lower case": lambda text: quote(text, safe="").replace("%C3%B6", "%c3%b6"),
    "URL, latin-1": lambda text: quote(text.encode("latin-1"), safe=""),
    "URL, every character": lambda text: "".join(f"%{octet:02x}" for octet in text.encode()),
    "URL, twice": lambda text: quote(quote(text, safe=""), safe=""),
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON, only what must": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "JSON, slash escaped": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "JSON, every character": lambda text: "".join(f"\\u{ord(character):04X}" for character in text),
    "JSON, twice": lambda text: json.dumps(json.dumps(text))[1:-1],
    "JSON in URL": lambda text: quote(json.dumps(text), safe=""),
    "URL in JSON": lambda text: json.dumps(quote(text, safe="/") + "/")[1:-1].replace("/", "\\/"),
    "hex": lambda text: text.encode().hex(),
    "HEX": lambda text: text.encode().hex().upper(),
    "Base64": lambda text: base64.b64encode(text.encode()).decode(),
    "Base64 of a pair": lambda text: base64.b64encode(f"id:{text}".encode()).decode(),
    "Base64 of another pair": lambda text: base64.b64encode(f"user:{text}".encode()).decode(),
    "Base64 of latin-1": lambda text: base64.b64encode(f"u:{text}".encode("latin-1")).decode(),
    "Base64 for URLs": lambda text: base64.urlsafe_b64encode(f"??>{text}?>".encode()).decode(),
    "Base64 in URL": lambda text: quote(base64.b64encode(f"??>{text}?>".encode()).decode(), safe=""),
    "Base64 of URL": lambda text: base64.b64encode(f"id:{quote(text, safe='')}".encode()).decode(),
    "Base64 of JSON": lambda text: base64.b64encode(json.dumps({"a": text}).encode()).decode(),
}


@pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS)
@pytest.mark.parametrize("around", ["{}", "before {} after", "x{}x"])
def test_a_secret_is_masked_in_every_encoding(make_redactor, encode, around):
    """Wherever in a text, and counted."""
    redactor, redactions = make_redactor(SECRET)
    encoded = encode(SECRET)

    masked = redactor.mask(around.format(encoded))

    assert "***" in masked
    assert not [part for part in (encoded, encoded[4:-4]) if part in masked]
    assert redactions.count == 1


@pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS)
def test_the_rendered_line_shows_that_a_record_needs_a_look(make_redactor, encode):
    """One search of it decides, so that search must see every encoding."""
    redactor, _ = make_redactor(SECRET)
    record = {"request": {"headers": [("A", encode(SECRET))]}, "number": 1}

    masked = redact(redactor, record)

    assert "***" in masked["request"]["headers"][0][1]
    assert masked["number"] == 1


def test_what_stands_around_a_secret_stays(make_redactor):
    """The record is as full as it can be."""
    redactor, _ = make_redactor(SECRET)

    assert redactor.mask(f"a={quote(SECRET, safe='')}&b=2") == "a=***&b=2"
    assert redactor.mask(json.dumps({"a": SECRET, "b": 2})) == '{"a": "***", "b": 2}'


def test_each_occurrence_is_counted(make_redactor):
    """The count is what the metrics show."""
    redactor, redactions = make_redactor(SECRET, "another-one")

    masked = redact(redactor, {"a": f"{SECRET} {SECRET}", "b": [{"c": "another-one"}, None, 1.5, True]})

    assert masked == {"a": "*** ***", "b": [{"c": "***"}, None, 1.5, True]}
    assert redactions.count == 3


def test_a_secret_of_digits_breaks_no_number(make_redactor):
    """Numbers are no place for secrets, and the line stays JSON."""
    redactor, _ = make_redactor("123456")

    assert redact(redactor, {"bytes_in": 123456, "body": "pin 123456"}) == {"bytes_in": 123456, "body": "pin ***"}


def test_a_secret_that_is_a_word_of_ours_breaks_no_record(make_redactor):
    """The names of the record's fields stay."""
    redactor, _ = make_redactor("request")

    assert redact(redactor, {"request": {"body": "a request"}}) == {"request": {"body": "a ***"}}


def test_a_short_secret_is_left_alone(make_redactor):
    """Below six characters it would mask words that have nothing to do with it."""
    redactor, redactions = make_redactor("alert", "")

    assert redactor.mask("an alert") == "an alert"
    assert redactions.count == 0


def test_a_record_without_secrets_is_not_copied(make_redactor):
    """Nearly every one is like that."""
    redactor, _ = make_redactor(SECRET)

    for record in ({"a": "b"}, {"a": "100%25"}, {"a": "tab\\t"}):
        assert redactor.redact(record, orjson.dumps(record)) is None


def test_of_two_secrets_the_longer_one_is_masked(make_redactor):
    """No rest of it is left over where one begins with the other."""
    redactor, _ = make_redactor("secret-1", "secret-1234")

    assert redactor.mask("a secret-1234 b") == "a *** b"


def test_overlapping_secrets_leave_nothing_of_either(make_redactor):
    """Whichever is found first."""
    redactor, _ = make_redactor("abcdef", "defghi")

    masked = redactor.mask("abcdefghi")

    assert "abcdef" not in masked
    assert "defghi" not in masked


def test_a_secret_of_asterisks_does_not_grow_back(make_redactor):
    """Two masks side by side look like it."""
    redactor, _ = make_redactor("******")

    assert redactor.mask("a ************ b") == "a *** b"


def test_only_the_secret_is_cut_out_of_escapes_of_any_order(make_redactor):
    """A percent sign that is itself JSON-escaped, for one."""
    redactor, redactions = make_redactor("sécret-word")

    assert redactor.mask(r"x s\u0025C3\u0025A9cret-word x") == "x *** x"
    assert redactions.count == 1


def test_more_secrets_than_one_search_takes(make_redactor):
    """Every one of a large configuration's is found."""
    secrets = [f"secret-number-{number:03d}" for number in range(100)]
    redactor, redactions = make_redactor(*secrets)

    for secret in secrets:
        assert redact(redactor, {"a": secret}) == {"a": "***"}
    assert redactions.count == 100


@pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS)
def test_the_beginning_of_a_secret_is_masked_at_a_cut(make_redactor, encode):
    """At whichever of its characters the cap has cut, in every encoding."""
    redactor, _ = make_redactor(SECRET)
    encoded = encode(SECRET)
    whole = redactor.mask(f"before {encoded}")

    for length in range(1, len(encoded)):
        masked = redactor.mask_tail(redactor.mask(f"before {encoded[:length]}"))

        assert masked.startswith("before ")
        assert len(masked) <= len("before ") + max(12 * 2 + 6, len(whole) - len("before "))
        assert encoded[: max(length, 30)] not in masked


@pytest.mark.parametrize("text", ["", "s", "nothing of it", "p@", "ends in 100%", "ends in \\", "p@ss/w no more"])
def test_other_ends_stay(make_redactor, text):
    """Two characters are not a beginning, and a beginning counts only at the end."""
    redactor, redactions = make_redactor(SECRET)

    assert redactor.mask_tail(text) == text
    assert redactions.count == 0


def test_without_secrets_nothing_is_looked_for(make_redactor):
    """A simulator's configuration may have none."""
    redactor, _ = make_redactor()

    assert redactor.redact({"a": "%41"}, b'{"a":"%41"}') is None
    assert redactor.mask("abc") == "abc"
    assert redactor.mask_tail("abc") == "abc"


def test_what_it_looks_for_is_not_shown(make_redactor):
    """A repr ends up in logs."""
    redactor, _ = make_redactor(SECRET)

    assert SECRET not in repr(redactor)

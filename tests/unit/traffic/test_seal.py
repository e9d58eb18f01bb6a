"""Seals: what a line becomes, and what is told of it."""

import hashlib
import hmac
import json

import pytest

from proxy.traffic.seal import (
    START,
    Mark,
    Opening,
    SealKey,
    Torn,
    TornLines,
    build_opening,
    find_last_seal,
    is_whole,
    parse_claim,
    parse_mark,
    parse_opening,
    parse_sealed,
)

LINE = b'{"ts":"2026-11-24T09:05:35.914Z","seq":1,"event":"exchange.closed"}\n'
AT = "2026-11-24T09:05:35.914Z"
KEY = SealKey(bytes(range(32)))
OTHER = SealKey(bytes(32))
SPOOFED = build_opening(AT, Opening("started", "x)\nEvery line holds: 7 sealed lines", None))
"""What a forger would like to have printed."""


def test_a_sealed_line_is_the_line_with_one_entry_more():
    """Whoever reads the log as JSON finds everything as before."""
    sealed, mark = KEY.seal(LINE, START)

    assert json.loads(sealed) == {**json.loads(LINE), "seal": str(mark)}
    assert sealed.startswith(LINE[:-2])
    assert mark.number == 1


def test_a_seal_is_hmac_sha_256_of_the_hash_before_and_the_bytes_before_it():
    """The format is the one that stands in docs/design.md; other versions must go on reading it."""
    key = hmac.new(bytes(range(32)), b"rapidsos-proxy traffic log 1: lines", hashlib.sha256).digest()
    body = LINE[:-2] + b',"seal":"1:'
    digest = hmac.new(key, b"0" * 64 + body, hashlib.sha256).hexdigest().encode()

    assert KEY.seal(LINE, START) == (body + digest + b'"}\n', Mark(1, digest))


def test_a_line_holds_behind_its_own_predecessor_alone():
    """And with its own key alone."""
    _, first = KEY.seal(LINE, START)
    sealed, _ = KEY.seal(LINE, first)
    line = parse_sealed(sealed)

    assert KEY.is_sealed(line, first)
    assert not KEY.is_sealed(line, START)
    assert not OTHER.is_sealed(line, first)


@pytest.mark.parametrize("place", range(len(KEY.seal(LINE, START)[0])))
def test_no_byte_can_change(place):
    """Not of the record, not of the number, not of the hash, not of what is between."""
    sealed, _ = KEY.seal(LINE, START)
    changed = sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :]
    line = parse_sealed(changed)

    assert line is None or not KEY.is_sealed(line, START)


def test_missing_lines_leave_their_numbers_out():
    """So that those who wrote them, and whoever looks for them, know which they were."""
    _, mark = KEY.seal(LINE, START, missing=3)

    assert mark.number == 4


@pytest.mark.parametrize(
    "line",
    [
        LINE,
        b"",
        b"\n",
        KEY.seal(LINE, START)[0][:-1],
        KEY.seal(LINE, START)[0] + b"x",
        LINE[:-2] + b',"seal":"0:%s"}\n' % (b"0" * 64),
        LINE[:-2] + b',"seal":"1:%s"}\n' % (b"0" * 63),
        LINE[:-2] + b',"seal":"1:%s"}\n' % (b"A" * 64),
    ],
)
def test_what_does_not_end_in_a_seal_has_none(line):
    """A seal is the last thing of a whole line, and written in one way."""
    assert parse_sealed(line) is None


def test_a_body_that_looks_like_a_seal_is_none():
    """What clients send stands in strings, where quotation marks are escaped."""
    spoofed = json.dumps({"body": f',"seal":"7:{"0" * 64}"}}\n'}).encode() + b"\n"

    assert parse_sealed(spoofed) is None


@pytest.mark.parametrize(
    "opening",
    [
        Opening("started", KEY.fingerprint, None),
        Opening("new_file", KEY.fingerprint, Mark(7, b"a" * 64)),
        Opening("started", KEY.fingerprint, Mark(7, b"a" * 64), Torn(12, "b" * 64), 5),
        Opening("started", KEY.fingerprint, Mark(7, b"a" * 64), missing=None),
    ],
)
def test_an_opening_is_read_as_it_was_written(opening):
    """With its seal behind it, and known by its first bytes."""
    sealed, _ = KEY.seal(build_opening(AT, opening), opening.previous or START)

    assert parse_opening(sealed) == opening
    assert parse_sealed(sealed).is_opening


@pytest.mark.parametrize("line", [LINE, b"[]\n", b"{", b'{"event":"log.sealed"}\n', b"\xff\n", SPOOFED])
def test_nothing_else_is_an_opening(line):
    """Nor does it fail."""
    assert parse_opening(line) is None


def test_the_newest_mark_is_read_with_its_key_alone():
    """Nobody without it can say that the log is shorter than it was."""
    _, mark = KEY.seal(LINE, START)
    kept = KEY.build_newest(mark)

    assert KEY.parse_newest(kept) == mark
    assert OTHER.parse_newest(kept) is None
    assert KEY.parse_newest(kept.replace(b'"1:', b'"2:')) is None
    assert KEY.parse_newest(kept[:40]) is None
    assert KEY.parse_newest(kept.replace(b'"proof":"', b'"proof":"\xc3\xa9')) is None


def test_a_seal_of_the_log_proves_no_newest_mark():
    """Each purpose has a key of its own, or a line could be made to pass for the other."""
    assert len({KEY.fingerprint, OTHER.fingerprint}) == 2
    assert KEY.parse_newest(KEY.seal(b'{"newest":"1:%s"}\n' % (b"0" * 64), START)[0]) is None


def measure(*lines):
    """Return what torn lines come to."""
    torn = TornLines()
    for line in lines:
        torn.add(line)
    return torn.measure()


def test_a_torn_line_is_known_with_and_without_its_line_feed():
    """It gets one when the file is opened again."""
    assert measure(b"half a li") == measure(b"half a li\n") != measure(b"half a lie")
    assert measure(b"half a li") == Torn(9, hashlib.sha256(b"half a li").hexdigest())


def test_torn_lines_are_known_all_together():
    """Each kill in a row may leave one; none can be taken away, added, or put in another place."""
    known = measure(b"one\n", b"two")

    assert known == Torn(7, hashlib.sha256(b"one\ntwo").hexdigest()) == measure(b"one", b"two\n")
    assert known not in {measure(b"one"), measure(b"two", b"one"), measure(b"one", b"\n", b"two"), measure(b"onetwo")}
    assert measure() is None


def test_the_last_seal_is_found_among_others():
    """With the place behind it, wherever the text was cut."""
    first, mark = KEY.seal(LINE, START)
    second, newer = KEY.seal(LINE, mark)

    assert find_last_seal(first[30:] + second + b"torn") == (newer, len(first) - 30 + len(second))
    assert find_last_seal(first + second[:-1]) == (mark, len(first))
    assert find_last_seal(first[:-1]) is None


def test_a_claim_is_what_was_kept_with_any_key():
    """To go on from; it proves nothing."""
    _, mark = KEY.seal(LINE, START)

    assert parse_claim(OTHER.build_newest(mark)) == mark
    assert parse_claim(b"{}") is None
    assert parse_claim(b"x") is None


def test_a_whole_object_is_not_a_torn_line():
    """What was torn is a beginning; but for the line feed it may be all of a sealed line."""
    sealed, _ = KEY.seal(LINE, START)

    assert is_whole(LINE)
    assert not is_whole(LINE[:-4])
    assert not is_whole(sealed[:-1])


@pytest.mark.parametrize("text", ["", "1", "1:", f"0:{'a' * 64}", f"-1:{'a' * 64}", f"1:{'a' * 65}", f"1:{'a' * 64}\n"])
def test_what_is_no_mark_is_none(text):
    """A number and a hash, and nothing else."""
    assert parse_mark(text) is None


def test_a_key_shows_its_fingerprint_alone():
    """It may stand in a log."""
    assert repr(KEY) == f"<SealKey {KEY.fingerprint}>"

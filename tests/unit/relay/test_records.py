"""TLS records, counted before OpenSSL sees them."""

import pytest

from proxy.relay.records import COST, MOST_AT_ONCE, Records


def build(size: int) -> bytes:
    """Return a record of so many bytes behind its header."""
    return b"\x17\x03\x03" + size.to_bytes(2, "big") + bytes(size)


@pytest.fixture
def records():
    """Return those of one client, nothing read yet."""
    return Records()


def test_a_record_may_come_in_pieces(records):
    """It counts once, where it begins; of a header nothing is taken before it is whole."""
    record = build(3)
    taken = []
    for byte in record + b"\x17":
        records.add(bytes([byte]))
        taken.append(records.take())

    assert taken == [(b"", 0)] * 4 + [(record[:5], 1), (b"\0", 0), (b"\0", 0), (b"\0", 0), (b"", 0)]
    assert (repr(records), records.has_more) == ("<Records 1 bytes>", False)


@pytest.mark.parametrize(("size", "most"), [(22, 84), (16_384, 17), (1_000, 68)])
def test_a_turn_takes_what_costs_so_much(records, size, most):
    """Few of the large ones, more of the small ones, and the rest in the next turns, none lost."""
    data = build(size) * 200
    records.add(data)
    taken = []
    while records.has_more:
        taken.append(records.take())

    assert taken[0] == (build(size) * most, most)
    assert b"".join(part for part, _ in taken) == data
    assert max(count for _, count in taken) == most
    assert most * (size + 5 + COST) >= MOST_AT_ONCE


def test_one_is_taken_whatever_it_costs(records):
    """Of a handshake they are taken one by one."""
    records.add(build(16_384) * 2)

    assert records.take(1) == (build(16_384), 1)


def test_the_rest_of_one_is_taken_before_the_next(records):
    """Whatever that costs."""
    records.add(build(100)[:50])
    first = records.take(1)
    records.add(build(100)[50:] + build(7))

    assert (first, records.has_more) == ((build(100)[:50], 1), True)
    assert [records.take(1), records.take(1)] == [(build(100)[50:], 0), (build(7), 1)]


def test_a_length_is_believed(records):
    """What is longer than a record may be, OpenSSL refuses at its header."""
    records.add(b"\x17\x03\x03\xff\xff" + bytes(10))

    assert records.take() == (b"\x17\x03\x03\xff\xff" + bytes(10), 1)


def test_what_waits_is_dropped(records):
    """And told how much it was."""
    records.add(build(10)[:-1])

    assert (records.drop(), records.drop(), records.has_more) == (14, 0, False)

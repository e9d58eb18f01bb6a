"""TLS records, counted before OpenSSL sees them."""

import pytest

from proxy.relay.records import COST, LONGEST, MOST_AT_ONCE, Records


def build(size: int) -> bytes:
    """Return a record of so many bytes behind its header."""
    return b"\x17\x03\x03" + size.to_bytes(2, "big") + bytes(size)


@pytest.fixture
def records():
    """Return those of one client, nothing read yet."""
    return Records()


def test_a_record_is_taken_when_it_is_whole(records):
    """However it comes; what follows it stays."""
    record = build(300)
    taken = []
    for byte in record + b"\x17":
        records.add(bytes([byte]))
        taken.append(records.take())

    assert taken == [(b"", 0)] * (len(record) - 1) + [(record, 1), (b"", 0)]
    assert repr(records) == "<Records 1 bytes>"


@pytest.mark.parametrize(("size", "most"), [(22, 64), (16_384, 13), (1_000, 52)])
def test_a_turn_takes_what_costs_so_much(records, size, most):
    """Few of the large ones, more of the small ones, and the rest in the next turns, none lost."""
    data = build(size) * 200
    records.add(data)
    taken = []
    while records.has_whole:
        taken.append(records.take())

    assert taken[0] == (build(size) * most, most)
    assert b"".join(part for part, _ in taken) == data
    assert max(count for _, count in taken) == most
    assert most * (size + 5 + COST) >= MOST_AT_ONCE


def test_one_is_taken_whatever_it_costs(records):
    """Of a handshake they are taken one by one."""
    records.add(build(16_384) * 2)

    assert records.take(1) == (build(16_384), 1)


def test_one_that_is_too_long_is_not_waited_for(records):
    """OpenSSL says so at its header."""
    head = b"\x17\x03\x03" + (LONGEST + 1).to_bytes(2, "big")
    records.add(head)

    assert records.take() == (head, 1)


def test_what_waits_is_dropped(records):
    """And told how much it was."""
    records.add(build(10)[:-1])

    assert (records.drop(), records.drop(), records.has_whole) == (14, 0, False)

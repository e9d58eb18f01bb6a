"""What the simulator remembers of its requests."""

from __future__ import annotations

import asyncio

from proxy.simulator.journal import Journal, SeenRequest


def seen(body: bytes = b"", token: str | None = "planted-token") -> SeenRequest:
    """Build a request."""
    headers = [("Host", "a"), ("x-ONE", "1"), ("X-One", "2")]
    return SeenRequest("POST", "/v1/echo", headers, body, token, authorized=True)


def test_number_is_bounded_and_total_counts_on():
    """Only the latest are kept; the total tells of all."""
    journal = Journal(keep=2, keep_bytes=100)
    for body in (b"1", b"2", b"3"):
        journal.add(seen(body))

    assert [entry.body for entry in journal] == [b"2", b"3"]
    assert (len(journal), journal.total) == (2, 3)
    assert journal[-1].body == b"3"


def test_bytes_are_bounded():
    """Old bodies go when all together exceed the bound; the latest is always kept."""
    journal = Journal(keep=10, keep_bytes=10)
    for size in (4, 6, 1, 20):
        journal.add(seen(b"x" * size))

    assert [len(entry.body) for entry in journal] == [20]


def test_clear_forgets_and_counts_from_nought():
    """After ``clear`` there is room again and the total is 0."""
    journal = Journal(keep=10, keep_bytes=10)
    journal.add(seen(b"x" * 10))
    journal.clear()
    journal.add(seen(b"y" * 10))

    assert [entry.body for entry in journal] == [b"y" * 10]
    assert journal.total == 1


async def test_reached_wakes_at_the_count():
    """``reached`` returns once there have been that many, and not before."""
    journal = Journal(keep=10, keep_bytes=10)
    async with asyncio.TaskGroup() as group:
        waiter = group.create_task(journal.reached(2))
        journal.add(seen())
        await asyncio.sleep(0)
        early = waiter.done()
        journal.add(seen())

    assert not early
    assert waiter.done()


def test_fields_are_found_whatever_their_case():
    """A field's values come in the order received."""
    assert seen().values("X-ONE") == ["1", "2"]


def test_token_does_not_show():
    """The repr of a request, which a failing test prints, has neither token nor body."""
    assert "planted" not in repr(seen(b"planted-body"))

"""Alerts, and who may change what."""

from __future__ import annotations

import pytest

from proxy.simulator.alert_book import AlertBook
from proxy.simulator.alerts import build_facts
from proxy.simulator.refusals import RefusalError

FACTS = build_facts("Smoke", "TEST_FIRE", incident_ms=1, civic={"street_1": "1 Main Street"})
MESSAGE = {"message": "Units en route", "message_type": "CHAT_MESSAGE", "sender": "Disp 4", "sender_id": "41"}


@pytest.fixture
def book(clock):
    """Return an empty book with an SLA of 30 s."""
    return AlertBook(clock, 30)


@pytest.fixture
def alert_id(book):
    """Return the id of an alert that waits to be accepted."""
    return book.open(FACTS).alert_id


def status_of(action, *arguments) -> int:
    """Return the status that ``action`` is refused with."""
    with pytest.raises(RefusalError) as caught:
        action(*arguments)
    return caught.value.status


def test_accept_then_dispatch(book, alert_id):
    """An accepted alert takes dispositions."""
    accepted = book.change(alert_id, {"status": "ACCEPTED"})
    moving = book.change(alert_id, {"disposition": "ON_SCENE"})

    assert accepted["status"] == {"name": "ACCEPTED", "display_name": "Accepted"}
    assert moving["disposition"] == {"name": "ON_SCENE", "display_name": "On Scene"}
    assert moving["last_updated_time"] == 1_000_000


@pytest.mark.parametrize(
    ("wanted", "status"),
    [
        ({}, 400),
        ({"status": "ACCEPTED", "disposition": "ENROUTE"}, 400),
        ({"status": "ACCEPTED?"}, 400),
        ({"status": ["ACCEPTED"]}, 400),
        ({"disposition": "CANCELED"}, 400),
        ({"status": "CANCELED"}, 403),
        ({"status": "TIMEOUT"}, 403),
        ({"disposition": "ENROUTE"}, 409),
    ],
)
def test_refused_changes(book, alert_id, wanted, status):
    """A value that there is not is 400, one for others to set 403, one out of turn 409; nothing changes."""
    assert status_of(book.change, alert_id, wanted) == status
    assert book.build_one(alert_id)["status"]["name"] == "DISPATCH_REQUESTED"


def test_second_answer_conflicts(book, alert_id):
    """What was accepted cannot be declined."""
    book.change(alert_id, {"status": "ACCEPTED"})

    assert status_of(book.change, alert_id, {"status": "DECLINED"}) == 409


def test_unanswered_alert_times_out(book, alert_id, clock):
    """At the end of its SLA an alert is TIMEOUT, and accepting it comes too late."""
    clock.advance(29.999)
    before = book.build_one(alert_id)
    clock.advance(0.001)

    assert before["status"]["name"] == "DISPATCH_REQUESTED"
    assert before["sla_expiration_time"] - before["dispatch_requested_time"] == 30_000
    assert book.build_one(alert_id)["status"]["name"] == "TIMEOUT"
    assert status_of(book.change, alert_id, {"status": "ACCEPTED"}) == 409


def test_accepted_alert_does_not_time_out(book, alert_id, clock):
    """An answer in time stands."""
    book.change(alert_id, {"status": "DECLINED", "decline_reason": "out of area"})
    clock.advance(60)

    assert book.build_one(alert_id)["status"]["name"] == "DECLINED"


def test_alert_without_dispatch_cannot_be_accepted(book):
    """An alert that is only known of is not the centre's to answer."""
    alert = book.open(FACTS, dispatch=False)

    assert book.build_one(alert.alert_id)["sla_expiration_time"] is None
    assert status_of(book.change, alert.alert_id, {"status": "ACCEPTED"}) == 409


def test_unknown_alert(book):
    """Every call for an alert that there is not is 404."""
    assert status_of(book.build_one, "alert-0") == 404
    assert status_of(book.change, "alert-0", {"status": "ACCEPTED"}) == 404
    assert status_of(book.say, "alert-0", MESSAGE) == 404
    assert status_of(book.build_messages, "alert-0", 1, 25) == 404


def test_pages_meet_every_alert_once(book):
    """Following alerts_until shows each alert once, oldest first, though all were opened in one instant."""
    opened = [book.open(FACTS).alert_id for _ in range(5)]
    start, met = 0, []
    while (page := book.build_page(start, 0, 2))["alerts"]:
        met += [alert["alert_id"] for alert in page["alerts"]]
        start = page["alerts_until"]

    assert met == opened
    assert page == {"alerts_until": 0, "alerts": []}


def test_page_ends_at_end(book, clock):
    """``end`` is inclusive and leaves out what came later."""
    first = book.open(FACTS)
    clock.advance(1)
    book.open(FACTS)

    assert [alert["alert_id"] for alert in book.build_page(0, first.created_ms, 10)["alerts"]] == [first.alert_id]


@pytest.mark.parametrize(("start", "end", "limit"), [(10, 5, 10), (0, 0, 0), (0, 0, 101)])
def test_bad_page(book, start, end, limit):
    """An end before the start and a limit out of range are 400."""
    assert status_of(book.build_page, start, end, limit) == 400


def test_times_that_are_not_positive_are_ignored(book, alert_id):
    """Start and end below 1 mean none."""
    assert [alert["alert_id"] for alert in book.build_page(-5, -9, 10)["alerts"]] == [alert_id]


def test_messages(book, alert_id):
    """A message comes back with RapidSOS's mark on its sender, and stands in the log page by page."""
    for _ in range(3):
        answer = book.say(alert_id, MESSAGE)

    assert answer["sender_id"] == "RapidSOS-41"
    assert book.build_messages(alert_id, 2, 2) == {"total_records": 3, "log_messages": [answer]}
    assert len(book.build_one(alert_id, with_logs=True)["logs"]) == 3
    assert "logs" not in book.build_one(alert_id)


@pytest.mark.parametrize(
    "change",
    [{"message": "x" * 1001}, {"message": ""}, {"message": 5}, {"sender": "x" * 101}, {"message_type": "SHOUT"}],
)
def test_bad_message(book, alert_id, change):
    """A message beyond its limits, or of no known type, is 400."""
    assert status_of(book.say, alert_id, {**MESSAGE, **change}) == 400


def test_no_message_after_the_end(book, alert_id, clock):
    """An alert that is over takes no message."""
    clock.advance(30)

    assert status_of(book.say, alert_id, MESSAGE) == 409


@pytest.mark.parametrize(("page", "limit"), [(0, 25), (1, 0), (1, 101)])
def test_bad_message_page(book, alert_id, page, limit):
    """Pages count from 1 and hold 1 to 100."""
    assert status_of(book.build_messages, alert_id, page, limit) == 400


def test_listing_again_too_soon(book, clock):
    """Each client may list once an interval; another client has its own."""
    book.admit_listing("one", 5)
    book.admit_listing("two", 5)

    assert status_of(book.admit_listing, "one", 5) == 429
    clock.advance(5)
    book.admit_listing("one", 5)


@pytest.mark.parametrize(
    ("geodetic", "civic", "provided"),
    [({"latitude": 1}, {"city": "x"}, "BOTH"), (None, {"city": "x"}, "CIVIC"), ({"latitude": 1}, None, "GEODETIC")],
)
def test_kind_of_location(geodetic, civic, provided):
    """An alert says which kinds of location it has."""
    facts = build_facts("x", "TEST_FIRE", incident_ms=1, geodetic=geodetic, civic=civic)

    assert facts["location"]["provided_location"] == provided

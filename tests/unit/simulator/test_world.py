"""Locations, triggers, and the LIS's XML."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from proxy.simulator.held import build_location_response, parse_location_request
from proxy.simulator.refusals import RefusalError
from proxy.simulator.world import SEEDED_CALLER, World

REQUEST = (
    '<locationRequest xmlns="urn:ietf:params:xml:ns:geopriv:held">'
    '<device xmlns="urn:ietf:params:xml:ns:geopriv:held:id"><uri>tel:+15555550100</uri></device>'
    "</locationRequest>"
)


@pytest.fixture
def world(clock):
    """Return a world that has just begun."""
    return World(clock)


def status_of(action, *arguments) -> int:
    """Return the status that ``action`` is refused with."""
    with pytest.raises(RefusalError) as caught:
        action(*arguments)
    return caught.value.status


def test_latest_location_within_the_hour(world, clock):
    """A caller's latest position is told for an hour; then there is none, as in production."""
    world.locations.report(f"+{SEEDED_CALLER}", 1.5, 2.5, 20)

    assert world.locations.answer({"caller_id": SEEDED_CALLER})["latitude"] == 1.5
    clock.advance(3601)
    assert status_of(world.locations.answer, {"caller_id": SEEDED_CALLER}) == 404


def test_several_locations_oldest_first(world, clock):
    """With start or limit several positions come, in order."""
    for latitude in (1.0, 2.0, 3.0):
        clock.advance(1)
        world.locations.report("15555550177", latitude, 0.0, 5)

    two = world.locations.answer({"caller_id": "15555550177", "limit": "2"})
    since = world.locations.answer({"caller_id": "15555550177", "start": "1003000"})

    assert [record["latitude"] for record in two["locations"]] == [2.0, 3.0]
    assert [record["time"] for record in since["locations"]] == [1_003_000]


@pytest.mark.parametrize("caller_id", ["", "+15555550100", "12", "1555555010x"])
def test_caller_must_be_digits(world, caller_id):
    """LEI takes digits alone: the plus of E.164 is 400."""
    assert status_of(world.locations.answer, {"caller_id": caller_id}) == 400


def test_trigger_opens_an_alert_and_notes_the_place(world):
    """What a trigger says about its user is found again by alert and by caller."""
    request = {
        "callflow": "sim",
        "variables": {
            "user": {"full_name": "Ada", "phone_number": "+15555550188"},
            "location": {"latitude": 10, "longitude": 20, "uncertainty": 30},
        },
    }
    alert = world.trigger(request)

    found = world.alerts.build_one(alert.alert_id)
    assert found["description"] == "sim Ada"
    assert found["location"]["geodetic"] == {"latitude": 10, "longitude": 20, "uncertainty_radius": 30}
    assert world.locations.answer({"caller_id": "15555550188"})["uncertainty_radius"] == 30


@pytest.mark.parametrize("variables", [None, [], {"user": "x"}, {"location": {"latitude": "N/A", "longitude": 1}}])
def test_trigger_is_lenient(world, variables):
    """Odd variables are no reason to lose an emergency."""
    alert = world.trigger({"callflow": "sim", "variables": variables})

    assert world.alerts.build_one(alert.alert_id)["location"]["geodetic"] is None


def test_trigger_needs_a_callflow(world):
    """Without a callflow there is nothing to run: 400."""
    assert status_of(world.trigger, {"variables": {}}) == 400


def test_reset_begins_again(world):
    """After a reset the world has its two first alerts and nothing else."""
    world.trigger({"callflow": "sim"})
    world.reset()

    assert len(world.alerts) == 2


def test_location_request_names_its_caller():
    """The tel: URI's digits are found in a HELD request."""
    assert parse_location_request(REQUEST.encode()) == SEEDED_CALLER
    assert parse_location_request(REQUEST.replace("tel:", "sip:").encode()) is None


@pytest.mark.parametrize(
    "body",
    [b"", b"<a/>", b"<a", b"\xff\xfe", b'<!DOCTYPE a [<!ENTITY b "c">]>' + REQUEST.encode(), REQUEST.encode("utf-16")],
)
def test_no_location_request(body):
    """Anything else is refused, documents that declare entities before all."""
    with pytest.raises(ValueError, match=r"."):
        parse_location_request(body)


def test_location_response_is_a_circle(world):
    """The answer is well-formed and carries position and radius."""
    root = ET.fromstring(build_location_response(SEEDED_CALLER, world.locations.latest(SEEDED_CALLER)))

    assert root.find(".//{http://www.opengis.net/gml}pos").text == "40.7128 -74.006"
    assert root.find(".//{http://www.opengis.net/pidflo/1.0}radius").text == "10.0"
    assert root.find(".//{urn:ietf:params:xml:ns:pidf}timestamp").text == "1970-01-01T00:16:40.000Z"

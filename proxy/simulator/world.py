"""What happens out there: the alerts and locations that the simulated hosts share.

A trigger is pushed into the core host and its alert pulled from the alerts host; both look at one world.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proxy.simulator.alert_book import AlertBook
from proxy.simulator.alerts import Alert, build_facts
from proxy.simulator.locations import LocationBook
from proxy.simulator.refusals import detail

if TYPE_CHECKING:
    from collections.abc import Callable

SEEDED_CALLER = "15555550100"
"""Has a position from the start."""
_DEFAULT_UNCERTAINTY_M = 25.0


class World:
    """Alerts and locations, with something in them to be found at once."""

    def __init__(self, clock: Callable[[], float], sla_s: float = 30.0) -> None:
        """Begin; ``clock`` gives seconds since 1970."""
        self.alerts = AlertBook(clock, sla_s)
        self.locations = LocationBook(clock)
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """Forget what happened, and begin again: one alert waits to be accepted, one is only known of."""
        self.alerts.clear()
        self.locations.clear()
        now_ms = round(self._clock() * 1000)
        civic = {"name": "Simulated Pharmacy", "street_1": "1 Main Street", "city": "Springfield", "state": "NY"}
        point = {"latitude": 40.7128, "longitude": -74.006, "uncertainty_radius": 10}
        known = build_facts("Rear door contact", "TEST_BURGLARY", incident_ms=now_ms, geodetic=point, civic=civic)
        self.alerts.open(known, dispatch=False)
        self.alerts.open(build_facts("Fall detected", "TEST_MEDICAL", incident_ms=now_ms, geodetic=point))
        self.locations.report(SEEDED_CALLER, 40.7128, -74.006, 10.0)

    def trigger(self, request: dict[str, Any]) -> Alert:
        """Open the alert that a call of /v1/rem/trigger asks for, and note where its caller is.

        Args:
            request: ``callflow``, and ``variables`` with ``user`` and ``location``, of which any part may be missing.

        Raises:
            RefusalError: 400 without a callflow.
        """
        callflow = request.get("callflow")
        if not isinstance(callflow, str) or not callflow:
            raise detail(400, "callflow is required.")
        variables = _part(request, "variables")
        user, place = _part(variables, "user"), _part(variables, "location")
        geodetic = _read_point(place)
        if geodetic and (phone := str(user.get("phone_number", ""))):
            self.locations.report(phone, geodetic["latitude"], geodetic["longitude"], geodetic["uncertainty_radius"])
        description = " ".join(str(part) for part in (callflow, user.get("full_name")) if part)
        now_ms = round(self._clock() * 1000)
        return self.alerts.open(build_facts(description, "TEST_OTHER", incident_ms=now_ms, geodetic=geodetic))


def _part(whole: dict[str, Any], name: str) -> dict[str, Any]:
    part = whole.get(name)
    return part if isinstance(part, dict) else {}


def _read_point(place: dict[str, Any]) -> dict[str, float] | None:
    latitude, longitude = place.get("latitude"), place.get("longitude")
    uncertainty = place.get("uncertainty", _DEFAULT_UNCERTAINTY_M)
    if not all(isinstance(value, int | float) for value in (latitude, longitude, uncertainty)):
        return None
    return {"latitude": latitude, "longitude": longitude, "uncertainty_radius": uncertainty}

"""Where callers are, as the location services tell.

RapidSOS publishes neither the path nor all fields of an answer; latitude, longitude, uncertainty_radius and time
are documented, the rest is a guess.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from proxy.simulator.parameters import parse_integer
from proxy.simulator.refusals import detail, not_found

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_CALLER = re.compile(r"[0-9]{7,15}")
_WINDOW_MS = 60 * 60 * 1000
"""The production service looks back one hour."""
_CALLERS_KEPT = 10_000
_RECORDS_KEPT = 100


@dataclass(frozen=True, slots=True)
class Location:
    """One position.

    Attributes:
        time_ms: Milliseconds since 1970.
        uncertainty_m: Radius in metres.
    """

    latitude: float
    longitude: float
    uncertainty_m: float
    time_ms: int

    def build(self, caller_id: str) -> dict[str, Any]:
        """Build its JSON."""
        return {
            "caller_id": caller_id,
            "latitude": self.latitude,
            "longitude": self.longitude,
            "uncertainty_radius": self.uncertainty_m,
            "time": self.time_ms,
        }


class LocationBook:
    """The positions of one simulated world, by caller."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Start empty; ``clock`` gives seconds since 1970."""
        self._clock = clock
        self._records: dict[str, list[Location]] = {}

    def clear(self) -> None:
        """Forget all."""
        self._records.clear()

    def report(self, caller_id: str, latitude: float, longitude: float, uncertainty_m: float) -> None:
        """Note a position, now; a leading ``+`` of the number is dropped."""
        records = self._records.setdefault(caller_id.removeprefix("+"), [])
        records.append(Location(latitude, longitude, uncertainty_m, self._now_ms()))
        del records[:-_RECORDS_KEPT]
        if len(self._records) > _CALLERS_KEPT:
            del self._records[next(iter(self._records))]

    def latest(self, caller_id: str) -> Location:
        """Return the latest position within the hour.

        Raises:
            RefusalError: 404, a normal answer.
        """
        return self._recent(caller_id)[-1]

    def answer(self, query: Mapping[str, str]) -> dict[str, Any]:
        """Build the answer to a query by ``caller_id``; with ``start`` or ``limit`` several positions, oldest first.

        Raises:
            RefusalError: 400 without a usable caller_id, 404 without a record.
        """
        caller_id = query.get("caller_id", "")
        if not _CALLER.fullmatch(caller_id):
            raise detail(400, "caller_id is required: digits only, country code included.")
        found = self._recent(caller_id)
        if "start" not in query and "limit" not in query:
            return found[-1].build(caller_id)
        start = parse_integer(query, "start", 0)
        limit = max(parse_integer(query, "limit", _RECORDS_KEPT), 1)
        chosen = [record for record in found if record.time_ms >= start][-limit:]
        return {"caller_id": caller_id, "locations": [record.build(caller_id) for record in chosen]}

    def _recent(self, caller_id: str) -> list[Location]:
        oldest = self._now_ms() - _WINDOW_MS
        found = [record for record in self._records.get(caller_id, ()) if record.time_ms >= oldest]
        if not found:
            raise not_found()
        return found

    def _now_ms(self) -> int:
        return round(self._clock() * 1000)

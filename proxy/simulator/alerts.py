"""One alert, and how RapidSOS writes it (Alert Management API 1.1.0)."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

STATUSES = frozenset({"NEW", "IGNORED", "DISPATCH_REQUESTED", "ACCEPTED", "DECLINED", "TIMEOUT", "CANCELED"})
CENTRE_STATUSES = frozenset({"ACCEPTED", "DECLINED"})
"""What a 911 centre may set; the others are the monitoring centre's, or the service's own."""
DISPOSITIONS = frozenset(
    {
        "DISPATCHED",
        "ENROUTE",
        "PREEMPTED",
        "ON_SCENE",
        "CLEARED_NO_REPORT",
        "CLEARED_WITH_REPORT",
        "CLOSED",
    }
)
MESSAGE_TYPES = frozenset({"CHAT_MESSAGE", "SYSTEM_UPDATE", "STATUS_UPDATE", "MILESTONE", "MULTI_TRIP_SIGNAL"})
_MAX_DESCRIPTION = 150


@dataclass(slots=True)
class Alert:
    """An alert.

    Attributes:
        created_ms: Milliseconds since 1970, as all its times; no two alerts share it.
        requested_ms: When a dispatch was requested; None, it has not been.
        sla_ms: How long after that the centre may accept.
        facts: The fields that never change.
        messages: Its log, oldest first.
    """

    alert_id: str
    created_ms: int
    requested_ms: int | None
    sla_ms: int
    facts: dict[str, Any]
    status: str
    updated_ms: int
    disposition: str | None = None
    messages: list[dict[str, Any]] = field(default_factory=list)

    def status_at(self, now_ms: int) -> str:
        """Return the status; nobody's answer is TIMEOUT once its time is over."""
        waits = self.status == "DISPATCH_REQUESTED" and self.requested_ms is not None
        if waits and now_ms >= (self.requested_ms or 0) + self.sla_ms:
            return "TIMEOUT"
        return self.status

    def build(self, now_ms: int) -> dict[str, Any]:
        """Build its JSON."""
        requested = self.requested_ms
        return {
            "alert_id": self.alert_id,
            **self.facts,
            "created_time": self.created_ms,
            "last_updated_time": self.updated_ms,
            "dispatch_requested_time": requested,
            "sla_expiration_time": None if requested is None else requested + self.sla_ms,
            **self.build_state(now_ms),
        }

    def build_state(self, now_ms: int) -> dict[str, Any]:
        """Build what a change answers with."""
        return {
            "status": build_named(self.status_at(now_ms)),
            "disposition": build_named(self.disposition) if self.disposition else None,
            "last_updated_time": self.updated_ms,
        }


def build_named(name: str) -> dict[str, str]:
    """Build the pair of name and display name: ``ON_SCENE`` is shown as ``On Scene``."""
    return {"name": name, "display_name": name.replace("_", " ").title()}


def build_alert_id() -> str:
    """Return a new id."""
    return f"alert-{uuid.uuid4()}"


def build_facts(
    description: str,
    emergency_type: str,
    *,
    incident_ms: int,
    geodetic: dict[str, Any] | None = None,
    civic: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Build the fields of an alert that never change."""
    provided = {(True, True): "BOTH", (False, True): "CIVIC"}.get((geodetic is not None, civic is not None), "GEODETIC")
    return {
        "source_id": f"sim-{uuid.uuid4().hex[:12]}",
        "incident_time": incident_ms,
        "service_provider_name": "RapidSOS Simulator",
        "description": description[:_MAX_DESCRIPTION],
        "location": {"provided_location": provided, "geodetic": geodetic, "civic": civic},
        "emergency_type": build_named(emergency_type),
        "site_type": build_named("RESIDENTIAL" if civic else "PERSONAL"),
        "covering_psap": {"id": "psap-1", "name": "Simulated County 911", "phone": "+15555550111"},
        "authorized_entity": {"id": "entity-1", "name": "Simulated Monitoring", "phone": "+15555550112"},
        "followers": [],
        "supplemental_only": False,
        "is_chat_enabled": True,
        "is_media_enabled": False,
        "location_history": [],
    }

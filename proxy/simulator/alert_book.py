"""All alerts, and who may change what.

The rule of this file: it decides as RapidSOS documents, 400, 403, 404 and 409, and as a 911 centre sees it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proxy.simulator.alerts import (
    CENTRE_STATUSES,
    DISPOSITIONS,
    MESSAGE_TYPES,
    STATUSES,
    Alert,
    build_alert_id,
)
from proxy.simulator.refusals import TOO_MANY, detail, not_found

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_PAGE = 100
_MAX_MESSAGE = 1000
_MAX_SENDER = 100
_ALERTS_KEPT = 10_000


class AlertBook:
    """The alerts of one simulated world."""

    def __init__(self, clock: Callable[[], float], sla_s: float) -> None:
        """Start empty; ``clock`` gives seconds since 1970."""
        self._clock = clock
        self._sla_ms = round(sla_s * 1000)
        self._alerts: dict[str, Alert] = {}
        self._latest_ms = 0
        self._listed_at: dict[str, float] = {}

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._alerts)

    def clear(self) -> None:
        """Forget all."""
        self._alerts.clear()
        self._listed_at.clear()

    def open(self, facts: dict[str, Any], *, dispatch: bool = True) -> Alert:
        """Open an alert; with ``dispatch`` the centre has ``sla_s`` from now to accept it."""
        now = self._now_ms()
        created = self._latest_ms = max(now, self._latest_ms + 1)  # so that alerts_until never skips one
        status = "DISPATCH_REQUESTED" if dispatch else "NEW"
        alert = Alert(build_alert_id(), created, created if dispatch else None, self._sla_ms, facts, status, created)
        self._alerts[alert.alert_id] = alert
        if len(self._alerts) > _ALERTS_KEPT:
            del self._alerts[next(iter(self._alerts))]
        return alert

    def admit_listing(self, client_id: str, interval_s: float) -> None:
        """Let a client list alerts once every ``interval_s``.

        Raises:
            RefusalError: 429, if it was here less than that ago.
        """
        now = self._clock()
        last = self._listed_at.get(client_id)
        if last is not None and now - last < interval_s:
            raise detail(429, TOO_MANY)
        self._listed_at[client_id] = now

    def build_page(self, start: int, end: int, limit: int) -> dict[str, Any]:
        """Build the page of alerts created after ``start`` and up to ``end``, oldest first.

        Args:
            start: Milliseconds, exclusive, so that ``alerts_until`` is the next start; none when not positive.
            end: Milliseconds, inclusive; none when not positive.
            limit: Alerts at most.

        Raises:
            RefusalError: 400 for an end before the start, or a limit out of range.
        """
        if 0 < end < start:
            raise detail(400, "end must not be before start.")
        _check_range("limit", limit, MAX_PAGE)
        found = [alert for alert in self._alerts.values() if alert.created_ms > start]
        page = [alert for alert in found if end <= 0 or alert.created_ms <= end][:limit]
        now = self._now_ms()
        return {
            "alerts_until": page[-1].created_ms if page else 0,
            "alerts": [alert.build(now) for alert in page],
        }

    def build_one(self, alert_id: str, *, with_logs: bool = False) -> dict[str, Any]:
        """Build one alert; ``with_logs`` adds its log and additional data.

        Raises:
            RefusalError: 404.
        """
        alert = self._find(alert_id)
        found = alert.build(self._now_ms())
        return {**found, "adr": [], "logs": list(alert.messages)} if with_logs else found

    def change(self, alert_id: str, wanted: dict[str, Any]) -> dict[str, Any]:
        """Set status or disposition, and build the answer.

        Raises:
            RefusalError: 400 unknown value, 403 not the centre's to set, 404, 409 not from where it stands.
        """
        alert = self._find(alert_id)
        if ("status" in wanted) == ("disposition" in wanted):
            raise detail(400, "Exactly one of status and disposition is required.")
        if "status" in wanted:
            self._set_status(alert, str(wanted["status"]))
        else:
            self._set_disposition(alert, str(wanted["disposition"]))
        alert.updated_ms = self._now_ms()
        return alert.build_state(alert.updated_ms)

    def say(self, alert_id: str, message: dict[str, Any]) -> dict[str, Any]:
        """Add a message to an alert's log, and build the answer.

        Raises:
            RefusalError: 400 bad message, 404, 409 the alert is over.
        """
        alert = self._find(alert_id)
        _check_message(message)
        status = alert.status_at(self._now_ms())
        if status in {"DECLINED", "TIMEOUT", "CANCELED", "IGNORED"}:
            raise detail(409, f"The alert is {status}.")
        entry = {
            "message": message["message"],
            "message_type": message["message_type"],
            "sender": message.get("sender", ""),
            "sender_id": f"RapidSOS-{message.get('sender_id', '')}",
            "message_time": self._now_ms(),
        }
        alert.messages.append(entry)
        return entry

    def build_messages(self, alert_id: str, page: int, limit: int) -> dict[str, Any]:
        """Build one page of an alert's log; pages count from 1.

        Raises:
            RefusalError: 400 out of range, 404.
        """
        alert = self._find(alert_id)
        _check_range("limit", limit, MAX_PAGE)
        _check_range("page", page, 1_000_000)
        first = (page - 1) * limit
        return {"total_records": len(alert.messages), "log_messages": alert.messages[first : first + limit]}

    def _set_status(self, alert: Alert, status: str) -> None:
        if status not in STATUSES:
            raise detail(400, f"{status!r} is not a status.")
        if status not in CENTRE_STATUSES:
            raise detail(403, f"A PSAP may not set the status {status}.")
        now = alert.status_at(self._now_ms())
        if now != "DISPATCH_REQUESTED":
            raise detail(409, f"The status cannot change from {now} to {status}.")
        alert.status = status

    def _set_disposition(self, alert: Alert, disposition: str) -> None:
        if disposition not in DISPOSITIONS:
            raise detail(400, f"{disposition!r} is not a disposition.")
        now = alert.status_at(self._now_ms())
        if now != "ACCEPTED":
            raise detail(409, f"An alert that is {now} takes no disposition.")
        alert.disposition = disposition

    def _find(self, alert_id: str) -> Alert:
        try:
            return self._alerts[alert_id]
        except KeyError:
            raise not_found() from None

    def _now_ms(self) -> int:
        return round(self._clock() * 1000)


def _check_range(name: str, value: int, most: int) -> None:
    if not 1 <= value <= most:
        raise detail(400, f"{name} must be between 1 and {most}.")


def _check_message(message: dict[str, Any]) -> None:
    text = message.get("message")
    if not isinstance(text, str) or not 1 <= len(text) <= _MAX_MESSAGE:
        raise detail(400, f"message must be a text of 1 to {_MAX_MESSAGE} characters.")
    if len(str(message.get("sender", ""))) > _MAX_SENDER:
        raise detail(400, f"sender must not exceed {_MAX_SENDER} characters.")
    if message.get("message_type") not in MESSAGE_TYPES:
        raise detail(400, "message_type is missing or unknown.")

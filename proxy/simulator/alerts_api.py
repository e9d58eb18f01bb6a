"""The alerts host's endpoints (Alert Management API 1.1.0)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from proxy.simulator.answers import answer_json
from proxy.simulator.front import TOKEN
from proxy.simulator.parameters import parse_integer, parse_object

if TYPE_CHECKING:
    from proxy.simulator.alert_book import AlertBook

_LIST_LIMIT = 10
_LOG_LIMIT = 25


class AlertsAPI:
    """The endpoints, over one book of alerts."""

    def __init__(self, alerts: AlertBook, list_interval_s: float) -> None:
        """Serve ``alerts``; a client that lists again within ``list_interval_s`` is told 429."""
        self._alerts = alerts
        self._list_interval_s = list_interval_s

    def routes(self) -> list[web.RouteDef]:
        """Return its routes."""
        return [
            web.get("/v1/alerts", self.page),
            web.get("/v1/alerts/", self.page),
            web.get("/v1/alerts/{alert_id}", self.one),
            web.patch("/v1/alerts/{alert_id}", self.change),
            web.get("/v1/alerts/{alert_id}/log_messages", self.messages),
            web.post("/v1/alerts/{alert_id}/log_messages", self.say),
        ]

    async def page(self, request: web.Request) -> web.Response:
        """List alerts."""
        self._alerts.admit_listing(request[TOKEN].client_id, self._list_interval_s)
        query = request.query
        start, end = parse_integer(query, "start", 0), parse_integer(query, "end", 0)
        return answer_json(self._alerts.build_page(start, end, parse_integer(query, "limit", _LIST_LIMIT)))

    async def one(self, request: web.Request) -> web.Response:
        """Show one alert; ``extra=logs`` adds its log."""
        with_logs = request.query.get("extra") == "logs"
        return answer_json(self._alerts.build_one(_alert_id(request), with_logs=with_logs))

    async def change(self, request: web.Request) -> web.Response:
        """Set status or disposition."""
        return answer_json(self._alerts.change(_alert_id(request), parse_object(await request.read())))

    async def messages(self, request: web.Request) -> web.Response:
        """Show a page of an alert's log."""
        page = parse_integer(request.query, "page", 1)
        limit = parse_integer(request.query, "limit", _LOG_LIMIT)
        return answer_json(self._alerts.build_messages(_alert_id(request), page, limit))

    async def say(self, request: web.Request) -> web.Response:
        """Add to an alert's log."""
        return answer_json(self._alerts.say(_alert_id(request), parse_object(await request.read())))


def _alert_id(request: web.Request) -> str:
    return request.match_info["alert_id"]

"""The core host's endpoints: trigger (ingress), location and LIS (egress), the ELS hook.

The paths of the trigger and the hook are RapidSOS's own.  Those of the location services are not published:
/v1/location, /v1/lei/location and /v1/lis are guesses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from proxy.simulator.answers import answer_json
from proxy.simulator.front import HOOK_PREFIX, LIS_PATH, TOKEN
from proxy.simulator.held import MEDIA_TYPE, build_error, build_location_response, parse_location_request
from proxy.simulator.parameters import JSON, parse_form, parse_media_type, parse_object
from proxy.simulator.refusals import RefusalError, detail

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.simulator.world import World


class CoreAPI:
    """The endpoints, over one world."""

    def __init__(self, world: World) -> None:
        """Look at ``world``."""
        self._world = world

    def routes(self) -> list[web.RouteDef]:
        """Return its routes."""
        return [
            web.post("/v1/rem/trigger", self.trigger),
            web.post(f"{HOOK_PREFIX}{{agency}}/trigger", self.hook),
            web.get("/v1/location", self.location),
            web.post("/v1/location", self.location),
            web.get("/v1/lei/location", self.location),
            web.post("/v1/lei/location", self.location),
            web.post(LIS_PATH, self.lis),
        ]

    async def trigger(self, request: web.Request) -> web.Response:
        """Open an alert; only a client may, not a person."""
        if request[TOKEN].username is not None:
            raise detail(403, "A client token is required.")
        alert = self._world.trigger(parse_object(await request.read()))
        return answer_json({"alert_id": alert.alert_id})

    async def location(self, request: web.Request) -> web.Response:
        """Tell where a caller is; parameters in the query or, by POST, in a JSON or form body."""
        return answer_json(self._world.locations.answer(await _read_parameters(request)))

    async def hook(self, request: web.Request) -> web.Response:
        """Ask the caller's phone where it is (ELS); numbers are text here and the time is in seconds."""
        query = await _read_parameters(request)
        caller_id = query.get("caller_id", "").strip().removeprefix("+")  # an unescaped + arrives as a space
        found = self._world.locations.latest(caller_id)
        result = {
            "application": "ELS",
            "caller_id": f"+{caller_id}",
            "latitude": str(found.latitude),
            "longitude": str(found.longitude),
            "location_time": found.time_ms / 1000,
            "source": "CALL",
            "case_id": query.get("case_id"),
        }
        return answer_json({"results": [result]})

    async def lis(self, request: web.Request) -> web.Response:
        """Answer a HELD location request; its errors too have status 200."""
        return web.Response(body=self._locate(await request.read()), content_type=MEDIA_TYPE)

    def _locate(self, body: bytes) -> bytes:
        try:
            caller_id = parse_location_request(body)
        except ValueError:
            return build_error("xmlError", "The request is not a locationRequest")
        if caller_id is None:
            return build_error("requestError", "A tel: URI is required")
        try:
            return build_location_response(caller_id, self._world.locations.latest(caller_id))
        except RefusalError:
            return build_error("locationUnknown", "No location for this device")


async def _read_parameters(request: web.Request) -> Mapping[str, str]:
    body = await request.read()
    fields: dict[str, Any] = {}
    if body and parse_media_type(request.headers.get("Content-Type", "")) == JSON:
        fields = parse_object(body)
    elif body:
        fields = dict(parse_form(body))
    return {**request.query, **{name: str(value) for name, value in fields.items()}}

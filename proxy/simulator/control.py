"""The control URLs, for a person who rehearses and for tests in another process.

    GET    /_simulator           state as JSON, without a secret
    POST   /_simulator/faults    one fault, or a list of them, behind those already on
    DELETE /_simulator/faults    all off
    POST   /_simulator/revoke    every token dies
    POST   /_simulator/secret    {"client_secret": …} is the client's from now on; its tokens live on
    POST   /_simulator/release   what is stalled goes on
    POST   /_simulator/reset     as after a start

They need no credential and are not counted: the simulator is for machines that hold no real data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web
from pydantic import TypeAdapter, ValidationError

from proxy.config.secret import Secret
from proxy.simulator.answers import answer_json
from proxy.simulator.faults import Fault
from proxy.simulator.front import CONTROL_PREFIX
from proxy.simulator.refusals import detail

if TYPE_CHECKING:
    from proxy.simulator.server import Simulator


class Control:
    """The control URLs of one simulator."""

    def __init__(self, simulator: Simulator) -> None:
        """Control ``simulator``."""
        self._simulator = simulator

    def routes(self) -> list[web.RouteDef]:
        """Return its routes."""
        return [
            web.get(CONTROL_PREFIX, self.state),
            web.post(f"{CONTROL_PREFIX}/faults", self.add_faults),
            web.delete(f"{CONTROL_PREFIX}/faults", self.clear_faults),
            web.post(f"{CONTROL_PREFIX}/revoke", self.revoke),
            web.post(f"{CONTROL_PREFIX}/secret", self.change_secret),
            web.post(f"{CONTROL_PREFIX}/release", self.release),
            web.post(f"{CONTROL_PREFIX}/reset", self.reset),
        ]

    async def state(self, _request: web.Request) -> web.Response:
        """Tell the state."""
        return answer_json(self._simulator.build_state())

    async def add_faults(self, request: web.Request) -> web.Response:
        """Switch faults on."""
        self._simulator.faults.add(*_parse_faults(await request.read()))
        return answer_json({"faults": build_faults(self._simulator)})

    async def clear_faults(self, _request: web.Request) -> web.Response:
        """Switch all faults off, and let what is stalled go on."""
        self._simulator.faults.clear()
        self._simulator.release()
        return answer_json({"faults": []})

    async def revoke(self, _request: web.Request) -> web.Response:
        """Kill every token."""
        return answer_json({"revoked": self._simulator.tokens.revoke_all()})

    async def change_secret(self, request: web.Request) -> web.Response:
        """Change the client's secret, as its owner would at RapidSOS."""
        self._simulator.tokens.change_client_secret(_parse_secret(await request.read()))
        return answer_json({})

    async def release(self, _request: web.Request) -> web.Response:
        """Let what is stalled go on."""
        self._simulator.release()
        return answer_json({})

    async def reset(self, _request: web.Request) -> web.Response:
        """Begin again."""
        self._simulator.reset()
        return answer_json(self._simulator.build_state())


def build_faults(simulator: Simulator) -> list[dict[str, Any]]:
    """Build the faults that are on, without what was left at its default."""
    return [fault.model_dump(mode="json", exclude_defaults=True) for fault in simulator.faults]


def _parse_faults(body: bytes) -> list[Fault]:
    try:
        found = orjson.loads(body)
        return TypeAdapter(list[Fault]).validate_python(found if isinstance(found, list) else [found])
    except orjson.JSONDecodeError as error:
        raise detail(400, "Request body is not valid JSON.") from error
    except ValidationError as error:
        raise detail(400, _explain(error)) from error


def _parse_secret(body: bytes) -> Secret:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise detail(400, "Request body is not valid JSON.") from error
    if not isinstance(found, dict) or not isinstance(secret := found.get("client_secret"), str) or not secret:
        raise detail(400, 'Write {"client_secret": "…"}.')
    return Secret(secret, "changed while it runs")


def _explain(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(f"fault {'.'.join(map(str, one['loc']))}: {one['msg']}" for one in found)

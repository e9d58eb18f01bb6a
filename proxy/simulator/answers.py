"""Values to aiohttp answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from proxy.simulator.parameters import JSON

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.simulator.refusals import RefusalError


def answer_json(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:  # noqa: ANN401 (JSON is anything)
    """Build an answer whose body is ``value`` as JSON."""
    return web.Response(body=orjson.dumps(value), status=status, headers=headers, content_type=JSON)


def answer_refusal(refusal: RefusalError) -> web.Response:
    """Build the answer that a refusal describes."""
    return answer_json(refusal.body, refusal.status, refusal.headers)

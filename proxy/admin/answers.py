"""JSON answers, problem documents (RFC 9457), and the fields that every answer of the admin listener bears."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson
import structlog
from aiohttp import web

from proxy.errors import ExchangeError, MethodNotAllowed
from proxy.http.problem import TYPE_PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp.typedefs import Handler

log = structlog.get_logger(__name__)

FIELDS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Server": "rapidsos-proxy",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Nothing here is for another site's page to frame, embed or keep; aiohttp's Server field would name its version."""


def build_json(document: object, *, status: int = HTTPStatus.OK) -> web.Response:
    """Build an answer of one JSON document and a line's end."""
    body = orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE)
    return web.Response(body=body, status=status, content_type="application/json")


def build_problem(
    status: int,
    slug: str,
    title: str,
    detail: str,
    *,
    fields: Mapping[str, str] | None = None,
) -> web.Response:
    """Build a problem document, of the same form as those that the proxy's clients get.

    Args:
        status: Of the answer; stands in the document too.
        slug: Says what went wrong, for programs.
        title: Says the same for people; always the same for one slug.
        detail: What was found this time, and the next step.
        fields: Fields of the answer beyond those that all bear.
    """
    document: dict[str, Any] = {"type": f"{TYPE_PREFIX}{slug}", "title": title, "status": status, "detail": detail}
    body = orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE)
    return web.Response(body=body, status=status, headers=fields, content_type="application/problem+json")


async def set_fields(_request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Set the fields that every answer bears, errors included (an ``on_response_prepare`` signal)."""
    response.headers.update(FIELDS)


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn whatever the other steps raise into a problem document; a defect's traceback goes to the log alone."""
    try:
        return await handler(request)
    except ExchangeError as error:
        fields = {"Allow": "GET, HEAD"} if isinstance(error, MethodNotAllowed) else None
        return build_problem(error.status, error.slug, error.title, error.detail, fields=fields)
    except web.HTTPException as error:
        return _build_http_problem(request, error)
    except Exception:
        log.exception("admin.failed", method=request.method, path=request.path)
        return build_problem(500, "internal", ExchangeError.title, "The operational log says more.")


def _build_http_problem(request: web.Request, error: web.HTTPException) -> web.Response:
    """Build the problem for what aiohttp itself refuses: an unknown path, or a method that a path does not have."""
    if isinstance(error, web.HTTPMethodNotAllowed):
        allow = ", ".join(sorted(error.allowed_methods))
        detail = f"{request.path} answers {allow} only."
        return build_problem(
            405, "method_not_allowed", "The method is not allowed here", detail, fields={"Allow": allow}
        )
    status = HTTPStatus(error.status)
    detail = f"There is nothing at {request.path}." if status is HTTPStatus.NOT_FOUND else status.description
    return build_problem(status, status.name.lower(), status.phrase, detail)

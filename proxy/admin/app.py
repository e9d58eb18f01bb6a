"""The admin listener's applications: which paths there are, and what a request passes before it reaches one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from aiohttp import web

from proxy.admin.answers import answer_errors, build_json, set_fields
from proxy.admin.guard import build_guard
from proxy.admin.health import Health
from proxy.admin.login import Login, Throttle, build_login
from proxy.admin.metrics import Metrics
from proxy.admin.tokens import Tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from aiohttp.typedefs import Handler, Middleware

    from proxy.admin.view import AdminView
    from proxy.config.models import Admin
    from proxy.config.secret import Secret

OPEN_PATHS = frozenset({"/live", "/ready", "/metrics"})
"""Answered without the login: probes and metrics servers have none to give."""
MAX_BODY_BYTES = 1024
"""No path reads a body."""


def build_admin(
    view: AdminView,
    settings: Admin,
    password: Secret,
    *,
    machine: str,
    clock: Callable[[], float] = time.monotonic,
) -> web.Application:
    """Build the application of ``admin.bind``; whoever runs it gives it a ``Door``.

    Args:
        view: The running proxy.
        settings: The ``[admin]`` section.
        password: What ``login.choose_password`` returned.
        machine: This machine's own name, one of those that Host may bear.
        clock: Seconds, monotonic; for what wrong passwords cost.
    """
    health = Health(view)
    paths = {
        "/live": health.live,
        "/ready": health.ready,
        "/metrics": Metrics(view).show,
        "/api/tokens": Tokens(view).list,
    }
    login = build_login(Login(settings.username, password, Throttle(clock)), OPEN_PATHS)
    guard = build_guard((machine, *settings.names), trusts_local_names=False)
    return _build_app([guard, login], {"/": _build_index(view, tuple(paths)), **paths})


def build_health(view: AdminView, settings: Admin, *, machine: str) -> web.Application:
    """Build the application of ``admin.health_bind``: the open paths alone, for whoever can reach them.

    A probe or a metrics server may call the proxy by the name that its network has for it, so local names are taken.
    """
    health = Health(view)
    paths: dict[str, Handler] = {"/live": health.live, "/ready": health.ready_in_short, "/metrics": Metrics(view).show}
    return _build_app([build_guard((machine, *settings.names), trusts_local_names=True)], paths)


def _build_app(steps: Iterable[Middleware], paths: Mapping[str, Handler]) -> web.Application:
    app = web.Application(middlewares=[answer_errors, *steps], client_max_size=MAX_BODY_BYTES)
    app.on_response_prepare.append(set_fields)
    for path, handler in paths.items():
        app.router.add_get(path, handler)
    return app


def _build_index(view: AdminView, names: tuple[str, ...]) -> Handler:
    async def index(_request: web.Request) -> web.Response:
        return build_json({"name": "rapidsos-proxy", "version": view.status().version, "paths": names})

    return index

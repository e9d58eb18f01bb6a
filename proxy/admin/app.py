"""The admin listener's application: which paths there are, and what a request passes before it reaches one."""

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
    from collections.abc import Callable

    from aiohttp.typedefs import Handler

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
    """Build the application; whoever runs it gives it a socket (``build_runner``).

    Args:
        view: The running proxy.
        settings: The ``[admin]`` section.
        password: What ``login.choose_password`` returned.
        machine: This machine's own name, one of those that Host may bear.
        clock: Seconds, monotonic; for the pause after wrong passwords.
    """
    login = Login(settings.username, password, Throttle(clock))
    app = web.Application(
        middlewares=[answer_errors, build_guard((machine, *settings.names)), build_login(login, OPEN_PATHS)],
        client_max_size=MAX_BODY_BYTES,
    )
    app.on_response_prepare.append(set_fields)
    for path, handler in _build_paths(view).items():
        app.router.add_get(path, handler)
    return app


def build_runner(app: web.Application) -> web.AppRunner:
    """Build what serves the application: no access log, and an end to connections that say nothing."""
    return web.AppRunner(app, access_log=None, keepalive_timeout=15, shutdown_timeout=1)


def _build_paths(view: AdminView) -> dict[str, Handler]:
    """Return what answers each path; ``/`` lists them."""
    health = Health(view)
    paths: dict[str, Handler] = {
        "/live": health.live,
        "/ready": health.ready,
        "/metrics": Metrics(view).show,
        "/api/tokens": Tokens(view).list,
    }
    names = tuple(paths)

    async def index(_request: web.Request) -> web.Response:
        return build_json({"name": "rapidsos-proxy", "version": view.status().version, "paths": names})

    return {"/": index, **paths}

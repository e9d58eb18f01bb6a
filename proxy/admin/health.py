"""``/live`` and ``/ready``: two questions of a probe, with two different answers.

``/live`` asks whether the process serves; a proxy that drains, has no token or refuses requests is alive, and a restart
would only cut its exchanges and lose what waits for the log.  ``/ready`` asks whether a new exchange sent here now
could succeed.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from proxy.admin.answers import build_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

    from proxy.admin.view import AdminView, ProxyStatus
    from proxy.tokens.token import CredentialStatus


def unready_reasons(status: ProxyStatus) -> list[str]:
    """Return why a new exchange could not succeed; nothing when it could.

    One usable credential is enough: the routes of the others answer 503 by themselves, and taking the whole proxy
    out of service would stop those that work.  A breaker takes nothing out of service: without requests it would
    never learn that all is well.
    """
    reasons = []
    if status.draining:
        reasons.append("the proxy is stopping")
    elif not status.listening:
        reasons.append("not every listener accepts connections yet")
    if not any(credential.usable for credential in status.credentials):
        reasons.append("no credential is usable")
    if status.log.refusing:
        reasons.append('the traffic log cannot take records, and traffic_log.when_full = "refuse"')
    return reasons


class Health:
    """Answers the probes."""

    def __init__(self, view: AdminView) -> None:
        """Answer from ``view``."""
        self._view = view

    async def live(self, _request: web.Request) -> web.Response:
        """Answer 200: whoever can answer is alive."""
        return build_json({"live": True})

    async def ready(self, _request: web.Request) -> web.Response:
        """Answer 200 when a new exchange could succeed, else 503 and why not, with each credential's state."""
        status = self._view.status()
        credentials = [_describe(credential) for credential in status.credentials]
        config = {"problem": status.config.problem, "needs_restart": status.config.needs_restart}
        return _build_ready(
            status, {"credentials": credentials, "upstreams": _describe_upstreams(status), "configuration": config}
        )

    async def ready_in_short(self, _request: web.Request) -> web.Response:
        """Answer the same without the credentials, to whoever may ask from another machine.

        What went wrong with one is told in words that may name hosts of the centre's inside.
        """
        status = self._view.status()
        return _build_ready(status, {"upstreams": _describe_upstreams(status)})


def _build_ready(status: ProxyStatus, more: Mapping[str, object]) -> web.Response:
    reasons = unready_reasons(status)
    document = {
        "ready": not reasons,
        "reasons": reasons,
        "listening": status.listening,
        "draining": status.draining,
        "configuration_current": status.config.is_current,
        **more,
    }
    return build_json(document, status=HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK)


def _describe(credential: CredentialStatus) -> dict[str, Any]:
    """Return what anyone may know of a credential: no fingerprint, no address of its server."""
    return {
        "name": credential.name,
        "usable": credential.usable,
        "expires_in_s": credential.expires_in_s,
        "last_error": credential.last_error,
    }


def _describe_upstreams(status: ProxyStatus) -> list[dict[str, Any]]:
    """Return whether each upstream is left alone; their names stand in the metrics as well."""
    return [
        {
            "upstream": pool.upstream,
            "breaker": pool.breaker.state,
            "failures": pool.breaker.failures,
            "clients_refused": pool.breaker.clients,
        }
        for pool in status.pools
    ]

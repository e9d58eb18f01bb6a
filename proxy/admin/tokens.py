"""``/api/tokens``: the state of every credential, never a token or a secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.admin.answers import build_json

if TYPE_CHECKING:
    from aiohttp import web

    from proxy.admin.view import AdminView


class Tokens:
    """Answers for the credentials."""

    def __init__(self, view: AdminView) -> None:
        """Answer from ``view``."""
        self._view = view

    async def list(self, _request: web.Request) -> web.Response:
        """Answer with every credential's status, fingerprints included, and how their store stands."""
        status = self._view.status()
        return build_json({"tokens": status.credentials, "store": status.store})

"""The token endpoints: /oauth/token, and /oauth/v2/token for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from proxy.simulator.answers import answer_json
from proxy.simulator.front import TOKEN_CALL
from proxy.simulator.token_answer import build_token_answer
from proxy.simulator.tokens import TOKEN_PATH, USER_TOKEN_PATH

if TYPE_CHECKING:
    from proxy.simulator.settings import SimulatorSettings
    from proxy.simulator.tokens import TokenServer


class TokenAPI:
    """One authorization server's endpoints."""

    def __init__(self, settings: SimulatorSettings, tokens: TokenServer) -> None:
        """Serve ``tokens`` in the shape that ``settings`` ask for."""
        self._settings = settings
        self._tokens = tokens

    def routes(self) -> list[web.RouteDef]:
        """Return its routes; RapidSOS's pages spell the path with and without a last slash."""
        paths = [TOKEN_PATH, f"{TOKEN_PATH}/"]
        if self._settings.family != "edx":
            paths += [USER_TOKEN_PATH, f"{USER_TOKEN_PATH}/"]
        return [web.post(path, self.issue) for path in paths]

    async def issue(self, request: web.Request) -> web.Response:
        """Answer a token request."""
        token = self._tokens.issue(request[TOKEN_CALL])
        return answer_json(build_token_answer(token, self._settings), headers={"Cache-Control": "no-store"})

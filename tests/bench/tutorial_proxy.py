"""The reverse proxy that a tutorial would write: aiohttp on both sides, a token fetched once, added to every request.

It is what the race measures against, so nothing here is slower than the obvious way, and nothing is tuned.  It keeps
no log, streams no body, and serves until its token expires.

Run it as ``python tutorial_proxy.py PORT UPSTREAM TOKEN_URL CLIENT_ID CLIENT_SECRET [CA]``.
"""

from __future__ import annotations

import ssl
import sys
from typing import TYPE_CHECKING

from aiohttp import ClientSession, TCPConnector, web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HOP_BY_HOP = {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "content-length", "host"}
SESSION = web.AppKey("session", ClientSession)
TOKEN = web.AppKey("token", str)
UPSTREAM = web.AppKey("upstream", str)


async def forward(request: web.Request) -> web.Response:
    """Send the request on with the token, and its answer back."""
    headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
    headers["Authorization"] = f"Bearer {request.app[TOKEN]}"
    body = await request.read()
    url = request.app[UPSTREAM] + request.path_qs
    async with request.app[SESSION].request(request.method, url, headers=headers, data=body) as answer:
        return web.Response(
            status=answer.status,
            body=await answer.read(),
            headers={name: value for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP},
        )


def build_app(
    upstream: str, token_url: str, client_id: str, client_secret: str, ca: str | None = None
) -> web.Application:
    """Build the application."""

    async def open_session(app: web.Application) -> AsyncIterator[None]:
        form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": client_secret}
        # Without a CA, that is the system's.
        connector = TCPConnector(ssl=ssl.create_default_context(cafile=ca))
        async with ClientSession(connector=connector) as session:
            async with session.post(token_url, data=form) as answer:
                app[TOKEN] = (await answer.json())["access_token"]
            app[SESSION] = session
            yield

    app = web.Application()
    app[UPSTREAM] = upstream
    app.cleanup_ctx.append(open_session)
    app.router.add_route("*", "/{path:.*}", forward)
    return app


if __name__ == "__main__":
    web.run_app(build_app(*sys.argv[2:]), host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)

"""Simulator: one host of the RapidSOS family on a socket."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import structlog
from aiohttp import web

from proxy.simulator import rehearsal
from proxy.simulator.alerts_api import AlertsAPI
from proxy.simulator.control import Control, build_faults
from proxy.simulator.core_api import CoreAPI
from proxy.simulator.faults import Faults
from proxy.simulator.front import Front
from proxy.simulator.settings import SimulatorSettings
from proxy.simulator.token_api import TokenAPI
from proxy.simulator.tokens import TokenServer
from proxy.simulator.world import World

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from proxy.simulator.journal import Journal, SeenRequest, TokenRequest

log = structlog.get_logger(__name__)

SERVER = "RapidSOS-Simulator"
_LARGEST_HEAD_PART = 256 * 1024
_STOP_S = 0.1


class Simulator:
    """A RapidSOS host that answers as the documentation says, and as badly as it is told to.

    Attributes:
        settings: As given.
        tokens: The tokens that live: iterate, ``len``, ``revoke``, ``revoke_all``.
        faults: The faults that are on: ``add``, ``clear``.
        world: Alerts and locations.
    """

    def __init__(
        self,
        settings: SimulatorSettings | None = None,
        *,
        clock: Callable[[], float] = time.time,
        world: World | None = None,
    ) -> None:
        """Set up; nothing is bound yet.

        Args:
            settings: The defaults when None.
            clock: Seconds since 1970; tokens and alerts age by it.
            world: Given when two hosts shall see the same alerts; one of its own when None.
        """
        self.settings = settings or SimulatorSettings()
        self.tokens = TokenServer(self.settings, clock)
        self.faults = Faults(self.settings.faults)
        self.world = world or World(clock, self.settings.sla_s)
        self._clock = clock
        self._front = Front(self.settings, self.tokens, self.faults)
        self._runner: web.AppRunner | None = None
        self._url = ""

    def __repr__(self) -> str:
        """Show where it is and what it has seen."""
        return f"<Simulator {self.settings.family} {self._url or 'stopped'} requests={self.requests.total}>"

    @property
    def requests(self) -> Journal[SeenRequest]:
        """Whole requests to the API, as received; the token endpoints and control URLs are not among them."""
        return self._front.requests

    @property
    def unfinished(self) -> Journal[SeenRequest]:
        """Requests whose client left before their body was whole."""
        return self._front.unfinished

    @property
    def token_requests(self) -> Journal[TokenRequest]:
        """Calls of the token endpoints, those that met a fault included."""
        return self._front.token_requests

    @property
    def url(self) -> str:
        """Its origin, ``http://127.0.0.1:8081``; empty while it is stopped."""
        return self._url

    @property
    def port(self) -> int:
        """The port bound; 0 while it is stopped."""
        return int(self._url.rpartition(":")[2] or 0)

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        server = self._runner.server if self._runner else None
        return len(server.connections) if server else 0

    async def start(self, host: str = "127.0.0.1", port: int = 0, ssl_context: ssl.SSLContext | None = None) -> None:
        """Listen; after ``stop`` also again, with everything that it knew.

        Args:
            host: The address to bind.
            port: 0 lets the system choose.
            ssl_context: Serve TLS with it.

        Raises:
            OSError: If the address cannot be bound.
        """
        runner = web.AppRunner(
            self._build_app(),
            access_log=None,
            auto_decompress=False,
            handler_cancellation=True,
            keepalive_timeout=self.settings.keep_alive_s,
            max_line_size=_LARGEST_HEAD_PART,
            max_field_size=_LARGEST_HEAD_PART,
            shutdown_timeout=_STOP_S,
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port, ssl_context=ssl_context, reuse_address=True).start()
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner
        scheme = "https" if ssl_context else "http"
        shown = f"[{host}]" if ":" in host else host
        self._url = f"{scheme}://{shown}:{runner.addresses[0][1]}"
        log.info("simulator.started", family=self.settings.family, url=self._url)

    async def stop(self) -> None:
        """Close the listener and every connection, in the middle of an answer too."""
        runner, self._runner, self._url = self._runner, None, ""
        if runner is None:
            return
        self._hang_up(runner)
        await runner.cleanup()
        log.info("simulator.stopped", family=self.settings.family, requests=self.requests.total)

    def hang_up(self) -> None:
        """Close every connection at once, idle ones too, and go on listening."""
        if self._runner:
            self._hang_up(self._runner)

    def release(self) -> None:
        """Let what a ``stall`` holds go on."""
        self._front.misbehaviour.release()

    def reset(self) -> None:
        """Begin again: the configured faults, no token, nothing seen, the world as at the start."""
        self.faults.clear()
        self.faults.add(*self.settings.faults)
        self.tokens.revoke_all()
        self.tokens.wrong_passwords = 0
        self.tokens.change_client_secret(self.settings.client_secret)
        for journal in (self.requests, self.unfinished, self.token_requests):
            journal.clear()
        self.world.reset()
        self.release()

    def build_state(self) -> dict[str, Any]:
        """Build what ``GET /_simulator`` shows."""
        now = self._clock()
        return {
            "family": self.settings.family,
            "requests": self.requests.total,
            "unfinished": self.unfinished.total,
            "token_requests": self.token_requests.total,
            "wrong_passwords": self.tokens.wrong_passwords,
            "connections": self.connections,
            "alerts": len(self.world.alerts),
            "tokens": [
                {
                    "fingerprint": token.fingerprint,
                    "grant": token.grant,
                    "client_id": token.client_id,
                    "expires_in_s": round(token.expires_at - now, 3),
                }
                for token in self.tokens
            ],
            "faults": build_faults(self),
        }

    def _build_app(self) -> web.Application:
        front = self._front
        app = web.Application(
            middlewares=[front.log_answer, front.record, front.authorize],
            client_max_size=self.settings.keep_bytes,
        )
        app.on_response_prepare.append(_name_server)
        app.add_routes(Control(self).routes())
        app.add_routes(TokenAPI(self.settings, self.tokens).routes())
        if self.settings.family != "edx":
            app.add_routes(CoreAPI(self.world).routes())
        if self.settings.family != "core":
            app.add_routes(AlertsAPI(self.world.alerts, self.settings.list_interval_s).routes())
        app.add_routes(rehearsal.routes())
        return app

    @staticmethod
    def _hang_up(runner: web.AppRunner) -> None:
        for connection in runner.server.connections if runner.server else ():
            if connection.transport:
                connection.transport.abort()


async def _name_server(_request: web.BaseRequest, response: web.StreamResponse) -> None:
    response.headers["Server"] = SERVER

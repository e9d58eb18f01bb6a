"""A centre's site: a proxy, and behind TLS RapidSOS's core host simulated and its alerts host played by nginx."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.nginx import Nginx, running_nginx
from harness.records import Record, read_records
from harness.running import RunningProxy, build_document, running_proxy
from proxy.simulator.server import Simulator

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

CORE = "api-sandbox.rapidsos.com"
"""The simulator answers for it."""
EDX = "edx-sandbox.rapidsos.com"
"""nginx answers for it."""
PREFIXES = {CORE: "/core", EDX: "/edx"}
BASE_URL, HTTP_PROXY, DNS = WAYS = ("base URL", "http_proxy", "DNS")
"""How clients are pointed at a proxy."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way in.

    Attributes:
        name: One of ``WAYS``.
        port: The proxy's, on 127.0.0.1.
    """

    name: str
    port: int

    def url(self, host: str, path: str) -> str:
        """Return the URL that a client is given, to reach ``path`` at ``host``."""
        if self.name == BASE_URL:
            return f"http://127.0.0.1:{self.port}{PREFIXES[host]}{path}"
        return f"http://{self.host_field(host)}{path}"

    def host_field(self, host: str) -> str:
        """Return what a client writes into Host."""
        if self.name == BASE_URL:
            return f"127.0.0.1:{self.port}"
        return host if self.name == HTTP_PROXY else f"{host}:{self.port}"

    def target(self, host: str, path: str) -> str:
        """Return what then stands in the client's request line."""
        if self.name == BASE_URL:
            return f"{PREFIXES[host]}{path}"
        return f"http://{host}{path}" if self.name == HTTP_PROXY else path

    @property
    def proxy(self) -> str | None:
        """The value of http_proxy, None where the client knows of no proxy."""
        return f"http://127.0.0.1:{self.port}" if self.name == HTTP_PROXY else None


@dataclass(frozen=True, slots=True)
class Site:
    """What runs at the site, and beyond.

    Attributes:
        proxy: Serves all three ways in.
        simulator: The core host, and the token server of both.
        nginx: The alerts host.
        traffic_log: The proxy's.
    """

    proxy: RunningProxy
    simulator: Simulator
    nginx: Nginx
    traffic_log: Path

    def way(self, name: str) -> Way:
        """Return a way in."""
        return Way(name, self.proxy.port)

    async def stop_and_read(self) -> list[Record]:
        """Stop the proxy, which writes its log to the end; return the record of each exchange."""
        await self.proxy.stop()
        return read_records(self.traffic_log)


@asynccontextmanager
async def running_simulator(tls: ssl.SSLContext) -> AsyncIterator[Simulator]:
    """Run a simulated core host over TLS for the length of a block."""
    simulator = Simulator()
    await simulator.start(ssl_context=tls)
    try:
        yield simulator
    finally:
        await simulator.stop()


@asynccontextmanager
async def running_site(
    folder: Path, *, tls: ssl.SSLContext, certificate: Path, ca_file: Path, **settings: str
) -> AsyncIterator[Site]:
    """Run a site for the length of a block.

    Args:
        folder: For nginx's files and the traffic log.
        tls: The simulator's.
        certificate: nginx's, for the same names.
        ca_file: Who signed both.
        settings: More for ``running_nginx``.
    """
    traffic_log = folder / "traffic.jsonl"
    async with running_simulator(tls) as simulator, running_nginx(folder / "nginx", certificate, **settings) as nginx:
        document = build_site_document(
            {CORE: simulator.port, EDX: nginx.port},
            f"{simulator.url}/oauth/token",
            outbound={"ca_file": str(ca_file)},
            traffic_log={"path": str(traffic_log)},
        )
        async with running_proxy(document) as proxy:
            yield Site(proxy, simulator, nginx, traffic_log)


def build_site_document(ports: Mapping[str, int], token_url: str, **sections: Any) -> dict[str, Any]:
    """Build a configuration that serves each host by its name and by its prefix.

    Args:
        ports: Where each host is played, on 127.0.0.1.
        token_url: Of the one credential.
        sections: Replace what they name.
    """
    routes = []
    for host, port in ports.items():
        name = PREFIXES[host].removeprefix("/")
        leads = {"upstream": f"https://{host}", "addresses": [f"127.0.0.1:{port}"], "credential": "core"}
        routes += [
            {"name": f"{name}-host", "match": {"host": host}, **leads},
            {"name": name, "match": {"path": f"{PREFIXES[host]}/"}, "strip": PREFIXES[host], **leads},
        ]
    return build_document("", token_url, route=routes, **sections)

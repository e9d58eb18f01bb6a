"""A local authority, a listener that intercepts, and clients that speak TLS in a tunnel to it."""

from __future__ import annotations

import asyncio
import ssl
import time
from typing import TYPE_CHECKING, Any

from harness.running import PATIENCE_S, RawClient
from proxy.ca.founding import found_authority

if TYPE_CHECKING:
    from pathlib import Path

    from harness.running import RunningProxy

HOST, OTHER_HOST = "api-sandbox.rapidsos.com", "edx-sandbox.rapidsos.com"
CONNECT = f"CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}:443\r\n\r\n".encode()


def found(folder: Path, *hosts: str) -> dict[str, str]:
    """Make an authority for hosts, RapidSOS's by default; return the section ``interception``."""
    founded = found_authority(folder, "Test authority", hosts or ("rapidsos.com",), time.time(), years=1)
    return {"ca_certificate": str(founded.certificate_path), "ca_key": str(founded.key_path)}


def intercepting(section: dict[str, str], **listener: Any) -> dict[str, Any]:
    """Return the sections of a configuration with a listener that intercepts."""
    listeners = [{"name": "cad", "bind": "127.0.0.1:0", "intercept": True, **listener}]
    return {"listener": listeners, "interception": section}


def route_hosts(upstream: str, *hosts: str) -> list[dict[str, Any]]:
    """Return routes for hosts, which lead to an upstream on this machine."""
    return [
        {"name": host.partition(".")[0], "match": {"host": host}, "upstream": upstream, "credential": "core"}
        for host in hosts
    ]


def trust(section: dict[str, str]) -> ssl.SSLContext:
    """Return the context of a client that trusts the authority, and nothing else."""
    return ssl.create_default_context(cafile=section["ca_certificate"])


async def open_tunnel(
    proxy: RunningProxy, tls: ssl.SSLContext, host: str = HOST, *, server_name: str | None = None
) -> RawClient:
    """Ask for a tunnel, and finish the handshake in it."""
    client = await proxy.connect()
    client.send(f"CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n".encode())
    head = await client.read_head()
    assert head.startswith(b"HTTP/1.1 200 Connection Established\r\n"), head
    await start_tls(client, tls, server_name or host)
    return client


async def start_tls(client: RawClient, tls: ssl.SSLContext, server_name: str) -> None:
    """Finish a handshake on a connection that is open."""
    async with asyncio.timeout(PATIENCE_S):
        await client.writer.start_tls(tls, server_hostname=server_name)

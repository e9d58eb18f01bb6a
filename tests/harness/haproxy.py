"""A real HAProxy over TLS that answers each request with how it has read it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from harness.tools import find_tool, running_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

_CONFIGURATION = """
defaults
    mode http
    timeout client 30s
    timeout http-request 30s
    timeout http-keep-alive 30s

frontend readings
    bind 127.0.0.1:{port} ssl crt {certificate} alpn h2,http/1.1
    option http-buffer-request
    http-request return status 200 content-type text/plain lf-string "{reading}"
"""
# Four lines; what may hold a blank stands last in its own.
_READING = (
    r"%[method] %[url]\n"
    r"%[req.ver] %[ssl_fc_sni] %[req.hdr(host)]\n"
    r"%[req.body_len] %[req.body,sha2(256),hex,lower]\n"
    r"%[req.fhdr_cnt(authorization)] %[req.fhdr(authorization)]"
)


@asynccontextmanager
async def running_haproxy(folder: Path, certificate: Path) -> AsyncIterator[int]:
    """Run HAProxy for the length of a block.

    Args:
        folder: For its configuration.
        certificate: PEM, chain and private key.

    Yields:
        Its port, on 127.0.0.1.
    """
    haproxy = find_tool("haproxy")

    def build_command(port: int) -> list[str]:
        path = folder / "haproxy.cfg"
        path.write_text(_CONFIGURATION.format(port=port, certificate=certificate, reading=_READING))
        return [haproxy, "-db", "-f", str(path)]

    async with running_server(folder, build_command) as port:
        yield port

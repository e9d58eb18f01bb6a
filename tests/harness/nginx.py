"""A real nginx over TLS, with a folder of files and a log of what it saw."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.running import until
from harness.tools import find_tool, running_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

# HTTP/2 is offered: the proxy speaks HTTP/1.1 and must not be talked into anything else.
_CONFIGURATION = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ }}
http {{
    log_format seen escape=json '{{"method": "$request_method", "target": "$request_uri", '
        '"version": "$server_protocol", "host": "$http_host", "authorization": "$http_authorization", '
        '"status": $status, "length": "$http_content_length", "coding": "$http_transfer_encoding", '
        '"connection": $connection, "tls": "$ssl_protocol", "name": "$ssl_server_name"}}';
    access_log {folder}/access.log seen;
    client_body_temp_path {folder}/temporary;
    proxy_temp_path {folder}/temporary;
    fastcgi_temp_path {folder}/temporary;
    uwsgi_temp_path {folder}/temporary;
    scgi_temp_path {folder}/temporary;
    types {{ text/html html; text/plain txt; application/octet-stream bin; }}
    server {{
        listen 127.0.0.1:{port} ssl http2 reuseport;
        ssl_certificate {certificate};
        ssl_certificate_key {certificate};
        ssl_protocols {protocols};
        root {folder}/files;
        client_max_body_size 64m;
        location /upload/ {{ dav_methods PUT; create_full_put_path on; }}
        location /included/ {{ ssi on; }}
        location /compressed/ {{ gzip on; gzip_proxied any; gzip_types text/plain; }}
        location /small/ {{ client_max_body_size 1k; error_page 413 @refused; }}
        location @refused {{ return 413 "too large"; }}
        {directives}
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Nginx:
    """A running nginx.

    Attributes:
        port: On 127.0.0.1.
        files: The folder that it serves; ``upload`` in it takes what is PUT.
        access_log: One line of JSON a request.
    """

    port: int
    files: Path
    access_log: Path

    async def wait_seen(self, count: int) -> list[dict[str, Any]]:
        """Wait until ``count`` requests have been logged, which is after their answers; return all there are."""
        await until(lambda: len(self.access_log.read_bytes().splitlines()) >= count)
        return [json.loads(line) for line in self.access_log.read_text().splitlines()]


@asynccontextmanager
async def running_nginx(
    folder: Path, certificate: Path, *, protocols: str = "TLSv1.2 TLSv1.3", directives: str = ""
) -> AsyncIterator[Nginx]:
    """Run nginx for the length of a block.

    Args:
        folder: For its files, all of them.
        certificate: PEM, chain and private key.
        protocols: What it speaks.
        directives: More of its ``server`` block.
    """
    nginx = find_tool("nginx")
    files = folder / "files"
    for path in (folder, files, folder / "temporary"):
        path.mkdir(exist_ok=True)
    access_log = folder / "access.log"
    access_log.touch()

    def build_command(port: int) -> list[str]:
        (folder / "nginx.conf").write_text(
            _CONFIGURATION.format(
                folder=folder, port=port, certificate=certificate, protocols=protocols, directives=directives
            )
        )
        return [nginx, "-e", str(folder / "error.log"), "-p", str(folder), "-c", str(folder / "nginx.conf")]

    async with running_server(folder, build_command) as port:
        yield Nginx(port, files, access_log)

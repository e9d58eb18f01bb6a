"""What the proxies race towards: nginx, which answers at once, over plain HTTP and over TLS.

Every answer presupposes a token, so that a proxy that forgot one gets 401 and the load generator counts an error.
``…/whoami`` answers with the Authorization field as it arrived, ``/requests`` with how many requests there were.
"""

from __future__ import annotations

import ssl
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trustme
from aiohttp import ClientSession, TCPConnector

from bench.process import Process, find_free_port, running
from bench.programs import NGINX

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

_CONFIG = """\
daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log stderr;
events {{ worker_connections 16384; }}
http {{
    access_log off;
    default_type application/json;
    keepalive_requests 1000000000;
    keepalive_timeout 300s;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_certificate {directory}/server.pem;
    ssl_certificate_key {directory}/server.pem;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    map $http_authorization $answers {{
        default 0;
        "~^Bearer .{{20}}" 1;
    }}
    server {{
        listen 127.0.0.1:{port};
        listen 127.0.0.1:{tls_port} ssl;
        location / {{
            if ($answers = 0) {{ return 401 '{{}}'; }}
            if ($request_method = POST) {{ return 200 '{post}'; }}
            return 200 '{get}';
        }}
        location ~ /whoami$ {{ return 200 $http_authorization; }}
        location = /requests {{ stub_status; }}
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Answers:
    """The bodies that the upstream answers with; neither holds a quote, a dollar sign or a backslash."""

    get: str
    post: str


@dataclass(frozen=True, slots=True)
class Upstream:
    """An upstream that runs.

    Attributes:
        port: Of plain HTTP.
        tls_port: Of TLS.
        ca: PEM of the authority that signed its certificate, for 127.0.0.1 and localhost.
    """

    process: Process
    port: int
    tls_port: int
    ca: Path

    @property
    def url(self) -> str:
        """Its origin over plain HTTP."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def tls_url(self) -> str:
        """Its origin over TLS."""
        return f"https://127.0.0.1:{self.tls_port}"

    def open_session(self) -> ClientSession:
        """Return a client that trusts its certificate."""
        return ClientSession(connector=TCPConnector(ssl=ssl.create_default_context(cafile=self.ca)))

    async def count_requests(self) -> int:
        """Return how many requests it has seen, this one included."""
        async with ClientSession() as session, session.get(f"{self.url}/requests") as answer:
            # Its third line is the numbers of connections accepted, of those served, and of requests.
            return int((await answer.text()).splitlines()[2].split()[2])


@asynccontextmanager
async def running_upstream(answers: Answers, directory: Path, core: int | None) -> AsyncIterator[Upstream]:
    """Run the upstream for the length of a block."""
    port, tls_port = find_free_port(), find_free_port()
    ca = directory / "ca.pem"
    write_certificates(ca, directory / "server.pem")
    path = directory / "nginx.conf"
    path.write_text(
        _CONFIG.format(directory=directory, port=port, tls_port=tls_port, get=answers.get, post=answers.post)
    )
    command = [NGINX.need(), "-p", str(directory), "-c", str(path), "-e", "stderr"]
    async with running("upstream", command, directory, core=core) as process:
        await process.wait_listening(port)
        yield Upstream(process, port, tls_port, ca)


def write_certificates(ca: Path, server: Path) -> None:
    """Make an authority, and a certificate with its key by it."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(ca))
    authority.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(str(server))

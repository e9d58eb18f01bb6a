"""What the proxies race towards: nginx, which answers at once; where it is missing, the stand-in.

Every answer presupposes a token, so that a proxy that forgot one gets 401 and the load generator counts an error.
``…/whoami`` answers with the Authorization field as it arrived.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.process import find_free_port, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

_SYSTEM_PATH = "/usr/sbin:/usr/local/sbin:/sbin"
"""Where Debian has nginx, and where the path of a plain user does not lead."""
_CONFIG = """\
daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log stderr;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    default_type application/json;
    keepalive_requests 1000000000;
    keepalive_timeout 300s;
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
        location / {{
            if ($answers = 0) {{ return 401 '{{}}'; }}
            if ($request_method = POST) {{ return 200 '{post}'; }}
            return 200 '{get}';
        }}
        location ~ /whoami$ {{ return 200 $http_authorization; }}
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
        url: Its origin.
        name: Program and version.
    """

    url: str
    name: str


def find_nginx() -> str | None:
    """Return the path of nginx, None where there is none."""
    return shutil.which("nginx") or shutil.which("nginx", path=_SYSTEM_PATH)


@asynccontextmanager
async def running_upstream(answers: Answers, directory: Path, core: int | None) -> AsyncIterator[Upstream]:
    """Run the upstream for the length of a block."""
    port = find_free_port()
    nginx = find_nginx()
    command = (
        _prepare_stand_in(answers, directory, port)
        if nginx is None
        else _prepare_nginx(nginx, answers, directory, port)
    )
    async with running("upstream", command, directory, core=core) as process:
        await process.wait_listening(port)
        name = "stand-in upstream (nginx is missing)" if nginx is None else _find_version(nginx)
        yield Upstream(f"http://127.0.0.1:{port}", name)


def _prepare_nginx(nginx: str, answers: Answers, directory: Path, port: int) -> Sequence[str]:
    path = directory / "nginx.conf"
    path.write_text(_CONFIG.format(directory=directory, port=port, get=answers.get, post=answers.post))
    return nginx, "-p", str(directory), "-c", str(path), "-e", "stderr"


def _prepare_stand_in(answers: Answers, directory: Path, port: int) -> Sequence[str]:
    get, post = directory / "answer-get.json", directory / "answer-post.json"
    get.write_text(answers.get)
    post.write_text(answers.post)
    return sys.executable, "-m", "bench.stand_ins", "upstream", str(port), str(get), str(post)


def _find_version(nginx: str) -> str:
    said = subprocess.run([nginx, "-v"], capture_output=True, text=True, check=True).stderr
    return said.strip().removeprefix("nginx version: ").split(" ")[0]

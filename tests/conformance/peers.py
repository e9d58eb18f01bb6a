"""nginx and HAProxy as gateways in front of the same recorder, as two second opinions."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from harness.tools import find_tool, run_tool, running_server

from conformance.cases import PROBE
from conformance.recorder import Recorder, exchange, parse_answers, running_recorder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from conformance.cases import RequestCase

_NGINX = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/temporary;
    proxy_temp_path {folder}/temporary;
    fastcgi_temp_path {folder}/temporary;
    uwsgi_temp_path {folder}/temporary;
    scgi_temp_path {folder}/temporary;
    large_client_header_buffers 8 16k;
    client_max_body_size 64k;
    lingering_timeout 1s;
    server {{
        listen 127.0.0.1:{port} reuseport;
        location / {{
            proxy_pass http://127.0.0.1:{upstream};
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
    }}
}}
"""
_HAPROXY = """
global
    tune.bufsize 131072
defaults
    mode http
    timeout connect 5s
    timeout client 1s
    timeout server 5s
frontend clients
    bind 127.0.0.1:{port}
    default_backend upstream
backend upstream
    server upstream 127.0.0.1:{upstream}
"""
REFUSES, ANSWERS, CLOSES = "refuses", "answers", "closes"
DELIVERS, DELIVERS_OTHERWISE = "delivers", "delivers otherwise"
SPEAKS_OTHERWISE = "speaks another version"
PEERS = {"nginx": "1.22", "haproxy": "2.6"}
"""Each with the version, of Debian 12, that differences.toml was seen with."""


@asynccontextmanager
async def running_peer(name: str, folder: Path) -> AsyncIterator[tuple[int, Recorder]]:
    """Run a peer in front of a recorder for the length of a block."""
    tool = find_tool(name)
    (folder / "temporary").mkdir(parents=True)
    async with running_recorder() as recorder:

        def build_command(port: int) -> list[str]:
            path = folder / "configuration"
            template = _NGINX if name == "nginx" else _HAPROXY
            path.write_text(template.format(folder=folder, port=port, upstream=recorder.port))
            if name == "nginx":
                return [tool, "-e", str(folder / "error.log"), "-p", str(folder), "-c", str(path)]
            return [tool, "-db", "-f", str(path)]

        async with running_server(folder, build_command) as port:
            yield port, recorder


async def find_version(name: str) -> str:
    """Return the version of a peer: its first two numbers."""
    said = await run_tool(find_tool(name), "-v")
    found = re.search(r"(?i)version[: ]+(?:nginx/)?([0-9]+\.[0-9]+)", said.output.decode() + said.errors)
    assert found is not None
    return found[1]


async def read_case(port: int, recorder: Recorder, case: RequestCase) -> str:
    """Tell how a peer takes a case, beside how we do: what it delivers counts only where we deliver as well."""
    recorder.reset()
    data = await exchange(port, case.sent + PROBE)
    if not data:
        return CLOSES
    try:
        answers = parse_answers(data, case.method)
    except (AssertionError, ValueError, IndexError):
        return SPEAKS_OTHERWISE
    # One that is cut is refused: whether its head got out before is a matter of luck.
    whole = [request for request in recorder.delivered if request.is_whole]
    delivered = [request for request in whole if not request.head.startswith(b"GET /probe ")]
    if not delivered:
        return REFUSES if answers[0].status >= 400 else ANSWERS
    reading = (
        delivered[0].head.partition(b"\r\n")[0],
        delivered[0].body,
        delivered[0].trailers,
        len(delivered),
        len(answers) > 1,
    )
    ours = None if case.lines is None else (case.lines.partition(b"\r\n")[0], case.body, b"", 1, case.keeps)
    return DELIVERS if ours in {None, reading} else DELIVERS_OTHERWISE


def read_ours(case: RequestCase) -> str:
    """Tell the same of what our proxy must do."""
    if case.lines is not None:
        return DELIVERS
    return REFUSES if case.status >= 400 else ANSWERS

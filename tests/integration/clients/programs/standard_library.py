"""Runs errands with http.client, one connection for all; see Program in harness/clients.py."""

from __future__ import annotations

import http.client
import socket
import sys
from pathlib import Path
from urllib.parse import urlsplit

TIMEOUT_S = 30
BLOCK = 8192


def open_connection(proxy: str, url: str) -> http.client.HTTPConnection:
    """Connect to the proxy, or else to what the URL names, which the site's DNS leads to the same address."""
    parts = urlsplit(url if proxy == "-" else proxy)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
    connection._create_connection = lambda address, *_: socket.create_connection(("127.0.0.1", address[1]), TIMEOUT_S)
    return connection


def run(connection: http.client.HTTPConnection, proxy: str, errand: list[str]) -> int:
    """Run one errand; return the answer's status."""
    method, url, framing, body, answer, authorization = errand
    host, _, path = url.removeprefix("http://").partition("/")
    headers = {"Host": host, "Authorization": authorization}
    data: bytes | object | None = None
    if framing == "length":
        data = Path(body).read_bytes()
    elif framing == "chunked":
        content = Path(body).read_bytes()
        data = (content[start : start + BLOCK] for start in range(0, len(content), BLOCK))
    target = f"/{path}" if proxy == "-" else url
    connection.request(method, target, data, headers, encode_chunked=framing == "chunked")
    response = connection.getresponse()
    Path(answer).write_bytes(response.read())
    return response.status


def main() -> None:
    """Run every errand that standard input names; connections are kept, one for each authority."""
    proxy = sys.argv[1]
    connections: dict[str, http.client.HTTPConnection] = {}
    for line in sys.stdin:
        errand = line.rstrip("\n").split("\t")
        authority = proxy if proxy != "-" else urlsplit(errand[1]).netloc
        if authority not in connections:
            connections[authority] = open_connection(proxy, errand[1])
        print(run(connections[authority], proxy, errand))  # noqa: T201 (what it is for)


main()

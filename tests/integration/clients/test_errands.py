"""Every client through every way in: the upstream sees one token and the client's bytes, the client the upstream's.

The upstreams are the simulator, which says what arrived, and nginx, which nobody here wrote.
"""

from __future__ import annotations

import hashlib
import sys
from typing import TYPE_CHECKING

import orjson
import pytest
from harness.clients import LOGIN, Brought, Curl, Errand, Program, Wget
from harness.records import check_answered
from harness.site import BASE_URL, CORE, EDX, WAYS
from harness.tools import find_tool

from proxy.simulator.rehearsal import GZIPPED, generate_bytes
from proxy.tokens.token import fingerprint

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from harness.clients import Client
    from harness.records import Record
    from harness.site import Site, Way

CLIENTS = {
    "curl 1.0": Curl("1.0"),
    "curl 1.1": Curl("1.1"),
    "wget": Wget(),
    "http.client": Program(sys.executable, "{programs}/standard_library.py"),
    "requests": Program(sys.executable, "{programs}/with_requests.py"),
    "HttpURLConnection": Program(
        "java", "-XX:TieredStopAtLevel=1", "-Djdk.net.hosts.file={folder}/hosts", "{programs}/Client.java"
    ),
    "node": Program("node", "{programs}/client.js"),
}
UPLOAD = bytes(range(256)) * 401 + b"end"
"""Every octet occurs, and the size is a multiple of nobody's buffer."""
LARGE = bytes(8 * 1024 * 1024)
"""More than the sockets' buffers take."""
PAGE = b'<!--# echo var="request_method" -->' + bytes(range(32, 127)) * 1000
INCLUDED = PAGE.replace(b'<!--# echo var="request_method" -->', b"GET")
FILE = b"".join(generate_bytes(1_000_003))


def receipt(body: bytes) -> bytes:
    """Return what the simulator's sink answers to ``body``."""
    return orjson.dumps({"body_bytes": len(body), "body_sha256": hashlib.sha256(body).hexdigest()})


ERRANDS = (
    Errand(CORE, "/v1/bytes?size=300001", answer=b"".join(generate_bytes(300_001))),
    Errand(CORE, "/v1/bytes?size=70001&chunked=1", answer=b"".join(generate_bytes(70_001))),
    Errand(CORE, "/v1/a%2Fb//c;d?x=1&x=2&y=+%20&=", status=404, answer=orjson.dumps({"detail": "Not found."})),
    Errand(CORE, "/v1/sink", "POST", UPLOAD, answer=receipt(UPLOAD)),
    Errand(CORE, "/v1/sink", "POST", UPLOAD, is_chunked=True, answer=receipt(UPLOAD)),
    Errand(CORE, "/v1/sink", "POST", b"", answer=receipt(b"")),
    Errand(CORE, "/v1/bytes?size=5000", "HEAD"),
    Errand(CORE, "/v1/status/204", status=204),
    Errand(CORE, "/v1/gzip", answer=GZIPPED),
    Errand(EDX, "/file.bin", answer=FILE),
    Errand(EDX, "/included/page.html", answer=INCLUDED),
    Errand(EDX, "/upload/length", "PUT", UPLOAD, status=201),
    Errand(EDX, "/upload/chunked", "PUT", UPLOAD, is_chunked=True, status=201),
    Errand(EDX, "/file.bin", "HEAD"),
)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)
async def test_errands(client: Client, way: str, site: Site, tmp_path: Path) -> None:
    """Whatever the client and its way in, bytes arrive as they were sent, under the proxy's token, and are recorded."""
    if client is CLIENTS["HttpURLConnection"]:
        find_tool("javac")  # which a mere java lacks: it cannot run a source file
    write_files(site)
    errands = [errand for errand in ERRANDS if client.can_chunk or not errand.is_chunked]
    brought = await client.run(site.way(way), errands, tmp_path)
    records = await site.stop_and_read()

    assert brought == [Brought(errand.status, errand.answer) for errand in errands]
    check_simulator(site, [errand for errand in errands if errand.host == CORE])
    await check_nginx(site, [errand for errand in errands if errand.host == EDX])
    check_records(site, records, site.way(way), errands)


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)
async def test_refusal_in_mid_upload(client: Client, site: Site, tmp_path: Path) -> None:
    """A refusal on sight of the head reaches clients too that look for an answer only once all is sent."""
    errand = Errand(EDX, "/small/x", "PUT", LARGE, status=413, answer=b"too large")
    brought = await client.run(site.way(BASE_URL), [errand], tmp_path)
    [record] = await site.stop_and_read()

    assert brought == [Brought(413, b"too large")]
    assert (record["outcome"], record["response"]["status"], record["response"]["body"]) == ("ok", 413, "too large")


def write_files(site: Site) -> None:
    """Put there what nginx serves."""
    (site.nginx.files / "included").mkdir()
    (site.nginx.files / "included" / "page.html").write_bytes(PAGE)
    (site.nginx.files / "file.bin").write_bytes(FILE)


def check_simulator(site: Site, errands: Sequence[Errand]) -> None:
    """Assert that the simulator saw each errand with one valid token and nothing of the client's own."""
    seen = list(site.simulator.requests)
    [token] = site.simulator.tokens

    assert [(request.method, request.raw_path) for request in seen] == [(each.method, each.path) for each in errands]
    assert all(request.authorized for request in seen)
    assert all(request.values("authorization") == [f"Bearer {token.value}"] for request in seen)
    assert all(request.values("host") == [CORE] for request in seen)


async def check_nginx(site: Site, errands: Sequence[Errand]) -> None:
    """Assert the same of nginx, by its own log and by the files that it was sent."""
    seen = await site.nginx.wait_seen(len(errands))
    [token] = site.simulator.tokens

    assert [(line["method"], line["target"]) for line in seen] == [(each.method, each.path) for each in errands]
    assert {line["authorization"] for line in seen} == {f"Bearer {token.value}"}
    assert {(line["host"], line["name"]) for line in seen} == {(EDX, EDX)}
    assert {(line["version"], line["tls"]) for line in seen} == {("HTTP/1.1", "TLSv1.3")}
    for errand in errands:
        if errand.body is not None:
            assert site.nginx.files.joinpath(errand.path.removeprefix("/")).read_bytes() == errand.body


def check_records(site: Site, records: Sequence[Record], way: Way, errands: Sequence[Errand]) -> None:
    """Assert that each errand has its one record, and that it is complete."""
    [token] = site.simulator.tokens
    addresses = {CORE: f"127.0.0.1:{site.simulator.port}", EDX: f"127.0.0.1:{site.nginx.port}"}

    assert len(records) == len(errands)
    for record, errand in zip(records, errands, strict=True):
        check_answered(record)
        [attempt] = record["attempts"]
        request, response = record["request"], record["response"]
        assert (request["method"], request["target"]) == (errand.method, way.target(errand.host, errand.path))
        assert ["Authorization", "Basic ***"] in request["headers"]
        assert LOGIN not in str(record)
        assert request["body_bytes"] == len(errand.body or b"")
        assert (response["status"], response["body_bytes"]) == (errand.status, len(errand.answer))
        assert attempt["url"] == f"https://{errand.host}{errand.path}"
        assert (attempt["address"], attempt["token"]) == (addresses[errand.host], fingerprint(token.value))

"""nginx as the upstream: its ways of closing, compressing, refusing and answering in part."""

from __future__ import annotations

import gzip
import json
import os
import re
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from harness.records import check_answered
from harness.running import until
from harness.site import EDX

if TYPE_CHECKING:
    from pathlib import Path

    from harness.running import RawClient
    from harness.site import Site

TEXT = b"an alert is worth a thousand words\n" * 1000


async def get(client: RawClient, path: str, *fields: str) -> tuple[bytes, bytes]:
    """Ask nginx for something, on a connection that stays; return head and body."""
    lines = [f"GET /edx{path} HTTP/1.1", "Host: proxy", *fields]
    client.send("\r\n".join([*lines, "", ""]).encode())
    return await client.read_answer()


async def put(client: RawClient, path: str, body: bytes) -> bytes:
    """Send nginx something, on a connection that stays; return the answer's head."""
    client.send(b"PUT /edx%s HTTP/1.1\r\nHost: proxy\r\nContent-Length: %d\r\n\r\n" % (path.encode(), len(body)) + body)
    return (await client.read_answer())[0]


def status(head: bytes) -> int:
    """Return the status that an answer's head has."""
    return int(head.split()[1])


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
async def test_tls_is_as_new_as_the_upstream_has(run_site: Any, version: str) -> None:
    """Both versions that are safe are spoken, with the upstream's name, and HTTP/1.1 although HTTP/2 is offered."""
    async with run_site(protocols=version) as site:
        (site.nginx.files / "file.txt").write_bytes(TEXT)
        _, body = await get(await site.proxy.connect(), "/file.txt")
        [seen] = await site.nginx.wait_seen(1)

        assert body == TEXT
        assert (seen["tls"], seen["name"], seen["host"], seen["version"]) == (version, EDX, EDX, "HTTP/1.1")


@pytest.mark.parametrize("wrong", ["name", "authority"])
async def test_a_stranger_gets_no_request(run_site: Any, authority: trustme.CA, tmp_path: Path, wrong: str) -> None:
    """A certificate of another name, or of an authority that nobody trusts, is 502, and no token goes out."""
    stranger = authority.issue_cert("api.example") if wrong == "name" else trustme.CA().issue_cert(EDX)
    certificate = tmp_path / "stranger.pem"
    stranger.private_key_and_cert_chain_pem.write_to_path(str(certificate))
    async with run_site(certificate=certificate) as site:
        head, body = await get(await site.proxy.connect(), "/file.txt")
        [record] = await site.stop_and_read()

        assert (status(head), json.loads(body)["type"].rpartition(":")[2]) == (502, "upstream_tls")
        assert (record["outcome"], record["attempts"][0]["error"]) == ("upstream_failed", "upstream_tls")
        assert record["attempts"][0]["timing_ms"]["send"] is None
        assert site.nginx.access_log.read_bytes() == b""


async def test_connections_are_used_as_often_as_nginx_allows(run_site: Any) -> None:
    """After ``Connection: close`` the next request opens a new one; no request notices."""
    async with run_site(directives="keepalive_requests 3;") as site:
        (site.nginx.files / "file.txt").write_bytes(TEXT)
        client = await site.proxy.connect()
        bodies = [(await get(client, "/file.txt"))[1] for _ in range(10)]
        seen = await site.nginx.wait_seen(10)
        records = await site.stop_and_read()

        assert bodies == [TEXT] * 10
        assert sorted(Counter(line["connection"] for line in seen).values()) == [1, 3, 3, 3]
        assert [len(record["attempts"]) for record in records] == [1] * 10


async def test_put_is_safe_after_nginx_closed_the_idle_connection(run_site: Any) -> None:
    """What must not be sent twice goes out on a connection that is alive."""
    async with run_site(directives="keepalive_timeout 50ms;") as site:
        client = await site.proxy.connect()
        first = await put(client, "/upload/first", TEXT)
        await until(lambda: not any(pool.idle for pool in site.proxy.service.status().pools))
        second = await put(client, "/upload/second", TEXT)
        records = await site.stop_and_read()

        assert (status(first), status(second)) == (201, 201)
        assert [[attempt["reused"] for attempt in record["attempts"]] for record in records] == [[False], [False]]
        assert (site.nginx.files / "upload" / "second").read_bytes() == TEXT


@pytest.mark.parametrize(
    ("request_line", "answered"), [("GET /edx/file.txt", 200), ("PUT /edx/upload/x", 201)], ids=["GET", "PUT"]
)
async def test_close_that_crosses_a_request(run_site: Any, request_line: str, answered: int) -> None:
    """A request comes before the loop has seen that nginx closed: it has not left yet, so it goes elsewhere."""
    async with run_site(directives="keepalive_timeout 50ms;") as site:
        (site.nginx.files / "file.txt").write_bytes(TEXT)
        client = await site.proxy.connect()
        await get(client, "/file.txt")
        put_into_kernel(client, f"{request_line} HTTP/1.1\r\nHost: proxy\r\nContent-Length: 0\r\n\r\n".encode())
        time.sleep(0.2)  # noqa: ASYNC251 (a loop that is busy while nginx closes is what the test is about)
        head, _ = await client.read_answer()
        _, record = await site.stop_and_read()

        assert status(head) == answered
        assert [attempt["reused"] for attempt in record["attempts"]] in [[True, False], [False]]
        assert record["attempts"][-1]["status"] == answered


def put_into_kernel(client: RawClient, data: bytes) -> None:
    """Send without the loop, which may not turn until the test says so."""
    assert os.write(client.writer.get_extra_info("socket").fileno(), data) == len(data)


async def test_compressed_answer_passes_as_it_is_and_is_logged_in_clear(site: Site) -> None:
    """The client asked for gzip and gets nginx's; who reads the log need not unpack it."""
    (site.nginx.files / "compressed").mkdir()
    (site.nginx.files / "compressed" / "file.txt").write_bytes(TEXT)
    request = b"GET /edx/compressed/file.txt HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n"
    head, _, body = (await site.proxy.talk(request)).partition(b"\r\n\r\n")
    [record] = await site.stop_and_read()

    assert b"\r\nContent-Encoding: gzip\r\n" in head
    assert gzip.decompress(body) == TEXT
    check_answered(record)
    assert (record["response"]["body_bytes"], record["response"]["body_decoded"]) == (len(body), "gzip")
    assert record["response"]["body"] == TEXT.decode()


async def test_partial_and_unchanged_answers(site: Site) -> None:
    """Ranges (206) and validators (304) are between the client and nginx, on one connection each side."""
    (site.nginx.files / "file.txt").write_bytes(TEXT)
    client = await site.proxy.connect()
    whole, _ = await get(client, "/file.txt")
    tag = re.findall(rb'\r\nETag: ("[^"]+")', whole)[0].decode()
    part, piece = await get(client, "/file.txt", "Range: bytes=5-14")
    client.send(f"GET /edx/file.txt HTTP/1.1\r\nHost: proxy\r\nIf-None-Match: {tag}\r\n\r\n".encode())
    unchanged = await client.read_head()
    after, body = await get(client, "/file.txt")
    seen = await site.nginx.wait_seen(4)

    assert [status(head) for head in (whole, part, unchanged, after)] == [200, 206, 304, 200]
    assert (piece, body) == (TEXT[5:15], TEXT)
    assert len({line["connection"] for line in seen}) == 1


async def test_redirect_names_nginx_and_is_not_followed(site: Site) -> None:
    """A redirect to the folder bears the name that nginx was called by; the client may go there or not."""
    (site.nginx.files / "folder").mkdir()
    head, _ = await get(await site.proxy.connect(), "/folder")
    seen = await site.nginx.wait_seen(1)

    assert status(head) == 301
    assert re.search(rb"\r\nLocation: https://%s(:\d+)?/folder/\r\n" % EDX.encode(), head)
    assert len(seen) == 1

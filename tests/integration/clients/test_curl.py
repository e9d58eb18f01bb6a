"""What curl makes of the proxy where HTTP is at its most delicate: Expect, early answers, framing, broken answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from harness.clients import curl_arguments
from harness.records import check_answered
from harness.site import BASE_URL, CORE, EDX, HTTP_PROXY, WAYS
from harness.tools import Finished, find_tool, run_tool

from proxy.simulator.faults import Fault
from proxy.simulator.rehearsal import generate_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from harness.site import Site

PARTIAL_FILE = 18
RECEIVE_ERROR = 56
LARGE = bytes(range(256)) * 16_384
"""4 MiB."""


async def curl(site: Site, way: str, host: str, path: str, *arguments: str, stdin: bytes = b"") -> Finished:
    """Run curl for one URL, with arguments of the test's own."""
    chosen = site.way(way)
    return await run_tool(
        find_tool("curl"), "--disable", *curl_arguments(chosen), *arguments, chosen.url(host, path), stdin=stdin
    )


@pytest.fixture
def large_file(tmp_path: Path) -> Path:
    """Return a file that is too large for any buffer on its way."""
    path = tmp_path / "large.bin"
    path.write_bytes(LARGE)
    return path


@pytest.mark.parametrize("way", WAYS)
async def test_expect_is_answered_by_the_upstream(site: Site, large_file: Path, way: str) -> None:
    """A client that insists on 100 Continue gets the upstream's, and then its body through."""
    expect = ("--header", "Expect: 100-continue", "--expect100-timeout", "3600", "--verbose")
    done = await curl(site, way, EDX, "/upload/large", "--upload-file", str(large_file), *expect)
    [record] = await site.stop_and_read()

    assert done.code == 0
    assert "< HTTP/1.1 100 Continue" in done.errors
    assert (site.nginx.files / "upload" / "large").read_bytes() == LARGE
    check_answered(record)
    assert (record["request"]["body_bytes"], record["response"]["status"]) == (len(LARGE), 201)


async def test_upload_that_expects_and_is_refused_is_not_sent(site: Site, large_file: Path) -> None:
    """RFC 9110, section 10.1.1: the final answer comes instead of 100 Continue, and no body follows."""
    expect = ("--header", "Expect: 100-continue", "--expect100-timeout", "3600")
    sizes = ("--write-out", "%{stderr}%{http_code} %{size_upload}")
    done = await curl(site, BASE_URL, EDX, "/small/x", "--upload-file", str(large_file), *expect, *sizes)
    [record] = await site.stop_and_read()

    assert (done.code, done.errors) == (0, "413 0")
    assert done.output == b"too large"
    check_answered(record, has_whole_request=False)
    assert (record["request"]["body_bytes"], record["response"]["status"]) == (0, 413)


async def test_upload_that_is_refused_half_way_gets_its_answer(site: Site, large_file: Path) -> None:
    """An answer that comes before the body is through reaches the client, and no reset overtakes it."""
    status = ("--write-out", "%{stderr}%{http_code}")
    done = await curl(site, BASE_URL, EDX, "/small/x", "--upload-file", str(large_file), "--header", "Expect:", *status)
    [record] = await site.stop_and_read()

    assert done.errors.endswith("413")
    assert done.output == b"too large"
    assert (record["outcome"], record["response"]["status"]) == ("ok", 413)


@pytest.mark.parametrize("way", WAYS)
async def test_upload_from_a_pipe_is_chunked(site: Site, way: str) -> None:
    """What has no length beforehand arrives whole."""
    done = await curl(site, way, EDX, "/upload/piped", "--upload-file", "-", stdin=LARGE)

    assert done.code == 0
    assert (site.nginx.files / "upload" / "piped").read_bytes() == LARGE


async def test_chunks_are_well_formed(site: Site) -> None:
    """Every chunk that the client gets says its size rightly, and the last one is there."""
    done = await curl(site, BASE_URL, CORE, "/v1/bytes?size=200000&chunked=1", "--raw")

    assert undo_chunks(done.check().output) == b"".join(generate_bytes(200_000))


def undo_chunks(data: bytes) -> bytes:
    """Return what chunks hold (RFC 9112, section 7.1); there must be nothing behind the last one."""
    content = b""
    while True:
        line, _, data = data.partition(b"\r\n")
        size = int(line, 16)
        content += data[:size]
        assert data[size : size + 2] == b"\r\n"
        data = data[size + 2 :]
        if size == 0:
            assert data == b""
            return content


async def test_http_1_0_gets_no_chunks(site: Site) -> None:
    """RFC 9112, section 6.1: an answer without a length ends by the close."""
    done = await curl(site, HTTP_PROXY, CORE, "/v1/bytes?size=200000&chunked=1", "--http1.0", "--include")
    head, _, body = done.check().output.partition(b"\r\n\r\n")

    assert b"transfer-encoding" not in head.lower()
    assert b"\r\nConnection: close" in head
    assert body == b"".join(generate_bytes(200_000))


@pytest.mark.parametrize("way", WAYS)
async def test_one_connection_for_two_urls(site: Site, way: str) -> None:
    """As curl counts connections, it has to open one, and then none."""
    path = "/v1/bytes?size=5000&chunked=1"
    connects = ("--write-out", "%{stderr}%{num_connects}\n")
    done = await curl(site, way, CORE, path, *connects, site.way(way).url(CORE, path))
    records = await site.stop_and_read()

    assert done.errors.split() == ["1", "0"]
    assert done.output == b"".join(generate_bytes(5000)) * 2
    assert [record["attempts"][0]["reused"] for record in records] == [False, True]


@pytest.mark.parametrize("version", ["--http1.0", "--http1.1"])
@pytest.mark.parametrize("kind", ["close_body", "reset_body"])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
async def test_broken_answer_looks_broken(site: Site, kind: str, version: str, *, chunked: bool) -> None:
    """However the upstream breaks its answer off, the client does not take what it has for the whole."""
    site.simulator.faults.add(Fault(where="api", kind=kind, chunked=chunked, size_bytes=50_000))
    done = await curl(site, BASE_URL, CORE, "/v1/bytes", version)
    [record] = await site.stop_and_read()

    assert done.code in {PARTIAL_FILE, RECEIVE_ERROR}
    assert (record["outcome"], record["error"]) == ("upstream_failed", "upstream_closed")
    assert record["attempts"][-1]["error"] == "upstream_closed"
    assert record["response"]["status"] == 200


async def test_tunnel_is_refused(site: Site) -> None:
    """https:// through http_proxy asks for a tunnel, into which no token could be put: 405, and nothing is dialled."""
    status = ("--write-out", "%{stderr}\n%{http_connect}")
    done = await run_tool(
        find_tool("curl"), "--disable", *curl_arguments(site.way(HTTP_PROXY)), *status, f"https://{CORE}/v1/echo"
    )
    [record] = await site.stop_and_read()

    assert done.code == RECEIVE_ERROR
    assert done.errors.endswith("\n405")
    assert (record["outcome"], record["error"], record["attempts"]) == ("refused", "method_not_allowed", [])

"""The endpoints that RapidSOS has not."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import io

import pytest
from structlog.testing import capture_logs

from proxy.simulator.rehearsal import BLOCK, GZIPPED, generate_bytes


@pytest.fixture
def request_raw(simulator, session, token):
    """Return a function that makes a call and gives the answer and its bytes."""

    async def request_raw(method, path, **options):
        headers = {"Authorization": f"Bearer {token}"}
        async with session.request(
            method, simulator.url + path, headers=headers, allow_redirects=False, **options
        ) as response:
            return response, await response.read()

    return request_raw


async def test_echo_tells_what_arrived(call):
    """The target and the fields come back as received."""
    status, body = await call("PUT", "/v1/echo/a%2Fb?c=+", headers={"X-oDd": "1"}, data=b"text")

    assert (status, body["method"], body["target"], body["version"]) == (200, "PUT", "/v1/echo/a%2Fb?c=+", "1.1")
    assert ["X-oDd", "1"] in body["headers"]
    assert (body["body"], body["body_encoding"], body["body_bytes"]) == ("text", "utf-8", 4)


async def test_echo_of_binary(call):
    """A body that is no text comes back as base64, with its digest."""
    _, body = await call("POST", "/v1/echo", data=b"\xff\x00")

    assert (body["body"], body["body_encoding"]) == ("/wA=", "base64")
    assert body["body_sha256"] == hashlib.sha256(b"\xff\x00").hexdigest()


@pytest.mark.parametrize("code", [200, 204, 304, 403, 503])
async def test_status(request_raw, code):
    """The status asked for; 204 and 304 without a body."""
    response, body = await request_raw("GET", f"/v1/status/{code}")

    assert response.status == code
    assert (body == b"") == (code in {204, 304})


@pytest.mark.parametrize(
    "path", ["/v1/status/199", "/v1/status/600", "/v1/redirect?status=200", "/v1/bytes?size=-1", "/v1/bytes?size=x"]
)
async def test_out_of_range(call, path):
    """A status or a size that there is not is 400 with a detail."""
    status, body = await call("GET", path)

    assert status == 400
    assert body.keys() == {"detail"}


async def test_early_answer_leaves_the_body_unread(simulator, token):
    """The answer comes while the client has sent only part of its body, and closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
    head = f"POST /v1/early/413 HTTP/1.1\r\nHost: s\r\nAuthorization: Bearer {token}\r\nContent-Length: 1000\r\n\r\n"
    writer.write(head.encode() + b"part")
    answer = await reader.readuntil(b"\r\n\r\n")
    writer.close()

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"Connection: close" in answer


@pytest.mark.parametrize("size", [0, 1, 65536, 200_000])
@pytest.mark.parametrize("chunked", ["", "&chunked=1"])
async def test_bytes(request_raw, size, chunked):
    """As many bytes as asked for, the same each time, by length or chunked."""
    response, body = await request_raw("GET", f"/v1/bytes?size={size}{chunked}")

    assert body == b"".join(generate_bytes(size))
    assert body == (BLOCK * 4)[:size]
    assert response.headers.get("Content-Length") == (None if chunked else str(size))


async def test_head_of_bytes(request_raw):
    """HEAD tells the length and sends none of it."""
    response, body = await request_raw("HEAD", "/v1/bytes?size=9")

    assert (response.headers["Content-Length"], body) == ("9", b"")


async def test_client_that_leaves_in_mid_download(simulator, token, caplog):
    """A download whose client leaves ends there; the server does not report it as its own error."""
    reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
    target = f"/v1/bytes?size={10**10}"
    writer.write(f"GET {target} HTTP/1.1\r\nHost: s\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
    await reader.readexactly(100_000)
    writer.transport.abort()
    with capture_logs() as events:
        while not events:  # noqa: ASYNC110 (the log tells nobody that it has grown)
            await asyncio.sleep(0)

    assert events[0]["path"] == "/v1/bytes"
    assert caplog.text == ""


async def test_sink_takes_any_size(start, session):
    """A body far beyond what is kept is counted and hashed in passing."""
    simulator = await start(keep_bytes=1000)
    fields = {"grant_type": "client_credentials", "client_id": "simulator-client", "client_secret": "simulator-secret"}
    async with session.post(f"{simulator.url}/oauth/token", data=fields) as response:
        headers = {"Authorization": f"Bearer {(await response.json())['access_token']}"}
    body = b"".join(generate_bytes(3_000_000))
    async with session.post(f"{simulator.url}/v1/sink", data=io.BytesIO(body), headers=headers) as response:
        answer = await response.json()

    assert answer == {"body_bytes": len(body), "body_sha256": hashlib.sha256(body).hexdigest()}
    assert (simulator.requests.total, simulator.requests[0].body) == (1, b"")


async def test_redirect(request_raw, simulator):
    """A redirect to where it is told, by default to the simulator itself."""
    own, _ = await request_raw("GET", "/v1/redirect")
    other, _ = await request_raw("POST", "/v1/redirect?status=307&to=https://other.invalid/x")

    assert (own.status, own.headers["Location"]) == (302, f"{simulator.url}/v1/echo")
    assert (other.status, other.headers["Location"]) == (307, "https://other.invalid/x")


async def test_gzip(request_raw):
    """A compressed answer to a client that did not ask for it."""
    response, body = await request_raw("GET", "/v1/gzip")

    assert response.headers["Content-Encoding"] == "gzip"
    assert body == GZIPPED
    assert gzip.decompress(body).startswith(b'{"packed":')


async def test_repeated_fields(request_raw):
    """Repeated fields come apart, in order, with their case."""
    response, _ = await request_raw("GET", "/v1/repeated")
    names = [name.decode() for name, _ in response.raw_headers]

    assert response.headers.getall("Set-Cookie") == ["a=1", "b=2"]
    assert names.count("X-oDd-CASE") == 2

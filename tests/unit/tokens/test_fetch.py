"""Token calls against real servers on 127.0.0.1: what is sent, what is read, and every way to fail."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
import ssl
import tracemalloc
import zlib

import pytest
import trustme
from aiohttp import web

from proxy.config.models import Outbound
from proxy.config.secret import Secret
from proxy.errors import FetchError
from proxy.tls import build_tls_context
from proxy.tokens.fetch import LONGEST_ANSWER_BYTES, TokenFetcher
from proxy.tokens.grants import build_token_request
from proxy.tokens.token import NETWORK, REFUSED, STATUS, TIMEOUT, UNREADABLE

ANSWER = b'{"access_token":"abc","token_type":"Bearer","expires_in":3599}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
LOOPBACK = "127.0.0.1"


@pytest.fixture(scope="module")
def authority():
    """Return a certificate authority of this module's own."""
    return trustme.CA()


@pytest.fixture
async def serve():
    """Return a function that serves raw bytes, or runs a handler, and returns the port."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(answer, **options):
            async def handle(reader, writer):
                try:
                    if callable(answer):
                        await answer(reader, writer)
                    else:
                        await read_request(reader)
                        writer.write(answer)
                        await writer.drain()
                except ConnectionError:
                    pass
                finally:
                    writer.close()

            server = await asyncio.start_server(handle, LOOPBACK, 0, **options)
            stack.callback(server.close)
            return server.sockets[0].getsockname()[1]

        yield start


@pytest.fixture
async def serve_app():
    """Return a function that serves a handler through aiohttp, and returns the port."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(handler, tls=None):
            app = web.Application()
            app.router.add_route("*", "/{path:.*}", handler)
            runner = web.AppRunner(app)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, LOOPBACK, 0, ssl_context=tls).start()
            return runner.addresses[0][1]

        yield start


@pytest.fixture
async def make_fetcher():
    """Return a function that makes a fetcher; all are closed after the test."""
    async with contextlib.AsyncExitStack() as stack:

        def make(timeout_s=5.0, **outbound):
            fetcher = TokenFetcher(Outbound(**outbound), timeout_s)
            stack.push_async_callback(fetcher.close)
            return fetcher

        yield make


@pytest.fixture
def build_request(make_credential):
    """Return a function that builds a token request to a port."""

    def build(port, *, scheme="http", host=LOOPBACK, **changes):
        return build_token_request(make_credential(token_url=f"{scheme}://{host}:{port}/oauth/token", **changes))

    return build


@pytest.fixture
def fail(make_fetcher, build_request):
    """Return a function that makes a call which must fail, and returns the error."""

    async def fetch(port, *, timeout_s=5.0, outbound=None, **changes):
        with pytest.raises(FetchError) as caught:
            await make_fetcher(timeout_s, **(outbound or {}))(build_request(port, **changes))
        return caught.value

    return fetch


async def read_request(reader):
    """Read one request with a Content-Length, and return its head and body."""
    head = await reader.readuntil(b"\r\n\r\n")
    fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:] if line)
    return head.decode(), await reader.readexactly(int(fields.get("Content-Length", 0)))


def build_raw(body, *fields):
    """Build an answer of 200 with ``body``."""
    extra = "".join(f"{field}\r\n" for field in fields).encode()
    return HEAD + extra + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


def server_tls(authority, name=LOOPBACK, version=None):
    """Build a server's TLS context with a certificate for ``name``, for one version of TLS or for all."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    if version is not None:
        context.minimum_version = version
        context.maximum_version = version
        context.set_ciphers("DEFAULT@SECLEVEL=0")  # OpenSSL allows TLS 1.1 nowhere else
    return context


@pytest.fixture
def ca_file(authority, tmp_path):
    """Return a file with the authority's certificate."""
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


async def test_request_as_sent(serve_app, make_fetcher, build_request):
    """The request is one POST with the form, an honest Host, no cookie, and no wish for a compressed answer."""
    seen = []

    async def handle(request):
        seen.append((request.method, request.path, dict(request.headers), await request.read()))
        return web.Response(body=ANSWER, headers={"Set-Cookie": "a=b", "Date": "Thu, 19 Nov 2020 17:05:40 GMT"})

    port = await serve_app(handle)
    fetch = make_fetcher()
    for _ in range(2):
        parsed = await fetch(build_request(port, host="localhost"))  # an address would get no cookie back anyway

    method, path, headers, body = seen[1]
    assert (method, path) == ("POST", "/oauth/token")
    assert body == b"grant_type=client_credentials&client_id=an-id&client_secret=a-secret"
    assert headers == {
        "Host": f"localhost:{port}",
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "User-Agent": "rapidsos-auth-proxy",
        "Content-Type": "application/x-www-form-urlencoded",
        "Content-Length": str(len(body)),
        "Connection": "close",
    }
    assert (parsed.access_token, parsed.life_s) == ("abc", 3599.0)
    assert parsed.skew_s < 0


async def test_client_basic_as_sent(serve, make_fetcher, build_request):
    """With Basic client authentication the server gets it once, in the header."""
    seen = []

    async def handle(reader, writer):
        seen.append(await read_request(reader))
        writer.write(build_raw(ANSWER))

    port = await serve(handle)
    await make_fetcher()(build_request(port, client_auth="basic"))

    assert "Authorization: Basic YW4taWQ6YS1zZWNyZXQ=\r\n" in seen[0][0]
    assert seen[0][1] == b"grant_type=client_credentials"


@pytest.mark.parametrize(
    ("coding", "encode"),
    [("gzip", gzip.compress), ("GZIP", gzip.compress), ("deflate", zlib.compress), ("identity", bytes)],
)
async def test_compressed_answer(serve, make_fetcher, build_request, coding, encode):
    """An answer that is compressed though nobody asked for it is read."""
    port = await serve(build_raw(encode(ANSWER), f"Content-Encoding: {coding}"))

    assert (await make_fetcher()(build_request(port))).access_token == "abc"


@pytest.mark.parametrize(
    ("body", "coding"), [(ANSWER, "gzip"), (gzip.compress(ANSWER)[:-9], "gzip"), (ANSWER, "br"), (b"", "gzip")]
)
async def test_broken_compression(serve, fail, body, coding):
    """What cannot be decompressed is an unreadable answer."""
    port = await serve(build_raw(body, f"Content-Encoding: {coding}"))

    assert (await fail(port)).kind == UNREADABLE


async def test_gzip_bomb(serve, fail):
    """An answer that would unpack to 64 MiB is unpacked to 64 KiB and refused."""
    port = await serve(build_raw(gzip.compress(bytes(64 * 1024 * 1024)), "Content-Encoding: gzip"))
    tracemalloc.start()
    error = await fail(port)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 4 * 1024 * 1024
    assert (error.kind, error.status) == (UNREADABLE, 200)
    assert f"longer than {LONGEST_ANSWER_BYTES} bytes" in error.detail


async def test_answer_of_six_megabytes(serve, fail):
    """Of an answer of 6 MB no more than the limit is read."""
    port = await serve(build_raw(b" " * 6_000_000 + ANSWER))

    assert "longer than" in (await fail(port)).detail


async def test_endless_answer(serve, fail):
    """An answer without an end is cut at the limit."""

    async def handle(reader, writer):
        await read_request(reader)
        writer.write(HEAD + b"\r\n")
        while True:
            writer.write(bytes(16_384))
            await writer.drain()

    assert "longer than" in (await fail(await serve(handle))).detail


async def test_answer_at_the_limit(serve, make_fetcher, build_request):
    """An answer of just the limit is read."""
    port = await serve(build_raw(ANSWER.rjust(LONGEST_ANSWER_BYTES)))

    assert (await make_fetcher()(build_request(port))).access_token == "abc"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_is_not_followed(serve_app, fail, status):
    """A redirect is a failure: neither secret nor token goes to another place."""
    seen = []

    async def handle(request):
        seen.append(request.path)
        return web.Response(status=status, headers={"Location": "/elsewhere"})

    error = await fail(await serve_app(handle))

    assert (error.kind, error.status, seen) == (STATUS, status, ["/oauth/token"])


async def test_refusal(serve_app, fail):
    """A refusal comes through as one."""

    async def handle(_):
        return web.json_response({"detail": "Invalid user credentials."}, status=401)

    error = await fail(await serve_app(handle))

    assert (error.kind, error.status, error.refused) == (REFUSED, 401, True)


async def test_retry_after(serve_app, fail):
    """Retry-After comes through."""

    async def handle(_):
        return web.json_response({"detail": "Too many requests."}, status=429, headers={"Retry-After": "7"})

    error = await fail(await serve_app(handle))

    assert (error.kind, error.status, error.retry_after_s) == (STATUS, 429, 7.0)


async def test_server_that_hangs(serve, fail):
    """A server that never answers is given up after the time limit."""

    async def handle(reader, _):
        await reader.read()

    error = await fail(await serve(handle), timeout_s=0.05)

    assert (error.kind, error.detail) == (TIMEOUT, "the authorization server did not answer in time")


async def test_server_that_stalls_in_its_answer(serve, fail):
    """The time limit holds for the whole answer."""

    async def handle(reader, writer):
        writer.write(build_raw(ANSWER)[:-5])
        await reader.read()

    assert (await fail(await serve(handle), timeout_s=0.05)).kind == TIMEOUT


async def test_connection_refused(fail):
    """A port where nobody listens is told as such."""
    with socket.socket() as free:
        free.bind((LOOPBACK, 0))
        error = await fail(free.getsockname()[1])

    assert error.kind == NETWORK
    assert error.detail == "the authorization server could not be reached: Connection refused"


async def test_unknown_name(fail):
    """A name that does not resolve is told as such."""
    error = await fail(443, host="token.invalid")

    assert (error.kind, error.detail) == (NETWORK, "the authorization server's name could not be resolved")


@pytest.mark.parametrize("sent", [0, 10, 60, 120])
async def test_connection_cut(serve, fail, sent):
    """A connection that is closed before, in or after the head, but before the end, is a failure."""
    port = await serve(build_raw(ANSWER)[:sent])

    assert (await fail(port)).kind == NETWORK


async def test_connection_reset(serve, fail):
    """A reset is a failure like a cut."""

    async def handle(reader, writer):
        await read_request(reader)
        writer.transport.abort()

    error = await fail(await serve(handle))

    assert (error.kind, error.detail) == (NETWORK, "the connection to the authorization server was cut")


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH_9.6\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\x00" * 100])
async def test_answer_that_is_no_http(serve, fail, answer):
    """What does not speak HTTP is told as such."""
    error = await fail(await serve(answer))

    assert (error.kind, error.detail) == (UNREADABLE, "the authorization server did not answer in HTTP")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_tls(serve, make_fetcher, build_request, authority, ca_file, version):
    """A server whose authority is in the extra file is trusted, with TLS 1.2 and 1.3."""
    port = await serve(build_raw(ANSWER), ssl=server_tls(authority, version=version))

    parsed = await make_fetcher(ca_file=ca_file)(build_request(port, scheme="https"))

    assert parsed.access_token == "abc"


async def test_tls_of_an_unknown_authority(serve, fail, authority):
    """A server whose authority is unknown is not trusted, and never sees the request."""
    seen = []

    async def handle(reader, _):
        seen.append(await reader.read())

    port = await serve(handle, ssl=server_tls(authority))
    error = await fail(port, scheme="https")

    assert error.kind == NETWORK
    assert error.detail.startswith("the authorization server's certificate is not trusted: ")
    assert seen in ([], [b""])


async def test_tls_of_another_name(serve, fail, authority, ca_file):
    """A certificate for another name is not trusted, and the error says so."""
    port = await serve(build_raw(ANSWER), ssl=server_tls(authority, "other.example"))

    error = await fail(port, scheme="https", outbound={"ca_file": ca_file})

    assert "IP address mismatch" in error.detail


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
async def test_tls_1_1_is_refused(serve, fail, authority, ca_file):
    """A server that knows nothing above TLS 1.1 gets nothing."""
    port = await serve(build_raw(ANSWER), ssl=server_tls(authority, version=ssl.TLSVersion.TLSv1_1))

    error = await fail(port, scheme="https", outbound={"ca_file": ca_file})

    assert error.kind == NETWORK
    assert error.detail.endswith("closed during the TLS handshake; it may speak nothing above TLS 1.1")


async def test_tls_to_a_plain_server(serve, fail):
    """TLS to a port that speaks plain HTTP fails in the handshake, and the error says so."""

    async def handle(reader, writer):
        await reader.read(1)
        writer.write(build_raw(ANSWER))
        await writer.drain()

    port = await serve(handle)
    error = await fail(port, scheme="https")

    assert error.kind == NETWORK
    assert error.detail.startswith(
        "the TLS handshake with the authorization server failed: "
        f"127.0.0.1:{port} answered something that is not TLS; check the port"
    )


def test_tls_context_verifies():
    """The context verifies certificate and name, and speaks TLS 1.2 at least."""
    context = build_tls_context(None)

    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def tunnel(seen, status=b"200 Connection established"):
    """Return a handler that is a corporate proxy: it takes CONNECT and joins the two sides."""

    async def handle(reader, writer):
        head, _ = await read_request(reader)
        seen.append(head)
        writer.write(b"HTTP/1.1 " + status + b"\r\n\r\n")
        if not status.startswith(b"200"):
            return
        port = head.split(" ")[1].rsplit(":", 1)[1]
        far_reader, far_writer = await asyncio.open_connection(LOOPBACK, int(port))
        async with asyncio.TaskGroup() as group:
            group.create_task(pump(reader, far_writer))
            group.create_task(pump(far_reader, writer))

    return handle


async def pump(reader, writer):
    """Pass on everything, and the end."""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def test_corporate_proxy(serve, make_fetcher, build_request, authority, ca_file):
    """Through a corporate proxy goes a tunnel with its login; the server's certificate is verified end to end."""
    seen = []
    port = await serve(build_raw(ANSWER), ssl=server_tls(authority, "token.example"))
    proxy = await serve(tunnel(seen))
    login = {"username": Secret("zoë", "test"), "password": Secret("p", "test")}

    fetch = make_fetcher(proxy=f"http://127.0.0.1:{proxy}", ca_file=ca_file, **login)
    parsed = await fetch(build_request(port, scheme="https", host="token.example"))

    assert parsed.access_token == "abc"
    assert seen[0].startswith(f"CONNECT token.example:{port} HTTP/1.1\r\n")
    assert "Proxy-Authorization: Basic em/Dqzpw\r\n" in seen[0]
    assert "a-secret" not in seen[0]


async def test_corporate_proxy_to_a_plain_server(serve, make_fetcher, build_request):
    """A plain token endpoint is asked for by its absolute URL, and the login goes along."""
    seen = []

    async def handle(reader, writer):
        seen.append((await read_request(reader))[0])
        writer.write(build_raw(ANSWER))

    proxy = await serve(handle)
    login = {"username": Secret("u", "test"), "password": Secret("p", "test")}
    await make_fetcher(proxy=f"http://127.0.0.1:{proxy}", **login)(build_request(80, host="token.example"))

    assert seen[0].startswith("POST http://token.example/oauth/token HTTP/1.1\r\n")
    assert "Proxy-Authorization: Basic dTpw\r\n" in seen[0]


async def test_corporate_proxy_that_refuses(serve, fail):
    """A corporate proxy that wants a login is told from an authorization server that refuses."""
    proxy = await serve(tunnel([], b"407 Proxy Authentication Required"))

    outbound = {"proxy": f"http://127.0.0.1:{proxy}"}
    error = await fail(443, scheme="https", host="token.example", outbound=outbound)

    assert (error.kind, error.refused) == (NETWORK, False)
    assert error.detail == "the corporate proxy refused the connection: 407"


async def test_corporate_proxy_that_is_down(fail):
    """A corporate proxy that cannot be reached is told as such."""
    with socket.socket() as free:
        free.bind((LOOPBACK, 0))
        outbound = {"proxy": f"http://127.0.0.1:{free.getsockname()[1]}"}
        error = await fail(443, scheme="https", host="token.example", outbound=outbound)

    assert error.detail == "the corporate proxy could not be reached: Connection refused"


async def test_corporate_proxy_is_not_asked_for_this_machine(serve, make_fetcher, build_request):
    """A token endpoint on this machine, the simulator's, is reached without it, as upstreams are."""
    fetch = make_fetcher(proxy="http://127.0.0.1:9")
    parsed = await fetch(build_request(await serve(build_raw(ANSWER))))

    assert parsed.access_token == "abc"


async def test_environment_is_not_trusted(serve, make_fetcher, build_request, monkeypatch):
    """A proxy in the environment is ignored: the way out is the configuration's."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")

    parsed = await make_fetcher()(build_request(await serve(build_raw(ANSWER))))

    assert parsed.access_token == "abc"


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 abc\r\n\r\n", build_raw(b"a-secret"), build_raw(b"{")])
@pytest.mark.parametrize("client_auth", ["body", "basic"])
async def test_errors_hold_no_secret(serve, fail, answer, client_auth):
    """No error, nor what it carries along, holds the request's secret in any form."""
    error = await fail(await serve(answer), client_auth=client_auth, client_secret=Secret("a-secret", "test"))

    told = repr(error) + str(error) + repr(vars(error)) + repr(error.__cause__)
    assert error.__suppress_context__ or error.__context__ is None
    assert "a-secret" not in told
    assert "YW4taWQ6YS1zZWNyZXQ" not in told


async def test_cancelled_call_closes_its_connection(serve, make_fetcher, build_request, begin):
    """A call that is cancelled, as when the proxy stops, leaves no connection behind."""
    arrived, closed = asyncio.Event(), asyncio.Event()

    async def handle(reader, _):
        await read_request(reader)
        arrived.set()
        await reader.read()
        closed.set()

    task = begin(make_fetcher()(build_request(await serve(handle))))
    await arrived.wait()
    task.cancel()

    await closed.wait()

    assert task.cancelled()

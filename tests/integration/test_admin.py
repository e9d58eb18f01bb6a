"""The admin listener over real sockets: who is answered, and what."""

from __future__ import annotations

import asyncio
import contextlib
import json
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import encode_basic_auth, web
from harness.running import PATIENCE_S, build_document, running_proxy, until

from proxy.admin.app import build_admin, build_health
from proxy.admin.crowd import MOST_CONNECTIONS
from proxy.admin.door import Door
from proxy.admin.login import FREE_FAILURES
from proxy.config.models import Admin
from proxy.config.secret import Secret
from proxy.config.units import parse_socket_address

OPEN = ("/live", "/ready", "/metrics")
UPSTREAMS = [{"upstream": "https://up.example", "breaker": "closed", "failures": 0, "clients_refused": 0}]
BEHIND_LOGIN = ("/", "/api/tokens", "/api/unknown", "/favicon.ico")
LIVE = b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n"
PASSWORD = "canary-of-the-admin-listener"
LOGIN = encode_basic_auth("admin", PASSWORD)
WRONG = encode_basic_auth("admin", "wrong")


class Served:
    """The admin listener on a port of its own, and a client for it."""

    def __init__(self, door, session):
        """Keep where it listens."""
        self.port = int(door.url.rpartition(":")[2])
        self.crowd = door._crowd
        self.session = session

    async def get(self, path, *, method="GET", auth=None, **headers):
        """Send a request; header names have ``_`` for ``-``.  Returns the answer, its body read."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if auth is not None:
            named["Authorization"] = auth
        url = f"http://127.0.0.1:{self.port}{path}"
        async with self.session.request(method, url, headers=named) as answer:
            await answer.read()
            return answer

    async def send(self, head):
        """Send raw bytes and return all bytes of the answer until the listener closes, or resets."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(head)
        answer = b""
        with contextlib.suppress(ConnectionError):
            answer = await reader.read()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        return answer


@pytest.fixture
async def admin(healthy_proxy, clock):
    """Serve the admin listener for ``healthy_proxy``; it answers to ``cad-desk`` and ``admin.cad.example`` too."""
    settings = Admin(names=("admin.cad.example",))
    app = build_admin(healthy_proxy, settings, Secret(PASSWORD, "test"), machine="cad-desk.county.example", clock=clock)
    async with serve(app) as served:
        yield served


@pytest.fixture
async def health(healthy_proxy):
    """Serve what ``admin.health_bind`` does."""
    app = build_health(healthy_proxy, Admin(names=("probe.cad.example",)), machine="cad-desk.county.example")
    async with serve(app) as served:
        yield served


@asynccontextmanager
async def serve(app, **limits):
    """Serve an application for the length of a block."""
    door = Door(app, **limits)
    await door.open(parse_socket_address("127.0.0.1:0"))
    try:
        async with aiohttp.ClientSession() as session:
            yield Served(door, session)
    finally:
        await door.close()


def body_of(answer):
    """Return the JSON document of an answer whose body has been read."""
    return json.loads(answer._body)


async def test_live_while_draining_without_a_token(admin, healthy_proxy):
    """A proxy that drains and has no token is alive: a restart would not help."""
    healthy_proxy.change(draining=True)
    healthy_proxy.change_credential(usable=False)

    answer = await admin.get("/live")

    assert answer.status == 200
    assert body_of(answer) == {"live": True}


async def test_ready_tells_of_each_credential(admin):
    """A ready proxy answers 200 with what anyone may know of its credentials."""
    answer = await admin.get("/ready")

    assert answer.status == 200
    assert body_of(answer) == {
        "ready": True,
        "reasons": [],
        "listening": True,
        "draining": False,
        "configuration_current": True,
        "configuration": {"problem": None, "needs_restart": []},
        "credentials": [{"name": "core", "usable": True, "expires_in_s": 3000.0, "last_error": None}],
        "upstreams": UPSTREAMS,
    }


async def test_unready_says_why(admin, healthy_proxy):
    """A proxy without a usable token answers 503 and passes on what the token source found."""
    healthy_proxy.change_credential(usable=False, expires_in_s=None, last_error="connection refused")

    answer = await admin.get("/ready")

    assert answer.status == 503
    assert body_of(answer)["reasons"] == ["no credential is usable"]
    assert body_of(answer)["credentials"][0]["last_error"] == "connection refused"


async def test_metrics_in_the_text_format(admin):
    """The proxy's families and the process's own are in one answer that a Prometheus server can read."""
    answer = await admin.get("/metrics")

    text = answer._body.decode()
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "\nrapidsos_proxy_exchanges_in_flight 3.0\n" in text
    assert "\nprocess_resident_memory_bytes " in text


@pytest.mark.parametrize("path", OPEN)
async def test_open_paths_need_no_login_and_answer_head(admin, path):
    """Probes and metrics servers have no password; HEAD answers like GET, without a body."""
    answer = await admin.get(path, method="HEAD")

    assert answer.status == 200
    assert answer._body == b""


@pytest.mark.parametrize("path", BEHIND_LOGIN)
async def test_all_else_needs_the_login(admin, path):
    """Every other path, even one that is not there, asks for the login first."""
    answer = await admin.get(path)

    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="rapidsos-proxy", charset="UTF-8"'
    assert body_of(answer)["status"] == 401


async def test_tokens_show_fingerprints(admin):
    """The administrator sees how each credential stands, by its token's fingerprint."""
    answer = await admin.get("/api/tokens", auth=LOGIN)

    assert answer.status == 200
    assert (body_of(answer)["store"]["kind"], body_of(answer)["store"]["usable"]) == ("memory", True)
    (core,) = body_of(answer)["tokens"]
    assert (core["name"], core["fingerprint"], core["next_refresh_in_s"]) == ("core", "0123456789ab", 1200.0)


async def test_index_names_what_there_is(admin):
    """The root lists the paths and the version; each path listed is there."""
    answer = await admin.get("/", auth=LOGIN)

    assert body_of(answer)["version"] == "1.2.3"
    assert [(await admin.get(path, auth=LOGIN)).status for path in body_of(answer)["paths"]] == [200] * 4


async def test_wrong_passwords_lock_nobody_out(admin):
    """After a burst of guesses the right password still passes, within a moment."""
    for _ in range(FREE_FAILURES + 1):
        assert (await admin.get("/", auth=WRONG)).status == 401

    assert (await admin.get("/", auth=LOGIN)).status == 200


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "10.1.2.3:9090", "[::1]:9090", "localhost:9090", "cad-desk.county.example", "ADMIN.cad.example:9090"],
)
async def test_own_hosts_are_answered(admin, host):
    """Addresses, localhost, the machine's name and ``admin.names`` are ours, with or without a port."""
    assert (await admin.get("/live", Host=host)).status == 200


@pytest.mark.parametrize("host", ["other-desk", "cad-desk", "printer.local", "x.localhost", "admin.internal:9090"])
async def test_names_that_a_neighbour_can_give_are_refused(admin, host):
    """Whoever answers mDNS or LLMNR in the building could point such a name at this page, and at its login."""
    answer = await admin.get("/api/tokens", auth=LOGIN, Host=host)

    assert answer.status == 421
    assert "admin.names" in body_of(answer)["detail"]


@pytest.mark.parametrize("path", [*OPEN, *BEHIND_LOGIN])
async def test_rebound_host_names_are_refused(admin, path):
    """A foreign name in Host is a rebound DNS name; not even the right login helps, and the answer says what would."""
    answer = await admin.get(path, auth=LOGIN, Host="rebound.attacker.example")

    assert answer.status == 421
    assert "admin.names" in body_of(answer)["detail"]


@pytest.mark.parametrize("path", [*OPEN, *BEHIND_LOGIN])
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://attacker.example"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Referer": "http://attacker.example/page"},
        {"Referer": "http://127.0.0.1.attacker.example/"},
        {"Referer": "about:blank"},
    ],
    ids=["origin", "null", "fetch", "referer", "alike", "blank"],
)
async def test_pages_of_other_sites_are_refused(admin, path, headers):
    """Another site's page is refused on every path, before the login is looked at."""
    assert (await admin.get(path, auth=LOGIN, **headers)).status == 403


async def test_own_page_is_no_stranger(admin):
    """A request from this listener's own origin passes."""
    origin = f"http://127.0.0.1:{admin.port}"

    headers = {"Origin": origin, "Referer": f"{origin}/x?y", "Sec_Fetch_Site": "same-origin"}

    assert (await admin.get("/live", **headers)).status == 200


async def test_http_1_0_probe_without_host(admin):
    """A load balancer's HTTP/1.0 probe names no host, and no browser sends such a request."""
    assert (await admin.send(b"GET /live HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.0 200 ")


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /live HTTP/1.1\r\nConnection: close\r\n\r\n", 400),
        (b"GET /live HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n", 400),
        (b"GET http://attacker.example/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 403),
        (b"GET /live HTTP/1.1\r\nHost: rebound.example.\r\nConnection: close\r\n\r\n", 421),
        (b"GET /live HTTP/1.1\r\nHost: localhost@rebound.example\r\nConnection: close\r\n\r\n", 400),
    ],
)
async def test_odd_hosts_are_refused(admin, head, status):
    """No Host, two of them, a target that overrides it, or one that two parsers read differently do not pass."""
    answer = await admin.send(head)

    assert answer.split(b" ", 2)[1] == str(status).encode()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_other_methods_are_refused(admin, method):
    """Nothing here is changed over HTTP: every other method is 405 with what would be allowed."""
    answer = await admin.get("/ready", method=method)

    assert answer.status == 405
    assert answer.headers["Allow"] == "GET, HEAD"
    assert answer.content_type == "application/problem+json"


async def test_unknown_path_behind_the_login(admin):
    """The administrator gets a plain 404."""
    answer = await admin.get("/api/unknown", auth=LOGIN)

    assert answer.status == 404
    assert body_of(answer)["title"] == "Not Found"


async def test_defect_shows_no_traceback(admin, healthy_proxy):
    """When our own code fails, the client gets a 500 that tells nothing of the inside."""
    healthy_proxy.change(credentials=(object(),))

    answer = await admin.get("/ready")

    assert answer.status == 500
    assert b"AttributeError" not in answer._body
    assert b"Traceback" not in answer._body
    assert body_of(answer)["status"] == 500


@pytest.mark.parametrize("path", [*OPEN, *BEHIND_LOGIN])
async def test_every_answer_bears_the_security_fields(admin, path):
    """Successes and errors alike: nothing is cached, framed, sniffed or embedded, and no version is named."""
    answer = await admin.get(path)

    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Server"] == "rapidsos-proxy"


async def test_password_stands_in_no_answer(admin):
    """Neither the password nor its Basic form is given back, whatever is asked."""
    for path in (*OPEN, *BEHIND_LOGIN):
        for auth in (None, LOGIN, WRONG):
            answer = await admin.get(path, auth=auth)
            text = answer._body.decode() + str(answer.headers)

            assert PASSWORD not in text
            assert LOGIN.removeprefix("Basic ") not in text


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", OPEN)
async def test_probes_elsewhere_get_the_open_paths(health, path, method):
    """Without a login, with the fields that every answer bears."""
    answer = await health.get(path, method=method)

    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Server"] == "rapidsos-proxy"


@pytest.mark.parametrize("path", BEHIND_LOGIN)
async def test_probes_elsewhere_get_nothing_else(health, path):
    """There is no login to try, and nothing to find behind one."""
    assert (await health.get(path, auth=LOGIN)).status == 404


async def test_probes_elsewhere_learn_whether_and_not_what_went_wrong(health, healthy_proxy):
    """An error's text may name hosts of the centre's inside: it stays on this machine, and in the log."""
    healthy_proxy.change_credential(usable=False, last_error="10.20.0.9 could not be reached")

    answer = await health.get("/ready")
    metrics = await health.get("/metrics")

    assert answer.status == 503
    assert body_of(answer) == {
        "ready": False,
        "reasons": ["no credential is usable"],
        "listening": True,
        "draining": False,
        "configuration_current": True,
        "upstreams": UPSTREAMS,
    }
    assert b"10.20.0.9" not in metrics._body


@pytest.mark.parametrize(("host", "status"), [("proxy.monitoring.svc.cluster.local", 200), ("evil.example", 421)])
async def test_probes_may_use_the_names_of_their_network(health, host, status):
    """A metrics server calls by a local name; a page of the Internet could only have a public one."""
    assert (await health.get("/metrics", Host=host)).status == status


async def test_a_connection_carries_one_request(health):
    """Probes ask rarely: what stays open is forgotten, or held on purpose."""
    assert (await health.send(LIVE)).endswith(b'{"live":true}\n')


@pytest.mark.parametrize("head", [b"", b"GET /live HTTP/1.1\r\nHost: loc"])
async def test_a_connection_that_does_not_ask_is_closed(healthy_proxy, head):
    """Sooner than one that is waiting for its answer."""
    app = build_health(healthy_proxy, Admin(), machine="cad-desk")
    async with serve(app, head_s=0.05, life_s=PATIENCE_S) as served, asyncio.timeout(PATIENCE_S / 2):
        assert await served.send(head) == b""


async def wait_for_ever(_request):
    """Give no answer."""
    await asyncio.Event().wait()


async def test_a_connection_that_has_asked_has_time_for_its_answer():
    """And no more than that."""
    app = web.Application()
    app.router.add_get("/live", wait_for_ever)
    loop = asyncio.get_running_loop()
    started = loop.time()
    async with serve(app, head_s=0.01, life_s=0.2) as served:
        answer = await served.send(LIVE)
        took_s = loop.time() - started

    assert answer == b""
    assert took_s >= 0.2 * 0.9  # the lower end alone: the machine may be busy


async def test_a_head_may_come_in_pieces(healthy_proxy):
    """Its end too."""
    async with serve(build_health(healthy_proxy, Admin(), machine="cad-desk")) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        for piece in (LIVE[:-2], LIVE[-2:-1], LIVE[-1:]):
            writer.write(piece)
            await asyncio.sleep(0)
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()

    assert answer.startswith(b"HTTP/1.1 200 ")


async def test_who_does_not_ask_makes_room_for_who_does(health):
    """However many connections somebody holds, a probe is answered, and it is the oldest that has to go."""
    held = [await asyncio.open_connection("127.0.0.1", health.port) for _ in range(MOST_CONNECTIONS)]
    answer = await health.send(LIVE)
    with contextlib.suppress(ConnectionError):
        assert await held[0][0].read() == b""
    held[-1][1].write(LIVE)
    last = await held[-1][0].read()
    for _, writer in held:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert last.startswith(b"HTTP/1.1 200 ")


async def test_who_waits_for_an_answer_makes_no_room():
    """Connections beyond the limit are closed until there is some, so that they cost the data path no descriptors."""
    app = web.Application()
    app.router.add_get("/live", wait_for_ever)
    async with serve(app) as served, asyncio.TaskGroup() as group:
        waiting = [group.create_task(served.send(LIVE)) for _ in range(MOST_CONNECTIONS)]
        await until(lambda: sum(guest.has_asked for guest in served.crowd._guests) == MOST_CONNECTIONS)
        beyond = await served.send(LIVE)
        are_there = not any(task.done() for task in waiting)
        for guest in list(served.crowd._guests):
            guest.leave()

    assert beyond == b""
    assert are_there


async def test_what_is_no_http_leaves_no_trace_in_the_log(health, caplog):
    """A port scanner must not fill the disk with tracebacks."""
    answer = await health.send(b"\x16\x03\x01\x02\x00\x01\r\n\r\n")

    assert answer.startswith(b"HTTP/1.0 400 ")
    assert caplog.records == []


async def test_the_whole_proxy_opens_both_addresses(simulator):
    """With ``admin.health_bind``; and both are closed when it stops."""
    admin = {"bind": "127.0.0.1:0", "health_bind": "127.0.0.1:0"}
    document = build_document(simulator.url, f"{simulator.url}/oauth/token", admin=admin)
    async with running_proxy(document) as running, aiohttp.ClientSession() as session:
        urls = [running.service.admin_url, running.service.health_url]
        for url in urls:
            async with session.get(f"{url}/ready") as answer:
                assert answer.status == 200
        await running.stop()
        for url in urls:
            with pytest.raises(aiohttp.ClientConnectorError):
                await session.get(f"{url}/ready")

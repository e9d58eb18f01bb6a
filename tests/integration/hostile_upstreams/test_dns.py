"""DNS that fails, flaps, lies or says too much: whoever has answered once goes on being reached."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Any

import pytest
from harness.dns import scripted_dns
from harness.misbehaving import BASIC, build_answer, build_request, read_request
from harness.reading import ask
from harness.running import build_document, running_proxy
from harness.upstream import scripted_upstream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from harness.dns import ScriptedDNS
    from harness.running import RunningProxy
    from harness.upstream import Peer

HOST = "api.rapidsos.example"
NOBODY = "127.0.0.3"
"""Of this machine, where nobody listens: refused at once."""


@pytest.fixture
def dns() -> Iterator[ScriptedDNS]:
    """Return a DNS that a test scripts."""
    with scripted_dns() as dns:
        yield dns


@contextlib.asynccontextmanager
async def named(*, allow_private: bool = True, **sections: Any) -> AsyncIterator[RunningProxy]:
    """Run a proxy in front of an upstream that is reached by name, and closes after each answer."""

    async def serve(peer: Peer) -> None:
        target = await read_request(peer)
        peer.send(build_answer(target.encode(), more=b"Connection: close\r\n"))
        await peer.flush()

    async with scripted_upstream(serve) as upstream:
        document = build_document(f"http://{HOST}:{upstream.port}", "", **{"credential": {"core": BASIC}, **sections})
        document["route"][0] |= {"allow_private": allow_private, "allow_plain_http": True}
        async with running_proxy(document) as proxy:
            proxy.upstream = upstream
            yield proxy


ERRORS = {
    "temporary failure": socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
    "no such name": socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
    "failure for good": socket.gaierror(socket.EAI_FAIL, "Non-recoverable failure in name resolution"),
    "no descriptors": OSError(24, "Too many open files"),
    "a label too long": UnicodeError("label empty or too long"),
}


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS.keys())
async def test_a_name_that_fails_and_comes_back(dns: ScriptedDNS, error: Exception) -> None:
    """502 while it was never known, POST too since nothing was sent; the next request after it is back is served."""
    async with named() as proxy:
        dns.fail(HOST, error)
        failed = [await ask(proxy, build_request("/first", method=method)) for method in ("GET", "POST")]
        dns.answer(HOST, "127.0.0.1")
        served = await ask(proxy, build_request("/second"))
        exchanges = await proxy.recorder.wait_exchanges(3)

        assert [(one.status, one.slug) for one in failed] == [(502, "upstream_dns")] * 2
        assert served.body == b"/second"
        assert [one.attempts[0].error for one in exchanges] == ["upstream_dns", "upstream_dns", None]
        assert [one.attempts[0].sent_at is None for one in exchanges] == [True, True, False]


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS.keys())
async def test_a_name_that_flaps_is_not_noticed(dns: ScriptedDNS, error: Exception) -> None:
    """Its last good addresses serve: no request fails for a resolver that fails every other time."""
    dns.answer(HOST, "127.0.0.1")
    async with named() as proxy:
        readings = []
        for number in range(10):
            readings.append(await ask(proxy, build_request(f"/{number}", method="POST", body=b"hi")))
            if number % 2:
                dns.answer(HOST, "127.0.0.1")
            else:
                dns.fail(HOST, error)

        assert [reading.body for reading in readings] == [b"/%d" % number for number in range(10)]


async def test_a_name_without_an_address(dns: ScriptedDNS) -> None:
    """An empty answer is none."""
    dns.answer(HOST)
    async with named() as proxy:
        reading = await ask(proxy, build_request("/first"))

        assert (reading.status, reading.slug) == (502, "upstream_dns")


async def test_an_upstream_that_moves(dns: ScriptedDNS) -> None:
    """A new connection goes to where the name leads now; the old address is not clung to."""
    dns.answer(HOST, NOBODY)
    async with named() as proxy:
        before = await ask(proxy, build_request("/first"))
        dns.answer(HOST, "127.0.0.1")
        after = await ask(proxy, build_request("/second"))

        assert (before.status, before.slug) == (502, "upstream_refused")
        assert after.body == b"/second"


@pytest.mark.parametrize(
    "addresses",
    [
        [NOBODY, "127.0.0.1"],
        ["127.0.0.1", NOBODY],
        ["::1", "127.0.0.1"],
        ["::1", NOBODY, "127.0.0.4", "127.0.0.1"],
        [*(f"127.0.1.{number}" for number in range(1, 30)), "127.0.0.1"],
        ["127.0.0.1"] * 30,
    ],
    ids=["dead first", "dead last", "other family dead", "three dead", "29 dead", "the same 30 times"],
)
async def test_dead_addresses_among_good_ones(dns: ScriptedDNS, addresses: list[str]) -> None:
    """RFC 8305: any that answers is enough, and the request goes out once."""
    dns.answer(HOST, *addresses)
    async with named() as proxy:
        readings = [await ask(proxy, build_request(f"/{number}", method="POST", body=b"hi")) for number in range(3)]
        exchanges = await proxy.recorder.wait_exchanges(3)

        assert [reading.body for reading in readings] == [b"/0", b"/1", b"/2"]
        assert {one.attempts[0].address for one in exchanges} == {f"127.0.0.1:{proxy.upstream.port}"}
        assert [len(one.attempts) for one in exchanges] == [1, 1, 1]


@pytest.mark.parametrize("addresses", [[NOBODY], [NOBODY, "127.0.0.4"], ["::1", NOBODY]], ids=["one", "two", "mixed"])
async def test_no_address_answers(dns: ScriptedDNS, addresses: list[str]) -> None:
    """502 upstream_refused, which names the host; nothing was sent."""
    dns.answer(HOST, *addresses)
    async with named() as proxy:
        reading = await ask(proxy, build_request("/first", method="POST", body=b"hi"))
        [exchange] = await proxy.recorder.wait_exchanges(1)

        assert (reading.status, reading.slug) == (502, "upstream_refused")
        assert HOST.encode() in reading.body
        assert exchange.attempts[0].sent_at is None
        assert proxy.upstream.peers == []


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0", "127.0.0.1", "10.0.0.1", "100.64.0.1", "169.254.169.254", "192.168.1.1", "224.0.0.1"),
        *("255.255.255.255", "::1", "::ffff:127.0.0.1", "fe80::1", "fd00::1", "64:ff9b::7f00:1", "2002:7f00:1::"),
    ],
)
async def test_a_name_that_turns_inwards(dns: ScriptedDNS, address: str) -> None:
    """DNS that is taken over must not lead a token to a machine in the house: refused before it is dialled."""
    dns.answer(HOST, address)
    async with named(allow_private=False) as proxy:
        reading = await ask(proxy, build_request("/first"))

        assert (reading.status, reading.slug) == (502, "upstream_refused")
        assert b", not a public address; set addresses or allow_private on the route" in reading.body
        assert proxy.upstream.peers == []

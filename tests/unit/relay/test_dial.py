"""What of a dial needs no upstream."""

from __future__ import annotations

import select
import socket
import struct

import pytest

from proxy.errors import UpstreamRefused
from proxy.relay.dial import Phases, _find_peer, read_pinned
from proxy.routing.origin import Origin


@pytest.mark.parametrize(
    ("address", "target"),
    [
        ("203.0.113.10", ("203.0.113.10", 443)),
        ("203.0.113.10:8443", ("203.0.113.10", 8443)),
        ("2001:db8::10", ("2001:db8::10", 443)),
        ("::1", ("::1", 443)),
        ("::", ("::", 443)),
        ("1::2:8443", ("1::2:8443", 443)),  # without brackets, all of it is the address
        ("[2001:db8::10]:8443", ("2001:db8::10", 8443)),
        ("::ffff:203.0.113.10", ("::ffff:203.0.113.10", 443)),
    ],
)
def test_a_pinned_address_has_its_own_port_or_the_upstreams(address, target):
    """In each form that the configuration takes."""
    [(family, kind, _, _, found)] = read_pinned(address, 443)

    assert found[:2] == target
    assert family == (socket.AF_INET6 if ":" in target[0] else socket.AF_INET)
    assert kind == socket.SOCK_STREAM


def test_a_peer_that_resets_at_accept_has_refused():
    """The kernel knows no peer any more by the time it is asked: that is no defect of ours."""
    origin = Origin("https", "api.example", 443)
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as sock:
        accepted, _ = server.accept()
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        accepted.close()
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        poll.poll(10_000)

        with pytest.raises(UpstreamRefused, match=r"api\.example:443 closed the connection at once"):
            _find_peer(origin, sock)


def test_a_phase_that_fails_has_its_time():
    """The record tells where the time went; a phase that was not reached has none."""
    phases = Phases()
    with pytest.raises(TimeoutError), phases.measure("connect_s"):
        raise TimeoutError

    assert phases.connect_s is not None
    assert phases.dns_s is None
    assert phases.tls_s is None

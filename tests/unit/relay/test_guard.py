"""Which addresses a name may lead to."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from proxy.config.units import parse_socket_address
from proxy.errors import UpstreamRefused
from proxy.relay.guard import check_address, find_target, is_public

PUBLIC = [
    "8.8.8.8",
    "168.63.129.15",
    "168.63.129.17",
    "172.32.0.1",
    "192.0.1.1",
    "192.88.98.1",
    "198.20.0.1",
    "203.0.114.1",
    "223.255.255.255",
    "2001:200::1",  # the first that IANA gave to a registry
    "2600:1f18::1",
    "2606:4700::1111",
    "2a00:1450:4001::200e",
]
NOT_PUBLIC = {
    "unspecified": ["0.0.0.0", "0.1.2.3", "::"],
    "loopback": ["127.0.0.1", "127.255.255.254", "::1"],
    "private": ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fc00::1", "fd00:ec2::254", "fdff::1"],
    "shared by carriers": ["100.64.0.1", "100.100.100.200", "100.127.255.255"],
    "link-local, metadata": ["169.254.169.254", "fe80::1", "febf::1"],
    "metadata behind a public address": ["168.63.129.16"],
    "site-local": ["fec0::1", "feff::1"],
    "protocols' own": ["192.0.0.1", "192.0.0.8", "192.0.0.9", "192.0.0.192", "2001:1::1", "2001:4:112::1"],
    "documentation": ["192.0.2.1", "198.51.100.1", "203.0.113.10", "2001:db8::1", "3fff::1", "3fff:fff::1"],
    "benchmarking": ["198.18.0.1", "198.19.255.255", "2001:2::1"],
    "multicast": ["224.0.0.1", "239.255.255.255", "ff02::1", "ff0e::1"],
    "reserved": ["240.0.0.1", "255.255.255.255", "100::1", "4000::1", "5f00::1", "e000::1", "::1:0:0:0:0"],
    "relays of 6to4": ["192.88.99.1"],
    "6to4": ["2002:a00:1::1", "2002:808:808::1"],
    "Teredo": ["2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001::1"],
    "ORCHID": ["2001:10::1", "2001:20::1"],
    "IPv4-compatible": ["::10.0.0.1", "::8.8.8.8"],
    "SIIT": ["::ffff:0:10.0.0.1", "::ffff:0:8.8.8.8"],
    "local NAT64": ["64:ff9b:1::a00:1", "64:ff9b:1::808:808", "64:ff9b:1:ffff::1"],
    "beside NAT64": ["64:ff9b::1:808:808", "64:ff9a::808:808"],
}  # fmt: skip
CARRIERS = {"IPv4-mapped": "::ffff:", "NAT64": "64:ff9b::"}
LISTENERS = [parse_socket_address(bind) for bind in ("127.0.0.1:8080", "10.20.0.5:80", "[fd00::5]:8443")]


def check(address, port=443, *, allow_private=False):
    """Ask the guard about one address of a name."""
    check_address("api.example", address, port, LISTENERS, allow_private=allow_private)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_may_be_dialled(address):
    """Up to the borders of what may not."""
    check(address)

    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "address", [pytest.param(address, id=f"{kind} {address}") for kind in NOT_PUBLIC for address in NOT_PUBLIC[kind]]
)
def test_no_other_address_may(address):
    """The error names the address, and both ways to allow it; allow_private allows it."""
    with pytest.raises(UpstreamRefused, match=r"not a public address; set addresses or allow_private") as refused:
        check(address)
    check(address, allow_private=True)

    assert str(ip_address(address)) in str(refused.value)


@pytest.mark.parametrize("prefix", CARRIERS.values(), ids=CARRIERS)
def test_an_ipv4_address_within_is_judged_by_itself(prefix):
    """A network without IPv4 reaches RapidSOS through its NAT64; nothing else is reached by it."""
    check(f"{prefix}8.8.8.8")
    inner = [address for addresses in NOT_PUBLIC.values() for address in addresses if ":" not in address]

    assert find_target(ip_address(f"{prefix}8.8.8.8")) == ip_address("8.8.8.8")
    for address in inner:
        with pytest.raises(UpstreamRefused, match=rf"which leads to {address}, not a public address"):
            check(f"{prefix}{address}")


@pytest.mark.parametrize(
    ("address", "port"),
    [
        ("127.0.0.1", 8080),
        ("127.0.1.1", 8080),
        ("0.0.0.0", 8080),
        ("::1", 8080),
        ("::", 8080),
        ("::ffff:127.0.0.1", 8080),
        ("64:ff9b::10.20.0.5", 80),
        ("10.20.0.5", 80),
        ("fd00::5", 8443),
        ("fd00:0::5", 8443),
    ],
)
def test_a_name_that_leads_back_to_the_proxy_is_refused(address, port):
    """Also where the route allows private addresses, since it would go round and round."""
    for allow_private in (False, True):
        with pytest.raises(UpstreamRefused, match="resolves to the proxy itself"):
            check(address, port, allow_private=allow_private)


@pytest.mark.parametrize(("address", "port"), [("127.0.0.1", 8081), ("10.20.0.5", 443), ("10.20.0.6", 80)])
def test_a_neighbour_of_the_proxy_is_not_the_proxy(address, port):
    """Another port, or another machine, may be dialled where the route allows private addresses."""
    check(address, port, allow_private=True)

    with pytest.raises(UpstreamRefused, match="not a public address"):
        check(address, port)


def test_a_zone_is_no_part_of_an_address():
    """A link-local address comes with its interface."""
    with pytest.raises(UpstreamRefused, match=r"resolves to fe80::1, not a public address"):
        check("fe80::1%2")

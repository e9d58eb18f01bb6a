"""Single values: what may be written, and what is said of what may not."""

from ipaddress import ip_network

import pytest

from proxy.config import units
from proxy.config.units import UnitError


@pytest.mark.parametrize(
    ("written", "size"),
    [(0, 0), (65536, 65536), ("64 KiB", 65536), ("64KiB", 65536), ("1.5 MiB", 1572864), ("2 GiB", 2**31), ("10 B", 10)],
)
def test_a_size_is_bytes_or_a_text_with_a_unit(written, size):
    """Sizes are counted in powers of 1024."""
    assert units.parse_size(written) == size


@pytest.mark.parametrize("written", ["64 KB", "64", "", "-1 KiB", "1 TiB", 1.5, True, None, "\u0661 KiB"])
def test_anything_else_is_no_size(written):
    """Units that could mean 1000 or 1024 are refused, and the message shows how to write one."""
    with pytest.raises(UnitError) as caught:
        units.parse_size(written)

    assert "is not a size" in caught.value.problem
    assert '"64 KiB"' in caught.value.fix


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("0.5s", 0.5), ("90s", 90.0), ("30m", 1800.0), ("12 h", 43200.0), ("400d", 34560000.0)],
)
def test_an_age_is_a_text_with_a_unit(written, seconds):
    """Spans of time are seconds, minutes, hours or days."""
    assert units.parse_age(written) == seconds


@pytest.mark.parametrize("written", ["1y", "1d12h", "", float("nan"), float("inf"), False, "90"])
def test_anything_else_is_no_age(written):
    """A number without a unit in quotes is refused as much as an unknown unit."""
    with pytest.raises(UnitError, match="is not a span of time"):
        units.parse_age(written)


@pytest.mark.parametrize("written", [400, 0, 1.5])
def test_an_age_without_a_unit_is_refused(written):
    """Whoever writes 400 for a year's audit in days must not have it removed after seven minutes."""
    with pytest.raises(UnitError) as caught:
        units.parse_age(written)

    assert caught.value.problem == f"{written} has no unit"
    assert caught.value.fix == f'write "{written}d" for days, or "{written}s" for seconds'


@pytest.mark.parametrize(
    ("size", "written"), [(0, "0 B"), (1000, "1000 B"), (65_536, "64 KiB"), (1_572_864, "1536 KiB"), (2**31, "2 GiB")]
)
def test_a_size_is_written_so_that_it_can_be_read_again(size, written):
    """In the largest unit that is exact."""
    assert units.build_size(size) == written
    assert units.parse_size(written) == size


@pytest.mark.parametrize("written", ["400d", "36h", "90m", "61s", "0.5s"])
def test_an_age_is_written_so_that_it_can_be_read_again(written):
    """In the largest unit that is exact."""
    assert units.build_age(units.parse_age(written)) == written


@pytest.mark.parametrize("written", ["10.20.0.0/16", "10.20.3.4", "fd00::/8", "::1", "10.0.0.0/255.0.0.0"])
def test_a_network_is_cidr_or_one_address(written):
    """Networks are read as the standard library reads them."""
    assert units.parse_network(written) == ip_network(written)


def test_a_network_with_host_bits_is_refused_with_the_network_that_was_meant():
    """Guessing between one client and its whole network would open the proxy to neighbours."""
    with pytest.raises(UnitError) as caught:
        units.parse_network("10.20.3.4/16")

    assert caught.value.problem == '"10.20.3.4/16" has bits set behind its prefix'
    assert caught.value.fix == 'write "10.20.0.0/16", or the address alone if one client is meant'


@pytest.mark.parametrize("written", ["", "cad", "10.20.0.0/33", 10, None])
def test_anything_else_is_no_network(written):
    """Names are not resolved: who may connect must not depend on DNS."""
    with pytest.raises(UnitError, match="is not a network"):
        units.parse_network(written)


@pytest.mark.parametrize(
    ("written", "host", "port", "is_loopback"),
    [
        ("127.0.0.1:8080", "127.0.0.1", 8080, True),
        ("127.9.9.9:1", "127.9.9.9", 1, True),
        ("0.0.0.0:8080", "0.0.0.0", 8080, False),
        ("[::1]:8080", "::1", 8080, True),
        ("[0:0::1]:08080", "::1", 8080, True),
        ("[::]:0", "::", 0, False),
    ],
)
def test_a_socket_address_is_address_and_port(written, host, port, is_loopback):
    """An IPv6 address stands in brackets, and port 0 leaves the choice to the system."""
    address = units.parse_socket_address(written)

    assert (address.host, address.port, address.is_loopback) == (host, port, is_loopback)


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("127.0.0.1", "does not end in a port"),
        ("127.0.0.1:65536", "does not end in a port"),
        ("127.0.0.1:http", "does not end in a port"),
        (8080, "does not end in a port"),
        ("localhost:8080", "is a name"),
        (":8080", "does not begin with an IP address"),
        ("cad.example:8080", "does not begin with an IP address"),
        ("::1:8080", "is bracketed wrongly"),
        ("[127.0.0.1]:8080", "is bracketed wrongly"),
    ],
)
def test_what_is_wrong_with_a_socket_address_is_told(written, problem):
    """Each way to write one wrongly has its own words."""
    with pytest.raises(UnitError, match=problem):
        units.parse_socket_address(written)


@pytest.mark.parametrize(
    ("one", "other", "overlaps"),
    [
        ("127.0.0.1:80", "127.0.0.1:80", True),
        ("127.0.0.1:80", "0.0.0.0:80", True),
        ("[::]:80", "[::1]:80", True),
        ("127.0.0.1:80", "127.0.0.2:80", False),
        ("127.0.0.1:80", "127.0.0.1:81", False),
        ("0.0.0.0:80", "[::]:80", False),
        ("127.0.0.1:0", "127.0.0.1:0", False),
    ],
)
def test_two_socket_addresses_overlap_when_one_takes_the_others_place(one, other, overlaps):
    """A wildcard takes every address of its family; port 0 takes none."""
    assert units.parse_socket_address(one).overlaps(units.parse_socket_address(other)) is overlaps
    assert units.parse_socket_address(other).overlaps(units.parse_socket_address(one)) is overlaps


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("203.0.113.10", "203.0.113.10"),
        ("203.0.113.10:8443", "203.0.113.10:8443"),
        ("2001:db8::10", "2001:db8::10"),
        ("[2001:db8::10]", "2001:db8::10"),
        ("[2001:db8::10]:8443", "[2001:db8::10]:8443"),
    ],
)
def test_a_pinned_address_may_have_a_port(written, address):
    """An address to dial is plain, or has a port of its own."""
    assert units.parse_pinned_address(written) == address


@pytest.mark.parametrize("written", ["api.rapidsos.com", "203.0.113.10:", "203.0.113", 7])
def test_a_name_is_no_pinned_address(written):
    """Pinning is what one does to be independent of names."""
    with pytest.raises(UnitError, match="is not an IP address"):
        units.parse_pinned_address(written)


def test_host_names_are_compared_in_lower_case_without_a_final_dot():
    """DNS names have no case (RFC 4343)."""
    assert units.parse_host_name("API.RapidSOS.com.") == "api.rapidsos.com"


@pytest.mark.parametrize(
    ("written", "problem"),
    [("https://cad.example", "is not a host name"), ("cad.example:80", "has a port"), (3, "is not a host")],
)
def test_a_host_name_has_no_scheme_and_no_port(written, problem):
    """What belongs in a URL does not belong here."""
    with pytest.raises(UnitError, match=problem):
        units.parse_host_name(written)


@pytest.mark.parametrize(
    ("written", "origin"),
    [
        ("https://CAD.example/", "https://cad.example"),
        ("https://cad.example:443", "https://cad.example"),
        ("http://10.0.0.1:8000", "http://10.0.0.1:8000"),
    ],
)
def test_a_web_origin_is_written_as_browsers_send_it(written, origin):
    """The default port and the slash are left out (RFC 6454, section 6.2)."""
    assert units.parse_web_origin(written) == origin


@pytest.mark.parametrize("written", ["*", "null", "cad.example", "ftp://cad.example", "https://cad.example/page", 1])
def test_anything_else_is_no_web_origin(written):
    """There is no wildcard: a page must be named to be let in."""
    with pytest.raises(UnitError, match="is not a web origin"):
        units.parse_web_origin(written)


def test_a_method_in_lower_case_is_refused():
    """Methods are case-sensitive, so it would match no request."""
    with pytest.raises(UnitError) as caught:
        units.parse_method("get")

    assert caught.value.fix == 'write "GET"'


@pytest.mark.parametrize("written", ["core", "a", "North_1.b-2", "x" * 64])
def test_a_name_is_letters_digits_and_three_marks(written):
    """Names are safe in logs, metrics and file keys."""
    assert units.parse_name(written) == written


@pytest.mark.parametrize("written", ["", "-a", "a b", "x" * 65, "caf\u00e9", 'a"', 5])
def test_anything_else_is_no_name(written):
    """What would need quoting somewhere is refused everywhere."""
    with pytest.raises(UnitError, match="is not a name"):
        units.parse_name(written)

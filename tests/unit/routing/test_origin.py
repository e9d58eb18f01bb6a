"""Upstreams: scheme, host and port, and nothing else."""

import pytest

from proxy.routing.origin import Origin, parse_origin, parse_url_origin


@pytest.mark.parametrize(
    ("url", "origin", "host_field"),
    [
        ("https://api.rapidsos.com", Origin("https", "api.rapidsos.com", 443), "api.rapidsos.com"),
        ("HTTPS://API.RapidSOS.com./", Origin("https", "api.rapidsos.com", 443), "api.rapidsos.com"),
        ("https://api.rapidsos.com:443", Origin("https", "api.rapidsos.com", 443), "api.rapidsos.com"),
        ("https://api.rapidsos.com:8443", Origin("https", "api.rapidsos.com", 8443), "api.rapidsos.com:8443"),
        ("https://api.rapidsos.com:80", Origin("https", "api.rapidsos.com", 80), "api.rapidsos.com:80"),
        ("http://127.0.0.1:9443", Origin("http", "127.0.0.1", 9443), "127.0.0.1:9443"),
        ("http://[::1]", Origin("http", "::1", 80), "[::1]"),
    ],
)
def test_upstream_is_read(url, origin, host_field):
    """The port is always a number, and left out of Host where the scheme implies it (RFC 9110, section 4.2.3)."""
    assert parse_origin(url) == origin
    assert origin.host_field == host_field
    assert parse_origin(str(origin)) == origin


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.rapidsos.com",
        "//api.rapidsos.com",
        "https:api.rapidsos.com",
        "https://",
        "https:///v1",
        "https://api.rapidsos.com/v1",
        "https://api.rapidsos.com//",
        "https://api.rapidsos.com?x",
        "https://api.rapidsos.com#x",
        "https://user:secret@api.rapidsos.com",
        "https://api.rapidsos.com:0",
        "https://api.rapidsos.com:x",
        "https://api.rapidsos.com ",
        "ftp://api.rapidsos.com",
        "wss://ws.edx.rapidsos.com",
    ],
)
def test_anything_else_is_refused(url):
    """A path, query or user name in an upstream would be silently lost, so it is an error."""
    with pytest.raises(ValueError, match=r"upstream is https://|host|user name|port"):
        parse_origin(url)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://api.rapidsos.com/oauth/token?x=//a@b", Origin("https", "api.rapidsos.com", 443)),
        ("http://127.0.0.1:9443", Origin("http", "127.0.0.1", 9443)),
        ("HTTPS://[::1]:8443/oauth", Origin("https", "::1", 8443)),
    ],
)
def test_the_origin_of_any_url_is_read(url, origin):
    """Whatever stands behind it."""
    assert parse_url_origin(url) == origin


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("api.rapidsos.com/oauth/token", "it does not begin with https://"),
        ("ftp://api.rapidsos.com/oauth/token", "it does not begin with https://"),
        ("https://user:secret@api.rapidsos.com/", "a user name or password before the host is not allowed"),
        ("https://api.rapidsos.com/a b", "it has a space, a # or an invisible character"),
        ("https://api.rapidsos.com/#a", "it has a space, a # or an invisible character"),
        ("https://api.rapidsos.com/\x00", "it has a space, a # or an invisible character"),
        ("https:///oauth/token", "the host is empty"),
    ],
)
def test_a_url_without_an_origin_is_refused(url, problem):
    """And not quoted, since it may hold a login."""
    with pytest.raises(ValueError, match=f"^{problem}$"):
        parse_url_origin(url)


@pytest.mark.parametrize(("host", "is_loopback"), [("127.0.0.9", True), ("localhost", True), ("10.0.0.1", False)])
def test_what_stays_on_this_machine_is_told(host, is_loopback):
    """It is never reached through another."""
    assert Origin("http", host, 80).is_loopback is is_loopback
